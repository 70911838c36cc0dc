"""A bidirectional GRU that streams: both directions inside windows that move over the utterance chunk by chunk.

Window k covers the steps from k * C to k * C + C + R, C of its chunk and R to look ahead. The forward direction carries
its state from chunk to chunk; the backward one starts anew at each window's end. Only a chunk's own steps are results;
those ahead are computed again in the next window, where they have heard more. Here all windows of a batch are rows of
one tensor, so that training computes them at once and still exactly what a stream computes one after the other.

Sources: Zhang et al. 2016, arXiv:1510.08983 (latency-controlled bidirectional recurrence); Xue and Yan 2017,
"Improving latency-controlled BLSTM acoustic models for online speech recognition".
"""

import keras
import tensorflow as tf

from speechgru import lengths as length_arithmetic
from speechgru.gru.layer import BiGRU


def to_windows(steps_BSD, *, chunk_steps, lookahead_steps):
    """Cuts rows into windows.

    Args:
        steps_BSD: the steps; zeros follow the last.
        chunk_steps: C, steps from one window to the next.
        lookahead_steps: R, steps that a window covers beyond its chunk.

    Returns:
        windows_NWD, N = B * K with the K windows of a row in a run, W = C + R. K is 1 for rows without a step.
    """
    batch = steps_BSD.shape[0] or tf.shape(steps_BSD)[0]
    num_steps, width = tf.shape(steps_BSD)[1], steps_BSD.shape[2]
    num_windows = tf.maximum(1, length_arithmetic.num_chunks(num_steps, chunk_steps=chunk_steps))
    reach = length_arithmetic.num_chunks(lookahead_steps, chunk_steps=chunk_steps)  # chunks that R goes into
    missing = (num_windows + reach) * chunk_steps - num_steps
    padded_BSD = tf.pad(steps_BSD, [[0, 0], [0, missing], [0, 0]])
    chunks_BKCD = tf.reshape(padded_BSD, [batch, num_windows + reach, chunk_steps, width])
    # Shifted copies side by side: slices have dense gradients, a gather has not.
    ahead_BKRD = [chunks_BKCD[:, shift : shift + num_windows] for shift in range(1, reach + 1)]
    windows_BKWD = tf.concat([chunks_BKCD[:, :num_windows], *ahead_BKRD], axis=2)
    size = chunk_steps + lookahead_steps
    return tf.reshape(windows_BKWD[:, :, :size], [-1, size, width])


def window_lengths(num_steps_B, *, num_windows, chunk_steps, window_steps):
    """Real steps of each window: num_steps_B and K windows a row -> [B * K]."""
    begins_K = tf.range(num_windows, dtype=num_steps_B.dtype) * chunk_steps
    left_BK = tf.maximum(num_steps_B[:, tf.newaxis] - begins_K, 0)
    # No minimum: TFLite's converter takes one of 6 with a maximum of 0 for a Relu6, which it lacks for integers.
    return tf.reshape(left_BK - tf.maximum(left_BK - window_steps, 0), [-1])


@keras.saving.register_keras_serializable(package="speechgru")
class ChunkedBiGRU(BiGRU):
    """A BiGRU over windows: `(windows_NWF, num_steps_B) -> outputs_NWD`, D = 2U, forward first.

    Weights, implementations and gates are those of `BiGRU`, so that one's weights can be put into the other. Outputs at
    steps beyond a row's length are zeros.

    Args:
        units: width of each direction's state.
        chunk_steps: C, see `to_windows`, which also makes the inputs.
        **kwargs: as in `BiGRU`, but no `return_sequences`, `return_state`, `merge_mode` or dropout of the cells.

    Raises:
        ValueError: chunk_steps is below 1, or one of these is given.
    """

    def __init__(self, units, *, chunk_steps, **kwargs):
        if chunk_steps < 1:
            raise ValueError(f"chunk_steps must be at least 1, got {chunk_steps}.")
        usual = {"merge_mode": "concat", "return_sequences": True, "return_state": False}
        usual |= {"dropout": 0.0, "recurrent_dropout": 0.0}
        for name, value in usual.items():
            if kwargs.get(name, value) != value:
                raise ValueError(f"{name} is {kwargs[name]!r}; windows that overlap allow {value!r} only.")
        super().__init__(units, **kwargs)
        self.chunk_steps = chunk_steps

    def call(self, inputs, lengths=None, training=False):
        """Runs all windows; `lengths` are `num_steps_B` of the rows that `inputs` were cut from."""
        chunk, window_steps, width = self.chunk_steps, inputs.shape[1], inputs.shape[2]
        batch = lengths.shape[0] or tf.shape(lengths)[0]
        num_windows = tf.shape(inputs)[0] // batch
        lengths_N = window_lengths(lengths, num_windows=num_windows, chunk_steps=chunk, window_steps=window_steps)
        # What the chunks hold is the whole row, so its forward states are those of a plain GRU over it.
        chunks_BSF = tf.reshape(inputs[:, :chunk], [batch, num_windows * chunk, width])
        outputs_BSU, _ = self.run_direction(self.forward_cell, chunks_BSF, lengths=lengths, training=training)
        forward_NWU = tf.reshape(outputs_BSU, [-1, chunk, self.units])
        if window_steps > chunk:
            ahead_NRU, _ = self.run_direction(
                self.forward_cell,
                inputs[:, chunk:],
                lengths=tf.maximum(lengths_N - chunk, 0),
                initial_state=forward_NWU[:, -1],
                training=training,
            )
            forward_NWU = tf.concat([forward_NWU, ahead_NRU], axis=1)
        backward_NWU, _ = self.run_direction(
            self.backward_cell, inputs, backwards=True, lengths=lengths_N, training=training
        )
        return tf.concat([forward_NWU, backward_NWU], axis=-1)

    def get_config(self):
        config = super().get_config()
        del config["merge_mode"], config["return_sequences"], config["return_state"]
        return {**config, "chunk_steps": self.chunk_steps}
