"""What a recording is in a few numbers: clipping above all, which must be found where it is and nowhere else."""

import json
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechgru.audio.reading import read_recording
from speechgru.utterances.manifest import Utterance
from speechgru.utterances.measurement import Measurement, MeasurementLog, clipped_share, measure

RATE = 16000


def clipped_share_by_hand(samples):
    """The definition, sample by sample: runs of three or more near an extreme, whose shoulders are steep."""
    if not len(samples):
        return 0.0
    reach = max(abs(float(sample)) for sample in samples)
    count = 0
    for sign in (1, -1):
        values = [sign * float(sample) for sample in samples]
        top = max(values)
        if top <= reach / 4:
            continue
        near = [value >= 0.998 * top for value in values]
        rest = [value for value, is_near in zip(values, near, strict=True) if not is_near]
        if not rest:
            continue
        step = top - max(rest)
        start = 0
        while start < len(values):
            end = start
            while end < len(values) and near[end]:
                end += 1
            sides = ([values[start - 1]] if start else []) + ([values[end]] if end < len(values) else [])
            if end - start >= 3 and all(top - side > 4 * step for side in sides):
                count += end - start
            start = max(end, start) + 1
    return count / len(samples)


@given(st.lists(st.integers(-8, 8), max_size=40), st.sampled_from([1, 3, 50]))
def test_clipping_is_counted_as_defined(heights, scale):
    # Sparse heights make plateaus; a few small ones between them make small steps.
    samples_N = np.array([height * scale if abs(height) > 2 else height for height in heights], np.float32) / 512
    assert clipped_share(samples_N) == pytest.approx(clipped_share_by_hand(samples_N))


@given(st.lists(st.integers(-2000, 2000), min_size=1, max_size=60), st.integers(-12, 0))
def test_clipping_is_seen_at_any_level_and_either_way_up(heights, exponent):
    samples_N = np.clip(np.array(heights, np.float32), -700, 700) / 1024
    share = clipped_share(samples_N)
    assert clipped_share(samples_N * np.float32(2.0**exponent)) == share
    assert clipped_share(-samples_N) == share
    assert clipped_share(samples_N[::-1]) == pytest.approx(share)


def quantize(samples_N, bits):
    steps = 2.0 ** (bits - 1)
    return (np.clip(np.round(samples_N * steps), -steps, steps - 1) / steps).astype(np.float32)


def mu_law(samples_N):
    """G.711's steps, near enough: 127 of them a side, wide at the top."""
    codes_N = np.round(127 * np.sign(samples_N) * np.log1p(255 * np.abs(samples_N)) / np.log(256)) / 127
    return (np.sign(codes_N) * (256 ** np.abs(codes_N) - 1) / 255).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
@pytest.mark.parametrize("seed", range(3))
def test_loud_clean_speech_is_not_clipped_however_coarse(make_speech, sample_rate, seed):
    samples_N = make_speech(3.0, sample_rate=sample_rate, seed=seed, level=0.999)
    for coarse_N in (samples_N, *(quantize(samples_N, bits) for bits in (16, 12, 8, 6)), mu_law(samples_N)):
        assert clipped_share(coarse_N) < 0.0005


@pytest.mark.parametrize("gain", [2.0, 4.0, 10.0])
@pytest.mark.parametrize("level", [1.0, 0.3, 0.01])
@pytest.mark.parametrize("ceiling", [(-1.0, 1.0), (-1.0, 0.5), (-0.9, 0.9)])
def test_speech_that_was_cut_off_is_clipped_at_any_level(make_speech, gain, level, ceiling):
    samples_N = make_speech(3.0, seed=5, level=gain)
    cut_N = np.clip(samples_N, *ceiling)
    share = float(np.mean((samples_N <= ceiling[0]) | (samples_N >= ceiling[1])))
    for given_N in (cut_N, quantize(level * cut_N, 16), cut_N + 0.0002 * np.random.default_rng(0).random(len(cut_N))):
        assert 0.5 * share < clipped_share(given_N.astype(np.float32)) < 1.2 * share
        assert clipped_share(given_N.astype(np.float32)) > 0.005


@pytest.mark.parametrize("hertz", [50, 100, 440, 1000, 2003])
def test_tones_square_waves_and_silence_are_not_clipped(hertz):
    time_N = np.arange(RATE) / RATE
    sine_N = np.sin(2 * math.pi * hertz * time_N)
    harmonics_N = sum(np.sin(2 * math.pi * hertz * k * time_N) / k for k in (1, 3, 5, 7) if hertz * k < RATE / 2)
    for samples_N in (sine_N, quantize(sine_N, 8), mu_law(sine_N), 0.5 * np.sign(sine_N), np.sign(sine_N), harmonics_N):
        assert clipped_share(np.asarray(samples_N, np.float32)) == 0
    one_sided_N = np.concatenate([np.zeros(2000), -np.abs(sine_N), np.zeros(2000)])
    assert clipped_share(one_sided_N.astype(np.float32)) == 0
    for flat_N in (np.zeros(100), np.full(100, 0.5), np.ones(100), np.zeros(0)):
        assert clipped_share(flat_N.astype(np.float32)) == 0


