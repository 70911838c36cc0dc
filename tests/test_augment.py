"""Augmentation: a function of its seed, within real lengths, and as strong as it says."""

import itertools
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tones import make_config

tf = pytest.importorskip("tensorflow", reason="augmentation runs in TensorFlow's graph")

from augmenting import chain_of, energy, seed  # noqa: E402

from speechgru.augment import STAGES, FrequencyWarp, LengthStage  # noqa: E402
from speechgru.augment.noise import NOISE_KINDS, babble, fit_length, mix_noise, pink_noise, white_noise  # noqa: E402
from speechgru.augment.rooms import draw_reverb_seconds, equalize, reverberate, room_response  # noqa: E402
from speechgru.augment.seeds import part_seed  # noqa: E402
from speechgru.augment.speed import change_speed  # noqa: E402

RATE = 8000
QUIET = {
    "sample_rate": RATE, "gain_db": 0.0, "silence_seconds": 0.0, "noise_probability": 0.0, "noise_snr_db_min": 10.0,
    "noise_snr_db_max": 20.0,
}  # fmt: skip
#: Every kind at once; noise of the two kinds that need no reader.
STRONG = {
    "sample_rate": RATE, "speed_share": 0.2, "reverb_probability": 0.5, "silence_seconds": 0.2, "gain_db": 6.0,
    "equalizer_db": 6.0,
    "noise_probability": 0.5, "noise_kinds": ("white", "pink"), "noise_snr_db_min": 0.0, "noise_snr_db_max": 20.0,
}  # fmt: skip


def augment_samples(
    samples_N, one, *, read_noise=None, read_speech=None, read_response=None, strength=1.0, length_draws=None,
    return_draws=False, sample_rate=RATE, **keys,
):  # fmt: skip
    readers = {"noise_manifest": read_noise, "speech": read_speech, "reverb_manifest": read_response}
    chain = chain_of(sample_rate, readers={key: reader for key, reader in readers.items() if reader}, **keys)
    samples_N, draws = chain.augment_samples(samples_N, one, strength=strength, length_draws=length_draws)
    return (samples_N, draws) if return_draws else samples_N


def each_row(seeds, log_mel_BTM):
    """A seed for each row: as given, or split from the one for all."""
    seeds = tf.convert_to_tensor(seeds)
    return seeds if seeds.shape.rank == 2 else tf.random.experimental.stateless_split(seeds, tf.shape(log_mel_BTM)[0])


def augment_features(log_mel_BTM, num_frames_B, seeds, *, strength=1.0, **keys):
    """Frames are 0.01 s apart."""
    return chain_of(RATE, **keys).augment_features(
        tf.convert_to_tensor(log_mel_BTM), num_frames_B, each_row(seeds, log_mel_BTM), strength=strength
    )


mask_spectrogram = augment_features


def draw_warp_factors(seeds_B2, *, warp_share, strength=1.0):
    return FrequencyWarp.model_construct(frequency_warp_share=warp_share).drawn(seeds_B2, strength=strength)[
        "frequency_warp"
    ]


def warp_frequency(log_mel_BTM, seeds, *, warp_share, strength=1.0, num_groups=1):
    return augment_features(
        log_mel_BTM, tf.fill([tf.shape(log_mel_BTM)[0]], tf.shape(log_mel_BTM)[1]), seeds,
        frequency_warp_share=warp_share, strength=strength, num_groups=num_groups,
    )  # fmt: skip


def speech(count=4000, number=0):
    return np.random.default_rng(number).normal(size=count).astype(np.float32) * 0.1


def read_some(read_seed):
    """A reader: an utterance of noise whose length and content the seed draws."""
    length = tf.random.stateless_uniform([], read_seed, 500, 6000, tf.int32)
    return 0.1 * tf.random.stateless_normal([length], read_seed + 1)


def over_seeds(function, count, *, start=0, parallel=2):
    """What `function` gives for `count` seeds, through a dataset's graph as in training."""
    dataset = tf.data.Dataset.range(start, start + count)
    seeds = dataset.map(lambda number: tf.stack([7, tf.cast(number, tf.int32)]))
    return list(seeds.map(function, num_parallel_calls=parallel).as_numpy_iterator())


def draws_of(count=200, **changes):
    samples_N = tf.constant(speech())
    rows = over_seeds(lambda one: augment_samples(samples_N, one, **{**STRONG, **changes}, return_draws=True)[1], count)
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


# The whole


def test_everything_switched_off_changes_nothing():
    samples_N = speech()
    np.testing.assert_array_equal(augment_samples(samples_N, seed(0), **QUIET), samples_N)


def test_what_is_switched_off_costs_no_operation():
    @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([2], tf.int32), tf.TensorSpec([])])
    def augment(samples_N, one, strength):
        return augment_samples(samples_N, one, **QUIET, strength=strength)

    kinds = {operation.type for operation in augment.get_concrete_function().graph.get_operations()}
    assert kinds <= {"Placeholder", "Identity", "NoOp"}


@pytest.mark.parametrize(
    ("on", "mark"),
    [
        ({"speed_share": 0.1}, "PyFuncStateless"),
        ({"reverb_probability": 0.1}, "RFFT"),
        ({"silence_seconds": 0.1}, "Pad"),
        ({"noise_probability": 0.1}, "StatelessRandomNormalV2"),
        ({"gain_db": 1.0}, "Pow"),
    ],
)
def test_what_is_switched_on_is_alone_in_the_graph(on, mark):
    @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([2], tf.int32)])
    def augment(samples_N, one):
        return augment_samples(samples_N, one, **{**QUIET, **on})

    definition = augment.get_concrete_function().graph.as_graph_def()
    nodes = list(definition.node) + [node for function in definition.library.function for node in function.node_def]
    kinds = {node.op for node in nodes}
    assert mark in kinds
    others = {"PyFuncStateless", "Pad"} if "noise_probability" in on else {"PyFuncStateless", "RFFT"}
    assert not kinds & (others - {mark})


