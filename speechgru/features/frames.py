"""What is done to frames of log-mel: their slopes, and their normalisation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: Frames before and after that a slope is taken over.
SLOPE_REACH = 2


def slopes(values_BTD: Any) -> Any:
    """Least-squares slope over time of each five neighbours, for all but the two frames at either end.

    ``slope[t] = (2 v[t+2] + v[t+1] - v[t-1] - 2 v[t-2]) / 10``

    Args:
        values_BTD: an array or tensor; operators only, so that both give the same numbers.

    Returns:
        `slopes_BTD`, four frames fewer.

    Source: Young et al. 2006, "The HTK Book", section 5.6, with a window of 2.
    """
    outer = values_BTD[:, 4:] - values_BTD[:, :-4]
    inner = values_BTD[:, 3:-1] - values_BTD[:, 1:-3]
    return 0.2 * outer + 0.1 * inner


class Stage(keras.layers.Layer):
    """A stage of the front end behind the log-mel: a layer over frames without learnt weights, always in float32.

    A stage has two forms, which give the same frames. `call` runs over whole utterances in batches, and its outputs
    are zeros beyond each row's length. `chunk` runs over a window of one utterance that is still being spoken; there a
    frame may look at `reach_frames` neighbours on either side.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})

    @property
    def reach_frames(self) -> int:
        """Frames on either side that a frame depends on."""
        return 0

    @property
    def stream_obstacle(self) -> str | None:
        """Why a stream cannot compute it, and which key to change; None where it can."""
        return None

    @property
    def state_shape(self) -> list[int] | None:
        """The shape of what a stream carries from call to call, zeros at first; None where it carries nothing."""
        return None

    def num_outputs(self, num_features: int) -> int:
        """Numbers in a frame behind the stage, given those before it."""
        return num_features

    def least_deviations(self, least_D: np.ndarray) -> np.ndarray:
        """The least deviation over a corpus that normalisation divides by, given that of the inputs; a number each."""
        return least_D

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
        """Whole utterances: `log_mel_BTD`, `num_frames_B` -> `features_BTE`, zeros beyond each length."""
        raise NotImplementedError

    def chunk(self, values_1TD: tf.Tensor, *, first_frame: tf.Tensor, end_frame: tf.Tensor) -> tf.Tensor:
        """A window of a stream.

        Args:
            values_1TD: the window's frames, of a static number. Those outside the utterance hold anything.
            first_frame: the window's first frame that is the utterance's.
            end_frame: the frame after the last one that is.

        Returns:
            `features_1TE`, as many frames. What the first and the last `reach_frames` of them hold does not matter, nor
            do frames outside the utterance.
        """
        raise NotImplementedError

    def chunk_from(
        self,
        values_1TD: tf.Tensor,
        state: tf.Tensor,
        *,
        first_frame: tf.Tensor,
        end_frame: tf.Tensor,
        chunk_frames: int,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same for a stage with a state (`state_shape`).

        Args:
            values_1TD, first_frame, end_frame: as in `chunk`.
            state: the state before the window's first frame.
            chunk_frames: frames from this window to the next.

        Returns:
            `features_1TE`, and the state before the next window's first frame.
        """
        raise NotImplementedError

    def compute_output_shape(self, log_mel_shape: Any, num_frames_shape: Any) -> Any:
        return (*log_mel_shape[:2], self.num_outputs(log_mel_shape[2]))

    def compute_output_spec(self, log_mel: Any, num_frames: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(log_mel.shape, num_frames.shape), "float32")


@keras.saving.register_keras_serializable(package="speechgru")
class Deltas(Stage):
    """Appends how fast each number changes: its slope over two frames before and after, and the slope's slope.

    Beyond an utterance's own ends the values at its ends are repeated, so that padding and batch mates change nothing.

    Args:
        order: 1 appends the slopes, 2 the slopes of the slopes too.
    """

    def __init__(self, *, order: int, **kwargs: Any):
        super().__init__(**kwargs)
        if order < 1:
            raise ValueError(f"order must be 1 or more, got {order}; leave the layer out where there are no deltas")
        self.order = order

    @classmethod
    def from_settings(cls, settings: Any, *, num_features: int, name: str) -> Deltas | None:
        """The deltas that the section `features` asks for (`features.STAGES`)."""
        return cls(order=settings.deltas, name=name) if settings.deltas else None

    @property
    def reach_frames(self) -> int:
        """Frames on either side that a frame's deltas depend on."""
        return SLOPE_REACH * self.order

    def num_outputs(self, num_features: int) -> int:
        """Numbers in a frame behind the stage: as many again for each order."""
        return num_features * (1 + self.order)

    def least_deviations(self, least_D: np.ndarray) -> np.ndarray:
        """Slopes of what hardly changes are a tenth of it."""
        return np.concatenate([least_D, *[least_D / 10] * self.order])

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
        """`log_mel_BTM`, `num_frames_B` -> [B, T, M * (1 + order)]: the values, their slopes, the slopes' slopes."""
        groups = [log_mel]
        for _ in range(self.order):
            groups.append(self._slopes(groups[-1], num_frames))
        return mask_time(tf.concat(groups, axis=2), num_frames)

    @staticmethod
    def _slopes(values_BTD: tf.Tensor, num_frames_B: tf.Tensor) -> tf.Tensor:
        frames_T = tf.range(tf.shape(values_BTD)[1])
        is_last_BT = frames_T == num_frames_B[:, None] - 1
        # Sums of one frame each, and of none where a row has none: a gather refuses such a row.
        last_B1D = tf.reduce_sum(tf.where(is_last_BT[:, :, None], values_BTD, 0.0), axis=1, keepdims=True)
        first_B1D = tf.reduce_sum(values_BTD[:, :1], axis=1, keepdims=True)
        values_BTD = tf.where((frames_T < num_frames_B[:, None])[:, :, None], values_BTD, last_B1D)
        ends = [first_B1D] * SLOPE_REACH, [last_B1D] * SLOPE_REACH
        return slopes(tf.concat([*ends[0], values_BTD, *ends[1]], axis=1))

    def chunk(self, values_1TD: tf.Tensor, *, first_frame: tf.Tensor, end_frame: tf.Tensor) -> tf.Tensor:
        """A window of a stream (`Stage.chunk`)."""
        # The utterance's first and last frames stand for those beyond them, as in `call`.
        nearest_T = tf.clip_by_value(tf.range(values_1TD.shape[1]), first_frame, tf.maximum(end_frame - 1, first_frame))
        groups = [values_1TD]
        for _ in range(self.order):
            found = slopes(tf.gather(groups[-1], nearest_T, axis=1))
            groups.append(tf.pad(found, [[0, 0], [SLOPE_REACH, SLOPE_REACH], [0, 0]]))
        return tf.concat(groups, axis=2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}


@keras.saving.register_keras_serializable(package="speechgru")
class GlobalNormalization(Stage):
    """Mean 0 and deviation 1 for each number over the training corpus; frames beyond a length stay zeros.

    The statistics are weights that training never changes: they travel with the run and into the exported graph,
    and a frame needs no other frame, so that a stream is normalised as training was.

    Args:
        num_features: numbers a frame.
    """

    def __init__(self, *, num_features: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_features = num_features
        self.mean_D = self.add_weight(name="mean", shape=(num_features,), initializer="zeros", trainable=False)
        self.deviation_D = self.add_weight(name="deviation", shape=(num_features,), initializer="ones", trainable=False)
        self.built = True

    def set_statistics(self, mean_D: np.ndarray, deviation_D: np.ndarray) -> None:
        """Assigns the corpus's statistics, each [num_features].

        Raises:
            ValueError: a deviation is not above 0: a number never changed over the corpus.
        """
        if not (np.isfinite(mean_D).all() and np.isfinite(deviation_D).all() and (deviation_D > 0).all()):
            raise ValueError("the normalisation statistics must be finite, with deviations above 0")
        self.mean_D.assign(mean_D)
        self.deviation_D.assign(deviation_D)

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
        """Normalises `log_mel_BTD` where frames are real, by `num_frames_B`."""
        return mask_time(self.normalize(log_mel), num_frames)

    def normalize(self, log_mel_BTD: tf.Tensor) -> tf.Tensor:
        """Normalises frames, each on its own."""
        return (log_mel_BTD - self.mean_D) / self.deviation_D

    def chunk(self, values_1TD: tf.Tensor, *, first_frame: tf.Tensor, end_frame: tf.Tensor) -> tf.Tensor:
        """A window of a stream (`Stage.chunk`)."""
        return self.normalize(values_1TD)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_features": self.num_features}


@keras.saving.register_keras_serializable(package="speechgru")
class UtteranceNormalization(Stage):
    """Mean 0 and deviation 1 for each number over the utterance's own frames; frames beyond its length stay zeros.

    It removes a microphone's level and colour, and needs the whole utterance: it cannot stream.

    Args:
        deviation_floor: the least deviation to divide by, so that what hardly changes (digital silence) stays small.
    """

    def __init__(self, *, deviation_floor: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        if deviation_floor <= 0:
            raise ValueError(f"deviation_floor must be above 0, got {deviation_floor}")
        self.deviation_floor = float(deviation_floor)

    @property
    def stream_obstacle(self) -> str | None:
        """Why a stream cannot compute it, and which key to change."""
        return (
            "features.normalization is utterance: a frame is normalised by its whole utterance, which a stream does "
            "not know; train with features.normalization global, running or none"
        )

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
        """Normalises `log_mel_BTD` where frames are real, by `num_frames_B`."""
        count_B11 = tf.cast(tf.maximum(num_frames, 1), tf.float32)[:, None, None]
        values_BTD = mask_time(log_mel, num_frames)
        for _ in range(2):  # a float32 sum of thousands of values near -10 is a little off; that of what is left is not
            mean_B1D = tf.reduce_sum(values_BTD, axis=1, keepdims=True) / count_B11
            values_BTD = mask_time(values_BTD - mean_B1D, num_frames)
        variance_B1D = tf.reduce_sum(tf.square(values_BTD), axis=1, keepdims=True) / count_B11
        # The floor stands under the root, whose slope at 0 is infinite.
        return values_BTD / tf.sqrt(tf.maximum(variance_B1D, self.deviation_floor**2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "deviation_floor": self.deviation_floor}


def make_normalization(
    settings: Any, *, num_features: int, name: str
) -> GlobalNormalization | UtteranceNormalization | None:
    """The normalisation that the section `features` asks for (`features.STAGES`)."""
    if settings.normalization in ("global", "running"):  # `smoothing.RunningMean` takes the running mean off before
        return GlobalNormalization(num_features=num_features, name=name)
    return UtteranceNormalization(name=name) if settings.normalization == "utterance" else None


def mask_time(values_BTD: tf.Tensor, num_frames_B: tf.Tensor) -> tf.Tensor:
    """Zeros beyond each row's length: `values_BTD`, `num_frames_B` -> `values_BTD`."""
    mask_BT = tf.sequence_mask(num_frames_B, tf.shape(values_BTD)[1])
    return tf.where(mask_BT[:, :, None], values_BTD, tf.zeros((), values_BTD.dtype))
