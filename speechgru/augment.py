"""What training does to a recording before it hears it: pure functions of a stateless seed, so that a run repeats.

Every `seed` is an int32 pair as `tf.random.stateless_uniform` takes; the same seed gives the same augmentation,
whatever the order in which utterances are read and however often a run was resumed. A seed is used once: where
several things are drawn it is split first, and the functions that are given an utterance's seed (`augment_samples`,
`warp_frequency`, `mask_spectrogram`) each take their own part of it, so that one seed an utterance and epoch serves
them all.

`strength` is a ramp from 0, where nothing is done, to 1: it scales every probability and every magnitude. What is drawn
stays in its place while it grows, so that an augmentation of half the strength is the milder form of the same one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.recordings import resample

#: From a seed (int32 [2]) to samples (float32 [any]) inside a graph: other speech, noise, impulse responses.
Reader = Callable[[tf.Tensor], tf.Tensor]

NOISE_KINDS = ("white", "pink", "babble", "recorded")

# Which part of an utterance's seed each kind draws from.
_LENGTH, _REVERB, _NOISE, _GAIN, _WARP, _TIME_MASKS, _FREQUENCY_MASKS, _EQUALIZER = range(8)
_NUM_PARTS = 8

#: Energy (sum of squares) up to which a signal counts as silent: no ratio to it means anything.
_SILENT_ENERGY = 1e-20

#: Below is no sound: pink noise, of equal power in every octave, would hold most of its power there.
_LOWEST_HZ = 20.0

#: Voices of a babble, at least and at most: fewer can be understood, more sound like shaped noise.
_FEWEST_VOICES, _MOST_VOICES = 3, 7

#: Places, evenly apart as the ear hears, at which a made-up microphone's loudness is drawn; straight lines between.
_EQUALIZER_POINTS = 8
#: How long a made-up microphone may ring.
_EQUALIZER_SECONDS = 0.05

# A made-up room. By so much the direct sound exceeds all that follows: from across a room to arm's length.
_DIRECT_TO_REVERBERANT_DB = (0.0, 12.0)
_NUM_REFLECTIONS = 8
_REFLECTION_SECONDS = (0.001, 0.05)
#: Amplitude of all early reflections together, the late reverberation's being 1.
_EARLY_SHARE = 0.5
#: Where the walls begin to swallow the treble.
_CORNER_HZ = (1000.0, 4000.0)
#: The loudest reflection, the direct sound being 1: the direct sound stays the response's peak.
_LOUDEST_REFLECTION = 0.95


def augment_samples(
    samples_N: tf.Tensor,
    seed: tf.Tensor,
    *,
    sample_rate: int,
    strength: Any = 1.0,
    speed_share: float = 0.0,
    reverb_probability: float = 0.0,
    reverb_seconds_min: float = 0.1,
    reverb_seconds_max: float = 0.6,
    read_response: Reader | None = None,
    silence_seconds: float = 0.0,
    noise_probability: float = 0.0,
    noise_kinds: Sequence[str] = ("white",),
    noise_snr_db_min: float = 10.0,
    noise_snr_db_max: float = 40.0,
    read_noise: Reader | None = None,
    read_speech: Reader | None = None,
    equalizer_db: float = 0.0,
    gain_db: float = 0.0,
    length_draws: tf.Tensor | None = None,
    return_draws: bool = False,
) -> Any:
    """Speed, quiet before and after, a room, noise, timbre, and level: the speaker, the room, the microphone.

    The room rings on in the quiet.

    A kind that is switched off by a Python 0 costs no operation of the graph.

    Args:
        samples_N: one utterance, float32.
        seed: int32 [2].
        sample_rate: Hz.
        strength: scalar in [0, 1], a tensor or a number; at 0 nothing is done.
        speed_share: speech gets faster or slower by up to this share, its pitch with it.
        reverb_probability: the share of utterances that stand in a room.
        reverb_seconds_min: the shortest reverberation time of a made-up room.
        reverb_seconds_max: the longest, which `strength` brings down to the shortest.
        read_response: reads an impulse response, in place of made-up rooms.
        silence_seconds: at most so much quiet before, and as much after.
        noise_probability: the share of utterances that get noise.
        noise_kinds: the kinds to draw from, of `NOISE_KINDS`.
        noise_snr_db_min: the noisiest, dB over the speech; `strength` brings it up to the cleanest.
        noise_snr_db_max: the cleanest, dB over the speech.
        read_noise: reads recorded noise, for the kind `recorded`.
        read_speech: reads another utterance, for the kind `babble`.
        equalizer_db: frequencies get louder or softer by up to so many dB, as another microphone would have them.
        gain_db: the level changes by up to so many dB, up or down.
        length_draws: three numbers in [0, 1) that decide the speed, the silence before and that after; a caller who
            draws them knows the length beforehand. From the seed when None.
        return_draws: whether to tell what was drawn as well.

    Returns:
        float32 samples, in general of another length than `samples_N`; loud ones may go past 1, as floats can.
        With `return_draws` a pair of these and a dictionary of scalar tensors, with keys for what is switched on:
        `speed_factor`, `reverberated`, `reverb_seconds` (of a made-up room), `silence_before_seconds`,
        `silence_after_seconds`, `noise_kind` (its place in `noise_kinds`, -1 for no noise), `noise_snr_db`, `gain_db`.

    Raises:
        ValueError: a kind of noise is unknown, or lacks its reader.
    """
    samples_N = tf.convert_to_tensor(samples_N, tf.float32)
    draws: dict[str, tf.Tensor] = {}
    if speed_share or silence_seconds:
        if length_draws is None:
            length_draws = tf.random.stateless_uniform([3], _part(seed, _LENGTH))
        length_draws = tf.convert_to_tensor(length_draws, tf.float32)
    if speed_share:
        draws["speed_factor"] = 1.0 + strength * speed_share * (2.0 * length_draws[0] - 1.0)
        samples_N = change_speed(samples_N, draws["speed_factor"])
    spoken_N, num_before = samples_N, 0
    if silence_seconds:
        most = strength * silence_seconds * sample_rate
        pads = tf.cast(length_draws[1:] * most, tf.int32)
        samples_N, num_before = tf.pad(samples_N, [pads]), pads[0]
        for key, pad in zip(("silence_before_seconds", "silence_after_seconds"), tf.unstack(pads), strict=True):
            draws[key] = tf.cast(pad, tf.float32) / sample_rate
    if reverb_probability:
        chance_seed, room_seed = _split(_part(seed, _REVERB), 2)
        longest = reverb_seconds_min + strength * (reverb_seconds_max - reverb_seconds_min)
        room = {"seconds_min": reverb_seconds_min, "seconds_max": longest}
        draws["reverberated"] = tf.random.stateless_uniform([], chance_seed) < strength * reverb_probability
        if read_response is None:
            draws["reverb_seconds"] = draw_reverb_seconds(room_seed, **room)
        dry_N = samples_N
        samples_N = tf.cond(
            draws["reverberated"],
            lambda: reverberate(
                dry_N,
                room_response(room_seed, sample_rate=sample_rate, **room)
                if read_response is None
                else read_response(room_seed),
            ),
            lambda: dry_N,
        )
    if noise_probability:
        makers = _noise_makers(noise_kinds, sample_rate=sample_rate, read_noise=read_noise, read_speech=read_speech)
        chance_seed, kind_seed, snr_seed, noise_seed = _split(_part(seed, _NOISE), 4)
        is_noisy = tf.random.stateless_uniform([], chance_seed) < strength * noise_probability
        kind = tf.random.stateless_uniform([], kind_seed, 0, len(makers), tf.int32)
        snr_db = noise_snr_db_max - strength * (noise_snr_db_max - noise_snr_db_min) * (
            tf.random.stateless_uniform([], snr_seed)
        )
        draws |= {"noise_kind": tf.where(is_noisy, kind, -1), "noise_snr_db": snr_db}
        quiet_N = samples_N

        def add_noise() -> tf.Tensor:
            num_samples = tf.shape(quiet_N)[0]
            branches = [lambda make=make: make(num_samples, noise_seed) for make in makers]
            noise_N = branches[0]() if len(branches) == 1 else tf.switch_case(kind, branches)
            return mix_noise(quiet_N, noise_N, snr_db, start=num_before, end=num_before + tf.shape(spoken_N)[0])

        samples_N = tf.cond(is_noisy, add_noise, lambda: quiet_N)
    if equalizer_db:
        samples_N = equalize(
            samples_N, _part(seed, _EQUALIZER), sample_rate=sample_rate, equalizer_db=strength * equalizer_db
        )
    if gain_db:
        gains = tf.random.stateless_uniform([], _part(seed, _GAIN), -1.0, 1.0)
        draws["gain_db"] = strength * gain_db * gains
        samples_N = samples_N * tf.pow(10.0, draws["gain_db"] / 20.0)
    return (samples_N, draws) if return_draws else samples_N


def change_speed(samples_N: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Plays speech faster or slower, so that tempo, pitch and formants change together.

    Args:
        samples_N: one utterance, float32.
        factor: above 1 is faster: what swung at f Hz swings at f * factor Hz.

    Returns:
        round(N / factor) samples.

    Source: Ko et al. 2015, "Audio Augmentation for Speech Recognition", section 2.
    """
    faster_N = tf.numpy_function(_change_speed, [samples_N, factor], tf.float32, stateful=False)
    faster_N.set_shape([None])
    return faster_N


