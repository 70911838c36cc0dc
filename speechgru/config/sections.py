"""The run configuration: typed, strict, from YAML and dotted overrides.

Every key is explained once, with its unit and reason, in `configs/base.yaml`; a test holds that file and these types
together. Units stand in the names: `_ms`, `_hz`, `_seconds`, `_db`; anything else is a count or a share.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from speechgru.augment import STAGES, Stage
from speechgru.config.section import Section
from speechgru.config.text_section import TextConfig
from speechgru.mel import require_bins
from speechgru.ranges import Count, Milliseconds, NonNegative, NonNegativeInt, Positive, Rate, Share
from speechgru.visible import counted

#: Every key of the stages of augmentation, with its type and default: a new stage brings its own.
_STAGE_KEYS: Any = {key: (field.annotation, field) for stage in STAGES for key, field in stage.model_fields.items()}

#: See `train.quiet_start_ms` in configs/base.yaml.
_FORWARD_QUIET_START_MS = 200.0


class DataConfig(Section):
    """Which manifests, and what of them may be used."""

    train: tuple[str, ...] = pydantic.Field(default=(), strict=False)
    train_weights: tuple[Positive, ...] = pydantic.Field(default=(), strict=False)
    dev: str | None = None
    negatives: tuple[str, ...] = pydantic.Field(default=(), strict=False)
    grammar: str | None = None
    sample_rate: Annotated[int, pydantic.Field(ge=4000, le=192000)] = 16000
    min_duration_seconds: NonNegative = 0.1
    max_duration_seconds: Positive = 30.0
    max_skipped_share: Share = 0.1
    joined_share: Share = 0.0
    joined_seconds: Positive = 12.0
    audio_engine: Literal["auto", "soundfile", "tensorflow_io"] = "auto"
    num_workers: Count = 2
    cache_folder: str | None = None
    cache_gigabytes: Positive = 20.0
    service: str | None = None

    @pydantic.field_validator("train", "negatives", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if not isinstance(value, str | bool | list | tuple):
            raise ValueError(f"must be a manifest or a list of manifests, got {value!r}")
        return (value,) if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _negatives_beside_commands(self) -> DataConfig:
        if self.negatives and self.dev is None:
            raise ValueError("negatives pick the best weights together with dev, but dev names no manifest")
        return self

    @pydantic.model_validator(mode="after")
    def _joined_here(self) -> DataConfig:
        if self.joined_share and self.service is not None:
            raise ValueError(
                "joined_share joins recordings that this process reads, and service names workers that read them one "
                "by one; take one of the two out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _a_weight_each(self) -> DataConfig:
        if self.train_weights and len(self.train_weights) != len(self.train):
            raise ValueError(
                f"train_weights has {counted(len(self.train_weights), 'number')} for "
                f"{counted(len(self.train), 'manifest')} in train; give one for each, or none"
            )
        return self


class CheckConfig(Section):
    """When a recording or transcript is suspect, and which suspects are left out."""

    silent_below_db: Annotated[float, pydantic.Field(le=0, allow_inf_nan=False)] = -60.0
    clipped_share: Share = 0.005
    dc_offset: Share = 0.05
    duration_tolerance_seconds: NonNegative = 0.1
    text_outlier_deviations: Positive = 5.0
    #: Names of suspicions; `utterances.rules` knows them, and refuses others before anything is read.
    leave_out: tuple[str, ...] = pydantic.Field(default=("silent", "duration mismatch"), strict=False)


class FeaturesConfig(Section):
    """The log-mel front end."""

    frame_length_ms: Milliseconds = 25.0
    hop_length_ms: Milliseconds = 10.0
    n_mels: Count = 40
    mel_scale: Literal["slaney", "htk"] = "slaney"
    f_min_hz: NonNegative = 20.0
    f_max_hz: Positive | None = None
    spectrum: Literal["power", "magnitude"] = "power"
    center: bool = True
    preemphasis: Rate = 0.0
    dither: NonNegative = 0.0
    log_floor: Positive = 1e-8
    compression: Literal["log", "pcen"] = "log"
    pcen_seconds: Positive = 0.4
    pcen_gain: Share = 0.98
    pcen_bias: NonNegative = 2.0
    pcen_root: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.5
    deltas: Annotated[int, pydantic.Field(ge=0, le=2)] = 0
    normalization: Literal["global", "running", "utterance", "none"] = "global"
    running_seconds: Positive = 2.0


_StageKeys: Any = pydantic.create_model("_StageKeys", __base__=Section, **_STAGE_KEYS)


class AugmentConfig(_StageKeys):
    """What training does to recordings and spectrograms: the keys of `augment.STAGES`, and the ramp over them."""

    ramp_epochs: NonNegative = 0.0

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> AugmentConfig:
        for stage in self.stages:
            stage.require_consistent()
        return self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages with their keys' values."""
        return tuple(stage.of(self) for stage in STAGES)

    @property
    def manifests(self) -> dict[str, tuple[str, float]]:
        """The manifests that stages read, by their keys, with the most seconds of a recording (`Stage.manifests`)."""
        named = {key: (getattr(self, key), most) for stage in STAGES for key, most in stage.manifests.items()}
        return {key: (path, most) for key, (path, most) in named.items() if path is not None}


