"""The one front end: samples -> log-mel -> stages over frames; in training, in the exported graph, in a stream.

An utterance's features never depend on its batch mates, nor on the padding. `log_mel` computes frames, `frames` has the
stages behind it, and `front_end` runs them over whole utterances and over windows of a stream. To add a stage, write
its module and name it in `STAGES`.

>>> import numpy as np, tensorflow as tf
>>> hz = mel_to_hz(hz_to_mel(1000.0))
>>> round(float(hz)), mel_filters(sample_rate=16000, n_fft=512, n_mels=40, f_min=0.0, f_max=8000.0).shape
(1000, (257, 40))
>>> samples_BN = np.random.default_rng(0).standard_normal([1, 1600]).astype(np.float32)
>>> layer = LogMel(
...     sample_rate=16000, frame_length=400, hop_length=160, n_fft=512, n_mels=40, f_min=0.0, f_max=8000.0
... )
>>> log_mel_BTM, num_frames_B = layer(samples_BN, tf.constant([1600]))
>>> log_mel_BTM.shape, num_frames_B.numpy().tolist()
(TensorShape([1, 11, 40]), [11])
>>> dither(tf.zeros([4]), tf.constant([0, 1]), deviation=1e-5).shape
TensorShape([4])
>>> slopes(tf.zeros([1, 11, 40])).shape
TensorShape([1, 7, 40])
>>> mask_time(tf.ones([1, 3, 1]), tf.constant([2]))[0, :, 0].numpy().tolist()
[1.0, 1.0, 0.0]

The stages behind it, by a configuration's section `features`:

>>> from speechgru.config import FeaturesConfig
>>> stages = make_stages(FeaturesConfig(n_mels=40, deltas=1), num_features=40)
>>> isinstance(stages[0], Stage), [type(stage) for stage in stages] == [Deltas, GlobalNormalization]
(True, True)
>>> stages = make_stages(FeaturesConfig(n_mels=40, compression="pcen", normalization="running"), num_features=40)
>>> [type(stage) for stage in stages] == [PCEN, RunningMean, GlobalNormalization]
True
>>> isinstance(stages[0], SmoothingStage), smooth(tf.ones([1, 3, 1]), 0.5)[0, :, 0].numpy().tolist()
(True, [0.5, 0.75, 0.875])
>>> log_mel_BTM.shape == UtteranceNormalization()(log_mel_BTM, num_frames_B).shape
True
"""

from speechgru.keras_backend import require_tensorflow

require_tensorflow()

from collections.abc import Callable
from typing import Any

from speechgru.features.frames import (
    SLOPE_REACH,
    Deltas,
    GlobalNormalization,
    Stage,
    UtteranceNormalization,
    make_normalization,
    mask_time,
    slopes,
)
from speechgru.features.front_end import FrontEnd
from speechgru.features.log_mel import SPECTRA, LogMel, dither
from speechgru.features.smoothing import PCEN, RunningMean, SmoothingStage, smooth
from speechgru.mel import MEL_SCALES, hz_to_mel, mel_filters, mel_to_hz

#: The stages behind the log-mel in their order, each by its Keras layer's name: a function of the section `features`
#: of a configuration and of `num_features` and `name`, which makes the stage, or None where the section has none.
STAGES: dict[str, Callable[..., Stage | None]] = {
    "pcen": PCEN.from_settings,
    "running_mean": RunningMean.from_settings,
    "deltas": Deltas.from_settings,
    "normalization": make_normalization,
}


def make_stages(settings: Any, *, num_features: int) -> list[Stage]:
    """The stages that a configuration asks for.

    Args:
        settings: the section `features` of a configuration.
        num_features: numbers in a frame of the log-mel.
    """
    stages = []
    for name, make in STAGES.items():
        stage = make(settings, num_features=num_features, name=name)
        if stage is not None:
            stages.append(stage)
            num_features = stage.num_outputs(num_features)
    return stages


__all__ = [
    "MEL_SCALES",
    "PCEN",
    "SLOPE_REACH",
    "SPECTRA",
    "STAGES",
    "Deltas",
    "FrontEnd",
    "GlobalNormalization",
    "LogMel",
    "RunningMean",
    "SmoothingStage",
    "Stage",
    "UtteranceNormalization",
    "dither",
    "hz_to_mel",
    "make_stages",
    "mask_time",
    "mel_filters",
    "mel_to_hz",
    "slopes",
    "smooth",
]