def _change_speed(samples_N: np.ndarray, factor: np.floating) -> np.ndarray:
    if not len(samples_N):
        return samples_N
    return resample(samples_N, source_rate=float(factor), sample_rate=1.0)


def draw_reverb_seconds(seed: tf.Tensor, *, seconds_min: Any, seconds_max: Any) -> tf.Tensor:
    """The reverberation time that `room_response` draws from this seed."""
    return tf.random.stateless_uniform([], _split(seed, 6)[0], 0.0, 1.0) * (seconds_max - seconds_min) + seconds_min


def room_response(seed: tf.Tensor, *, sample_rate: int, seconds_min: Any, seconds_max: Any) -> tf.Tensor:
    """A made-up room: the direct sound, some early reflections, and noise that dies away, its treble dull.

    The noise's envelope falls by 60 dB over the reverberation time, which is the response's length as well.

    Args:
        seed: int32 [2].
        sample_rate: Hz.
        seconds_min: the shortest reverberation time.
        seconds_max: the longest.

    Returns:
        `response_K`, float32; the direct sound is 1, stands first and is the peak. By how much its energy exceeds the
        rest's is drawn from 0 to 12 dB; a very short response, whose energy stands in few samples, may have more.

    Source: the statistical model of Polack 1988 (Gaussian noise under an exponential), plus reflections.
    """
    _, noise_seed, corner_seed, times_seed, levels_seed, ratio_seed = _split(seed, 6)
    seconds = draw_reverb_seconds(seed, seconds_min=seconds_min, seconds_max=seconds_max)
    length = tf.maximum(2, tf.cast(tf.math.ceil(seconds * sample_rate), tf.int32))
    decay_K = tf.pow(10.0, -3.0 * tf.cast(tf.range(length), tf.float32) / (seconds * sample_rate))
    corner_hz = tf.random.stateless_uniform([], corner_seed, *_CORNER_HZ)
    late_K = decay_K * _coloured_noise(
        length,
        noise_seed,
        sample_rate=sample_rate,
        gain=lambda frequencies_hz: tf.math.rsqrt(1.0 + tf.square(frequencies_hz / corner_hz)),
    )
    times = tf.random.stateless_uniform([_NUM_REFLECTIONS], times_seed, *_REFLECTION_SECONDS)
    places = tf.clip_by_value(tf.cast(tf.minimum(times, seconds) * sample_rate, tf.int32), 1, length - 1)
    levels = tf.random.stateless_uniform([_NUM_REFLECTIONS], levels_seed, 0.3, 1.0) * tf.gather(decay_K, places)
    early_K = tf.scatter_nd(places[:, None], levels, [length])
    is_after_K = tf.cast(tf.range(length) > 0, tf.float32)
    tail_K = is_after_K * (_at_unit_energy(late_K) + _EARLY_SHARE * early_K / tf.norm(early_K))
    ratio_db = tf.random.stateless_uniform([], ratio_seed, *_DIRECT_TO_REVERBERANT_DB)
    tail_K = _at_unit_energy(tail_K) * tf.pow(10.0, -ratio_db / 20.0)
    tail_K *= tf.minimum(1.0, _LOUDEST_REFLECTION / tf.maximum(1e-6, tf.reduce_max(tf.abs(tail_K))))
    return tail_K + (1.0 - is_after_K)


