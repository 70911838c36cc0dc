"""The GRU on an NVIDIA GPU: TensorFlow's cuDNN operation."""

from __future__ import annotations

import tensorflow as tf

DTYPES = ("float16", "float32", "float64")


def product_dtype(*, compute_dtype: str, variable_dtype: str) -> str:
    """The dtype in which the operation computes: the compute dtype or, where it lacks that, the variables'."""
    return compute_dtype if compute_dtype in DTYPES else variable_dtype


def obstacle(*, reset_after: bool, dtype: str, recurrent_dropout: float, has_mask: bool) -> str | None:
    """Why the cuDNN operation cannot run the layer here, as a sentence; None if it can."""
    if not tf.config.list_logical_devices("GPU"):
        return "TensorFlow sees no GPU"
    if not tf.sysconfig.get_build_info().get("is_cuda_build"):
        return "this TensorFlow is not built with CUDA"
    if not reset_after:
        return "cuDNN has no reset_after=False"
    if recurrent_dropout:
        return "cuDNN has no dropout inside the recurrent product"
    if dtype not in DTYPES:
        return f"TensorFlow's cuDNN operation has no {dtype}"
    if has_mask:
        return "a mask may be other than right padding, and cuDNN has only that: pass lengths"
    return None


def cudnn_gru(
    inputs_BTF: tf.Tensor,
    *,
    dtype: str,
    initial_state_BU: tf.Tensor,
    kernel_FG: tf.Tensor,
    recurrent_kernel_UG: tf.Tensor,
    input_bias_G: tf.Tensor | None = None,
    recurrent_bias_G: tf.Tensor | None = None,
    lengths_B: tf.Tensor | None = None,
    update_gate: str = "keep",
    backwards: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs one direction of a GRU (reset_after=True) with cuDNN; see `fused.fused_gru` for the arguments.

    It computes in `dtype`, one of `DTYPES`, and its results have it. In float16 the state, too, has 11 bits between
    steps.

    cuDNN refuses a sequence of length 0 (CUDNN_STATUS_BAD_PARAM): such a row is run over one frame, and the caller
    zeroes its outputs and replaces its final state, which also stops its gradient.

    Returns:
        outputs_BTU aligned with the inputs, final_state_BU.
    """
    units = recurrent_kernel_UG.shape[0]
    inputs_BTF = tf.cast(inputs_BTF, dtype)
    batch, num_frames = tf.shape(inputs_BTF)[0], tf.shape(inputs_BTF)[1]
    if lengths_B is None:
        lengths_B = tf.fill([batch], num_frames)
    lengths_B = tf.clip_by_value(tf.cast(lengths_B, tf.int32), 1, num_frames)
    if backwards:
        # The operation's own bidirectional mode would run both directions in one call; here each direction is one, so
        # that every implementation has the same interface. Only real frames are reversed: padding stays at the right.
        inputs_BTF = tf.reverse_sequence(inputs_BTF, lengths_B, seq_axis=1, batch_axis=0)
    outputs_BTU, state_B1U, *_ = tf.raw_ops.CudnnRNNV3(
        input=inputs_BTF,
        input_h=tf.cast(initial_state_BU, dtype)[:, tf.newaxis],
        input_c=tf.zeros([], inputs_BTF.dtype),  # an LSTM's
        params=tf.cast(
            pack(kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G, units=units, update_gate=update_gate),
            dtype,
        ),
        sequence_lengths=lengths_B,
        rnn_mode="gru",
        is_training=True,  # keeps the reserve space that the gradient needs, which may be asked for at any call
        time_major=False,
    )
    if backwards:
        outputs_BTU = tf.reverse_sequence(outputs_BTU, lengths_B, seq_axis=1, batch_axis=0)
    return outputs_BTU, state_B1U[:, 0]


def pack(
    kernel_FG: tf.Tensor,
    recurrent_kernel_UG: tf.Tensor,
    input_bias_G: tf.Tensor | None,
    recurrent_bias_G: tf.Tensor | None,
    *,
    units: int,
    update_gate: str,
) -> tf.Tensor:
    """Packs one direction's weights in cuDNN's layout: each matrix transposed, gates r, z, h; then the biases.

    A three-element example, U = 1, F = 1, kernel [z, r, h], recurrent kernel [Z, R, H]: [r, z, h, R, Z, H, b..., c...].
    """
    zeros_G = tf.zeros([3 * units], kernel_FG.dtype)
    # cuDNN's z keeps the old state. 1 - s(a) = s(-a), so a z that writes is one that keeps with its weights negated.
    sign = -1 if update_gate == "write" else 1
    parts = []
    for matrix in (kernel_FG, recurrent_kernel_UG):
        z, r, h = tf.split(matrix, 3, axis=1)
        parts += [tf.reshape(tf.transpose(part), [-1]) for part in (r, sign * z, h)]
    for bias_G in (input_bias_G, recurrent_bias_G):
        z, r, h = tf.split(zeros_G if bias_G is None else bias_G, 3)
        parts += [r, sign * z, h]
    return tf.concat(parts, axis=0)