def test_the_same_seed_gives_the_same_and_another_another():
    one, two, three = (augment_samples(speech(), seed(k), **STRONG).numpy() for k in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.shape != three.shape or not np.allclose(one, three)


def test_a_dataset_gives_the_same_bits_in_any_order_and_with_any_workers():
    kinds = {**STRONG, "noise_probability": 1.0, "noise_kinds": NOISE_KINDS}

    def load(number):
        samples_N = augment_samples(
            tf.constant(speech()), tf.stack([7, number]), **kinds, read_noise=read_some, read_speech=read_some
        )
        return number, samples_N

    numbers = tf.data.Dataset.range(24).map(lambda number: tf.cast(number, tf.int32))
    alone = dict(numbers.map(load).as_numpy_iterator())
    together = dict(
        numbers.shuffle(24, seed=3).map(load, num_parallel_calls=4, deterministic=False).as_numpy_iterator()
    )
    assert len({len(samples_N) for samples_N in alone.values()}) > 10
    for number, samples_N in alone.items():
        np.testing.assert_array_equal(samples_N, together[number])
        if number < 3:
            eager_N = augment_samples(speech(), seed(number), **kinds, read_noise=read_some, read_speech=read_some)
            np.testing.assert_allclose(eager_N, samples_N, atol=1e-5)


def test_strength_0_changes_nothing_whatever_is_switched_on():
    for number in range(6):
        samples_N = augment_samples(
            speech(), seed(number), **{**STRONG, "reverb_probability": 1.0, "noise_probability": 1.0}, strength=0.0
        )
        np.testing.assert_array_equal(samples_N, speech())
        np.testing.assert_array_equal(
            augment_samples(speech(), seed(number), **STRONG, strength=tf.constant(0.0)), speech()
        )


def test_strength_one_half_halves_every_probability_and_magnitude():
    full, half = draws_of(), draws_of(strength=tf.constant(0.5))
    np.testing.assert_allclose(half["gain_db"], full["gain_db"] / 2, rtol=1e-5)
    np.testing.assert_allclose(half["speed_factor"] - 1, (full["speed_factor"] - 1) / 2, atol=1e-6)
    np.testing.assert_allclose(half["silence_before_seconds"], full["silence_before_seconds"] / 2, atol=1 / RATE + 1e-6)
    np.testing.assert_allclose(half["reverb_seconds"] - 0.1, (full["reverb_seconds"] - 0.1) / 2, atol=1e-6)
    np.testing.assert_allclose(20 - half["noise_snr_db"], (20 - full["noise_snr_db"]) / 2, atol=1e-5)
    for draws, share in ((full, 0.5), (half, 0.25)):
        assert abs(draws["reverberated"].mean() - share) < 0.12
        assert abs((draws["noise_kind"] >= 0).mean() - share) < 0.12
    assert (full["reverberated"] | ~half["reverberated"]).all(), "what is done at half strength is done at full"


def test_each_draw_stays_in_its_range_uses_it_and_is_independent_of_the_others():
    draws = draws_of(400)
    ranges = {
        "speed_factor": (0.8, 1.2), "reverb_seconds": (0.1, 0.6), "reverb_direct_db": (0, 12),
        "silence_before_seconds": (0, 0.2), "silence_after_seconds": (0, 0.2),
        "noise_snr_db": (0, 20), "gain_db": (-6, 6),
    }  # fmt: skip
    for key, (low, high) in ranges.items():
        slack = 0.03 * (high - low)
        assert low - 1e-4 <= draws[key].min() < low + slack, key
        assert high - slack < draws[key].max() <= high + 1e-4, key
    table = np.stack([*(draws[key] for key in ranges), draws["reverberated"], draws["noise_kind"] >= 0]).astype(float)
    related = np.corrcoef(table) - np.eye(len(table))
    assert np.abs(related).max() < 0.2, "two kinds draw from one seed"
    for row in table:  # an utterance's neighbour, whose seed differs by 1
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.2
    assert set(draws["noise_kind"]) == {-1, 0, 1}


def test_switching_a_kind_off_leaves_the_others_draws_alone():
    full, fewer = draws_of(20), draws_of(20, speed_share=0.0, reverb_probability=0.0)
    assert set(full) - set(fewer) == {"speed_factor", "reverberated", "reverb_seconds", "reverb_direct_db"}
    for key in fewer:
        np.testing.assert_array_equal(full[key], fewer[key])


def test_the_stages_come_in_order_and_match_what_is_drawn():
    """Speed, silence, room, noise, gain: undone one by one from the end, by what was drawn; timbre records nothing."""
    settings_ = {**STRONG, "reverb_probability": 1.0, "noise_probability": 1.0, "equalizer_db": 0.0}
    for number in range(8):
        out_N, draws = augment_samples(speech(), seed(number), **settings_, return_draws=True)
        quiet_N = augment_samples(speech(), seed(number), **{**settings_, "noise_probability": 0.0, "gain_db": 0.0})
        out_N = out_N.numpy() / 10 ** (float(draws["gain_db"]) / 20)
        before, after = (round(float(draws[f"silence_{side}_seconds"]) * RATE) for side in ("before", "after"))
        np.testing.assert_allclose(quiet_N[:before], 0, atol=1e-6)
        assert after < 100 or np.abs(quiet_N[len(out_N) - after :]).max() > 1e-6  # the room rings on in the quiet
        spoken = slice(before, len(out_N) - after)
        noise_N = out_N - quiet_N.numpy()
        snr_db = 10 * math.log10(energy(quiet_N[spoken]) / energy(noise_N[spoken]))
        assert snr_db == pytest.approx(float(draws["noise_snr_db"]), abs=0.02)
        fast_N = change_speed(speech(), draws["speed_factor"])
        assert len(quiet_N[spoken]) == len(fast_N)
        assert energy(quiet_N) == pytest.approx(energy(fast_N), rel=1e-3)


def test_an_unknown_noise_or_a_missing_reader_is_named():
    with pytest.raises(ValueError, match=r"white, pink, babble, recorded, got 'brown'"):
        augment_samples(speech(), seed(0), **{**STRONG, "noise_kinds": ("white", "brown")})
    with pytest.raises(ValueError, match="got none"):
        augment_samples(speech(), seed(0), **{**STRONG, "noise_kinds": ()})
    with pytest.raises(ValueError, match="'babble', which needs read_speech"):
        augment_samples(speech(), seed(0), **{**STRONG, "noise_kinds": ("babble",)})
    with pytest.raises(ValueError, match="'recorded', which needs read_noise"):
        augment_samples(speech(), seed(0), **{**STRONG, "noise_kinds": ("recorded",)})


@pytest.mark.parametrize("samples_N", [np.zeros(0), np.zeros(1), np.zeros(3000), np.ones(1)], ids=lambda x: f"{len(x)}")
def test_silence_and_next_to_nothing_stay_finite(samples_N):
    every = {
        **STRONG, "reverb_probability": 1.0, "noise_probability": 1.0, "noise_kinds": NOISE_KINDS,
        "read_noise": lambda one: tf.zeros([100]), "read_speech": lambda one: tf.zeros([0]),
    }  # fmt: skip
    for out_N in over_seeds(lambda one: augment_samples(tf.constant(samples_N, tf.float32), one, **every), 20):
        assert np.isfinite(out_N).all()
        assert len(out_N) >= len(samples_N)


# Speed


@given(number=st.integers(0, 10**6), share=st.sampled_from([0.05, 0.2, 0.5]))
@settings(max_examples=20)
def test_speed_moves_a_tone_by_its_factor_and_the_length_by_its_inverse(number, share):
    tone_N = np.sin(2 * np.pi * 600 * np.arange(RATE) / RATE).astype(np.float32)
    fast_N, draws = augment_samples(tone_N, seed(number), **{**QUIET, "speed_share": share}, return_draws=True)
    fast_N, factor = fast_N.numpy(), float(draws["speed_factor"])
    assert 1 - share <= factor <= 1 + share
    assert abs(len(fast_N) - len(tone_N) / factor) <= 1
    size = 1 << 17
    peak = np.abs(np.fft.rfft(fast_N * np.hanning(len(fast_N)), size)).argmax() * RATE / size
    assert peak == pytest.approx(600 * factor, abs=0.1)
    middle = slice(len(fast_N) // 4, -len(fast_N) // 4)
    assert np.square(fast_N[middle]).mean() == pytest.approx(0.5, rel=0.01), "as loud as before"


def test_lengths_can_be_decided_by_the_caller():
    options = {**QUIET, "speed_share": 0.2, "silence_seconds": 0.5}
    for draws in ([0.0, 0.0, 0.0], [0.5, 0.25, 0.75], [0.99, 0.5, 0.0]):
        out_N, drawn = augment_samples(speech(), seed(4), **options, length_draws=tf.constant(draws), return_draws=True)
        factor = 0.8 + 0.4 * draws[0]
        assert float(drawn["speed_factor"]) == pytest.approx(factor)
        assert float(drawn["silence_before_seconds"]) == pytest.approx(0.5 * draws[1], abs=1 / RATE)
        assert abs(len(out_N) - (len(speech()) / factor + 0.5 * RATE * (draws[1] + draws[2]))) <= 3


# Rooms


def schroeder_seconds(response_K, rate):
    """Reverberation time by Schroeder's backward integration: the line through -5 to -35 dB, taken to 60 dB."""
    decay_db = 10 * np.log10(np.cumsum(np.square(response_K[::-1].astype(float)))[::-1] + 1e-30)
    decay_db -= decay_db[0]
    part = np.flatnonzero((decay_db < -5) & (decay_db > -35))
    return -60 / np.polyfit(part / rate, decay_db[part], 1)[0]


def test_a_room_reverberates_for_as_long_as_drawn():
    for number in range(12):
        room = {"seconds_min": 0.15, "seconds_max": 0.9}
        seconds = float(draw_reverb_seconds(seed(number), **room))
        response_K = room_response(seed(number), sample_rate=16000, **room).numpy()
        assert 0.15 <= seconds <= 0.9
        # Past the last early reflection, where the decay is the room's alone.
        assert schroeder_seconds(response_K[800:], 16000) == pytest.approx(seconds, rel=0.15), number


def test_a_room_begins_with_its_peak_and_is_as_far_as_drawn():
    ratios_db = []
    for response_K in over_seeds(
        lambda one: room_response(one, sample_rate=RATE, seconds_min=0.1, seconds_max=0.6), 80
    ):
        assert response_K[0] == 1 and np.abs(response_K[1:]).max() <= 0.951
        ratios_db.append(-10 * math.log10(energy(response_K[1:])))
    assert -0.01 < min(ratios_db) < 1.5 and 10.5 < max(ratios_db) < 12.01


def test_rooms_of_hardly_any_length_are_finite_and_have_their_peak_first():
    for response_K in over_seeds(
        lambda one: room_response(one, sample_rate=4000, seconds_min=1e-4, seconds_max=5e-3), 30
    ):
        assert len(response_K) >= 2 and np.isfinite(response_K).all() and np.abs(response_K).argmax() == 0


@given(
    num_samples=st.integers(1, 300),
    num_response=st.integers(1, 200),
    delay=st.integers(0, 80),
    number=st.integers(0, 99),
)
@settings(max_examples=25)
@example(num_samples=1, num_response=1, delay=0, number=0)
@example(num_samples=5, num_response=200, delay=80, number=1)
def test_reverberation_is_convolution_aligned_on_the_peak_with_the_energy_kept(
    num_samples, num_response, delay, number
):
    rng = np.random.default_rng(number)
    samples_N = rng.normal(size=num_samples).astype(np.float32)
    response_K = np.concatenate([np.zeros(delay), [-1.5], rng.uniform(-1, 1, num_response)]).astype(np.float32)
    expected_N = np.convolve(samples_N.astype(float), response_K)[delay : delay + num_samples]
    expected_N *= math.sqrt(energy(samples_N) / energy(expected_N))
    wet_N = reverberate(tf.constant(samples_N), tf.constant(response_K)).numpy()
    np.testing.assert_allclose(wet_N, expected_N, atol=2e-4)


def test_reverberation_does_not_delay_speech():
    samples_N = speech()
    response_K = room_response(seed(3), sample_rate=RATE, seconds_min=0.3, seconds_max=0.3)
    late_K = tf.pad(response_K, [[137, 0]])
    for response in (response_K, late_K):
        wet_N = reverberate(tf.constant(samples_N), response).numpy()
        assert np.correlate(wet_N, samples_N, "full").argmax() == len(samples_N) - 1


def test_a_silent_response_or_silent_speech_changes_nothing():
    np.testing.assert_array_equal(reverberate(tf.constant(speech()), tf.zeros([50])), speech())
    np.testing.assert_array_equal(reverberate(tf.zeros([50]), tf.constant(speech(20))), np.zeros(50))


def test_recorded_responses_replace_the_made_up_rooms():
    out_N, draws = augment_samples(
        speech(), seed(0), sample_rate=RATE, reverb_probability=1.0, return_draws=True,
        read_response=lambda one: tf.constant([0.0, 0.0, 2.0, 0.0, 1.0]),
    )  # fmt: skip
    assert set(draws) == {"reverberated"}
    expected_N = np.convolve(speech(), [2.0, 0.0, 1.0])[:4000]
    np.testing.assert_allclose(out_N, expected_N * math.sqrt(energy(speech()) / energy(expected_N)), atol=1e-5)


# Noise


def octave_powers_db(noise_N, rate, edges_hz):
    power_F = np.square(np.abs(np.fft.rfft(noise_N)))
    frequencies_hz = np.fft.rfftfreq(len(noise_N), 1 / rate)
    return [
        10 * math.log10(power_F[(frequencies_hz >= low) & (frequencies_hz < high)].mean())
        for low, high in itertools.pairwise(edges_hz)
    ]


def test_pink_noise_falls_by_3_db_an_octave_and_white_noise_does_not():
    edges_hz = 31.25 * 2.0 ** np.arange(9)
    pink_N, white_N = pink_noise(400_000, seed(0), sample_rate=16000), white_noise(400_000, seed(0))
    octaves = np.arange(8)
    assert np.polyfit(octaves, octave_powers_db(pink_N, 16000, edges_hz), 1)[0] == pytest.approx(-3.01, abs=0.15)
    assert np.polyfit(octaves, octave_powers_db(white_N, 16000, edges_hz), 1)[0] == pytest.approx(0, abs=0.15)
    (rumble_db,), (lowest_db,) = (octave_powers_db(pink_N, 16000, edges) for edges in ([0, 19], [21, 42]))
    assert rumble_db < lowest_db - 20, "what is inaudible has none of the noise's power"


def test_noise_has_the_length_asked_for():
    for count in (0, 1, 2, 3, 17, 255, 256, 257, 1000):
        for noise_N in (
            white_noise(count, seed(1)),
            pink_noise(count, seed(1), sample_rate=RATE),
            babble(count, seed(1), read_speech=read_some),
        ):
            assert noise_N.shape == (count,) and np.isfinite(noise_N).all()


def test_babble_is_three_to_seven_voices_of_one_loudness():
    # A reader of constant "speech" of any level: brought to one loudness, the voices add up to their number.
    sums = over_seeds(
        lambda one: babble(50, one, read_speech=lambda two: tf.fill([30], 0.01 + tf.random.stateless_uniform([], two))),
        120,
    )
    counts = {round(float(sum_N[0])) for sum_N in sums}
    assert counts == {3, 4, 5, 6, 7}
    for sum_N in sums:
        np.testing.assert_allclose(sum_N, round(float(sum_N[0])), rtol=0.05)  # a sample of silence is counted with each


@given(length=st.integers(0, 40), count=st.integers(0, 90), number=st.integers(0, 1000))
@settings(max_examples=40)
def test_a_recording_is_cut_or_repeated_from_a_place_on(length, count, number):
    recording_M = np.arange(1.0, length + 1, dtype=np.float32)
    fitted_N = fit_length(tf.constant(recording_M), count, seed(number)).numpy()
    assert fitted_N.shape == (count,)
    if not length:
        assert not fitted_N.any()
    elif count:
        start = int(fitted_N[0]) - 1
        assert length < count or start + count <= length, "a cut does not wrap"
        np.testing.assert_array_equal(fitted_N, np.take(recording_M, np.arange(start, start + count), mode="wrap"))


def test_every_place_can_be_drawn():
    for length, places in ((10, 10), (30, 11)):
        starts = over_seeds(lambda one: fit_length(tf.range(float(length)), 20, one)[0], 200)  # noqa: B023
        assert set(starts) == set(range(places))


@given(
    snr_db=st.floats(-20, 60),
    start=st.integers(0, 500),
    level=st.sampled_from([1e-6, 0.1, 50.0]),
    number=st.integers(0, 99),
)
@settings(max_examples=25)
def test_noise_is_mixed_at_exactly_its_ratio_over_the_speech(snr_db, start, level, number):
    spoken_N, noise_N = speech(2000, number) * 3, speech(3000, number + 1) * level
    samples_N = np.pad(spoken_N, [start, 1000 - start])
    # Louder where nobody speaks: that must not count.
    noise_N[:start] *= 5
    mixed_N = mix_noise(tf.constant(samples_N), tf.constant(noise_N), snr_db, start=start, end=start + 2000).numpy()
    scale = math.sqrt(energy(spoken_N) / energy(noise_N[start : start + 2000]) / 10 ** (snr_db / 10))
    np.testing.assert_allclose(mixed_N, samples_N + scale * noise_N, rtol=1e-4, atol=1e-5)


def test_silent_noise_or_speech_adds_nothing():
    for samples_N, noise_N in (
        (speech(), np.zeros(4000)),
        (np.zeros(4000), speech()),
        (speech(), np.full(4000, 1e-30)),
    ):
        mixed_N = mix_noise(tf.constant(samples_N, tf.float32), tf.constant(noise_N, tf.float32), -40.0)
        np.testing.assert_array_equal(mixed_N, samples_N.astype(np.float32))


def test_recorded_noise_and_babble_come_from_their_readers():
    for kind, reader, level in (("recorded", "read_noise", 0.25), ("babble", "read_speech", 0.25)):
        out_N = augment_samples(
            speech(), seed(5), **{**QUIET, "noise_probability": 1.0, "noise_kinds": (kind,)},
            **{reader: lambda one: tf.fill([64], level)},  # noqa: B023
        )  # fmt: skip
        noise_N = out_N.numpy() - speech()
        np.testing.assert_allclose(noise_N, noise_N[0], rtol=0.05)
        assert 9.9 < 10 * math.log10(energy(speech()) / energy(noise_N)) < 20.1


def test_noise_has_the_drawn_signal_to_noise_ratio_and_its_share():
    samples_N = speech(20000)
    snrs_db = []
    for k in range(60):
        noise_N = augment_samples(samples_N, seed(k), **{**QUIET, "noise_probability": 0.5}).numpy() - samples_N
        if noise_N.any():
            snrs_db.append(10 * np.log10(np.square(samples_N).mean() / np.square(noise_N).mean()))
    assert 15 < len(snrs_db) < 45
    assert 9.8 < min(snrs_db) < 13 and 17 < max(snrs_db) < 20.2


# Silence and gain


@pytest.mark.parametrize("equalizer_db", [3.0, 12.0])
def test_a_microphones_timbre_is_smooth_within_its_decibels_and_keeps_the_energy(equalizer_db):
    samples_N = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    ratios_db = []
    for number in range(6):
        heard_N = equalize(samples_N, (number, 1), sample_rate=RATE, equalizer_db=equalizer_db).numpy()
        assert heard_N.shape == samples_N.shape
        assert np.sum(heard_N**2) == pytest.approx(np.sum(samples_N**2), rel=1e-4)
        # Away from the ends, where what rings over the edge is cut off.
        spectra = [
            np.fft.rfft(np.reshape(part[400:7600], (-1, 400)) * np.hanning(400)) for part in (samples_N, heard_N)
        ]
        before, after = (np.mean(np.abs(spectrum) ** 2, axis=0) for spectrum in spectra)
        ratio_db = 10 * np.log10(after / before)
        assert np.ptp(ratio_db) < 2 * equalizer_db + 1.0
        assert np.abs(np.diff(ratio_db)).max() < equalizer_db, "smooth: neighbours differ little"
        ratios_db.append(ratio_db)
    assert np.ptp(ratios_db, axis=0).max() > equalizer_db, "another seed, another microphone"
    correlations = np.corrcoef(ratios_db)[np.triu_indices(6, 1)]
    assert correlations.min() < 0.2


def test_a_microphone_delays_nothing_and_leaves_silence_alone():
    click_N = np.zeros(RATE, np.float32)
    click_N[3000] = 1.0
    heard_N = equalize(click_N, (3, 4), sample_rate=RATE, equalizer_db=12.0).numpy()
    assert np.argmax(np.abs(heard_N)) == 3000
    np.testing.assert_array_equal(equalize(np.zeros(99, np.float32), (3, 4), sample_rate=RATE, equalizer_db=9.0), 0.0)
    np.testing.assert_array_equal(equalize(click_N, (3, 4), sample_rate=RATE, equalizer_db=0.0), click_N)


def test_gain_stays_within_its_decibels_and_uses_them():
    samples_N = speech(100)
    gains_db = [
        20 * np.log10(float(augment_samples(samples_N, seed(k), **{**QUIET, "gain_db": 6.0})[0] / samples_N[0]))
        for k in range(60)
    ]
    assert -6.001 < min(gains_db) < -4 and 4 < max(gains_db) < 6.001


def test_silence_is_added_at_both_ends_and_the_recording_kept_whole():
    samples_N = speech()
    longer_N = augment_samples(samples_N, seed(3), **{**QUIET, "silence_seconds": 0.2}).numpy()
    start = int(np.flatnonzero(longer_N)[0])
    np.testing.assert_array_equal(longer_N[start : start + len(samples_N)], samples_N)
    assert 0 < start <= 1600 and len(longer_N) - start - len(samples_N) <= 1600


# Masks

MASKS = {"time_masks": 2, "time_mask_share": 0.2, "frequency_masks": 1, "frequency_mask_share": 0.3}


def row_seeds(*numbers):
    return tf.constant([[7, number] for number in numbers], tf.int32)


def masked(num_frames=(40, 25), number=0, **changes):
    log_mel_BTM = tf.ones([len(num_frames), 40, 20])
    return mask_spectrogram(log_mel_BTM, tf.constant(num_frames), seed(number), **{**MASKS, **changes}).numpy() == 0


def test_masks_are_bands_within_the_real_length_and_their_share():
    widest_time = widest_frequency = 0
    for number in range(40):
        hidden_BTM = masked(number=number)
        for row, count in enumerate((40, 25)):
            frames_T = hidden_BTM[row, :count].all(axis=1)
            filters_M = hidden_BTM[row, :count].all(axis=0)
            assert frames_T.sum() <= 2 * 0.2 * count and filters_M.sum() <= 0.3 * 20
            assert not hidden_BTM[row, count:].all(axis=1).any(), "no time mask lies in the padding"
            widest_time, widest_frequency = max(widest_time, frames_T.sum()), max(widest_frequency, filters_M.sum())
    assert widest_time >= 8 and widest_frequency >= 4


def test_masks_are_the_bands_that_their_draws_say():
    """The statement of the paper, band by band, from the same draws."""
    number_frames, most = 57, 0.25
    hidden_BTM = mask_spectrogram(
        tf.ones([1, 80, 20]), tf.constant([number_frames]), row_seeds(4), time_masks=3, time_mask_share=most,
        frequency_masks=2, frequency_mask_share=0.5,
    ).numpy() == 0  # fmt: skip
    parts = tf.random.experimental.stateless_split(row_seeds(4)[0], 7)

    def bands(part, count, size, share, padded):
        hidden = np.zeros(padded, bool)
        for u, v in tf.random.stateless_uniform([count, 2], parts[part]).numpy():
            width = int(u * np.float32(math.floor(share * size) + 1))
            start = int(v * np.float32(size - width + 1))
            hidden[start : start + width] = True
        return hidden

    frames_T, filters_M = bands(5, 3, number_frames, most, 80), bands(6, 2, 20, 0.5, 20)
    assert frames_T.any() and filters_M.any()
    np.testing.assert_array_equal(hidden_BTM[0], frames_T[:, None] | filters_M[None, :])


def test_masks_do_not_depend_on_padding():
    short = mask_spectrogram(tf.ones([2, 40, 20]), tf.constant([40, 25]), seed(5), **MASKS)
    long = mask_spectrogram(tf.ones([2, 90, 20]), tf.constant([40, 25]), seed(5), **MASKS)
    np.testing.assert_array_equal(short[0], long[0, :40])
    np.testing.assert_array_equal(short[1, :25], long[1, :25])


def test_a_row_with_its_own_seed_is_masked_and_warped_the_same_alone_and_in_any_batch():
    rng = np.random.default_rng(0)
    counts = [120, 40, 77, 1]
    log_mel_BTM = rng.normal(size=[4, 150, 20]).astype(np.float32)
    settings_ = {**MASKS, "time_masks_per_second": 4.0}

    @tf.function(reduce_retracing=True)
    def augment(log_mel_BTM, num_frames_B, seeds_B2):
        warped_BTM = warp_frequency(log_mel_BTM, seeds_B2, warp_share=0.2)
        return warped_BTM, mask_spectrogram(warped_BTM, num_frames_B, seeds_B2, **settings_)

    warped_BTM, together_BTM = augment(log_mel_BTM, tf.constant(counts), row_seeds(3, 1, 4, 15))
    for row, count in enumerate(counts):
        alone_warped_BTM, alone_BTM = augment(
            log_mel_BTM[row : row + 1, :count], tf.constant([count]), row_seeds([3, 1, 4, 15][row])
        )
        np.testing.assert_allclose(alone_warped_BTM[0], warped_BTM[row, :count], atol=1e-6)
        np.testing.assert_array_equal(alone_BTM[0] == 0, together_BTM[row, :count] == 0)
    swapped_BTM = augment(log_mel_BTM[::-1], tf.constant(counts[::-1]), row_seeds(15, 4, 1, 3))[1]
    np.testing.assert_array_equal(swapped_BTM[::-1] == 0, together_BTM == 0)


def test_adaptive_masks_grow_with_the_row_and_with_it_alone():
    counts = [100, 300, 1000]
    most = np.zeros(3, int)
    for number in range(60):
        hidden_BTM = mask_spectrogram(
            tf.ones([3, 1000, 4]), tf.constant(counts), seed(number), time_masks=1, time_mask_share=0.01,
            time_masks_per_second=0.5, frequency_masks=0, frequency_mask_share=0.0,
        ).numpy() == 0  # fmt: skip
        hidden_BT = hidden_BTM.all(axis=2)
        bands_B = (np.diff(hidden_BT.astype(int), prepend=0, axis=1) == 1).sum(axis=1)
        assert (bands_B <= [1, 2, 6]).all()
        most = np.maximum(most, bands_B)
    assert most[:2].tolist() == [1, 2] and most[2] >= 5


@pytest.mark.parametrize("share", [0.05, 0.2, 0.29, 0.333, 0.5, 1.0])
def test_no_band_passes_its_share_and_some_fill_it(share):
    """Widths were drawn up to one more than the share where that is no whole number: 6 to 16 % of rows passed it."""
    counts = np.arange(1, 401)
    seeds = row_seeds(*counts)
    hidden_BTM = mask_spectrogram(
        tf.ones([400, 400, 23]), tf.constant(counts), seeds, time_masks=1, time_mask_share=share,
        frequency_masks=0, frequency_mask_share=0.0,
    ).numpy() == 0  # fmt: skip
    widths_B = hidden_BTM.all(axis=2).sum(axis=1)
    assert (widths_B <= share * counts + 1e-9).all()
    assert (widths_B[counts * share < 12] == np.floor(share * counts + 1e-9)[counts * share < 12]).any()
    filters_BM = mask_spectrogram(
        tf.ones([400, 1, 23]), tf.ones([400], tf.int32), seeds, time_masks=0, time_mask_share=0.0,
        frequency_masks=1, frequency_mask_share=share,
    ).numpy()[:, 0] == 0  # fmt: skip
    assert filters_BM.sum(axis=1).max() == math.floor(share * 23)


def test_adaptive_masks_are_counted_by_whole_seconds_exactly():
    for seconds, rate in ((3, 1.0), (7, 1.0), (30, 0.1), (10, 0.7)):
        hidden_BTM = mask_spectrogram(
            tf.ones([1, 100 * seconds, 1]), tf.constant([100 * seconds]), seed(0), time_masks=0, time_mask_share=1.0,
            time_masks_per_second=rate, frequency_masks=0, frequency_mask_share=0.0,
        ).numpy() == 0  # fmt: skip
        parts = tf.random.experimental.stateless_split(tf.random.experimental.stateless_split(seed(0), 1)[0], 7)
        draws_K2 = tf.random.stateless_uniform([round(seconds * rate), 2], parts[5]).numpy()
        expected_T = np.zeros(100 * seconds, bool)
        for u, v in draws_K2:
            width = int(u * np.float32(100 * seconds + 1))
            start = int(v * np.float32(100 * seconds - width + 1))
            expected_T[start : start + width] = True
        np.testing.assert_array_equal(hidden_BTM[0, :, 0], expected_T)


def test_strength_narrows_masks_and_leaves_them_in_their_number():
    for number in range(20):
        assert not masked(number=number, strength=0.0).any()
        half_BTM = masked(number=number, strength=tf.constant(0.5))
        np.testing.assert_array_equal(
            half_BTM, masked(number=number, time_mask_share=0.1, frequency_mask_share=0.15), str(number)
        )


def test_no_masks_hide_nothing():
    assert not masked(time_masks=0, frequency_masks=0).any()


def test_deltas_are_masked_and_warped_as_the_log_mel_they_belong_to():
    log_mel_BTM = tf.random.stateless_normal([3, 50, 20], [1, 2])
    counts = tf.constant([50, 30, 10])
    tripled_BTM = tf.concat([log_mel_BTM, 2 * log_mel_BTM, -log_mel_BTM], axis=2)
    warped_BTM = warp_frequency(log_mel_BTM, seed(1), warp_share=0.2)
    three_BTM = warp_frequency(tripled_BTM, seed(1), warp_share=0.2, num_groups=3)
    np.testing.assert_allclose(three_BTM, tf.concat([warped_BTM, 2 * warped_BTM, -warped_BTM], axis=2), atol=1e-5)
    hidden_BTM = mask_spectrogram(log_mel_BTM, counts, seed(1), **MASKS)
    three_BTM = mask_spectrogram(tripled_BTM, counts, seed(1), **MASKS, num_groups=3)
    np.testing.assert_array_equal(three_BTM, tf.concat([hidden_BTM, 2 * hidden_BTM, -hidden_BTM], axis=2))


# Warping


def test_warping_moves_a_peak_by_its_share_and_keeps_padding_zero():
    log_mel_BTM = np.zeros([64, 3, 40], np.float32)
    log_mel_BTM[:, :2, 20] = 1.0
    warped_BTM = warp_frequency(tf.constant(log_mel_BTM), seed(0), warp_share=0.2).numpy()
    peaks = warped_BTM[:, 0].argmax(axis=1)
    assert 16 <= peaks.min() < 19 and 21 < peaks.max() <= 25
    assert not warped_BTM[:, 2].any()
    unwarped = warp_frequency(tf.constant(log_mel_BTM), seed(0), warp_share=0.0).numpy()
    np.testing.assert_allclose(unwarped, log_mel_BTM, atol=1e-6)


def test_warping_is_linear_interpolation_at_the_drawn_factor():
    log_mel_BTM = np.random.default_rng(0).normal(size=[5, 4, 12]).astype(np.float32)
    seeds_B2 = row_seeds(1, 2, 3, 4, 5)
    warped_BTM = warp_frequency(tf.constant(log_mel_BTM), seeds_B2, warp_share=0.3)
    factors_B = draw_warp_factors(seeds_B2, warp_share=0.3).numpy()
    assert len(set(factors_B)) == 5 and np.abs(factors_B - 1).max() <= 0.3
    for row, factor in enumerate(factors_B):
        for frame in range(4):
            expected_M = np.interp(factor * np.arange(12), np.arange(12), log_mel_BTM[row, frame])
            np.testing.assert_allclose(warped_BTM[row, frame], expected_M, atol=1e-5)


def test_strength_brings_warping_down_to_nothing():
    log_mel_BTM = tf.random.stateless_normal([5, 4, 12], [1, 2])
    np.testing.assert_allclose(
        warp_frequency(log_mel_BTM, seed(0), warp_share=0.3, strength=tf.constant(0.0)), log_mel_BTM, atol=1e-6
    )
    seeds_B2 = row_seeds(1, 2, 3)
    full_B, half_B = (draw_warp_factors(seeds_B2, warp_share=0.3, strength=strength) - 1 for strength in (1.0, 0.5))
    np.testing.assert_allclose(half_B, full_B / 2, atol=1e-6)


def test_one_seed_serves_samples_warping_and_masks_without_relating_them():
    numbers = range(300)
    factors = draw_warp_factors(row_seeds(*numbers), warp_share=1.0).numpy()
    samples_N = tf.constant(speech(10))
    gains = over_seeds(
        lambda one: augment_samples(samples_N, one, sample_rate=RATE, gain_db=6.0, return_draws=True)[1]["gain_db"], 300
    )
    widths = mask_spectrogram(
        tf.ones([300, 100, 100]), tf.fill([300], 100), row_seeds(*numbers), time_masks=1, time_mask_share=1.0,
        frequency_masks=1, frequency_mask_share=1.0,
    ).numpy()  # fmt: skip
    hidden_BT = (widths == 0).all(axis=2).sum(axis=1)
    related = np.corrcoef(np.stack([factors, gains, hidden_BT])) - np.eye(3)
    assert np.abs(related).max() < 0.2


# The extension point


#: A stage as CONTRIBUTING.md adds it: every utterance upside down, by a share.
_TOY = """
import dataclasses

import speechgru.augment
from speechgru.augment import SampleStage
from speechgru.ranges import Share


class Polarity(SampleStage):
    title = "Polarity"
    switch = "polarity_probability"
    seed_part = 1000

    polarity_probability: Share = 0.0

    @property
    def extent(self):
        return f"{self.polarity_probability:.0%} of utterances upside down"

    def apply(self, clip, seed, *, strength, scene):
        import tensorflow as tf

        is_inverted = tf.random.stateless_uniform([], seed) < strength * self.polarity_probability
        samples_N = tf.where(is_inverted, -clip.samples_N, clip.samples_N)
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | {"inverted": is_inverted})

    def record(self, draws):
        return {"inverted": draws["inverted"]}

    def describe(self, record):
        return ["upside down"] if record["inverted"] else []


speechgru.augment.STAGES += (Polarity,)
"""

_USE = """
import json, sys
from pathlib import Path

import numpy as np
import toy
from speechgru.config import load_config
from speechgru.dataset import open_corpus, training_batches
from speechgru.errors import ConfigError
from speechgru.listen import listen
from speechgru.shards.settings import refuse_changed_samples

folder = Path(sys.argv[1])
off = [f"augment.{key}=0" for key in ("silence_seconds", "noise_probability", "gain_db")]
configs = [load_config(folder / "config.yaml", [*off, f"augment.polarity_probability={share}"]) for share in (0.0, 1.0)]
batches = [next(iter(training_batches(open_corpus(config)[0], config=config))) for config in configs]
plain_BN, inverted_BN = (batch["samples_BN"].numpy() for batch in batches)
assert np.abs(plain_BN).max() > 0.01
np.testing.assert_array_equal(plain_BN, -inverted_BN)
page = listen(folder / "train.jsonl", config=configs[1], out=folder / "listen", count=1, copies=1)
text = page.read_text(encoding="utf-8")
assert "upside down" in text and "Polarity" in text and "100% of utterances upside down" in text
copy = json.loads((folder / "listen" / "listen.json").read_text())["utterances"][0]["copies"][0]
assert copy["draws"] == {"inverted": True}
try:
    refuse_changed_samples(configs[1])
except ConfigError as error:
    assert "augment.polarity_probability (1)" in str(error), error
else:
    raise AssertionError("a stage of samples was accepted where only features are there")
"""


def test_a_new_stage_reaches_configuration_training_listen_and_shards(tones, tmp_path):
    (tmp_path / "toy.py").write_text(_TOY)
    for path in tones.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path / path.name)
    make_config(tmp_path, tmp_path / "config.yaml")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    done = subprocess.run(
        [sys.executable, "-c", _USE, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_no_two_stages_draw_from_the_same_part_of_a_seed():
    parts = [stage.seed_part for stage in STAGES if not issubclass(stage, LengthStage)]
    assert len(set(parts)) == len(parts) and min(parts) > 0  # the first part decides lengths


def test_a_stage_more_leaves_the_seeds_of_the_others():
    # Golden, from the seeds of the first version: runs of before must train on the same.
    parts = [part_seed(seed(5), part).numpy().tolist() for part in (1, 7)]
    assert parts == [[1520236464, 1001027973], [-636823600, 1339805725]]
    new = [part_seed(seed(5), part).numpy().tolist() for part in (8, 9)]
    assert new[0] != new[1] and not any(part in parts for part in new)
