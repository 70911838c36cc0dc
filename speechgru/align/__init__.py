"""When each word of a known text was said, and a recording with its text cut into a corpus."""

from speechgru.align.aligning import align, align_manifest, align_recording
from speechgru.align.known_text import WrittenWord, split_words
from speechgru.align.segmenting import Segment, Segmented, segment, write_corpus

__all__ = [
    "Segment",
    "Segmented",
    "WrittenWord",
    "align",
    "align_manifest",
    "align_recording",
    "segment",
    "split_words",
    "write_corpus",
]