def test_the_numbers_are_the_samples(tmp_path, make_speech):
    samples_NC = make_speech(1.5, sample_rate=44100, num_channels=2, seed=2)
    samples_NC += np.float32(0.05)
    soundfile.write(tmp_path / "a.wav", samples_NC, 44100, subtype="FLOAT")
    found = measure(Utterance(str(tmp_path / "a.wav"), 0.7, "a", offset=0.5), sample_rate=RATE)
    segment_N = samples_NC.mean(axis=1)[22050 : 22050 + 30870]
    assert (found.source_rate, found.num_channels, found.format, found.error) == (44100, 2, "WAV FLOAT", "")
    assert found.file_seconds == pytest.approx(1.5)
    assert found.num_samples == round(0.7 * RATE)
    assert found.mean == pytest.approx(segment_N.mean(), abs=1e-6)
    assert found.peak == pytest.approx(np.abs(segment_N - segment_N.mean()).max(), rel=1e-5)
    assert found.rms == pytest.approx(segment_N.std(), rel=1e-4)
    assert found.num_samples == len(
        read_recording(tmp_path / "a.wav", sample_rate=RATE, offset=0.5, duration=0.7).samples_N
    )


def test_the_same_sound_has_the_same_digest_in_any_lossless_format(tmp_path, make_speech):
    samples_N = quantize(make_speech(0.5), 16)
    digests = {}
    for name, rate in (("a.wav", RATE), ("b.flac", RATE), ("c.aiff", RATE), ("d.wav", 8000)):
        soundfile.write(tmp_path / name, samples_N, rate, subtype="PCM_16")
        digests[name] = measure(Utterance(str(tmp_path / name), 0.0, "a"), sample_rate=RATE).digest
    soundfile.write(tmp_path / "e.wav", np.append(samples_N[:-1], 0.25), RATE, subtype="PCM_16")
    digests["e.wav"] = measure(Utterance(str(tmp_path / "e.wav"), 0.0, "a"), sample_rate=RATE).digest
    assert digests["a.wav"] == digests["b.flac"] == digests["c.aiff"]
    assert len(set(digests.values())) == 3
    part = measure(Utterance(str(tmp_path / "a.wav"), 0.25, "a"), sample_rate=RATE)
    assert part.digest != digests["a.wav"]


def test_what_cannot_be_read_is_distinguished_from_a_line_that_asks_too_much(tmp_path, make_speech):
    path = tmp_path / "a.wav"
    soundfile.write(path, make_speech(1.0), RATE)
    beyond = measure(Utterance(str(path), 0.5, "a", offset=0.8), sample_rate=RATE)
    assert beyond.ends_early and "is 1.000 s long, shorter than the segment from 0.8 s" in beyond.error
    path.write_bytes(path.read_bytes()[:9000])
    cut = measure(Utterance(str(path), 0.5, "a", offset=0.8), sample_rate=RATE)
    assert not cut.ends_early and "is truncated" in cut.error
    missing = measure(Utterance(str(tmp_path / "none.wav"), 0.5, "a"), sample_rate=RATE)
    assert not missing.ends_early and "no such recording" in missing.error


@given(
    st.builds(
        Measurement,
        num_samples=st.integers(0, 2**40),
        file_seconds=st.none() | st.floats(0, 1e9),
        mean=st.floats(-1, 1),
        clipped_share=st.floats(0, 1),
        digest=st.text("0123456789abcdef", max_size=32),
        ends_early=st.just(False),
    ),
    st.lists(st.text(max_size=5) | st.floats(0, 10) | st.integers(), max_size=4),
)
def test_what_is_logged_is_found_again(tmp_path, measured, key):
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    with MeasurementLog(path) as log:
        assert log.find(key) is None
        log.add(key, measured)
        assert log.find(key) == measured
    with MeasurementLog(path) as log:
        assert log.find(key) == measured
        assert log.find([*key, 1]) is None
    assert json.loads(path.read_text(encoding="utf-8"))["key"] == key


def test_what_cannot_be_read_is_not_logged(tmp_path):
    with MeasurementLog(tmp_path / "log.jsonl") as log:
        log.add(["a"], Measurement(error="no such recording"))
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    from speechgru.errors import UserError

    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"log\.jsonl: cannot be written \(.*\).* choose a folder you may write to"):
        MeasurementLog(tmp_path / "file" / "log.jsonl")
