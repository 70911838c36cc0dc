"""The laws that hold over the whole way of the data: 1 (invariance), 3 (lengths), 4 (brute force).

Law 2 (one cell) has its own files, test_gru*.py; law 4's decoding half is in test_decoding.py, law 5 in test_export.py.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru import lengths
from speechgru.config.sections import RunConfig

tf = pytest.importorskip("tensorflow", reason="the laws compare TensorFlow's graphs; it is not installed")

from speechgru.ctc import ctc_loss  # noqa: E402
from speechgru.features import LogMel, mel_filters  # noqa: E402
from speechgru.model.build import build_encoder, build_front_end, build_model  # noqa: E402
from speechgru.model.layers import ConvSubsampling  # noqa: E402

NUM_CLASSES = 6


def small_config(**model):
    return RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000},
            "features": {"n_mels": 20},
            "model": {"units": 16, "subsampling_channels": 12, **model},
        }
    )


def ragged_batch(rng, num_samples):
    """Noise of different lengths, and past each length garbage that must not matter."""
    samples_BN = rng.normal(size=[len(num_samples), max(num_samples) + 137]).astype(np.float32)
    return samples_BN, np.array(num_samples, np.int32)


# --- Law 1: an utterance is the same alone and inside any batch ---------------------------------------------------


@pytest.mark.parametrize("direction", ["bidirectional", "forward"])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_law_1_features_and_logits_do_not_change_with_batch_mates_or_padding(direction, factor):
    model = build_model(small_config(direction=direction, subsampling_factor=factor), NUM_CLASSES)
    front_end = model.front_end.model
    samples_BN, num_samples_B = ragged_batch(np.random.default_rng(factor), [4000, 801, 2399, 160, 3017])
    log_mel_BTM, num_frames_B = (part.numpy() for part in front_end([samples_BN, num_samples_B]))
    logits_BSV, num_steps_B = (part.numpy() for part in model([samples_BN, num_samples_B], training=False))
    for row, count in enumerate(num_samples_B):
        alone = samples_BN[row : row + 1, :count]
        one = np.array([count], np.int32)
        log_mel, frames = (part.numpy() for part in front_end([alone, one]))
        logits, steps = (part.numpy() for part in model([alone, one], training=False))
        assert frames[0] == num_frames_B[row] == log_mel.shape[1]
        assert steps[0] == num_steps_B[row] == logits.shape[1]
        np.testing.assert_allclose(log_mel_BTM[row, : frames[0]], log_mel[0], atol=2e-5)
        np.testing.assert_allclose(logits_BSV[row, : steps[0]], logits[0], atol=2e-5)
        assert not log_mel_BTM[row, frames[0] :].any(), "frames beyond the length must be zeros"


# --- Law 3: lengths.py is what really comes out -------------------------------------------------------------------

FRONT_ENDS = [(8, 3, 6), (16, 5, 16), (8, 8, 8), (16, 4, 11), (4, 7, 4)]  # n_fft, hop_length, frame_length


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("n_fft", "hop_length", "frame_length"), FRONT_ENDS)
def test_law_3_frames_equal_the_real_shapes(n_fft, hop_length, frame_length, center):
    layer = LogMel(
        sample_rate=8000, frame_length=frame_length, hop_length=hop_length, n_fft=n_fft, n_mels=1, f_min=0.0,
        f_max=4000.0, center=center,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for count in range(0, 41):
        samples_BN = rng.normal(size=[1, count]).astype(np.float32)
        log_mel_BTM, num_frames_B = layer(samples_BN, np.array([count], np.int32))
        expected = lengths.num_frames(count, n_fft=n_fft, hop_length=hop_length, center=center)
        assert log_mel_BTM.shape == layer.compute_output_shape(samples_BN.shape, (1,))[0] == (1, expected, 1)
        assert int(num_frames_B[0]) == expected


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_law_3_steps_equal_the_real_shapes(factor):
    subsampling = ConvSubsampling(factor=factor, channels=1)
    for num_frames in range(1, 42):
        outputs_BSD, num_steps_B = subsampling(
            np.ones([1, num_frames, 1], np.float32), np.array([num_frames], np.int32)
        )
        steps = lengths.num_steps(num_frames, subsampling_factor=factor)
        assert outputs_BSD.shape[1] == int(num_steps_B[0]) == steps == -(-num_frames // factor)


@given(
    num_samples=st.lists(st.integers(0, 10_000), min_size=1, max_size=8),
    n_fft=st.integers(1, 600),
    hop_length=st.integers(1, 300),
    center=st.booleans(),
)
def test_law_3_arrays_and_tensors_have_the_lengths_of_integers(num_samples, n_fft, hop_length, center):
    settings = {"n_fft": n_fft, "hop_length": hop_length, "center": center}
    one_by_one = [lengths.num_frames(count, **settings) for count in num_samples]
    for kind in (np.array, lambda values: tf.constant(values, tf.int32)):
        assert np.asarray(lengths.num_frames(kind(num_samples), **settings)).tolist() == one_by_one
    if not center:
        starts = [len(range(0, count - n_fft + 1, hop_length)) for count in num_samples]
        assert one_by_one == starts


@given(st.lists(st.integers(1, 2), max_size=4), st.integers(0, 7))
def test_law_3_feasibility_is_whether_a_path_exists(labels, steps):
    paths = itertools.product(range(3), repeat=steps)
    spelled = any(collapse(path) == tuple(labels) for path in paths)
    assert lengths.is_feasible(steps, labels) == (spelled and steps > 0)


# --- Law 4: the loss is the sum over all paths --------------------------------------------------------------------


def collapse(path):
    merged = [label for label, _ in itertools.groupby(path)]
    return tuple(label for label in merged if label != 0)


def brute_force_loss(logits_SV, labels):
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    scores = [
        sum(log_probs_SV[step, label] for step, label in enumerate(path))
        for path in itertools.product(range(logits_SV.shape[1]), repeat=len(logits_SV))
        if collapse(path) == tuple(labels)
    ]
    return -np.logaddexp.reduce(scores)


@given(
    rows=st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(1, 2), max_size=4)), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_law_4_loss_equals_brute_force_with_empty_and_repeated_labels(rows, seed):
    rows = [(steps, labels) for steps, labels in rows if lengths.is_feasible(steps, labels)] or [(1, [])]
    logits_BSV = 2 * np.random.default_rng(seed).normal(size=[len(rows), 6, 3]).astype(np.float32)
    longest = max(len(labels) for _, labels in rows)
    labels_BL = np.array([labels + [2] * (longest - len(labels)) for _, labels in rows], np.int32)
    loss_B = ctc_loss(
        tf.constant(logits_BSV),
        tf.constant([steps for steps, _ in rows]),
        tf.constant(labels_BL.reshape(len(rows), longest)),
        tf.constant([len(labels) for _, labels in rows]),
    )
    for row, (steps, labels) in enumerate(rows):
        expected = brute_force_loss(logits_BSV[row, :steps].astype(np.float64), labels)
        assert float(loss_B[row]) == pytest.approx(expected, abs=1e-4)


def test_law_4_gradient_is_finite_and_zero_beyond_each_length():
    logits_BSV = tf.Variable(np.random.default_rng(0).normal(size=[3, 7, 4]).astype(np.float32))
    with tf.GradientTape() as tape:
        loss_B = ctc_loss(logits_BSV, [7, 2, 3], tf.constant([[1, 1, 2], [3, 0, 0], [0, 0, 0]]), [3, 1, 0])
    gradient_BSV = tape.gradient(loss_B, logits_BSV).numpy()
    assert np.isfinite(gradient_BSV).all()
    assert not gradient_BSV[1, 2:].any()
    assert not gradient_BSV[2, 3:].any()
    assert gradient_BSV[2, :3].any(), "an empty transcript teaches too"
    np.testing.assert_allclose(gradient_BSV.sum(axis=2), 0, atol=1e-5)  # of a function of a softmax


def test_law_4_infeasible_labels_have_no_made_up_loss():
    assert np.isinf(ctc_loss(tf.zeros([1, 2, 3]), [2], tf.constant([[1, 1]]), [2]).numpy())
    assert np.isinf(ctc_loss(tf.zeros([1, 2, 3]), [2], tf.constant([[1, 2, 1]]), [3]).numpy())


# --- The front end's filters, and weights ---------------------------------------------------------------------------


def test_the_mel_filters_are_in_no_matrix_that_quantisation_would_touch():
    for sample_rate, n_fft, n_mels in ((8000, 256, 40), (16000, 512, 80), (44100, 2048, 128)):
        settings = {
            "sample_rate": sample_rate,
            "n_fft": n_fft,
            "n_mels": n_mels,
            "f_min": 20.0,
            "f_max": sample_rate / 2,
        }
        layer = LogMel(**settings, frame_length=n_fft, hop_length=n_fft // 2)
        assert all(band.size < 1024 for _, band in layer._bands)
        whole_FM = np.zeros([n_fft // 2 + 1, n_mels], np.float32)
        mel = 0
        for first, band in layer._bands:
            whole_FM[first : first + len(band), mel : mel + band.shape[1]] = band
            mel += band.shape[1]
        np.testing.assert_array_equal(whole_FM, mel_filters(**settings))


def test_encoder_implementations_have_the_same_weights():
    config = small_config()
    encoders = [
        build_encoder(config, NUM_CLASSES, num_features=20, implementation=name).model
        for name in ("fused", "portable", "reference")
    ]
    names = [[(v.name, tuple(v.shape)) for v in encoder.trainable_variables] for encoder in encoders]
    assert names[0] == names[1] == names[2]


# --- Laws 1, 3 and 6 of the front end's parts ---------------------------------------------------------------------

FEATURES = {
    "plain": {"normalization": "none"},
    "two deltas": {"deltas": 2},
    "delta, preemphasis, magnitude": {"deltas": 1, "preemphasis": 0.97, "spectrum": "magnitude", "mel_scale": "htk"},
    "not centred": {"center": False, "deltas": 1, "preemphasis": 0.5},
    "hop past the transform": {"hop_length_ms": 45.0, "deltas": 2},
    "odd hop": {"hop_length_ms": 9.875, "center": False, "normalization": "none"},
    "pcen": {"compression": "pcen", "deltas": 1},
}


def small_front_end(**features):
    """A front end at 8 kHz with statistics that are not the initial ones, where it has any."""
    config = RunConfig.model_validate({"data": {"sample_rate": 8000}, "features": {"n_mels": 8, **features}})
    front_end = build_front_end(config)
    if config.features.normalization in ("global", "running"):
        rng = np.random.default_rng(5)
        width = front_end.num_features
        front_end.set_statistics(rng.normal(-4, 2, width), rng.uniform(0.5, 3, width))
    return front_end


@pytest.mark.parametrize("normalization", ["global", "running", "utterance", "none"])
@pytest.mark.parametrize("features", [*FEATURES.values()][1:], ids=[*FEATURES][1:])
def test_law_1_every_front_end_ignores_batch_mates_and_padding(features, normalization):
    front_end = small_front_end(**{**features, "normalization": normalization})
    samples_BN, num_samples_B = ragged_batch(np.random.default_rng(3), [4000, 801, 2399, 260, 1, 3017])
    for row, count in enumerate(num_samples_B):
        samples_BN[row, count:] = np.nan
    log_mel_BTD, num_frames_B = (part.numpy() for part in front_end.whole(samples_BN, num_samples_B))
    for row, count in enumerate(num_samples_B):
        log_mel, frames = (
            part.numpy() for part in front_end.whole(samples_BN[row : row + 1, :count], np.array([count]))
        )
        assert frames[0] == num_frames_B[row] == log_mel.shape[1]
        np.testing.assert_allclose(log_mel_BTD[row, : frames[0]], log_mel[0], atol=2e-5)
        assert not log_mel_BTD[row, frames[0] :].any(), "frames beyond the length must be zeros"


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("n_fft", "hop_length", "frame_length"), [*FRONT_ENDS, (8, 3, 5), (7, 2, 4), (9, 4, 2)])
def test_law_3_a_frame_is_decided_when_no_further_sample_changes_it_and_not_before(
    n_fft, hop_length, frame_length, center
):
    geometry = {"n_fft": n_fft, "hop_length": hop_length, "center": center}
    layer = LogMel(sample_rate=8000, frame_length=frame_length, n_mels=1, f_min=0.0, f_max=4000.0, **geometry)
    # Row r holds the first r samples only; the last row holds all of them.
    longest = 60
    samples_BN = np.tile(np.random.default_rng(1).normal(size=longest).astype(np.float32), [longest + 1, 1])
    num_samples_B = np.arange(longest + 1, dtype=np.int32)
    log_mel_BT, num_frames_B = (part.numpy() for part in layer(samples_BN, num_samples_B))
    log_mel_BT = log_mel_BT[:, :, 0]
    for count in range(longest + 1 - n_fft):
        decided = 0
        while lengths.num_samples_decided(decided, frame_length=frame_length, **geometry) <= count:
            decided += 1
        assert decided <= num_frames_B[count]
        np.testing.assert_allclose(log_mel_BT[count, :decided], log_mel_BT[-1, :decided], atol=1e-5)
        if decided < num_frames_B[count]:
            assert abs(log_mel_BT[count, decided] - log_mel_BT[-1, decided]) > 1e-5, "the next one was decided too"
