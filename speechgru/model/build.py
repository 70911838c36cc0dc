"""From a configuration to a Keras model: samples -> features -> subsampling -> recurrent layers -> logits.

Precision is a matter of layers, never of Keras' global policy. Where it is mixed, the convolution and the GRU layers,
which have nearly all products, compute with 16-bit operands; variables, the front end, dropout, normalisation, the
recurrent state (`gru.GRU`) and the logits stay float32. What stays costs little, and so every precision has the same
variables in the same order and draws the same dropout masks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.errors import UserError
from speechgru.features import FrontEnd, LogMel, make_stages
from speechgru.lengths import StreamGeometry
from speechgru.model.bidirectional import Bidirectional
from speechgru.model.chunked import Chunked
from speechgru.model.direction import Direction
from speechgru.model.encoder import Encoder
from speechgru.model.forward import Forward
from speechgru.model.parts import BatchNormalization, LayerNormalization, Part, States

#: How recurrent layers may run over time: `model.direction` of a configuration.
DIRECTIONS: dict[str, type[Direction]] = {
    "bidirectional": Bidirectional,
    "forward": Forward,
    "chunked": Chunked,
}

#: What may stand before each recurrent layer: `model.normalization` of a configuration.
NORMALIZATIONS: dict[str, Callable[[str], Part] | None] = {
    "none": None,
    "layer": LayerNormalization,
    "batch": BatchNormalization,
}

#: Keras' dtype policies that training may run in.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def build_front_end(config: RunConfig) -> FrontEnd:
    """`samples_BN`, `num_samples_B` -> `features_BTD`, `num_frames_B`; its stages are those of `features.STAGES`."""
    settings = config.features
    log_mel = LogMel(
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
    )
    return FrontEnd(log_mel, make_stages(settings, num_features=settings.n_mels))


def build_encoder(
    config: RunConfig,
    num_classes: int,
    *,
    num_features: int,
    implementation: str = "auto",
    precision: str = "float32",
) -> Encoder:
    """`features_BTD`, `num_frames_B` -> `logits_BSV`, `num_steps_B`.

    Args:
        config: the run's configuration.
        num_classes: classes, blank included.
        num_features: numbers in a frame of features (`FrontEnd.num_features`).
        implementation, precision: as in `build_model`.

    Raises:
        ValueError: no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    make_direction = DIRECTIONS[config.model.direction]
    return Encoder(
        config.model,
        num_classes,
        num_features=num_features,
        direction=make_direction(config, implementation=implementation, precision=precision),
        normalization=NORMALIZATIONS[config.model.normalization],
        precision=precision,
        seed=config.train.seed,
    )


