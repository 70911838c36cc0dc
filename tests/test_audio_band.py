"""Up to which frequency a recording holds sound, and what averaging its channels leaves."""

import numpy as np
import pytest

from speechgru.audio.band import BandMeter, missing_band
from speechgru.audio.mixing import Mixing, mix
from speechgru.audio.reading import read_blocks, read_recording, resample


def highest_hz(samples_N, sample_rate, *, block=None):
    meter = BandMeter(sample_rate)
    for start in range(0, len(samples_N), block or max(1, len(samples_N))):
        meter.feed(samples_N[start : start + (block or len(samples_N))])
    return meter.highest_hz()


def in_16_bits(samples_N):
    return (np.round(samples_N * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sample_rate", [16000, 22050, 44100, 48000])
def test_what_came_from_a_lower_rate_shows_it_after_any_resampling(make_speech, sample_rate, seed):
    for rate, edge in ((8000, 4000.0), (11025, 5512.5)):
        low_N = in_16_bits(make_speech(1.5, sample_rate=rate, seed=seed))
        samples_N = in_16_bits(resample(low_N, source_rate=rate, sample_rate=sample_rate))
        assert highest_hz(samples_N, sample_rate) == edge
        assert highest_hz(samples_N, sample_rate, block=7000) == edge
    full_N = in_16_bits(make_speech(1.5, sample_rate=sample_rate, seed=seed))
    assert highest_hz(full_N, sample_rate) == sample_rate / 2


def test_a_low_rate_alone_shows_it(make_speech):
    for rate in (8000, 11025, 12000):
        assert highest_hz(make_speech(1.0, sample_rate=rate), rate) == rate / 2


@pytest.mark.parametrize("frequency", [500.0, 1500.0, 3900.0])
def test_what_shows_nothing_accuses_nobody(frequency):
    tone_N = 0.3 * np.sin(2 * np.pi * frequency * np.arange(16000) / 16000).astype(np.float32)
    noise_N = 0.001 * np.random.default_rng(0).normal(size=16000).astype(np.float32)
    assert highest_hz(tone_N + noise_N, 16000) == 8000
    assert highest_hz(np.zeros(16000, np.float32), 16000) == 8000
    assert highest_hz(np.zeros(0, np.float32), 16000) == 8000
    assert highest_hz(tone_N[:100], 16000) == 8000


def test_a_little_less_than_the_models_band_is_enough():
    assert missing_band(8000, f_max_hz=8000) is None
    assert missing_band(6000, f_max_hz=8000) is None
    assert missing_band(4000, f_max_hz=4000) is None
    assert missing_band(4000, f_max_hz=5000) is None
    assert "above 5,512 Hz" in missing_band(5512.5, f_max_hz=8000)
    assert "above 11,025 Hz" in missing_band(11025, f_max_hz=24000)


def test_real_recordings_are_known_by_their_band(shared_data):
    """Some of each corpus, as they are and carried at 8 kHz; a quarter of all was tried once (see `band`)."""
    for corpus, rate in (("kathleen", 16000), ("wake-words", 16000), ("fsdd", 8000)):
        files = sorted(path for path in (shared_data / corpus).rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))
        assert files
        for path in files[:: len(files) // 12]:
            recording = read_recording(path)
            assert recording.sample_rate == rate and highest_hz(recording.samples_N, rate) == rate / 2
            narrow_N = resample(recording.samples_N, source_rate=rate, sample_rate=8000)
            narrow_N = in_16_bits(resample(narrow_N, source_rate=8000, sample_rate=16000))
            assert highest_hz(narrow_N, 16000) == 4000


# -- Channels ----------------------------------------------------------------------------------------------------------


def test_averaging_is_measured(make_speech):
    spoken_N, other_N = make_speech(1.0), make_speech(1.0, seed=5)
    silence_N = np.zeros_like(spoken_N)
    for channels, cancels in (
        ([spoken_N], False),
        ([spoken_N, spoken_N], False),
        ([spoken_N, silence_N], False),
        ([spoken_N, other_N], False),
        ([silence_N, silence_N], False),
        ([spoken_N] + 7 * [silence_N], False),
        ([spoken_N, -spoken_N], True),
        ([spoken_N, -0.7 * spoken_N], True),
        ([spoken_N, -spoken_N, other_N * 0.1], True),
    ):
        samples_NC = np.stack(channels, axis=1)
        samples_N, mixing = mix(samples_NC)
        np.testing.assert_allclose(samples_N, samples_NC.mean(axis=1), atol=1e-7)
        assert mixing.cancels is cancels
        energy = (samples_NC.astype(float) ** 2).mean(axis=1).sum() * (len(channels) > 1)
        assert mixing.before == pytest.approx(energy, rel=1e-5)  # it is summed up in 32 bits


def test_blocks_together_are_the_whole(tmp_path, monkeypatch, write_wav):
    path = write_wav(tmp_path, num_channels=2)
    whole = read_recording(path).mixing
    monkeypatch.setattr("speechgru.audio.reading._BLOCK", 3000)
    blocks = list(read_blocks(path))
    together = sum((block.mixing for block in blocks), Mixing())
    assert len(blocks) > 3 and together.num_channels == whole.num_channels == 2
    assert (together.before, together.after) == pytest.approx((whole.before, whole.after), rel=1e-5)
