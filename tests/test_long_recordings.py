"""Recordings of hours: read in blocks, computed in windows, decoded in pieces, and the same text as in one."""

import dataclasses
import itertools
import json
import math
import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechgru.decoding.alignment as alignment
from speechgru.audio import reading
from speechgru.audio.reading import read_blocks, read_recording, resample, resample_blocks
from speechgru.decoding import DecodingOptions, align, collapse
from speechgru.errors import AudioError, UserError
from speechgru.runtime import Recognizer, computing, transcription
from speechgru.runtime import recognizer as module
from speechgru.runtime.long import JoinedWindows, Limits
from speechgru.runtime.transcription import transcribe
from speechgru.utterances.manifest import Utterance
from speechgru.utterances.measurement import measure

RATE, STEP = 8000, 160  # samples a second and a step of the model below

METADATA = {
    "bundle_version": 2, "sample_rate": RATE, "step_seconds": STEP / RATE, "unit": "character", "entries": list(" ab"),
    "text": {}, "models": {"none": {"file": "model.tflite"}}, "default_form": "none",
    "features": {"n_fft": 256, "hop_length": STEP, "center": True},
}  # fmt: skip


def letters_of(samples_N):
    """A model whose steps are the samples around them: silence is the blank, loud the letter that the sign says.

    Each step's certainty comes from 25 steps on either side, as a GRU's does, so that a window's ends differ.
    """
    steps = 1 + len(samples_N) // STEP
    means_S = np.pad(samples_N, (0, STEP))[: steps * STEP].reshape(steps, STEP).mean(axis=1)
    around_S = np.convolve(np.abs(means_S), np.ones(51))[25 : 25 + steps]
    scores_SV = np.zeros([steps, 4])
    scores_SV[:, 0] = 12.0 - 0.01 * around_S
    scores_SV[:, 1] = -2.0
    scores_SV[:, 2] = 50.0 * means_S
    scores_SV[:, 3] = -50.0 * means_S
    return (scores_SV - np.log(np.exp(scores_SV).sum(axis=1, keepdims=True))).astype(np.float32)


def spoken(seconds, *, seed=0):
    """Samples with letters at random steps, at least two steps apart; and the steps with what stands there."""
    rng = np.random.default_rng(seed)
    steps_L = np.cumsum(rng.integers(2, 30, size=int(seconds * RATE / STEP / 16)))
    steps_L = steps_L[steps_L < seconds * RATE / STEP - 1]
    signs_L = rng.choice([-1.0, 1.0], size=len(steps_L))
    samples_N = 0.01 * rng.normal(size=round(seconds * RATE)).astype(np.float32)
    for step, sign in zip(steps_L, signs_L, strict=True):
        samples_N[step * STEP : (step + 1) * STEP] += 0.5 * sign
    return samples_N, steps_L, "".join("a" if sign > 0 else "b" for sign in signs_L)


@pytest.fixture
def make_device(tmp_path, monkeypatch):
    """Makes a recogniser of `letters_of` with windows that share 2 s, which knows the lengths that it computed."""
    computed = []

    class Engine:
        streams = False

        def __init__(self, path, **options):
            pass

        def recognize(self, samples_N):
            computed.append(len(samples_N))
            return letters_of(samples_N)

    (tmp_path / "bundle.json").write_text(json.dumps(METADATA))
    shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", tmp_path)
    monkeypatch.setattr(module, "Engine", Engine)
    monkeypatch.setattr(computing, "_BLOCK", 50_000)

    def make(window_seconds=20.0):
        made = Recognizer(tmp_path, window_seconds=window_seconds)
        made.computed = computed
        return made

    return make


# Windows


def windows_of(recognize, *, least=1600, most=5120, context=640, space_id=None):
    return JoinedWindows(
        recognize, least=least, most=most, context=context, step_samples=STEP, quiet_samples=1600, blank_id=0,
        space_id=space_id,
    )  # fmt: skip


