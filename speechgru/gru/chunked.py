"""A bidirectional GRU that streams: both directions inside windows that move over the utterance chunk by chunk.

Window k covers the steps from k * C to k * C + C + R, C of its chunk and R to look ahead. The forward direction carries
its state from chunk to chunk; the backward one starts anew at each window's end. Only a chunk's own steps are results;
those ahead are computed again in the next window, which sees what follows them. Here all windows of a batch are rows of
one tensor, so that training computes them at once, and exactly what a stream computes one after the other.

Sources: Zhang et al. 2016, arXiv:1510.08983 (latency-controlled bidirectional recurrence); Xue and Yan 2017,
"Improving latency-controlled BLSTM acoustic models for online speech recognition".
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from speechgru import lengths as length_arithmetic
from speechgru.gru.cell import GRUCell, read_size
from speechgru.gru.sequence import SequenceLayer


def to_windows(steps_BSD: tf.Tensor, *, chunk_steps: int, lookahead_steps: int) -> tf.Tensor:
    """Cuts rows into windows.

    Rows of 5 steps in windows of 2 and 1 ahead, zeros beyond the end:

    >>> import numpy as np
    >>> steps_BSD = np.arange(1.0, 6.0).reshape(1, 5, 1)
    >>> to_windows(steps_BSD, chunk_steps=2, lookahead_steps=1)[:, :, 0].numpy().astype(int).tolist()
    [[1, 2, 3], [3, 4, 5], [5, 0, 0]]

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


def window_lengths(
    num_steps_B: tf.Tensor, *, num_windows: int | tf.Tensor, chunk_steps: int, window_steps: int
) -> tf.Tensor:
    """Real steps of each window: num_steps_B and K windows a row -> [B * K].

    >>> window_lengths(tf.constant([5, 2]), num_windows=3, chunk_steps=2, window_steps=3).numpy().tolist()
    [3, 3, 1, 2, 0, 0]

    Args:
        num_steps_B: real steps of each row.
        num_windows: K, windows a row.
        chunk_steps: C, steps from one window to the next.
        window_steps: W, steps that a window covers.
    """
    begins_K = tf.range(num_windows, dtype=num_steps_B.dtype) * chunk_steps
    left_BK = tf.maximum(num_steps_B[:, tf.newaxis] - begins_K, 0)
    # Not a minimum: TFLite's converter turns minimum(6) of maximum(0) into Relu6, which it lacks for integers.
    return tf.reshape(left_BK - tf.maximum(left_BK - window_steps, 0), [-1])


@keras.saving.register_keras_serializable(package="speechgru")
class ChunkedBiGRU(SequenceLayer):
    """A BiGRU over windows: `(windows_NWF, num_steps_B) -> outputs_NWD`, D = 2U, forward first.

    Weights, implementations and gates are those of `BiGRU`, so that one's weights can be put into the other. Outputs at
    steps beyond a row's length are zeros.

    With one window over a whole row it is a BiGRU:

    >>> import numpy as np
    >>> from speechgru.gru import BiGRU, ChunkedBiGRU, to_windows
    >>> steps_BSF = np.random.default_rng(0).normal(size=[1, 6, 3]).astype("float32")
    >>> chunked, offline = ChunkedBiGRU(4, chunk_steps=6), BiGRU(4)
    >>> windows_NWF = to_windows(steps_BSF, chunk_steps=6, lookahead_steps=0)
    >>> outputs_NWD, _ = chunked(windows_NWF, lengths=np.array([6])), offline(steps_BSF)
    >>> chunked.set_weights(offline.get_weights())
    >>> np.allclose(chunked(windows_NWF, lengths=np.array([6])), offline(steps_BSF), atol=1e-6)
    True

    Args:
        units: width of each direction's state.
        chunk_steps: C, see `to_windows`, which also makes the inputs.
        **kwargs: as in `BiGRU`, but no `return_sequences`, `return_state`, `merge_mode` or dropout of the cells.

    Call arguments:
        inputs: [N, W, F], the windows of B rows, N = B * K.
        lengths: [B] integers, real steps of the rows that the windows were cut from.
        training: whether a backward pass is likely (there is no dropout).

    Raises:
        ValueError: chunk_steps is no integer of 1 or more, one of these is given, or N is no multiple of B.
    """

    def __init__(self, units: int, *, chunk_steps: int, **kwargs: Any) -> None:
        chunk_steps = read_size("chunk_steps", chunk_steps)
        # A step is computed in several windows: masks of dropout would differ among them, and a stream has no last one.
        only: dict[str, Any] = {"merge_mode": "concat", "return_sequences": True, "return_state": False}
        only |= {"dropout": 0.0, "recurrent_dropout": 0.0}
        for name, value in only.items():
            if kwargs.get(name, value) != value:
                raise ValueError(f"{name} is {kwargs[name]!r}; windows that overlap allow {value!r} only.")
        kwargs.pop("merge_mode", None)
        super().__init__(units, **kwargs)
        self.chunk_steps = chunk_steps
        self.forward_cell = self._make_cell("forward_cell")
        self.backward_cell = self._make_cell("backward_cell", seed_offset=1)

    @property
    def cells(self) -> list[GRUCell]:
        return [self.forward_cell, self.backward_cell]

    def call(self, inputs: tf.Tensor, lengths: tf.Tensor, training: bool = False) -> tf.Tensor:
        windows_NWF, num_steps_B = inputs, lengths
        chunk, window_steps, width = self.chunk_steps, windows_NWF.shape[1], windows_NWF.shape[2]
        if windows_NWF.shape[0] and num_steps_B.shape[0] and windows_NWF.shape[0] % num_steps_B.shape[0]:
            raise ValueError(
                f"{self.name}: {windows_NWF.shape[0]} windows of {num_steps_B.shape[0]} rows; "
                "expected as many windows for each length."
            )
        batch = num_steps_B.shape[0] or tf.shape(num_steps_B)[0]
        num_windows = tf.shape(windows_NWF)[0] // batch
        lengths_N = window_lengths(num_steps_B, num_windows=num_windows, chunk_steps=chunk, window_steps=window_steps)
        # The chunks of a row, one after the other, are the row. So the forward states inside chunks are those of one
        # plain GRU over it: no window has to wait for the one before.
        chunks_BSF = tf.reshape(windows_NWF[:, :chunk], [batch, num_windows * chunk, width])
        outputs_BSU, _ = self.run_direction(self.forward_cell, chunks_BSF, lengths=num_steps_B, training=training)
        forward_NWU = tf.reshape(outputs_BSU, [-1, chunk, self.units])
        if window_steps > chunk:
            # The steps ahead start from their own chunk's last state, each window alone. Their states are not carried
            # on: the next window computes these steps again, as steps of its chunk.
            ahead_NRU, _ = self.run_direction(
                self.forward_cell,
                windows_NWF[:, chunk:],
                lengths=tf.maximum(lengths_N - chunk, 0),
                initial_state=forward_NWU[:, -1],
                training=training,
            )
            forward_NWU = tf.concat([forward_NWU, ahead_NRU], axis=1)
        # Backwards, each window is a row of its own that starts from zeros at its last real step.
        backward_NWU, _ = self.run_direction(
            self.backward_cell, windows_NWF, backwards=True, lengths=lengths_N, training=training
        )
        return tf.concat([forward_NWU, backward_NWU], axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["return_sequences"], config["return_state"]
        return {**config, "chunk_steps": self.chunk_steps}
