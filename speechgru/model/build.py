"""From a configuration to a Keras model: samples -> log-mel -> subsampling -> GRU layers -> logits.

Precision is a matter of layers, never of Keras' global policy. Where it is mixed, the convolution and the GRU layers,
which have nearly all products, compute with 16-bit operands; variables, the front end, dropout, normalisation, the
recurrent state (`gru.GRU`) and the logits stay float32. What stays costs little, and so every precision has the same
variables in the same order and draws the same dropout masks.
"""

from __future__ import annotations

import keras

from speechgru.config.sections import RunConfig
from speechgru.features import Deltas, GlobalNormalization, LogMel, UtteranceNormalization
from speechgru.gru import GRU, BiGRU, ChunkedBiGRU
from speechgru.model.layers import ConvSubsampling, FromWindows, LookaheadConvolution, ToWindows
from speechgru.model.normalization import RealStepsNormalization

_LAYER_TYPES = {"bidirectional": BiGRU, "forward": GRU, "chunked": ChunkedBiGRU}

#: Keras' dtype policies that training may run in.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def build_front_end(config: RunConfig) -> keras.Model:
    """`samples_BN`, `num_samples_B` -> normalised `log_mel_BTD`, `num_frames_B`.

    Its layers are `log_mel`, `deltas` where there are any, and `normalization` unless there is none; so
    `features.unnormalized` finds what stands before the normalisation, and `features.FrontEndStream` streams it.
    """
    settings = config.features
    samples = keras.Input((None,), name="samples", dtype="float32")
    num_samples = keras.Input((), name="num_samples", dtype="int32")
    log_mel, num_frames = LogMel(
        sample_rate=config.data.sample_rate,
        frame_length=config.frame_length,
        hop_length=config.hop_length,
        n_fft=config.n_fft,
        n_mels=settings.n_mels,
        f_min=settings.f_min_hz,
        f_max=config.f_max_hz,
        mel_scale=settings.mel_scale,
        spectrum=settings.spectrum,
        preemphasis=settings.preemphasis,
        center=settings.center,
        log_floor=settings.log_floor,
        name="log_mel",
    )(samples, num_samples)
    if settings.deltas:
        log_mel = Deltas(order=settings.deltas, name="deltas")(log_mel, num_frames)
    if settings.normalization == "global":
        log_mel = GlobalNormalization(num_features=config.num_features, name="normalization")(log_mel, num_frames)
    elif settings.normalization == "utterance":
        log_mel = UtteranceNormalization(name="normalization")(log_mel, num_frames)
    return keras.Model([samples, num_samples], [log_mel, num_frames], name="front_end")


def build_encoder(
    config: RunConfig, num_classes: int, *, implementation: str = "auto", precision: str = "float32"
) -> keras.Model:
    """Normalised `log_mel_BTD`, `num_frames_B` -> `logits_BSV`, `num_steps_B`; arguments as in `build_model`.

    Its layers with weights are `subsampling`, `norm_0` (unless there is no normalisation), `gru_0`, `norm_1`, `gru_1`,
    ..., `lookahead` (where a forward model looks ahead), `logits`. A chunked model's GRU layers run over windows, which
    `windows` makes and `steps` joins again.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    settings = config.model
    log_mel = keras.Input((None, config.num_features), name="log_mel", dtype="float32")
    num_frames = keras.Input((), name="num_frames", dtype="int32")
    outputs, num_steps = ConvSubsampling(
        factor=settings.subsampling_factor,
        channels=settings.subsampling_channels,
        dtype=precision,
        name="subsampling",
    )(log_mel, num_frames)
    subsampled, lengths_of_rows = outputs, num_steps
    if settings.direction == "chunked":
        outputs, num_steps = ToWindows(
            chunk_steps=settings.chunk_steps, lookahead_steps=settings.lookahead_steps, dtype=precision, name="windows"
        )(outputs, num_steps)
    for number in range(settings.num_layers):
        outputs = _dropout(config, number, name=f"dropout_{number}")(outputs)
        if settings.normalization == "layer":
            outputs = keras.layers.LayerNormalization(dtype="float32", name=f"norm_{number}")(outputs)
        elif settings.normalization == "batch":
            outputs = RealStepsNormalization(dtype="float32", name=f"norm_{number}")(outputs, num_steps)
        outputs = _LAYER_TYPES[settings.direction](
            settings.units,
            **({"chunk_steps": settings.chunk_steps} if settings.direction == "chunked" else {}),
            reset_after=settings.reset_after,
            update_gate=settings.update_gate,
            implementation=implementation,
            dtype=precision,
            name=f"gru_{number}",
        )(outputs, lengths=lengths_of_rows)
    num_steps = lengths_of_rows
    if settings.direction == "chunked":
        outputs = FromWindows(chunk_steps=settings.chunk_steps, dtype="float32", name="steps")(outputs, subsampled)
    elif settings.lookahead_steps:
        outputs = LookaheadConvolution(lookahead_steps=settings.lookahead_steps, dtype="float32", name="lookahead")(
            outputs, num_steps
        )
    outputs = _dropout(config, settings.num_layers, name="dropout")(outputs)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(outputs)
    return keras.Model([log_mel, num_frames], [logits, num_steps], name="encoder")


def _dropout(config: RunConfig, number: int, *, name: str) -> keras.layers.Layer:
    return keras.layers.Dropout(config.model.dropout, seed=config.train.seed + number, dtype="float32", name=name)


def build_model(
    config: RunConfig, num_classes: int, *, implementation: str = "auto", precision: str = "float32"
) -> keras.Model:
    """The whole recogniser: `samples_BN`, `num_samples_B` -> `logits_BSV`, `num_steps_B`.

    Args:
        config: the run's configuration.
        num_classes: classes, blank included: `len(vocabulary)`.
        implementation: how the GRU layers run; every choice has the same weights.
        precision: one of `PRECISIONS`; every choice has the same weights, all float32. Evaluation and export take
            float32; `mixed_float16` needs the loss scaled, because a small gradient is 0 in float16.

    Returns:
        A model with the layers `front_end` and `encoder`, so that training can augment between them.

    Raises:
        ValueError: no such precision.
    """
    keras.utils.set_random_seed(config.train.seed)
    samples = keras.Input((None,), name="samples", dtype="float32")
    num_samples = keras.Input((), name="num_samples", dtype="int32")
    log_mel, num_frames = build_front_end(config)([samples, num_samples])
    encoder = build_encoder(config, num_classes, implementation=implementation, precision=precision)
    logits, num_steps = encoder([log_mel, num_frames])
    return keras.Model([samples, num_samples], [logits, num_steps], name="speechgru")