class ModelConfig(Section):
    """The acoustic model."""

    subsampling_factor: Annotated[int, pydantic.Field(ge=1, le=8)] = 2
    subsampling_channels: Count = 128
    direction: Literal["bidirectional", "forward", "chunked"] = "bidirectional"
    chunk_frames: Count = 48
    lookahead_frames: NonNegativeInt = 0
    num_layers: Annotated[int, pydantic.Field(ge=1, le=12)] = 2
    units: Count = 128
    normalization: Literal["none", "layer", "batch"] = "layer"
    dropout: Rate = 0.1
    reset_after: bool = True
    update_gate: Literal["keep", "write"] = "keep"

    @pydantic.model_validator(mode="after")
    def _whole_steps(self) -> ModelConfig:
        if self.direction == "bidirectional" and self.lookahead_frames:
            raise ValueError(
                f"lookahead_frames is {self.lookahead_frames}, but a bidirectional model reads the whole utterance "
                "first; set it to 0, or direction to forward or chunked"
            )
        counted = {"lookahead_frames": self.lookahead_frames}
        if self.direction == "chunked":
            counted["chunk_frames"] = self.chunk_frames
        for name, frames in counted.items():
            if frames % self.subsampling_factor:
                raise ValueError(
                    f"{name} ({frames}) must be a multiple of subsampling_factor ({self.subsampling_factor}): a step "
                    "stands for this many frames"
                )
        return self

    @property
    def chunk_steps(self) -> int:
        """Steps from one window of a chunked model to the next."""
        return self.chunk_frames // self.subsampling_factor

    @property
    def lookahead_steps(self) -> int:
        """Steps that a step waits for beyond its own, or beyond its chunk."""
        return self.lookahead_frames // self.subsampling_factor


