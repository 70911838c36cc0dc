"""When each word of a known text was said, and a recording with its text cut into a corpus."""

from speechgru.align.aligning import align, align_manifest, align_recording
from speechgru.align.known_text import WrittenWord, split_words

__all__ = ["WrittenWord", "align", "align_manifest", "align_recording", "split_words"]
