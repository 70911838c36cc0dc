"""Words with times in the forms that other programs read."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import UserError
from speechgru.timed import FORMATS, TimedLabel, TimedRecording, TimedWord, cut_into_cues, format_of, timed_text

WORDS = [
    TimedWord("Don't", 0.5, 0.9, 0.98, (TimedLabel("d", 0.5, 0.7, 0.9), TimedLabel("o", 0.7, 0.9, 0.9))),
    TimedWord('say "<no>".', 1.0, 1.4, 0.95),
    TimedWord("Go!", 4.0, 4.5, 0.5),
]
TALK = TimedRecording("a b/my talk.wav", 6.0, WORDS, {"text": "x"})


def words_of(lengths, gaps, seconds):
    words, now = [], 0.0
    for length, gap, long in zip(lengths, gaps, seconds, strict=True):
        now += gap
        words.append(TimedWord("x" * length, now, now + long, 1.0))
        now += long
    return words


def test_srt_and_vtt_as_players_read_them():
    assert timed_text([TALK], "srt") == (
        '1\n00:00:00,500 --> 00:00:01,500\nDon\'t say "<no>".\n\n2\n00:00:04,000 --> 00:00:05,000\nGo!\n'
    )
    assert timed_text([TALK], "vtt") == (
        'WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nDon\'t say "&lt;no&gt;".\n\n00:00:04.000 --> 00:00:05.000\nGo!\n'
    )
    late = TimedRecording("a.wav", 9000.0, [TimedWord("late", 3661.9996, 8000.0, 1.0)])
    assert "01:01:02,000 --> 01:01:09,000" in timed_text([late], "srt")


def test_ctm_has_one_word_a_line_and_names_without_spaces():
    assert timed_text([TALK], "ctm").splitlines() == [
        "my_talk 1 0.500 0.400 Don't 0.980", "my_talk 1 1.000 0.400 say 0.950", "my_talk 1 4.000 0.500 Go! 0.500"
    ]  # fmt: skip
    other = TimedRecording("c/my talk.wav", 1.0, WORDS[:1], channel=2)
    assert timed_text([TALK, other], "ctm").splitlines()[-1].startswith("c/my_talk.wav 2 0.500")


def test_audacity_and_json():
    assert timed_text([TALK], "audacity").splitlines()[2] == "4.000000\t4.500000\tGo!"
    (record,) = json.loads(timed_text([TALK], "json"))
    assert record["audio_filepath"] == "a b/my talk.wav" and record["words"][0]["labels"][1]["text"] == "o"
    assert "labels" not in record["words"][1] and record["text"] == "x"


def test_a_textgrid_s_intervals_follow_each_other_from_end_to_end():
    text = timed_text([TALK], "textgrid")
    tiers = re.split(r"    item \[\d\]:\n", text)[1:]
    assert [re.search('name = "(.*)"', tier)[1] for tier in tiers] == ["words", "labels"]
    for tier, expected in zip(tiers, (["Don't", 'say ""<no>"".', "Go!"], ["d", "o"]), strict=True):
        found = re.findall(r'xmin = (\S+)\n +xmax = (\S+)\n +text = "(.*)"', tier)
        assert int(re.search(r"size = (\d+)", tier)[1]) == len(found)
        assert found[0][0] == "0.000000" and found[-1][1] == "6.000000"
        assert all(one[1] == two[0] and float(one[0]) < float(one[1]) for one, two in itertools.pairwise(found))
        assert [one[2] for one in found if one[2]] == expected


@pytest.mark.parametrize("form", FORMATS)
def test_a_recording_without_words_is_an_empty_file_of_its_form(form):
    text = timed_text([TimedRecording("a.wav", 1.0, [])], form)
    assert "xmax = 1.000000" in text if form == "textgrid" else len(text) < 100


def test_what_would_steer_a_terminal_or_end_a_line_is_an_escape():
    one = TimedRecording("a.wav", 2.0, [TimedWord("a\x1b[31m\nb", 0.0, 1.0, 1.0)])
    for form in ("srt", "vtt", "ctm", "audacity", "textgrid"):
        assert "a\\x1b[31m\\nb" in timed_text([one], form)


def test_forms_are_chosen_by_name_or_suffix():
    assert format_of("a/Talk.TEXTGRID", None).name == "textgrid" and format_of("a.srt", "vtt").name == "vtt"
    assert format_of(None, None) is None
    with pytest.raises(UserError, match=r"a\.txt: the suffix \.txt names no form .*add --format textgrid\|ctm"):
        format_of("a.txt", None)
    with pytest.raises(UserError, match="expected --format textgrid, ctm, srt, vtt, json, audacity, got 'docx'"):
        format_of(None, "docx")
    with pytest.raises(UserError, match="srt holds one recording a file, and these are 2"):
        timed_text([TALK, TALK], "srt")


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0.0, 3.0), st.floats(0.05, 2.0)), max_size=30))
def test_cues_are_readable_and_hold_every_word(rows):
    words = words_of(*zip(*rows, strict=True)) if rows else []
    duration = words[-1].end_seconds + 0.5 if words else 0.0
    cues = cut_into_cues(words, duration=duration)
    assert "".join("".join(cue.lines) for cue in cues).replace(" ", "") == "".join(word.text for word in words)
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2 and max(map(len, cue.lines)) <= 42
        assert 0 <= cue.start_seconds < cue.end_seconds <= min(duration, cue.start_seconds + 7.0) + 1e-9
    for one, two in itertools.pairwise(cues):
        assert one.end_seconds <= two.start_seconds + 1e-9


def test_cues_end_at_pauses_and_sentences():
    text = "The first sentence is here. The second one follows at once, and is long enough to need a cue of its own."
    words = words_of([1] * 22, [0.05] * 22, [0.3] * 22)
    words = [TimedWord(t, w.start_seconds, w.end_seconds, 1.0) for t, w in zip(text.split(), words, strict=True)]
    lines = [" ".join(cue.lines) for cue in cut_into_cues(words)]
    assert lines[0] == "The first sentence is here." and lines[1].startswith("The second")
    apart = words_of([5, 5], [0.0, 2.5], [1.0, 1.0])
    assert len(cut_into_cues(apart)) == 2, "a pause of 2.5 s ends a cue"
    short = cut_into_cues(words_of([2], [3.0], [0.1]), duration=3.2)
    assert short[0].end_seconds - short[0].start_seconds == pytest.approx(1.0), "it begins earlier"
