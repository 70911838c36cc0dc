"""Words with their times, in the forms that other programs read: subtitles, TextGrid, CTM, Audacity's labels, JSON.

>>> words = [TimedWord("hello", 0.5, 0.9, 0.98), TimedWord("world", 1.0, 1.4, 0.95)]
>>> print(timed_text([TimedRecording("talk.wav", 2.0, words)], "srt"), end="")
1
00:00:00,500 --> 00:00:01,500
hello world
>>> [isinstance(cue, Cue) for cue in cut_into_cues(words)]
[True]
>>> isinstance(FORMATS["srt"], TimedFormat)
True
>>> spelt = TimedWord("a", 0.5, 0.9, 0.98, (TimedLabel("a", 0.5, 0.9, 0.98),))
>>> as_record(TimedRecording("a.wav", 2.0, [spelt]))["words"][0]["labels"][0]["text"]
'a'
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
