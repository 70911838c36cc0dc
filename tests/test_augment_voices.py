"""Stages of the speaker and of the line: what they promise, measured on synthetic vowels."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="augmentation runs in TensorFlow's graph")
pytest.importorskip("numba", reason="pitch is moved by compiled code (extra train)")

from augmenting import chain_of, energy, formants_of, pitch_of, seed, vowel  # noqa: E402

from speechgru.augment.codecs import CODECS, coded  # noqa: E402
from speechgru.augment.prosody import Prosody, change_prosody, track_pitch  # noqa: E402
from speechgru.augment.rooms import draw_direct_db, room_response  # noqa: E402
from speechgru.augment.transmission import mu_law, narrowband, overload, telephone  # noqa: E402
from speechgru.augment.voice import VoiceChange, change_voice  # noqa: E402

RATE = 16000
VOICE = {
    "voice_probability": 1.0,
    "formant_share": 0.2,
    "formant_bend_share": 0.06,
    "tilt_db": 3.0,
    "breath_share": 0.4,
}
#: One by one, and together.
STAGES_ON = {
    "voice": {"voice_probability": 1.0},
    "prosody": {"prosody_probability": 1.0},
    "clipping": {"clipping_probability": 1.0},
    "transmission": {"transmission_probability": 1.0},
    "codecs": {"transmission_probability": 1.0, "transmission_kinds": ("mp3", "opus")},
    "room": {"reverb_probability": 1.0, "reverb_direct_db_min": -9.0, "reverb_direct_db_max": 0.0},
}
STAGES_ON["all"] = {key: value for keys in STAGES_ON.values() for key, value in keys.items()}


def augment(samples_N, number, *, sample_rate=RATE, strength=1.0, **keys):
    samples_N, draws = chain_of(sample_rate, **keys).augment_samples(samples_N, seed(number), strength=strength)
    return samples_N.numpy(), {key: value.numpy() for key, value in draws.items()}


def spoken(samples_N, *, ratio=1.0, bends=(0.0,) * 5, tilt_db=0.0, breath=0.0, sample_rate=RATE):
    change = VoiceChange(*(tf.constant(value, tf.float32) for value in (ratio, bends, tilt_db, breath)))
    return change_voice(tf.constant(samples_N), change, tf.constant([1, 2]), sample_rate=sample_rate).numpy()


def spectrum_db(samples_N, edges_hz, sample_rate=RATE):
    power_F = np.square(np.abs(np.fft.rfft(np.asarray(samples_N, float) * np.hanning(len(samples_N)))))
    frequencies_hz = np.fft.rfftfreq(len(samples_N), 1 / sample_rate)
    bands = itertools.pairwise(edges_hz)
    return np.array(
        [
            10 * np.log10(power_F[(frequencies_hz >= low) & (frequencies_hz < high)].mean() + 1e-20)
            for low, high in bands
        ]
    )


# All of them


@pytest.mark.parametrize("keys", STAGES_ON.values(), ids=STAGES_ON)
def test_a_stage_is_a_function_of_its_seed_keeps_the_length_and_is_nothing_at_strength_0(keys):
    samples_N = vowel(140, seconds=0.5)
    (one_N, one), (again_N, _), (other_N, _) = (augment(samples_N, number, **keys) for number in (1, 1, 2))
    np.testing.assert_array_equal(one_N, again_N)
    assert one_N.shape == other_N.shape == samples_N.shape and one_N.dtype == np.float32
    assert not np.allclose(one_N, other_N, atol=1e-3) and not np.allclose(one_N, samples_N, atol=1e-3)
    assert np.abs(one_N).max() < 2.0
    np.testing.assert_array_equal(augment(samples_N, 1, strength=0.0, **keys)[0], samples_N)
    assert all(np.isfinite(value).all() for value in one.values())


@pytest.mark.parametrize(
    "keys",
    # Behind other stages the line is a smooth one: codecs and the mu-law turn what these round into another step.
    [STAGES_ON["all"] | {"transmission_kinds": ("telephone",)}, STAGES_ON["transmission"], STAGES_ON["codecs"]],
    ids=["all", "transmission", "codecs"],
)
def test_a_graph_gives_what_is_computed_at_once(keys):
    chain, samples_N = chain_of(RATE, **keys), vowel(140, seconds=0.3)
    graph = tf.function(
        lambda samples_N, one: chain.augment_samples(samples_N, one)[0],
        input_signature=[tf.TensorSpec([None]), tf.TensorSpec([2], tf.int32)],
        autograph=False,
    )
    for number in range(3):
        at_once_N = chain.augment_samples(samples_N, seed(number))[0]
        np.testing.assert_allclose(graph(samples_N, seed(number)), at_once_N, atol=1e-4)


@pytest.mark.parametrize("keys", STAGES_ON.values(), ids=STAGES_ON)
@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
def test_silence_and_next_to_nothing_stay_what_they_are(keys, sample_rate):
    for samples_N in (np.zeros(0), np.zeros(1), np.zeros(3000)):
        out_N, _ = augment(samples_N.astype(np.float32), 3, sample_rate=sample_rate, **keys)
        np.testing.assert_array_equal(out_N, samples_N)
    for count in (1, 2, 50, 700):
        out_N, _ = augment(np.ones(count, np.float32), 3, sample_rate=sample_rate, **keys)
        assert out_N.shape == (count,) and np.isfinite(out_N).all()


def test_a_probability_is_the_share_of_the_utterances():
    samples_N = vowel(140, seconds=0.05)
    chain = chain_of(RATE, voice_probability=0.5, clipping_probability=0.3, transmission_probability=0.7)
    draw = tf.function(
        lambda one, strength: chain.augment_samples(samples_N, one, strength=strength)[1],
        input_signature=[tf.TensorSpec([2], tf.int32), tf.TensorSpec([])],
        autograph=False,
    )
    for strength in (1.0, 0.5):
        rows = [draw(seed(number), strength) for number in range(150)]
        changed = np.mean([row["voice_changed"].numpy() for row in rows])
        clipped = np.mean([row["clipped_db"].numpy() > 0 for row in rows])
        sent = np.mean([row["transmission_kind"].numpy() >= 0 for row in rows])
        np.testing.assert_allclose([changed, clipped, sent], strength * np.array([0.5, 0.3, 0.7]), atol=0.12)


# Prosody


def prosody(samples_N, number=0, *, sample_rate=RATE, **changes):
    changes = Prosody(**{field.name: 0.0 for field in dataclasses.fields(Prosody)} | changes)
    return change_prosody(samples_N, changes, np.random.default_rng(number), sample_rate=sample_rate)


def pitches_of(samples_N, sample_rate=RATE):
    track = track_pitch(samples_N, sample_rate=sample_rate)
    return track.frequency_T * sample_rate


@pytest.mark.parametrize(("f0_hz", "sample_rate"), [(75, 16000), (130, 8000), (170, 44100), (240, 16000), (400, 16000)])
def test_the_pitch_is_tracked_and_no_change_gives_the_same_samples(f0_hz, sample_rate):
    samples_N = vowel(f0_hz, sample_rate=sample_rate)
    np.testing.assert_allclose(pitches_of(samples_N, sample_rate)[2:-2], f0_hz, rtol=0.01)
    np.testing.assert_allclose(prosody(samples_N, sample_rate=sample_rate), samples_N, atol=1e-6)


@pytest.mark.parametrize("f0_hz", [90, 150])
@pytest.mark.parametrize("semitones", [-6.0, 4.0])
def test_the_pitch_moves_by_its_semitones_and_formants_and_duration_stay(f0_hz, semitones):
    samples_N = vowel(f0_hz)
    other_N = prosody(samples_N, semitones=semitones)
    assert pitch_of(other_N) == pytest.approx(f0_hz * 2 ** (semitones / 12), rel=0.003)
    np.testing.assert_allclose(formants_of(other_N), formants_of(samples_N), rtol=0.05)
    assert other_N.shape == samples_N.shape and other_N.dtype == np.float32
    assert energy(other_N) == pytest.approx(energy(samples_N), rel=1e-3)


def test_a_curve_of_the_pitch_stays_in_its_range_and_uses_it():
    samples_N = vowel(140, seconds=2.0)
    moved = [12 * np.log2(pitches_of(prosody(samples_N, number, curve_semitones=3.0))[5:-5] / 140) for number in (1, 2)]
    for semitones_T in moved:
        assert -3.2 < semitones_T.min() < semitones_T.max() < 3.2
        assert np.ptp(semitones_T) > 1.5 and np.abs(np.diff(semitones_T)).max() < 0.6
    assert np.abs(moved[0] - moved[1]).max() > 1.0


def test_a_curve_of_the_pace_moves_sounds_and_neither_pitch_nor_the_ends():
    beeps_hz = [300.0, 600.0, 900.0, 1200.0]
    samples_N = np.concatenate([vowel(125, formants_hz=(hz, 2500.0), seconds=0.5) for hz in beeps_hz])
    other_N = prosody(samples_N, 3, rate_share=0.4)
    assert len(other_N) == len(samples_N)
    assert pitch_of(other_N[8000:24000]) == pytest.approx(125, rel=0.01)

    def changes_of(samples_N):
        """Where the formant passes from one to the next: the samples at which the correlation with it does."""
        blocks_TN = samples_N[: len(samples_N) // 512 * 512].reshape(-1, 512) * np.hanning(512)
        power_TF = np.abs(np.fft.rfft(blocks_TN, 2048)) ** 2
        frequencies_hz = np.fft.rfftfreq(2048, 1 / RATE)
        centre_T = power_TF[:, frequencies_hz < 1500] @ frequencies_hz[frequencies_hz < 1500]
        centre_T /= power_TF[:, frequencies_hz < 1500].sum(axis=1)
        middles = (centre_T[4:12].mean() + centre_T[20:28].mean()) / 2
        return np.flatnonzero(centre_T > middles)[0] * 512

    assert abs(changes_of(samples_N) - 8000) < 1024
    moved = [abs(changes_of(prosody(samples_N, number, rate_share=0.4)) - 8000) for number in range(4)]
    assert max(moved) > 500


def test_jitter_makes_periods_unequal():
    samples_N = vowel(125)

    def regularity(samples_N):
        part_N, later_N = samples_N[2000:12000].astype(float), samples_N[2128:12128].astype(float)
        return float(part_N @ later_N / math.sqrt(energy(part_N) * energy(later_N)))

    steady, hoarse, hoarser = (regularity(prosody(samples_N, jitter_share=share)) for share in (0.0, 0.01, 0.03))
    assert steady > 0.99 > hoarse > hoarser


def test_noise_and_unvoiced_speech_keep_their_spectrum():
    noise_N = 0.1 * np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32)
    edges_hz = np.array([50.0, 500, 1000, 2000, 4000, 7000])
    other_N = prosody(noise_N, semitones=6.0, rate_share=0.2)
    # Relative to each other: the cubic between samples costs the top of the spectrum some 2 dB.
    change_db = spectrum_db(other_N, edges_hz) - spectrum_db(noise_N, edges_hz)
    assert np.ptp(change_db[:-1]) < 1.0 and change_db[-1] > change_db[0] - 3.0


# Voice


@pytest.mark.parametrize("f0_hz", [100, 170, 240])
@pytest.mark.parametrize("ratio", [0.82, 1.2])
def test_formants_move_by_their_ratio_and_the_pitch_stays(f0_hz, ratio):
    samples_N = vowel(f0_hz)
    other_N = spoken(samples_N, ratio=ratio)
    assert pitch_of(other_N) == pytest.approx(f0_hz, rel=0.005)
    moved = formants_of(other_N) / formants_of(samples_N)
    np.testing.assert_allclose(moved[1:], ratio, rtol=0.06)
    # The first formant of a high voice lies between two harmonics: neither it nor its envelope is well known.
    assert moved[0] == pytest.approx(ratio, rel=0.1 if f0_hz < 200 else 0.18)
    assert energy(other_N) == pytest.approx(energy(samples_N), rel=1e-3)


def test_a_bend_moves_the_formants_of_its_place_alone():
    samples_N = vowel(100)
    # Places at 0, 418, 1087, 2155, 3864 (times 700 / 700 on the mel scale up to 8 kHz): lift the third.
    before, after = formants_of(samples_N), formants_of(spoken(samples_N, bends=(0.0, 0.0, 0.2, 0.0, 0.0)))
    assert after[1] > 1.06 * before[1]
    np.testing.assert_allclose(after[[0, 3]], before[[0, 3]], rtol=0.03)


def test_tilt_is_a_slope_in_db_an_octave():
    noise_N = np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32)
    edges_hz = 125.0 * 2.0 ** np.arange(6)
    change_db = spectrum_db(spoken(noise_N, tilt_db=-3.0), edges_hz) - spectrum_db(noise_N, edges_hz)
    assert np.polyfit(np.arange(5), change_db, 1)[0] == pytest.approx(-3.0, abs=0.3)


def test_breath_turns_harmonics_of_the_treble_into_noise_of_their_level():
    samples_N = vowel(125)
    breathy_N = spoken(samples_N, breath=1.0)

    def harmonicity(samples_N, low_hz, high_hz):
        """The correlation of a band with itself a period later."""
        spectrum_F = np.fft.rfft(samples_N)
        frequencies_hz = np.fft.rfftfreq(len(samples_N), 1 / RATE)
        band_N = np.fft.irfft(np.where((frequencies_hz > low_hz) & (frequencies_hz < high_hz), spectrum_F, 0))
        band_N, later_N = band_N[2000:12000], band_N[2128:12128]
        return float(band_N @ later_N / math.sqrt(energy(band_N) * energy(later_N)))

    assert harmonicity(samples_N, 3000, 4000) > 0.95 > 0.6 > harmonicity(breathy_N, 3000, 4000)
    assert harmonicity(breathy_N, 100, 700) > 0.9
    edges_hz = np.array([300.0, 800, 2000, 3000, 4000])
    np.testing.assert_allclose(spectrum_db(breathy_N, edges_hz), spectrum_db(samples_N, edges_hz), atol=3.0)
    # Silence between words stays silent.
    pause_N = np.concatenate([samples_N, np.zeros(RATE, np.float32)])
    assert np.abs(spoken(pause_N, breath=1.0)[-RATE // 2 :]).max() < 1e-4


def test_no_change_is_the_same_voice():
    samples_N = vowel(130)
    np.testing.assert_allclose(spoken(samples_N), samples_N, atol=1e-6)


# Rooms


def test_a_room_is_as_far_as_was_asked():
    for number in range(6):
        distance = {"direct_db_min": -9.0, "direct_db_max": -3.0}
        response_K = room_response(seed(number), sample_rate=RATE, seconds_min=0.4, seconds_max=0.8, **distance).numpy()
        direct_db = float(draw_direct_db(seed(number), **distance))
        assert -9 <= direct_db <= -3
        assert -10 * math.log10(energy(response_K[1:])) == pytest.approx(direct_db, abs=0.1)
        assert response_K[0] == 1 == np.abs(response_K).max()


# The line


def test_a_telephone_passes_its_band_and_nothing_else():
    noise_N = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    edges_hz = np.array([0.0, 120, 500, 2500, 4600, 8000])
    for number in range(4):
        for line in (telephone, mu_law):
            out_N = line(tf.constant(noise_N), seed(number), sample_rate=RATE).numpy()
            change_db = spectrum_db(out_N, edges_hz) - spectrum_db(noise_N, edges_hz)
            assert (change_db[[0, 4]] < change_db[2] - 20).all()
            assert energy(out_N) == pytest.approx(energy(noise_N), rel=1e-3)
            assert np.correlate(out_N, noise_N, "full").argmax() == len(noise_N) - 1, "not delayed"


def test_a_recording_at_8_khz_keeps_its_half_of_the_band_and_nothing_above():
    noise_N = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    edges_hz = np.array([20.0, 200, 3200, 4800, 8000])
    ends = set()
    for number in range(4):
        out_N = narrowband(tf.constant(noise_N), seed(number), sample_rate=RATE).numpy()
        low_db, middle_db, _, high_db = spectrum_db(out_N, edges_hz) - spectrum_db(noise_N, edges_hz)
        assert low_db == pytest.approx(middle_db, abs=0.01) and high_db < middle_db - 70
        assert energy(out_N) == pytest.approx(energy(noise_N), rel=1e-3)
        assert np.correlate(out_N, noise_N, "full").argmax() == len(noise_N) - 1, "not delayed"
        again_N, draws = augment(noise_N, number, transmission_probability=1.0, transmission_kinds=("narrowband",))
        assert again_N.shape == noise_N.shape and draws["transmission_kind"] == 0
        ends.add(round(float(spectrum_db(out_N, np.array([3300.0, 4100]))[0]), 2))
    assert len(ends) == 4, "the edge is drawn"


def test_mu_law_adds_noise_some_35_db_below_speech_and_keeps_8_khz():
    samples_N = vowel(130, sample_rate=8000)
    ratios_db = []
    for number in range(6):
        one = seed(number)
        coded_N = mu_law(tf.constant(samples_N), one, sample_rate=8000).numpy()
        band_seed = tf.random.experimental.stateless_split(one, 2)[0]
        plain_N = telephone(tf.constant(samples_N), band_seed, sample_rate=8000).numpy()
        ratios_db.append(10 * math.log10(energy(plain_N) / energy(coded_N - plain_N)))
    assert min(ratios_db) > 25 and max(ratios_db) < 45


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
@pytest.mark.parametrize("kind", CODECS)
def test_a_codec_keeps_speech_its_time_and_its_level_and_is_not_the_original(kind, sample_rate):
    samples_N = vowel(140, seconds=0.5, sample_rate=sample_rate)
    least, most = CODECS[kind].levels
    errors = []
    for level in (least, most):
        out_N = coded(samples_N, kind, level=level, sample_rate=sample_rate)
        assert out_N.shape == samples_N.shape and out_N.dtype == np.float32
        assert energy(out_N) == pytest.approx(energy(samples_N), rel=0.5)
        lag = np.correlate(out_N, samples_N, "full").argmax() - (len(samples_N) - 1)
        assert abs(lag) <= 0.001 * sample_rate
        errors.append(energy(out_N - samples_N) / energy(samples_N))
    assert 1e-5 < errors[0] < errors[1] < 1.0
    np.testing.assert_array_equal(coded(np.zeros(99, np.float32), kind, level=most, sample_rate=sample_rate), 0)


def test_a_codec_that_is_not_installed_is_named(monkeypatch):
    import soundfile

    monkeypatch.setattr(soundfile, "available_subtypes", lambda format: {})
    with pytest.raises(ValueError, match=r"transmission_kinds holds 'opus', which libsndfile .* cannot write"):
        augment(vowel(140, seconds=0.1), 0, transmission_probability=1.0, transmission_kinds=("telephone", "opus"))


def test_clipping_cuts_at_its_level_below_the_peak():
    samples_N = np.array([0.0, 0.5, -1.0, 0.1, 0.25], np.float32)
    np.testing.assert_allclose(overload(tf.constant(samples_N), 20 * math.log10(4)), [0, 0.25, -0.25, 0.1, 0.25])
    np.testing.assert_array_equal(overload(tf.constant(samples_N), 0.0), samples_N)


def test_what_was_drawn_is_recorded_in_words():
    chain = chain_of(RATE, **STAGES_ON["all"])
    _, draws = chain.augment_samples(vowel(120, seconds=0.2), seed(4))
    record = chain.records({key: value.numpy().item() for key, value in draws.items()})
    facts = " / ".join(chain.describe(record))
    for words in ("pitch ", " jitter", "formants × ", " dB an octave", "breath", "clipped", "over ", "direct sound −"):
        assert words in facts, facts
