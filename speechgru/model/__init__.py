"""The acoustic model: the front end, recurrent layers and a dense layer over the labels.

`build` makes it from a configuration. One description serves training, export and streams: `encoder` runs its `parts`
whole or chunk by chunk, and a `direction` (`forward`, `bidirectional`, `chunked`) decides how the recurrent layers run.
"""

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