@pytest.mark.parametrize("length", [0, 1, 159, 5120, 5121, 6560, 6719, 6720, 10_240, 10_401, 100_003])
def test_windows_give_each_step_once_and_as_the_whole(length):
    """The model's steps depend on 2 neighbours; windows share 8 and are joined 2 or more from an end."""

    def recognize(samples_N):
        assert len(samples_N) <= 6400
        return model(samples_N)

    def model(samples_N):
        steps_S = np.add.reduceat(samples_N, np.arange(0, len(samples_N), STEP)) if len(samples_N) else samples_N
        smooth_S = np.convolve(steps_S, np.ones(5), "same") if len(steps_S) > 5 else steps_S
        return np.stack([-np.abs(smooth_S), smooth_S], axis=1)

    samples_N = np.random.default_rng(length).integers(-4, 5, size=length).astype(np.float32)
    for piece in (1000, 3201, 10**6):
        windows = windows_of(recognize)
        pieces = [windows.feed(samples_N[start : start + piece]) for start in range(0, length, piece)]
        joined_SV = np.concatenate([*itertools.chain.from_iterable(pieces), *windows.finish()])
        np.testing.assert_array_equal(joined_SV, model(samples_N))


def test_windows_are_cut_in_pauses_wherever_they_are_and_however_loud(make_device):
    """Ten sentences with pauses of noise between them, some of them shorter than others: a cut in each pause."""
    rng = np.random.default_rng(3)
    for loudness in (1.0, 0.001):
        parts, pauses, begun = [], [], 0
        for _ in range(10):
            speech, pause = int(rng.uniform(0.7, 1.2) * RATE), int(rng.uniform(0.3, 0.4) * RATE)
            parts += [0.3 * rng.normal(size=speech), 0.003 * rng.normal(size=pause)]
            pauses.append((begun + speech, begun + speech + pause))
            begun += speech + pause
        heard = []

        def recognize(samples_N, heard=heard):
            heard.append(len(samples_N))
            return letters_of(samples_N)

        windows = windows_of(recognize, least=4000, most=14_400, context=320)
        samples_N = loudness * np.concatenate(parts)
        given = np.concatenate([*windows.feed(samples_N), *windows.finish()])
        assert len(given) == 1 + len(samples_N) // STEP
        cuts = np.cumsum([heard[0] - 320, *(length - 640 for length in heard[1:-1])])
        assert len(cuts) >= 5
        for cut in cuts:
            assert any(first + 800 <= cut <= end - 800 for first, end in pauses), "in the middle of one"


def test_where_no_pause_is_a_window_is_as_long_as_it_may_be_at_most():
    heard = []

    def recognize(samples_N):
        heard.append(len(samples_N))
        return letters_of(samples_N)

    for samples_N in (np.zeros(100_000), np.ones(100_000), np.random.default_rng(0).normal(size=100_000)):
        heard.clear()
        windows = windows_of(recognize)
        assert len(np.concatenate([*windows.feed(samples_N), *windows.finish()])) == 626
        assert max(heard) <= 6400 and min(heard) >= 1600


