"""The GRU on an NVIDIA GPU: TensorFlow's cuDNN operation."""

import tensorflow as tf

DTYPES = ("float16", "float32", "float64")


def product_dtype(*, compute_dtype, variable_dtype):
    """What the operation computes in: the compute dtype or, where it has none such, that of the variables."""
    return compute_dtype if compute_dtype in DTYPES else variable_dtype


def obstacle(*, reset_after, dtype, recurrent_dropout, has_mask):
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
        return "a mask may be no right padding, which is all that cuDNN knows: pass lengths"
    return None


def cudnn_gru(
    inputs_BTF,
    *,
    dtype,
    initial_state_BU,
    kernel_FG,
    recurrent_kernel_UG,
    input_bias_G=None,
    recurrent_bias_G=None,
    lengths_B=None,
    update_gate="keep",
    backwards=False,
):
    """Runs one direction of a GRU (reset_after=True) with cuDNN; see `fused.fused_gru` for the arguments.

    It computes in `dtype`, one of `DTYPES`, and answers in it. In float16 the state, too, has 11 bits between steps.

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
        inputs_BTF = tf.reverse_sequence(inputs_BTF, lengths_B, seq_axis=1, batch_axis=0)
    outputs_BTU, state_B1U, *_ = tf.raw_ops.CudnnRNNV3(
        input=inputs_BTF,
        input_h=tf.cast(initial_state_BU, dtype)[:, tf.newaxis],
        input_c=tf.zeros([], inputs_BTF.dtype),
        params=tf.cast(
            pack(kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G, units=units, update_gate=update_gate),
            dtype,
        ),
        sequence_lengths=lengths_B,
        rnn_mode="gru",
        is_training=True,
        time_major=False,
    )
    if backwards:
        outputs_BTU = tf.reverse_sequence(outputs_BTU, lengths_B, seq_axis=1, batch_axis=0)
    return outputs_BTU, state_B1U[:, 0]


def pack(kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G, *, units, update_gate):
    """Packs one direction's weights as cuDNN has them: each matrix transposed, gates r, z, h; then the biases.

    A three-element example, U = 1, F = 1, kernel [z, r, h], recurrent kernel [Z, R, H]: [r, z, h, R, Z, H, b..., c...].
    """
    zeros_G = tf.zeros([3 * units], kernel_FG.dtype)
    sign = -1 if update_gate == "write" else 1  # cuDNN's z keeps
    parts = []
    for matrix in (kernel_FG, recurrent_kernel_UG):
        z, r, h = tf.split(matrix, 3, axis=1)
        parts += [tf.reshape(tf.transpose(part), [-1]) for part in (r, sign * z, h)]
    for bias_G in (input_bias_G, recurrent_bias_G):
        z, r, h = tf.split(zeros_G if bias_G is None else bias_G, 3)
        parts += [r, sign * z, h]
    return tf.concat(parts, axis=0)