class TrainConfig(Section):
    """The optimisation: how a run goes, how long, and what is kept of it."""

    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] = 0
    deterministic: bool = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    start_from: str | None = None
    freeze: tuple[str, ...] = pydantic.Field(default=(), strict=False)
    batch_size: Count = 32
    batch_frames: Count | None = None
    accumulate: Annotated[int, pydantic.Field(ge=1, le=1024)] = 1
    sorted_first_epoch: bool = False
    max_steps: Count = 1500
    max_epochs: Positive | None = None
    max_minutes: Positive | None = None
    patience: Count | None = None
    optimizer: Literal["adamw", "adam", "lion", "sgd"] = "adamw"
    learning_rate: Positive = 4e-3
    schedule: Literal["cosine", "noam", "plateau", "constant"] = "cosine"
    warmup_steps: NonNegativeInt = 100
    plateau_patience: Count = 2
    plateau_factor: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.5
    weight_decay: NonNegative = 1e-3
    clip_norm: Positive = 5.0
    quiet_start_ms: NonNegative | None = None
    spelling_weight: NonNegative = 0.3
    ema: Rate = 0.0
    ctc: Literal["auto", "compiled", "op", "xla"] = "auto"
    max_dropped_in_a_row: Count = 10
    monitor: Literal["auto", "wer", "cer"] = "auto"
    evaluate_every_steps: Count = 250
    false_accepts_per_hour: NonNegative = 1.0
    checkpoint_every_steps: Count = 250
    keep_last: Count = 2
    show_examples: NonNegativeInt = 3

    @pydantic.field_validator("freeze", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.accumulate > self.batch_size and self.batch_frames is None:
            raise ValueError(
                f"accumulate ({self.accumulate}) must not exceed batch_size ({self.batch_size}): it is the number of "
                "parts that a batch is computed in"
            )
        if self.schedule == "noam" and not self.warmup_steps:
            raise ValueError("schedule noam falls from the end of its warm-up on; set warmup_steps to at least 1")
        return self


class RunConfig(Section):
    """All of a run's configuration; `load_config` makes one from a file."""

    data: DataConfig = DataConfig()
    check: CheckConfig = CheckConfig()
    text: TextConfig = TextConfig()
    features: FeaturesConfig = FeaturesConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        nyquist = self.data.sample_rate / 2
        f_max = self.f_max_hz
        if f_max > nyquist:
            raise ValueError(
                f"features.f_max_hz ({f_max:g}) must not exceed half of data.sample_rate ({nyquist:g}); "
                "leave it null to use that half"
            )
        if self.features.f_min_hz >= f_max:
            raise ValueError(
                f"features.f_min_hz ({self.features.f_min_hz:g}) must be below features.f_max_hz ({f_max:g})"
            )
        if self.hop_length < 1 or self.frame_length < 2:
            raise ValueError("features.hop_length_ms and frame_length_ms must span at least 1 and 2 samples")
        require_bins(
            sample_rate=self.data.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.features.n_mels,
            f_min=self.features.f_min_hz,
            f_max=f_max,
            mel_scale=self.features.mel_scale,
        )
        if self.train.batch_frames is not None:
            is_joined = self.data.joined_share and self.data.joined_seconds > self.data.max_duration_seconds
            key = "joined_seconds" if is_joined else "max_duration_seconds"
            seconds = getattr(self.data, key)
            longest = round(seconds * self.data.sample_rate / self.hop_length) + 1
            if self.train.batch_frames < longest:
                raise ValueError(
                    f"train.batch_frames ({self.train.batch_frames:,}) must hold an utterance of "
                    f"data.{key} ({seconds:g}: {longest:,} frames)"
                )
        waiting = {
            "train.schedule": self.train.schedule == "plateau",
            "train.patience": self.train.patience is not None,
        }
        for key, waits in waiting.items():
            if waits and self.data.dev is None:
                raise ValueError(f"{key} waits for a better dev score, but data.dev names no manifest")
        if self.data.min_duration_seconds >= self.data.max_duration_seconds:
            raise ValueError("data.min_duration_seconds must be below data.max_duration_seconds")
        return self

    @property
    def f_max_hz(self) -> float:
        """The highest mel filter's edge in Hz, half the sample rate where none is configured."""
        return self.data.sample_rate / 2 if self.features.f_max_hz is None else self.features.f_max_hz

    @property
    def frame_length(self) -> int:
        """Samples under one window."""
        return round(self.features.frame_length_ms * self.data.sample_rate / 1000)

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return round(self.features.hop_length_ms * self.data.sample_rate / 1000)

    @property
    def n_fft(self) -> int:
        """Samples under one transform: the smallest power of two that holds a window."""
        return 1 << (self.frame_length - 1).bit_length()

    @property
    def quiet_start_ms(self) -> float:
        """Milliseconds at the start of which the loss asks for silence; a forward model's own where none are given."""
        if self.train.quiet_start_ms is not None:
            return self.train.quiet_start_ms
        return _FORWARD_QUIET_START_MS if self.model.direction == "forward" else 0.0

    @property
    def step_seconds(self) -> float:
        """Seconds from one output step to the next."""
        return self.hop_length * self.model.subsampling_factor / self.data.sample_rate