def test_two_windows_are_joined_in_a_pause_of_both():
    """One window finds a letter two steps later than the other: it is written once, wherever it stands."""
    samples_N = np.ones(70 * STEP)
    samples_N[35 * STEP - 800 : 35 * STEP + 800] = 0.0
    for letter in range(28, 42):  # steps; the first cut is at 35, and five steps on either side are shared
        written = []
        for late in (0, 2):
            calls = itertools.count()

            def recognize(samples_N, calls=calls, letter=letter, late=late):
                first = (0, 30)[next(calls)]
                log_probs_SV = np.log(np.tile([0.9, 0.1], [len(samples_N) // STEP, 1]))
                step = letter + (late if first else 2 - late) - first
                if 0 <= step < len(log_probs_SV):
                    log_probs_SV[step] = np.log([0.1, 0.9])
                return log_probs_SV

            windows = windows_of(recognize, least=20 * STEP, most=40 * STEP, context=5 * STEP)
            given = [*windows.feed(samples_N), *windows.finish()]
            log_probs_SV = np.concatenate(given)
            assert len(log_probs_SV) == 70
            written.append(len(collapse(log_probs_SV.argmax(axis=1))))
        assert written == [1, 1], letter


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("ab", "ab", "ab ab"),
        ("ab ", "ab", "ab ab"),
        ("ab", " ab", "ab ab"),
        ("", "ab", "ab"),
        ("ab", "", "ab "),
        ("abba", "ba", "abbba"),  # the first writes on behind the join
        ("ab b", "b", "ab b"),
    ],
)
def test_words_of_two_windows_have_one_space_between_them(first, second, text):
    """Letters stand every second step up to the cut in one window, and from it on in the other."""
    calls = itertools.count()

    def recognize(samples_N):
        written, labels = ((first, " ab"), (second, " ab"))[next(calls)]
        log_probs_SV = np.log(np.tile([0.91, 0.03, 0.03, 0.03], [len(samples_N) // STEP, 1]))
        begin = 24 if written is first else 10  # before the cut at 35 or, five steps earlier, at 0; and behind it
        for number, letter in enumerate(written):
            step = begin + 4 * number
            if step < len(log_probs_SV):
                log_probs_SV[step] = np.log([0.03, 0.03, 0.03, 0.03])
                log_probs_SV[step, 1 + labels.index(letter)] = np.log(0.91)
        return log_probs_SV

    samples_N = np.ones(70 * STEP)
    samples_N[35 * STEP - 800 : 35 * STEP + 800] = 0.0
    windows = windows_of(recognize, least=20 * STEP, most=40 * STEP, context=5 * STEP, space_id=1)
    log_probs_SV = np.concatenate([*windows.feed(samples_N), *windows.finish()])
    assert "".join(" ab"[label - 1] for label in collapse(log_probs_SV.argmax(axis=1))) == text
    np.testing.assert_allclose(np.exp(log_probs_SV).sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("least", "most", "context"),
    [(1600, 3040, 160), (1601, 6400, 160), (1600, 6400, 170), (1600, 6400, 960), (0, 0, 0)],
)
def test_windows_that_do_not_fit_the_steps_are_refused(least, most, context):
    with pytest.raises(ValueError, match="do not fit steps of 160; give multiples of it"):
        windows_of(letters_of, least=least, most=most, context=context)


# The recogniser


@pytest.mark.parametrize(
    "options",
    [None, DecodingOptions(beam_width=4, n_best=2), DecodingOptions(beam_width=4, hotwords={"ab": 0.1})],
    ids=["greedy", "beam", "hotword"],
)
@pytest.mark.parametrize("seconds", [19.99, 20.0, 20.01, 38.0, 38.02, 97.3])
def test_a_long_recording_has_the_text_and_times_of_the_whole(make_device, options, seconds):
    samples_N, steps_L, text = spoken(seconds)
    device = make_device()
    found = device.transcribe_n_best(samples_N, RATE, options)
    assert max(device.computed) <= 20 * RATE
    assert (len(device.computed) > 1) == (len(samples_N) > 20 * RATE)
    whole = make_device(math.inf).transcribe_n_best(samples_N, RATE, options)
    assert device.computed[-1] == len(samples_N)
    assert [one.text for one in found] == [one.text for one in whole]
    assert found[0].text == text
    assert [span[0] for span in found[0].spans] == steps_L.tolist()
    assert found[0].spans == whole[0].spans
    assert found[0].confidence == pytest.approx(whole[0].confidence, abs=1e-6)
    (word,) = found[0].words
    assert word.start_seconds == pytest.approx(steps_L[0] * STEP / RATE)
    assert word.end_seconds == pytest.approx((steps_L[-1] + 1) * STEP / RATE)


@pytest.mark.parametrize("window_seconds", [20.0, 7.77, 3.1])
def test_log_probs_of_a_long_recording_are_those_of_the_whole(make_device, window_seconds):
    samples_N, device = spoken(55.5)[0], make_device(window_seconds)
    size = int(window_seconds * RATE / STEP) * STEP
    assert device.window_for(len(samples_N)) == size / RATE and device.window_for(size) is None
    found_SV, expected_SV = device.log_probs(samples_N), make_device(math.inf).log_probs(samples_N)
    found_S, expected_S = found_SV.argmax(axis=1), expected_SV.argmax(axis=1)
    # Where two short windows meet in a pause that is long for them, there is a space.
    np.testing.assert_array_equal(np.where(found_S == 1, 0, found_S), expected_S)
    if window_seconds == 20.0:
        assert not (found_S == 1).any()
        np.testing.assert_allclose(found_SV, expected_SV, atol=1e-6)


@pytest.mark.parametrize("window_seconds", [0.0, -1.0, math.nan])
def test_a_window_without_length_is_refused(make_device, window_seconds):
    with pytest.raises(UserError, match="a window is a number of seconds above 0, got"):
        make_device(window_seconds)


def test_the_shortest_window_still_gives_every_step(make_device):
    samples_N = spoken(3.01)[0]
    assert len(make_device(1e-9).log_probs(samples_N)) == 1 + len(samples_N) // STEP


def test_other_rates_and_blocks_of_any_size_are_the_same(make_device):
    (samples_N, _, text), device = spoken(45.0), make_device()
    source_N = resample(samples_N, source_rate=RATE, sample_rate=11025)
    expected = device.transcribe(source_N, 11025)
    assert expected.text == text
    for size in (7001, 50_000, 10**6):
        blocks = (source_N[start : start + size] for start in range(0, len(source_N), size))
        assert device.transcribe_blocks(blocks, 11025)[0] == expected


def test_memory_does_not_grow_with_the_length(make_device):
    """Two hours in blocks of a minute: at 8 kHz their samples would be 230 MB."""
    block_N, device = spoken(60.0)[0], make_device()

    def peak(minutes):
        device.computed.clear()
        tracemalloc.start()
        hypothesis = device.transcribe_blocks((block_N for _ in range(minutes)), RATE)[0]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most, hypothesis

    (short, _), (long, hypothesis) = peak(4), peak(120)
    assert hypothesis.spans[-1][1] * STEP / RATE > 7190
    assert sum(device.computed) < 1.15 * 7200 * RATE, "an overlap of an eighth"
    assert long < short + 24 * 2**20, "the labels of two hours, each with its step and confidence"


def test_samples_that_are_none_are_refused_wherever_they_stand(make_device):
    samples_N, device = spoken(30.0)[0], make_device()
    samples_N[-1] = np.nan
    with pytest.raises(ValueError, match="some are NaN or infinite"):
        device.transcribe(samples_N, RATE)
    with pytest.raises(ValueError, match=r"one channel \[num_samples\], got the shape \(240000, 2\)"):
        device.transcribe(np.zeros([240_000, 2]), RATE)


def test_files_of_any_length_are_transcribed_and_say_their_windows(make_device, tmp_path, monkeypatch):
    device = make_device()
    monkeypatch.setattr(transcription, "Recognizer", lambda bundle, form: device)
    samples_N, steps_L, text = spoken(50.0)
    long, short = tmp_path / "long.flac", tmp_path / "short.wav"
    soundfile.write(long, samples_N, RATE)
    soundfile.write(short, samples_N[: 10 * RATE], RATE)
    records = transcribe(tmp_path, [long, short], decoding=DecodingOptions(beam_width=4, n_best=2))
    assert [record["window_seconds"] for record in records] == [20.0, None]
    assert [record["duration"] for record in records] == [50.0, 10.0]
    assert records[0]["text"] == text == device.transcribe_file(long).text
    assert records[0]["words"][0]["start_seconds"] == pytest.approx(steps_L[0] * STEP / RATE)
    assert records[0]["n_best"][0]["text"] == text and 0 < records[0]["rtf"] < 1
    long.write_bytes(long.read_bytes()[:-1000])
    before, record, after = transcribe(tmp_path, [short, long, short])
    assert before["text"] == after["text"] == records[1]["text"], "a late fault costs the others nothing"
    assert re.search(r"long\.flac: (is truncated|cannot be decoded)", record["error"]) and record["text"] is None


def test_windows_fit_what_training_heard_where_the_bundle_knows_it(make_device, tmp_path):
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(METADATA | {"training_seconds": {"typical": 2.0, "longest": 6.0}}))
    device, unchanged = make_device(None), make_device(6.0)
    assert device.limits == Limits(whole_seconds=6.0, window_seconds=2.8)
    short_N, long_N = spoken(6.0)[0], spoken(6.04)[0]
    np.testing.assert_array_equal(device.log_probs(short_N), unchanged.log_probs(short_N))
    assert device.computed == [6 * RATE, 6 * RATE] and device.window_for(len(short_N)) is None
    device.log_probs(long_N)
    assert max(device.computed[2:]) <= 2.8 * RATE and device.window_for(len(long_N)) == 2.8
    assert len(make_device(math.inf).log_probs(long_N)) == len(device.log_probs(long_N))


def test_the_longest_that_training_heard_is_not_cut_where_it_is_no_whole_number_of_steps(make_device, tmp_path):
    heard = {"typical": 2.0, "longest": 6.013}
    (tmp_path / "bundle.json").write_text(json.dumps(METADATA | {"training_seconds": heard}))
    device = make_device(None)
    device.log_probs(spoken(6.013)[0])
    assert device.computed == [round(6.013 * RATE)] and device.window_for(round(6.013 * RATE)) is None


@pytest.mark.parametrize(
    ("heard", "asked", "expected"),
    [
        (None, None, Limits(120.0, 120.0)),
        (None, 30.0, Limits(30.0, 30.0)),
        ({"typical": 5.0, "longest": 4.0}, None, Limits(7.0, 7.0)),
        ({"typical": 500.0, "longest": 900.0}, None, Limits(120.0, 120.0)),
        ({"typical": 5.0, "longest": 20.0}, math.inf, Limits(math.inf, math.inf)),
    ],
)
def test_windows_never_exceed_what_memory_is_for(heard, asked, expected):
    assert Limits.of({"training_seconds": heard}, window_seconds=asked) == expected


# Reading


@pytest.mark.parametrize(
    ("form", "subtype", "suffix"),
    [
        ("WAV", "PCM_16", ".wav"),
        ("WAV", "GSM610", ".wav"),
        ("FLAC", "PCM_16", ".flac"),
        ("OGG", "VORBIS", ".ogg"),
        ("OGG", "OPUS", ".opus"),
        ("MP3", "MPEG_LAYER_III", ".mp3"),
    ],
)
def test_blocks_are_the_recording(tmp_path, monkeypatch, write_wav, form, subtype, suffix):
    if not soundfile.check_format(form, subtype):
        pytest.skip(f"this libsndfile does not write {form}/{subtype}")
    path = write_wav(tmp_path, f"a{suffix}", seconds=9.0, format=form, subtype=subtype)
    whole = read_recording(path)
    for block in (16_000, 50_001, 200_000):
        monkeypatch.setattr("speechgru.audio.reading._BLOCK", block)
        blocks = list(read_blocks(path))
        assert max(len(one.samples_N) for one in blocks) <= block
        assert {(one.source_rate, one.num_channels) for one in blocks} == {(whole.source_rate, 1)}
        np.testing.assert_allclose(np.concatenate([one.samples_N for one in blocks]), whole.samples_N, atol=1e-6)


def test_blocks_of_several_channels_and_of_none(tmp_path, monkeypatch, write_wav):
    monkeypatch.setattr("speechgru.audio.reading._BLOCK", 6000)
    path = write_wav(tmp_path, "stereo.wav", num_channels=2)
    blocks = list(read_blocks(path))
    assert [len(block.samples_N) for block in blocks] == [3000] * 5 + [1000]
    np.testing.assert_array_equal(np.concatenate([one.samples_N for one in blocks]), read_recording(path).samples_N)
    (empty,) = read_blocks(write_wav(tmp_path, "empty.wav", seconds=0.0))
    assert len(empty.samples_N) == 0 and empty.sample_rate == 16000


def test_a_recording_that_ends_early_is_named_after_its_first_blocks(tmp_path, monkeypatch, write_wav):
    monkeypatch.setattr("speechgru.audio.reading._BLOCK", 1000)
    path = write_wav(tmp_path, "a.flac", seconds=0.2)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the top four bits of the count of samples
    path.write_bytes(content)
    blocks = read_blocks(path)
    assert [len(next(blocks).samples_N) for _ in range(3)] == [1000] * 3
    with pytest.raises(AudioError, match=r"a\.flac: (is truncated \(3200 of \d{11} samples\)|cannot be decoded)"):
        next(blocks)


@pytest.mark.parametrize(("source_rate", "sample_rate"), [(44100, 16000), (8000, 16000), (16000, 16000)])
def test_resampling_block_by_block_is_resampling(make_speech, source_rate, sample_rate):
    samples_N = make_speech(3.0, sample_rate=source_rate)
    blocks = (samples_N[start : start + 7001] for start in range(0, len(samples_N), 7001))
    found = list(resample_blocks(blocks, source_rate=source_rate, sample_rate=sample_rate))
    expected_N = resample(samples_N, source_rate=source_rate, sample_rate=sample_rate)
    np.testing.assert_array_equal(np.concatenate(found), expected_N)


def test_rates_that_are_none_are_refused_block_by_block_too():
    with pytest.raises(ValueError, match="rates are numbers of Hz above 0, got source_rate=0"):
        next(resample_blocks(iter([]), source_rate=0, sample_rate=16000))


# Alignment of many steps


def wrong_here_and_there(*, steps, seed):
    """Log-probabilities of a clear path with a pause, and its labels with some left out, added or others."""
    rng = np.random.default_rng(seed)
    path_S = np.where(rng.random(steps) < 0.3, rng.integers(1, 9, size=steps), 0)
    path_S[steps // 3 : steps // 2] = 0
    scores_SV = 2 * rng.normal(size=[steps, 9])
    scores_SV[np.arange(steps), path_S] += 8
    labels = []
    for label in collapse(scores_SV.argmax(axis=1)):
        draw, other = rng.random(), int(rng.integers(1, 9))
        labels += [] if draw < 0.03 else [label, other] if draw < 0.06 else [other] if draw < 0.1 else [label]
    return scores_SV - np.log(np.exp(scores_SV).sum(axis=1, keepdims=True)), labels


@pytest.mark.parametrize("seed", range(4))
def test_alignment_that_follows_what_may_matter_is_the_best_path(monkeypatch, seed):
    log_probs_SV, labels = wrong_here_and_there(steps=1500, seed=seed)
    expected = align(log_probs_SV, labels)
    widths = []
    follow = alignment._follow

    def measured(log_probs_SV, states_Z, *rest):
        first, end = follow(log_probs_SV, states_Z, *rest)
        widths.append(end - first)
        return first, end

    monkeypatch.setattr(alignment, "_follow", measured)
    monkeypatch.setattr(alignment, "_FOLLOWED", 0)
    monkeypatch.setattr(alignment, "SHORT", 0)
    monkeypatch.setattr(alignment, "_BLOCK", 100)
    monkeypatch.setattr(alignment, "_COMPILED_FROM", math.inf)
    assert align(log_probs_SV, labels) == expected
    assert np.mean(widths) < 0.5 * len(labels), "it follows a part of the states"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_alignment_by_machine_code_is_the_same(monkeypatch, dtype):
    pytest.importorskip("numba")
    for seed, (margin, block) in enumerate([(math.inf, 1024), (300.0, 7), (20.0, 100)]):
        log_probs_SV, labels = wrong_here_and_there(steps=400, seed=seed)
        log_probs_SV = np.round(log_probs_SV, 1).astype(dtype)  # so that paths are equally probable
        monkeypatch.setattr(alignment, "_FOLLOWED", 0 if margin < math.inf else 1 << 22)
        monkeypatch.setattr(alignment, "_MARGIN", margin)
        monkeypatch.setattr(alignment, "_BLOCK", block)
        monkeypatch.setattr(alignment, "SHORT", 0)
        found = []
        for least in (math.inf, 0):
            monkeypatch.setattr(alignment, "_COMPILED_FROM", least)
            found.append(align(log_probs_SV, labels))
        assert found[0] == found[1]


def test_alignment_widens_where_what_it_left_out_is_the_only_way(monkeypatch):
    """Twenty of thirty labels fit where they are probable; the others would not be looked for where the blank is."""
    log_probs_SV = np.full([60, 3], np.log(1e-6))
    log_probs_SV[:20, 0] = -np.inf
    log_probs_SV[20:, 0] = 0.0
    log_probs_SV[20:30, 1:] = -np.inf
    log_probs_SV[30:50:2, 1:] = np.log(1e-3)
    labels = [1, 2] * 15
    expected = align(log_probs_SV, labels)
    assert expected == [(step, step + 1) for step in [*range(20), *range(30, 50, 2)]]
    monkeypatch.setattr(alignment, "_FOLLOWED", 0)
    monkeypatch.setattr(alignment, "SHORT", 0)
    monkeypatch.setattr(alignment, "_MARGIN", 2.0)
    assert align(log_probs_SV, labels) == expected
    log_probs_SV[:, 2] = -np.inf
    with pytest.raises(ValueError, match="every path that spells the 30 labels has probability 0"):
        align(log_probs_SV, labels)


def test_a_recording_of_hours_is_measured_in_little_more_memory_than_its_samples(tmp_path):
    """An hour of silence is a file of 240 kB; reading and measuring it took four times its samples."""
    path = tmp_path / "silence.ogg"
    with soundfile.SoundFile(path, "w", samplerate=48000, channels=1, format="OGG", subtype="VORBIS") as file:
        for _ in range(120):  # libsndfile's Vorbis does not survive a minute at once
            file.write(np.zeros(48000, np.float32))
    utterance = Utterance(str(path), 120.0, "")
    measure(dataclasses.replace(utterance, duration=1.0), sample_rate=16000)  # what is imported and kept
    tracemalloc.start()
    measured = measure(utterance, sample_rate=16000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert measured.num_samples == 120 * 16000 and not measured.error
    assert peak < 1.8 * 4 * 120 * 48000


def test_what_is_longer_than_is_read_at_once_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_MOST_SAMPLES", 1 << 21)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(5 << 20, np.int16), 8000)
    with pytest.raises(AudioError, match=r"long\.wav: 0\.2 hours at 8,000 Hz are more than is read at once"):
        read_recording(path)
    assert len(read_recording(path, duration=200.0).samples_N) == 1_600_000
    assert sum(len(block.samples_N) for block in read_blocks(path)) == 5 << 20