def reverberate(samples_N: tf.Tensor, response_K: tf.Tensor) -> tf.Tensor:
    """Speech in a room: convolved with its impulse response, as loud and as long as before, and not delayed.

    Args:
        samples_N: one utterance.
        response_K: an impulse response; its peak is taken as the direct sound, which falls on the speech's own time.

    Returns:
        N samples with the energy of `samples_N`, what rings on after the end cut off; `samples_N` itself where either
        is silent.
    """
    num_samples, num_response = tf.shape(samples_N)[0], tf.shape(response_K)[0]
    length = _fft_length(num_samples + num_response)
    spectrum_F = tf.signal.rfft(samples_N, [length]) * tf.signal.rfft(response_K, [length])
    peak = tf.argmax(tf.abs(response_K), output_type=tf.int32)
    wet_N = tf.signal.irfft(spectrum_F, [length])[peak : peak + num_samples]
    energy, wet_energy = tf.reduce_sum(tf.square(samples_N)), tf.reduce_sum(tf.square(wet_N))
    gain = tf.sqrt(energy / tf.maximum(wet_energy, _SILENT_ENERGY))
    return tf.where(wet_energy > _SILENT_ENERGY, gain * wet_N, samples_N)


def equalize(samples_N: tf.Tensor, seed: tf.Tensor, *, sample_rate: int, equalizer_db: Any) -> tf.Tensor:
    """Speech through another microphone: each frequency louder or softer, smoothly, the whole as loud as before.

    Args:
        samples_N: one utterance.
        seed: int32 [2].
        sample_rate: Hz.
        equalizer_db: by so much at most, up or down. It is drawn at eight places evenly apart on the mel scale from 0
            to half the sample rate, with straight lines in dB between them, and nothing is delayed.

    Returns:
        N samples with the energy of `samples_N`.
    """
    num_samples = tf.shape(samples_N)[0]
    length = _fft_length(num_samples + int(_EQUALIZER_SECONDS * sample_rate))
    spectrum_F = tf.signal.rfft(samples_N, [length])
    frequencies_hz = tf.cast(tf.range(tf.size(spectrum_F)), tf.float32) * (sample_rate / tf.cast(length, tf.float32))
    places_F = (_EQUALIZER_POINTS - 1) * tf.math.log1p(frequencies_hz / 700.0) / math.log1p(sample_rate / 2.0 / 700.0)
    points_P = tf.range(_EQUALIZER_POINTS, dtype=tf.float32)
    weights_FP = tf.maximum(0.0, 1.0 - tf.abs(places_F[:, None] - points_P))
    gains_db_P = equalizer_db * tf.random.stateless_uniform([_EQUALIZER_POINTS], seed, -1.0, 1.0)
    gains_F = tf.pow(10.0, tf.linalg.matvec(weights_FP, gains_db_P) / 20.0)
    heard_N = tf.signal.irfft(spectrum_F * tf.cast(gains_F, tf.complex64), [length])[:num_samples]
    energy, heard_energy = tf.reduce_sum(tf.square(samples_N)), tf.reduce_sum(tf.square(heard_N))
    gain = tf.sqrt(energy / tf.maximum(heard_energy, _SILENT_ENERGY))
    return tf.where((heard_energy > _SILENT_ENERGY) & (equalizer_db > 0.0), gain * heard_N, samples_N)


