"""When each word of a known text was said, and a recording with its text cut into a corpus.

    from speechgru.align import align
    from speechgru.runtime import Recognizer
    timed = align(Recognizer("bundle"), "talk.wav", "talk.txt")
    print(timed.words[0].start_seconds)

>>> from speechgru.text import TextRules
>>> words = split_words("Hello, there.", TextRules())
>>> words[0] == WrittenWord("Hello,", ("hello",), line=1)
True
>>> segmented = Segmented([Segment(1.5, 2.0, "Hello, there.", 0.9, 0.1)], [], 4.0)
>>> write_corpus(segmented, "talk.wav", "corpus", speaker="ada", channel=None).name
'talk.jsonl'
"""

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