@keras.saving.register_keras_serializable(package="speechgru")
class AcousticModel(keras.Model):
    """The whole recogniser: `samples_BN`, `num_samples_B` -> `logits_BSV`, `num_steps_B`.

    A Keras model for training, saving and scoring; its parts, `front_end` and `encoder`, know how a stream computes
    the same. Arguments as in `build_model`, which also seeds the first weights.
    """

    front_end: FrontEnd
    encoder: Encoder

    def __init__(
        self,
        config: RunConfig,
        num_classes: int,
        *,
        implementation: str = "auto",
        precision: str = "float32",
        name: str = "speechgru",
    ):
        samples = keras.Input((None,), name="samples", dtype="float32")
        num_samples = keras.Input((), name="num_samples", dtype="int32")
        front_end = build_front_end(config)
        features, num_frames = front_end.model([samples, num_samples])
        encoder = build_encoder(
            config,
            num_classes,
            num_features=front_end.num_features,
            implementation=implementation,
            precision=precision,
        )
        logits, num_steps = encoder.model([features, num_frames])
        super().__init__([samples, num_samples], [logits, num_steps], name=name)
        self.config, self.front_end, self.encoder = config, front_end, encoder
        self._num_classes, self._implementation, self._precision = num_classes, implementation, precision

    # -- streams -------------------------------------------------------------------------------------------------------

    @property
    def stream_obstacle(self) -> str | None:
        """Why it cannot stream, and which key to change; None where it can."""
        return self.encoder.direction.stream_obstacle or self.front_end.stream_obstacle

    def stream_geometry(self) -> StreamGeometry:
        """What one call of a stream covers.

        Raises:
            UserError: it cannot stream; the message names the key to change.
        """
        if self.stream_obstacle is not None:
            raise UserError(self.stream_obstacle)
        log_mel, steps = self.front_end.log_mel, self.encoder.direction.stream_steps()
        return StreamGeometry(
            frame_length=log_mel.frame_length,
            n_fft=log_mel.n_fft,
            hop_length=log_mel.hop_length,
            center=log_mel.center,
            slope_frames=self.front_end.reach_frames,
            leading_samples=int(log_mel.preemphasis > 0),
            subsampling_factor=self.encoder.subsampling.factor,
            chunk_steps=steps.chunk_steps,
            lookahead_steps=steps.lookahead_steps,
            delay_steps=steps.delay_steps,
        )

    def state_shapes(self) -> dict[str, list[int]]:
        """The shapes of a stream's state by name, all float32: `context`, then the front end's and the encoder's.

        Raises:
            UserError: it cannot stream.
        """
        geometry = self.stream_geometry()
        states = {**self.front_end.state_shapes(), **self.encoder.state_shapes(geometry)}
        return {"context": [1, geometry.context_samples], **states}

    def stream_record(self) -> dict[str, Any] | None:
        """What `bundle.json` holds of the stream: its geometry and its state's shapes; None where there is none."""
        if self.stream_obstacle is not None:
            return None
        geometry = self.stream_geometry()
        names = ("chunk_samples", "context_samples", "samples_before", "window_samples", "window_frames")
        sizes = {name: getattr(geometry, name) for name in (*names, "chunk_frames", "frames_before", "first_samples")}
        sizes["prefilled_samples"] = geometry.first_samples - geometry.chunk_samples
        return {"geometry": dataclasses.asdict(geometry), "sizes": sizes, "states": self.state_shapes()}

    def chunk(self, samples_1N: tf.Tensor, bounds: tf.Tensor, states: States) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """One call of a stream.

        Args:
            samples_1N: the call's new samples, `chunk_samples` of them.
            bounds: int32 [4] (`StreamGeometry.bounds`).
            states: the state before the call, by the names of `state_shapes`. All begin as zeros, but `context`, the
                samples before the call's: it ends with the recording's first ones (`first_samples` less
                `chunk_samples` of them).

        Returns:
            `logits_1SV`, `chunk_steps` steps, and the state after the call.
        """
        geometry = self.stream_geometry()
        window_1N = tf.concat([states["context"], samples_1N], axis=1)
        features_1TD, front_end_after = self.front_end.chunk(window_1N, bounds, states, geometry=geometry)
        end_frame = bounds[3] - geometry.frames_before
        logits_1SV, after = self.encoder.chunk(features_1TD, end_frame, states, geometry=geometry)
        return logits_1SV, {"context": window_1N[:, geometry.chunk_samples :], **front_end_after, **after}

    # -- Keras' own files ----------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump(mode="json"),
            "num_classes": self._num_classes,
            "implementation": self._implementation,
            "precision": self._precision,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AcousticModel:
        del custom_objects
        return cls(RunConfig.model_validate(config.pop("config")), **config)


def build_model(
    config: RunConfig, num_classes: int, *, implementation: str = "auto", precision: str = "float32"
) -> AcousticModel:
    """The whole recogniser with new weights, which `train.seed` draws. The caller's random numbers stay as they are.

    Args:
        config: the run's configuration.
        num_classes: classes, blank included: `len(vocabulary)`.
        implementation: how the GRU layers run; every choice has the same weights.
        precision: one of `PRECISIONS`; every choice has the same weights, all float32. Evaluation and export take
            float32; `mixed_float16` needs the loss scaled, because a small gradient is 0 in float16.

    Returns:
        The model; training augments between its `front_end` and its `encoder`.

    Raises:
        ValueError: no such precision.
    """
    with drawn_from(config.train.seed):
        return AcousticModel(config, num_classes, implementation=implementation, precision=precision)


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Within it a seed draws the weights of new layers; the caller's random numbers stay as they are.

    Where it is given no seed Keras draws one from Python's generator, which is the caller's; `set_random_seed` would
    also begin those of NumPy and TensorFlow anew.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
