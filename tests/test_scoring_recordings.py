"""What is scored: every recording is decoded once a scoring, what cannot be read is named, and memory has a bound."""

import numpy as np
import pytest
import soundfile

from speechgru.decoding import Hypothesis
from speechgru.errors import AudioError, ManifestError, UserError
from speechgru.scoring.predictions import transcribe_recordings
from speechgru.scoring.recordings import ScoringSet
from speechgru.text import TextRules
from speechgru.utterances import examination

SECONDS = [0.4, 1.2, 0.1, 0.8, 0.3]


@pytest.fixture
def reads(monkeypatch):
    """The files that were decoded, in order."""
    paths = []
    read = examination.read_recording

    def counted(path, **options):
        paths.append(path.rsplit("/", 1)[-1])
        return read(path, **options)

    monkeypatch.setattr(examination, "read_recording", counted)
    return paths


@pytest.fixture
def make_set(tmp_path, write_wav, write_lines):
    """A set of recordings of `SECONDS`, made with what a test changes; a text for seconds is a broken file."""

    def make(*, seconds=SECONDS, texts=None, stated=True, **options):
        lines = []
        for place, duration in enumerate(seconds):
            if isinstance(duration, str):
                path = tmp_path / f"{place}.wav"
                path.write_text(duration)
            else:
                path = write_wav(tmp_path, f"{place}.wav", seconds=duration, sample_rate=8000, seed=place)
            known = duration if stated and not isinstance(duration, str) else 0.0
            text = "One, two" if texts is None else texts[place]
            lines.append({"audio_filepath": str(path), "duration": known, "text": text})
        manifest = write_lines(tmp_path / "test.jsonl", lines)
        return ScoringSet(manifest, sample_rate=8000, text=TextRules(), **options)

    return make


def samples_of(recordings, batch_size=2):
    return {
        line: samples_N[:count]
        for batch in recordings.batches(batch_size)
        for line, samples_N, count in zip(batch.lines, batch.samples_BN, batch.num_samples_B, strict=True)
    }


@pytest.mark.parametrize("stated", [True, False], ids=["durations", "headers"])
def test_each_recording_is_decoded_once_and_the_longest_comes_first(make_set, reads, stated):
    recordings = make_set(stated=stated)
    assert not reads, "nothing is decoded before it is needed"
    batches = list(recordings.batches(2))
    assert [batch.lines for batch in batches] == [[1, 3], [0, 4], [2]]
    assert [batch.num_samples_B.tolist() for batch in batches] == [[9600, 6400], [3200, 2400], [800]]
    for batch in batches:
        for samples_N, count in zip(batch.samples_BN, batch.num_samples_B, strict=True):
            assert samples_N[:count].any() and not samples_N[count:].any()
    assert [example.num_samples for example in recordings] == [3200, 9600, 800, 6400, 2400]
    assert (len(recordings), recordings.problems, recordings[1].text) == (5, [], "one two")
    assert sorted(reads) == [f"{place}.wav" for place in range(5)]


def test_what_cannot_be_read_is_left_out_and_named(make_set, reads):
    recordings = make_set(seconds=[0.4, "noise", 0.8, ""])
    assert sorted(samples_of(recordings)) == [0, 2]
    assert recordings.usable_lines == [0, 2]
    assert [(record["line"], record["reason"]) for record in recordings.problems] == [
        (2, "unreadable"),
        (4, "unreadable"),
    ]
    assert "3.wav: is empty (0 bytes)" in recordings.problems[1]["message"]
    assert len(reads) == 4
    samples_of(recordings)
    assert sorted(reads[4:]) == ["0.wav", "2.wav"], "what cannot be read is not tried again"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": ["noise", ""]}, r"none of its 2 recordings can be read: .*0\.wav: cannot be decoded"),
        ({"texts": ["...", "", "?", "!", "-"]}, "no reference holds a word, so there is no word error rate; add tran"),
        (
            {"seconds": [0.4, "noise"], "texts": ["", "one"]},
            r"no reference of a recording that can be read holds a word.*1\.wav: cannot be decoded",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_message(make_set, options, message):
    with pytest.raises(UserError, match=message):
        make_set(**options).problems  # noqa: B018


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.jsonl"):
        ScoringSet(tmp_path / "none.jsonl", sample_rate=8000, text=TextRules())


def test_samples_are_kept_up_to_a_bound_for_the_next_scoring(make_set, reads):
    everything = make_set(kept_bytes=10**6)
    first, second = samples_of(everything), samples_of(everything)
    assert len(reads) == 5
    reads.clear()
    some = make_set(kept_bytes=4 * (9600 + 6400))  # the longest two
    for _ in range(3):
        again = samples_of(some)
        for line in first:
            np.testing.assert_array_equal(again[line], first[line])
            np.testing.assert_array_equal(second[line], first[line])
    assert len(reads) == 5 + 2 * 3


def test_a_recording_that_is_gone_at_the_next_scoring_is_an_error(make_set, tmp_path):
    recordings = make_set()
    samples_of(recordings)
    (tmp_path / "3.wav").unlink()
    with pytest.raises(AudioError, match=r"3\.wav: no such recording .* \(it could be read before\)"):
        samples_of(recordings)


def test_cancelled_channels_are_named_and_a_chosen_one_is_scored(tmp_path, write_wav, write_lines, make_speech):
    samples_N = make_speech(0.5, sample_rate=8000)
    soundfile.write(tmp_path / "a.wav", np.stack([samples_N, -samples_N], axis=1), 8000)
    line = {"audio_filepath": "a.wav", "duration": 0.5, "text": "yes"}
    manifest = write_lines(tmp_path / "m.jsonl", [line, line | {"channel": 2}, line | {"channel": 3}])
    recordings = ScoringSet(manifest, sample_rate=8000, text=TextRules())
    silent_N, chosen_N = (samples_of(recordings)[line] for line in (0, 1))
    assert np.abs(silent_N).max() < 1e-3
    np.testing.assert_allclose(chosen_N, -samples_N, atol=1e-4)
    assert [utterance.line for utterance in recordings.cancelled] == [1]
    (problem,) = recordings.problems
    assert problem["line"] == 3
    assert problem["message"].endswith(
        "a.wav: has 2 channels, and number 3 was asked for; choose one from 1 to 2, or none to average them"
    )
    decoded = transcribe_recordings(lambda batch: [Hypothesis()] * len(batch.lines), recordings)
    (note,) = decoded.notes
    assert note == (
        f"{tmp_path / 'a.wav'} (line 1): its channels cancel each other, one of them is inverted: their average is "
        'nearly silent; name one in the manifest\'s line ("channel": 1), or write it to a file of its own'
    )


@pytest.mark.parametrize("slots", [["room"], "room", 5])
def test_slots_that_are_none_are_named_before_anything_is_computed(tmp_path, write_lines, slots):
    line = {"audio_filepath": "a.wav", "duration": 1.0, "text": "on", "intent": "Turn", "slots": slots}
    manifest = write_lines(tmp_path / "m.jsonl", [line])
    with pytest.raises(ManifestError, match=r"m\.jsonl:1: slots of an intent are names with values, such as .*, got"):
        ScoringSet(manifest, sample_rate=8000, text=TextRules())
