"""The GRU for export: operations that TFLite has built in, and a block of frames unrolled a loop turn."""

import tensorflow as tf

from speechgru.gru.fused_steps import product

# Measured, 3 BiGRU layers of 256, 400 frames, 1 thread, milliseconds for a block of 1, 4, 10, 20, 40 frames:
# float32 72, 51, 48, 55, 73; dynamic-range int8 51, 30, 27, 26, 30.
# LiteRT packs the weights once for each copy of the product, so that a long block of float32 leaves the cache.
BLOCK = 10


def portable_gru(
    inputs_BTF,
    *,
    initial_state_BU,
    kernel_FG,
    recurrent_kernel_UG,
    input_bias_G=None,
    recurrent_bias_G=None,
    valid_BT=None,
    recurrent_mask_BU=None,
    reset_after=True,
    update_gate="keep",
    backwards=False,
):
    """Runs one direction of a GRU; arguments and dtypes are those of `fused.fused_gru`, batch-major.

    Returns:
        outputs_BTU aligned with the inputs.
    """
    units = recurrent_kernel_UG.shape[0]
    # A batch known while tracing keeps its size through TFLite's converter; a measured one becomes unknown there.
    batch = inputs_BTF.shape[0] or tf.shape(inputs_BTF)[0]
    num_frames = tf.shape(inputs_BTF)[1]
    kernel_FG, recurrent_kernel_UG = (tf.cast(kernel, inputs_BTF.dtype) for kernel in (kernel_FG, recurrent_kernel_UG))
    x_BTG = tf.cast(tf.matmul(inputs_BTF, kernel_FG), initial_state_BU.dtype)
    if input_bias_G is not None:
        x_BTG = x_BTG + input_bias_G
    valid_BT1 = None if valid_BT is None else valid_BT[:, :, tf.newaxis]

    recurrent_zr, recurrent_h = tf.split(recurrent_kernel_UG, [2 * units, units], axis=-1)

    def step(x_BG, h_BU, valid_B1):
        masked_BU = h_BU if recurrent_mask_BU is None else h_BU * recurrent_mask_BU
        x_zr, x_h = tf.split(x_BG, [2 * units, units], axis=-1)
        if reset_after:
            m_BG = product(masked_BU, recurrent_kernel_UG)
            if recurrent_bias_G is not None:
                m_BG = m_BG + recurrent_bias_G
            m_zr, m_h = tf.split(m_BG, [2 * units, units], axis=-1)
            z, r = tf.split(tf.sigmoid(x_zr + m_zr), 2, axis=-1)
            n = tf.tanh(x_h + r * m_h)
        else:
            z, r = tf.split(tf.sigmoid(x_zr + product(masked_BU, recurrent_zr)), 2, axis=-1)
            n = tf.tanh(x_h + product(r * masked_BU, recurrent_h))
        new_BU = n + z * (h_BU - n) if update_gate == "keep" else h_BU + z * (n - h_BU)
        return new_BU if valid_B1 is None else tf.where(valid_B1, new_BU, h_BU)

    def block(start, size, h_BU):
        x_K = tf.unstack(x_BTG[:, start : start + size], num=size, axis=1)
        valid_K = [None] * size
        if valid_BT1 is not None:
            valid_K = tf.unstack(valid_BT1[:, start : start + size], num=size, axis=1)
        states = [None] * size
        for k in range(size)[:: -1 if backwards else 1]:
            h_BU = step(x_K[k], h_BU, valid_K[k])
            states[k] = h_BU
        return tf.stack(states, axis=1), h_BU

    outputs_BTU = tf.zeros([batch, 0, units], initial_state_BU.dtype)
    h_BU = initial_state_BU
    blocks = num_frames // BLOCK
    done = tf.constant(0)
    for size, count in ((BLOCK, blocks), (1, num_frames - blocks * BLOCK)):

        def turn(i, done, h_BU, outputs_BTU, size=size):
            states_BKU, h_BU = block(num_frames - done - size if backwards else done, size, h_BU)
            pieces = [states_BKU, outputs_BTU] if backwards else [outputs_BTU, states_BKU]
            return i + 1, done + size, h_BU, tf.concat(pieces, axis=1)

        _, done, h_BU, outputs_BTU = tf.while_loop(
            lambda i, *_, count=count: i < count,
            turn,
            [tf.constant(0), done, h_BU, outputs_BTU],
            shape_invariants=[
                tf.TensorShape([]),
                tf.TensorShape([]),
                h_BU.shape,
                tf.TensorShape([inputs_BTF.shape[0], None, units]),
            ],
        )
    outputs_BTU.set_shape([inputs_BTF.shape[0], inputs_BTF.shape[1], units])
    return outputs_BTU
