"""What hears: the front end, GRU layers and a dense layer over the labels."""

from speechgru.model.build import build_encoder, build_front_end, build_model
from speechgru.model.layers import ConvSubsampling, FromWindows, LookaheadConvolution, ToWindows
from speechgru.model.normalization import RealStepsNormalization

__all__ = [
    "ConvSubsampling",
    "FromWindows",
    "LookaheadConvolution",
    "RealStepsNormalization",
    "ToWindows",
    "build_encoder",
    "build_front_end",
    "build_model",
]
