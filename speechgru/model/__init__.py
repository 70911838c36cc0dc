"""The acoustic model: the front end, recurrent layers and a dense layer over the labels.

`build` makes it from a configuration. One description serves training, export and streams: `encoder` runs its `parts`
whole or chunk by chunk, and a `direction` (`forward`, `bidirectional`, `chunked`) decides how the recurrent layers run.

>>> import numpy as np
>>> from speechgru.config import RunConfig
>>> config = RunConfig.model_validate(
...     {"data": {"sample_rate": 8000}, "model": {"units": 8, "num_layers": 1, "direction": "forward"}}
... )
>>> model = build_model(config, 30)
>>> isinstance(model, AcousticModel), [*model.encoder.layers_with_weights]
(True, ['subsampling', 'norm_0', 'gru_0', 'logits'])
>>> predictor = KerasPredictor(model)
>>> predictor.log_probs(np.zeros(8000, np.float32)).shape
(51, 30)
>>> front_end = build_front_end(config)
>>> encoder = build_encoder(config, 30, num_features=front_end.num_features)
>>> isinstance(encoder, Encoder), [*DIRECTIONS]
(True, ['bidirectional', 'forward', 'chunked'])

Its layers:

>>> import tensorflow as tf
>>> steps_BSD, num_steps_B = ConvSubsampling(factor=2, channels=8)(tf.zeros([1, 6, 4]), tf.constant([5]))
>>> steps_BSD.shape, num_steps_B.numpy().tolist()
(TensorShape([1, 3, 8]), [3])
>>> LookaheadConvolution(lookahead_steps=2)(steps_BSD, num_steps_B).shape
TensorShape([1, 3, 8])
>>> windows_RSD, num_steps_R = ToWindows(chunk_steps=2, lookahead_steps=1)(steps_BSD, num_steps_B)
>>> windows_RSD.shape, FromWindows(chunk_steps=2)(windows_RSD, steps_BSD).shape
(TensorShape([2, 3, 8]), TensorShape([1, 3, 8]))
>>> RealStepsNormalization()(steps_BSD, num_steps_B).shape
TensorShape([1, 3, 8])
"""

from speechgru.keras_backend import require_tensorflow

require_tensorflow()

from speechgru.model.build import DIRECTIONS, AcousticModel, build_encoder, build_front_end, build_model
from speechgru.model.direction import Direction, StreamSteps
from speechgru.model.encoder import Encoder
from speechgru.model.layers import ConvSubsampling, FromWindows, LookaheadConvolution, ToWindows
from speechgru.model.normalization import RealStepsNormalization
from speechgru.model.parts import Chunk, Part, Rows
from speechgru.model.predictor import KerasPredictor

__all__ = [
    "DIRECTIONS",
    "AcousticModel",
    "Chunk",
    "ConvSubsampling",
    "Direction",
    "Encoder",
    "FromWindows",
    "KerasPredictor",
    "LookaheadConvolution",
    "Part",
    "RealStepsNormalization",
    "Rows",
    "StreamSteps",
    "ToWindows",
    "build_encoder",
    "build_front_end",
    "build_model",
]
