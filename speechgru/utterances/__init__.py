"""What was recorded and said: manifests, what is measured of them, the rules that they are held to."""

from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

__all__ = ["Utterance", "read_manifest", "write_manifest"]