def white_noise(num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Gaussian noise of equal power at all frequencies: a bad microphone's hiss."""
    return tf.random.stateless_normal([num_samples], seed)


def pink_noise(num_samples: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """Gaussian noise whose power falls by 3 dB an octave, from 20 Hz upwards: nearer to what streets and rooms make."""
    return _coloured_noise(
        num_samples,
        seed,
        sample_rate=sample_rate,
        gain=lambda frequencies_hz: tf.where(
            frequencies_hz < _LOWEST_HZ, 0.0, tf.math.rsqrt(tf.maximum(frequencies_hz, _LOWEST_HZ) / _LOWEST_HZ)
        ),
    )


def babble(num_samples: tf.Tensor, seed: tf.Tensor, *, read_speech: Reader) -> tf.Tensor:
    """Three to seven voices at once, each as loud as the others, each cut or repeated to the length.

    Args:
        num_samples: samples wanted.
        seed: int32 [2].
        read_speech: reads an utterance.
    """
    count_seed, voices_seed = _split(seed, 2)
    count = tf.random.stateless_uniform([], count_seed, _FEWEST_VOICES, _MOST_VOICES + 1, tf.int32)
    seeds_V2 = tf.random.experimental.stateless_split(voices_seed, _MOST_VOICES)

    def add_voice(voice: tf.Tensor, sum_N: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        read_seed, place_seed = _split(seeds_V2[voice], 2)
        voice_M = read_speech(read_seed)
        # Levelled over the whole utterance: a pause that the cut may hit must not be blown up.
        power = tf.reduce_mean(tf.square(tf.pad(voice_M, [[0, 1]])))
        voice_M = voice_M * tf.where(power > _SILENT_ENERGY, tf.math.rsqrt(tf.maximum(power, _SILENT_ENERGY)), 0.0)
        return voice + 1, sum_N + fit_length(voice_M, num_samples, place_seed)

    # One at a time, so that one recording at a time is in the memory.
    _, sum_N = tf.while_loop(
        lambda voice, _: voice < count, add_voice, (tf.constant(0), tf.zeros([num_samples])), parallel_iterations=1
    )
    return sum_N


def fit_length(samples_M: tf.Tensor, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Cuts `num_samples` out of a recording at a drawn place; a shorter one is repeated, from a drawn place on.

    A recording without samples counts as one of silence.
    """
    samples_M = tf.pad(samples_M, [[0, tf.cast(tf.equal(tf.size(samples_M), 0), tf.int32)]])
    length = tf.size(samples_M)
    places = tf.where(length < num_samples, length, length - num_samples + 1)
    start = tf.random.stateless_uniform([], seed, 0, places, tf.int32)
    repeats = (start + num_samples + length - 1) // length
    return tf.tile(samples_M, [repeats])[start : start + num_samples]


def mix_noise(samples_N: tf.Tensor, noise_N: tf.Tensor, snr_db: Any, *, start: Any = 0, end: Any = None) -> tf.Tensor:
    """Adds noise so that the speech's energy exceeds the noise's by just `snr_db` where speech stands.

    Args:
        samples_N: speech, perhaps with quiet before and after.
        noise_N: noise of any level.
        snr_db: signal-to-noise ratio.
        start: first sample of the speech.
        end: the sample after its last; None is the end.

    Returns:
        `samples_N` with the noise all along; as it is where the speech, or the noise under it, is silent.
    """
    speech = tf.reduce_sum(tf.square(samples_N[start:end]))
    noise = tf.reduce_sum(tf.square(noise_N[start:end]))
    level = tf.sqrt(speech / tf.maximum(noise, _SILENT_ENERGY) * tf.pow(10.0, -tf.cast(snr_db, tf.float32) / 10.0))
    return samples_N + tf.where(noise > _SILENT_ENERGY, level * noise_N, 0.0)


def warp_frequency(
    log_mel_BTM: tf.Tensor, seed: tf.Tensor, *, warp_share: float, strength: Any = 1.0, num_groups: int = 1
) -> tf.Tensor:
    """Stretches or squeezes each row's filter axis, as a longer or shorter vocal tract would.

    Filter m takes the value that stood at ``m * factor``, linearly interpolated; past the last filter the last value
    goes on.

    Args:
        log_mel_BTM: normalised log-mel; zeros beyond each length stay zeros.
        seed: int32 [2], or [B, 2]: a seed for each row, which then is warped the same whatever its mates.
        warp_share: factors are drawn from 1 - warp_share to 1 + warp_share.
        strength: scalar in [0, 1] that scales `warp_share`.
        num_groups: the last axis holds so many groups of filters, such as log-mel and its deltas; each is warped alike.

    Returns:
        `log_mel_BTM`, warped.

    Source: Jaitly and Hinton 2013, "Vocal Tract Length Perturbation", here along the mel axis.
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    if not warp_share:
        return log_mel_BTM
    shape = tf.shape(log_mel_BTM)
    num_filters = shape[2] // num_groups
    factors_B = draw_warp_factors(_row_seeds(seed, shape[0]), warp_share=warp_share, strength=strength)
    filters_M = tf.cast(tf.range(num_filters), tf.float32)
    places_BM = tf.minimum(factors_B[:, None] * filters_M, tf.cast(num_filters - 1, tf.float32))
    # weights[b, i, j]: how much of filter i stands in filter j afterwards
    weights_BMM = tf.maximum(0.0, 1.0 - tf.abs(filters_M[:, None] - places_BM[:, None, :]))
    grouped = tf.reshape(log_mel_BTM, [shape[0], shape[1] * num_groups, num_filters])
    warped_BTM = tf.reshape(tf.matmul(grouped, weights_BMM), shape)
    warped_BTM.set_shape(log_mel_BTM.shape)
    return warped_BTM


def draw_warp_factors(seeds_B2: tf.Tensor, *, warp_share: float, strength: Any = 1.0) -> tf.Tensor:
    """The factors that `warp_frequency` draws from these rows' seeds."""
    draws_BK2 = _row_draws(seeds_B2, _WARP, tf.ones([tf.shape(seeds_B2)[0]], tf.int32))
    return 1.0 + strength * warp_share * (2.0 * draws_BK2[:, 0, 0] - 1.0)


def mask_spectrogram(
    log_mel_BTM: tf.Tensor,
    num_frames_B: tf.Tensor,
    seed: tf.Tensor,
    *,
    time_masks: int,
    time_mask_share: float,
    frequency_masks: int,
    frequency_mask_share: float,
    time_masks_per_second: float = 0.0,
    frame_seconds: float = 0.01,
    strength: Any = 1.0,
    num_groups: int = 1,
) -> tf.Tensor:
    """SpecAugment: hides bands of frames and of filters behind zeros, the corpus's mean after normalisation.

    Each mask's width is drawn from 0 to its share of the row's own frames (or of the filters), its place from all
    that fit; so an utterance is masked the same whatever the padding.

    Args:
        log_mel_BTM: normalised log-mel.
        num_frames_B: real frames.
        seed: int32 [2], or [B, 2]: a seed for each row, which then is masked the same whatever its mates.
        time_masks: masks of frames a row.
        time_mask_share: the widest, as a share of the row's frames.
        frequency_masks: masks of filters a row.
        frequency_mask_share: the widest, as a share of the filters.
        time_masks_per_second: as many more masks of frames for each second of the row, rounded down in all.
        frame_seconds: from one frame to the next.
        strength: scalar in [0, 1] that scales the widths.
        num_groups: the last axis holds so many groups of filters, such as log-mel and its deltas; each is masked alike.

    Returns:
        `log_mel_BTM` with zeros under the masks.

    Source: Park et al. 2019, "SpecAugment", section 2, without time warping; its adaptive number of masks Park et al.
    2020, "SpecAugment on Large Scale Datasets", section 2.
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    shape = tf.shape(log_mel_BTM)
    seeds_B2 = _row_seeds(seed, shape[0])
    hidden = []
    if (time_masks or time_masks_per_second) and time_mask_share:
        counts_B = tf.fill([shape[0]], time_masks)
        if time_masks_per_second:
            # In float64, so that a row of just so many seconds gets its mask.
            seconds_B = tf.cast(num_frames_B, tf.float64) * frame_seconds
            counts_B += tf.cast(tf.floor(time_masks_per_second * seconds_B), tf.int32)
        hidden_BT = _bands(
            _row_draws(seeds_B2, _TIME_MASKS, counts_B),
            num_frames_B,
            shape[1],
            widest_share=strength * time_mask_share,
        )
        hidden.append(hidden_BT[:, :, None])
    if frequency_masks and frequency_mask_share:
        num_filters = shape[2] // num_groups
        hidden_BM = _bands(
            _row_draws(seeds_B2, _FREQUENCY_MASKS, tf.fill([shape[0]], frequency_masks)),
            tf.fill([shape[0]], num_filters),
            num_filters,
            widest_share=strength * frequency_mask_share,
        )
        hidden.append(tf.tile(hidden_BM, [1, num_groups])[:, None, :])
    for hidden_BTM in hidden:
        log_mel_BTM = tf.where(hidden_BTM, 0.0, log_mel_BTM)
    return log_mel_BTM


def _bands(draws_BK2: tf.Tensor, sizes_B: tf.Tensor, padded: tf.Tensor, *, widest_share: Any) -> tf.Tensor:
    """A band for each draw in rows of such sizes: a boolean [B, padded], True inside a band."""
    sizes_B1 = tf.cast(sizes_B, tf.float32)[:, None]
    # A draw of 0, such as fills a row that has fewer bands than its mates, gives a band of no width.
    widths_BK = tf.floor(draws_BK2[:, :, 0] * (widest_share * sizes_B1 + 1.0))
    starts_BK = tf.floor(draws_BK2[:, :, 1] * (sizes_B1 - widths_BK + 1.0))
    positions = tf.cast(tf.range(padded), tf.float32)
    is_inside = tf.logical_and(
        positions >= starts_BK[:, :, None], positions < tf.minimum(starts_BK + widths_BK, sizes_B1)[:, :, None]
    )
    return tf.reduce_any(is_inside, axis=1)


def _row_seeds(seed: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """A seed for each row, [B, 2]: as given, or drawn from the one for all."""
    seed = tf.convert_to_tensor(seed)
    return seed if seed.shape.rank == 2 else tf.random.experimental.stateless_split(seed, num_rows)


def _row_draws(seeds_B2: tf.Tensor, part: int, counts_B: tf.Tensor) -> tf.Tensor:
    """So many pairs of numbers in [0, 1) for each row, from its own seed and count alone, then zeros: [B, K, 2]."""
    most = tf.reduce_max(tf.concat([counts_B, [0]], axis=0))

    def draw(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        seed, count = row
        return tf.pad(tf.random.stateless_uniform([count, 2], _part(seed, part)), [[0, most - count], [0, 0]])

    # A loop over rows, of a few numbers each: on a GPU it would cost more to ask for them than to make them.
    with tf.device("/CPU:0"):
        draws_BK2 = tf.map_fn(draw, (seeds_B2, counts_B), fn_output_signature=tf.TensorSpec([None, 2], tf.float32))
    return draws_BK2


def _noise_makers(
    kinds: Sequence[str], *, sample_rate: int, read_noise: Reader | None, read_speech: Reader | None
) -> list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """For each kind the function from a length and a seed to noise."""

    def recorded(num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        read_seed, place_seed = _split(seed, 2)
        return fit_length(read_noise(read_seed), num_samples, place_seed)

    makers = {
        "white": white_noise,
        "pink": lambda num_samples, seed: pink_noise(num_samples, seed, sample_rate=sample_rate),
        "babble": lambda num_samples, seed: babble(num_samples, seed, read_speech=read_speech),
        "recorded": recorded,
    }
    unknown = [kind for kind in kinds if kind not in makers]
    if unknown or not kinds:
        raise ValueError(
            f"noise_kinds must hold some of {', '.join(NOISE_KINDS)}, got {', '.join(map(repr, unknown)) or 'none'}"
        )
    for kind, name, reader in (("babble", "read_speech", read_speech), ("recorded", "read_noise", read_noise)):
        if kind in kinds and reader is None:
            raise ValueError(f"noise_kinds holds {kind!r}, which needs {name}: a function from a seed to samples")
    return [makers[kind] for kind in kinds]


def _coloured_noise(
    num_samples: tf.Tensor, seed: tf.Tensor, *, sample_rate: int, gain: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Gaussian noise with `gain` of each frequency in Hz."""
    length = _fft_length(num_samples)
    white_F = tf.signal.rfft(tf.random.stateless_normal([length], seed))
    frequencies_hz = tf.cast(tf.range(tf.size(white_F)), tf.float32) * (sample_rate / tf.cast(length, tf.float32))
    shaped_F = white_F * tf.cast(gain(frequencies_hz), tf.complex64)
    return tf.signal.irfft(shaped_F, [length])[:num_samples]


def _fft_length(num_samples: tf.Tensor) -> tf.Tensor:
    """A length from `num_samples` on, at most an eighth longer, that a fast transform is fast at: 8 to 16 times 2^n."""
    exponent = tf.floor(tf.math.log(tf.cast(num_samples + 1, tf.float32)) / tf.math.log(2.0)) - 3.0
    unit = tf.cast(tf.pow(2.0, tf.maximum(1.0, exponent)), tf.int32)
    return tf.maximum(1, (num_samples + unit - 1) // unit) * unit


def _at_unit_energy(samples_K: tf.Tensor) -> tf.Tensor:
    return samples_K * tf.math.rsqrt(tf.maximum(tf.reduce_sum(tf.square(samples_K)), _SILENT_ENERGY))


def _part(seed: tf.Tensor, part: int) -> tf.Tensor:
    """The part of an utterance's seed that one kind of augmentation draws from; no two are related."""
    return _split(seed, _NUM_PARTS)[part]


def _split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """So many independent seeds from one, which must not be drawn from as well."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))
