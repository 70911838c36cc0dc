"""The chunked GRU against its definition, window after window, and the look-ahead of forward models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gru_reference import layer_reference

from speechgru.config.sections import RunConfig
from speechgru.gru import BiGRU, ChunkedBiGRU
from speechgru.model.build import build_model
from speechgru.model.layers import FromWindows, LookaheadConvolution, ToWindows

UNITS, WIDTH = 4, 3
LENGTHS = np.array([17, 4, 0, 12, 1], np.int32)


def ragged(seed=0):
    """Rows of different lengths, zeros after them."""
    rng = np.random.default_rng(seed)
    steps_BSF = rng.normal(size=[len(LENGTHS), LENGTHS.max() + 2, WIDTH]).astype(np.float32)
    return np.where(np.arange(steps_BSF.shape[1])[None, :, None] < LENGTHS[:, None, None], steps_BSF, 0)


def with_weights(layer, seed=0):
    layer.build((None, None, WIDTH))
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def reference(layer, row_SF, *, chunk, ahead):
    """One row from the definition: for each window the forward state goes on, the backward one begins anew."""
    outputs, state = np.zeros([len(row_SF), 2 * UNITS]), np.zeros([1, UNITS])
    none = np.zeros([1, UNITS])
    for begin in range(0, len(row_SF), chunk):
        window = row_SF[None, begin : begin + chunk + ahead]
        (forward, _), (backward, _) = layer_reference(layer, window, initial_states=[state, none])
        own = min(chunk, window.shape[1])
        outputs[begin : begin + own] = np.concatenate([forward, backward], axis=-1)[0, :own]
        (_, state), _ = layer_reference(layer, window[:, :own], initial_states=[state, none])
    return outputs


@pytest.mark.parametrize("implementation", ["fused", "portable", "reference"])
@pytest.mark.parametrize(("chunk", "ahead"), [(4, 2), (3, 0), (2, 5), (1, 1), (30, 4)])
def test_law_2_all_windows_at_once_are_the_windows_one_after_the_other(implementation, chunk, ahead):
    layer = with_weights(ChunkedBiGRU(UNITS, chunk_steps=chunk, implementation=implementation))
    steps_BSF = ragged()
    windows, _ = ToWindows(chunk_steps=chunk, lookahead_steps=ahead)(steps_BSF, LENGTHS)
    assert windows.shape[1] == chunk + ahead
    outputs_BSD = FromWindows(chunk_steps=chunk)(layer(windows, lengths=LENGTHS), steps_BSF).numpy()
    assert outputs_BSD.shape == (*steps_BSF.shape[:2], 2 * UNITS)
    for row, length in enumerate(LENGTHS):
        expected_SD = reference(layer, steps_BSF[row, :length], chunk=chunk, ahead=ahead)
        np.testing.assert_allclose(outputs_BSD[row, :length], expected_SD, atol=1e-5)
        assert not outputs_BSD[row, length:].any()


def test_one_window_over_everything_is_a_bidirectional_layer():
    layer, whole = with_weights(ChunkedBiGRU(UNITS, chunk_steps=40)), with_weights(BiGRU(UNITS))
    steps_BSF = ragged(1)
    windows, real = ToWindows(chunk_steps=40, lookahead_steps=0)(steps_BSF, LENGTHS)
    assert real.numpy().tolist() == LENGTHS.tolist()
    outputs_BSD = FromWindows(chunk_steps=40)(layer(windows, lengths=LENGTHS), steps_BSF)
    np.testing.assert_allclose(outputs_BSD, whole(steps_BSF, lengths=LENGTHS), atol=1e-6)


def test_what_comes_after_a_window_changes_nothing_in_it():
    layer = with_weights(ChunkedBiGRU(UNITS, chunk_steps=4))
    results = []
    for last in (0.0, 9.0):
        steps_BSF = ragged()[:1].copy()
        steps_BSF[0, 10:17] += last
        windows, _ = ToWindows(chunk_steps=4, lookahead_steps=2)(steps_BSF, LENGTHS[:1])
        results.append(FromWindows(chunk_steps=4)(layer(windows, lengths=LENGTHS[:1]), steps_BSF)[0].numpy())
    np.testing.assert_array_equal(results[0][:8], results[1][:8])
    assert (np.abs(results[0] - results[1])[8:17] > 1e-6).any(axis=1).all()


def test_its_gradient_reaches_every_weight_and_equals_that_of_the_slow_way():
    gradients = []
    for implementation in ("fused", "reference"):
        layer = with_weights(ChunkedBiGRU(UNITS, chunk_steps=4, implementation=implementation))
        steps_BSF = tf.constant(ragged())
        with tf.GradientTape() as tape:
            tape.watch(steps_BSF)
            windows, _ = ToWindows(chunk_steps=4, lookahead_steps=3)(steps_BSF, LENGTHS)
            outputs_BSD = FromWindows(chunk_steps=4)(layer(windows, lengths=LENGTHS, training=True), steps_BSF)
            loss = tf.reduce_sum(tf.sin(outputs_BSD))
        gradients.append(tape.gradient(loss, [steps_BSF, *layer.trainable_weights]))
    for fast, slow in zip(*gradients, strict=True):
        assert np.abs(slow).max() > 1e-3
        np.testing.assert_allclose(fast, slow, atol=2e-5)


@pytest.mark.parametrize("arguments", [{"dropout": 0.1}, {"merge_mode": "sum"}, {"return_state": True}])
def test_what_windows_that_overlap_do_not_allow_is_refused(arguments):
    with pytest.raises(ValueError, match="windows that overlap allow"):
        ChunkedBiGRU(UNITS, chunk_steps=4, **arguments)
    for wrong in (0, 2.0, "2", True):
        with pytest.raises(ValueError, match=f"chunk_steps is {wrong!r}; expected an integer of 1 or more"):
            ChunkedBiGRU(UNITS, chunk_steps=wrong)
    with pytest.raises(ValueError, match="4 windows of 3 rows; expected as many windows for each length"):
        ChunkedBiGRU(UNITS, chunk_steps=2)(np.zeros([4, 3, 2], np.float32), np.array([4, 4, 2]))


@pytest.mark.parametrize(
    "layer",
    [
        ChunkedBiGRU(UNITS, chunk_steps=3, update_gate="write"),
        ToWindows(chunk_steps=3, lookahead_steps=2),
        FromWindows(chunk_steps=3),
        LookaheadConvolution(lookahead_steps=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_round_trip_through_their_configuration(layer):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).get_config() == config


# --- Looking ahead ------------------------------------------------------------------------------------------------


def test_the_look_ahead_is_its_equation_and_begins_as_nothing():
    layer = LookaheadConvolution(lookahead_steps=3)
    steps_BSF = ragged(2)
    np.testing.assert_array_equal(layer(steps_BSF, LENGTHS), steps_BSF)
    kernel_JD = np.random.default_rng(3).normal(size=[4, WIDTH]).astype(np.float32)
    layer.set_weights([kernel_JD])
    outputs_BSD = layer(steps_BSF, LENGTHS).numpy()
    padded_BSF = np.pad(steps_BSF, [[0, 0], [0, 3], [0, 0]])
    expected_BSF = sum(kernel_JD[j] * padded_BSF[:, j : j + steps_BSF.shape[1]] for j in range(4))
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(outputs_BSD[row, :length], expected_BSF[row, :length], atol=1e-5)
        assert not outputs_BSD[row, length:].any()


@pytest.mark.parametrize("direction", ["forward", "chunked"])
def test_law_1_models_that_look_ahead_ignore_batch_mates_and_padding(direction):
    config = RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000},
            "features": {"n_mels": 12},
            "model": {
                "direction": direction, "chunk_frames": 12, "lookahead_frames": 6, "units": 8,
                "subsampling_channels": 9, "subsampling_factor": 3,
            },
        }
    )  # fmt: skip
    model = build_model(config, 5)
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(0.4 * rng.normal(size=weight.shape))
    num_samples_B = np.array([4000, 801, 2399, 160, 3017], np.int32)
    samples_BN = rng.normal(size=[5, 4137]).astype(np.float32)
    logits_BSV, num_steps_B = (part.numpy() for part in model([samples_BN, num_samples_B], training=False))
    for row, count in enumerate(num_samples_B):
        one = [samples_BN[row : row + 1, :count], num_samples_B[row : row + 1]]
        logits_1SV, num_steps_1 = (part.numpy() for part in model(one, training=False))
        assert num_steps_1[0] == num_steps_B[row]
        np.testing.assert_allclose(logits_BSV[row, : num_steps_1[0]], logits_1SV[0], atol=2e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"lookahead_frames": 4}, "lookahead_frames is 4, but a bidirectional model reads the whole utterance first"),
        ({"direction": "forward", "lookahead_frames": 5}, r"lookahead_frames \(5\) must be a multiple of"),
        ({"direction": "chunked", "chunk_frames": 7}, r"chunk_frames \(7\) must be a multiple of subsampling_factor"),
    ],
)
def test_frames_that_are_no_whole_steps_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.model_validate({"model": model})
