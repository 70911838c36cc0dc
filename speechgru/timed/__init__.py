"""Words with their times, in the forms that other programs read: subtitles, TextGrid, CTM, Audacity's labels, JSON.

>>> words = [TimedWord("hello", 0.5, 0.9, 0.98), TimedWord("world", 1.0, 1.4, 0.95)]
>>> print(timed_text([TimedRecording("talk.wav", 2.0, words)], "srt"), end="")
1
00:00:00,500 --> 00:00:01,500
hello world
"""

from speechgru.timed.formats import FORMATS, TimedFormat, as_record, format_of, timed_text
from speechgru.timed.subtitles import Cue, cut_into_cues
from speechgru.timed.words import TimedLabel, TimedRecording, TimedWord

__all__ = [
    "FORMATS",
    "Cue",
    "TimedFormat",
    "TimedLabel",
    "TimedRecording",
    "TimedWord",
    "as_record",
    "cut_into_cues",
    "format_of",
    "timed_text",
]
