"""What was recorded and said: manifests, what is measured of them, the rules that they are held to.

A manifest is written with paths relative to its folder, and read with absolute ones:

>>> lines = [Utterance("a.flac", 1.25, "lights on", speaker="ada"), Utterance("b.flac", 0.5, "stop", offset=2.0)]
>>> path = write_manifest("train.jsonl", lines)
>>> print(path.read_text("utf-8"), end="")
{"audio_filepath": "a.flac", "duration": 1.25, "text": "lights on", "speaker": "ada"}
{"audio_filepath": "b.flac", "duration": 0.5, "text": "stop", "offset": 2.0}
>>> [(utterance.utterance_id, utterance.text, utterance.line) for utterance in read_manifest(path)]
[('a.flac', 'lights on', 1), ('b.flac@2.000', 'stop', 2)]
"""

from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

__all__ = ["Utterance", "read_manifest", "write_manifest"]
