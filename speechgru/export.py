"""From a run to a bundle: one folder that hears what training heard, on a device or in a server."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru import __version__
from speechgru.config import RunConfig
from speechgru.errors import BundleError, UserError
from speechgru.evaluate import load_run, read_for_scoring
from speechgru.examination import read_utterance
from speechgru.features import GlobalNormalization
from speechgru.files import write_json
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, make_provenance
from speechgru.runtime import BUNDLE_VERSION
from speechgru.text import BLANK_ID

#: How the weights of a TFLite file may be stored.
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")
FORMATS = ("tflite", "savedmodel")

#: Operators that the int8 form leaves in floats; the convolution and the products remain.
_FLOAT_OPERATORS = (
    *("ADD", "SUB", "MUL", "DIV", "NEG", "SQUARE", "SQUARED_DIFFERENCE", "RSQRT", "MEAN", "SUM", "MAXIMUM", "MINIMUM"),
    *("LOGISTIC", "TANH", "RELU", "SOFTMAX", "LOG_SOFTMAX", "WHILE", "BATCH_MATMUL", "FILL", "SELECT", "SELECT_V2"),
    *("CONCATENATION", "PAD", "PADV2", "RESHAPE", "STRIDED_SLICE", "SLICE", "GATHER", "TRANSPOSE", "SPLIT", "SPLIT_V"),
    *("PACK", "UNPACK", "EXPAND_DIMS", "SQUEEZE", "REVERSE_V2", "REVERSE_SEQUENCE", "DYNAMIC_UPDATE_SLICE"),
)

#: Recordings that an int8 export is calibrated on.
_CALIBRATION_UTTERANCES = 64


def export(
    run: str | Path,
    out: str | Path,
    *,
    quantize: Sequence[str] = ("none",),
    formats: Sequence[str] = ("tflite",),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Writes a bundle from a run's best weights.

    Args:
        run: the run folder.
        out: the bundle folder; one that is there is replaced once the new one is whole.
        quantize: TFLite forms: `none` (float32), `dynamic` (int8 weights), `float16` (float16 weights), `int8`
            (weights and activations outside the front end and the recurrent loop, calibrated on the run's dev
            recordings). The first is the bundle's default.
        formats: `tflite`, `savedmodel`, or both.
        progress: told before each form.

    Returns:
        The bundle's metadata, as in `bundle.json`.

    Raises:
        BundleError: no run there, or `out` is a folder that is not a bundle.
        UserError: an unknown form, or int8 without a dev manifest to calibrate on.
    """
    out = Path(out)
    _check_choices(quantize, QUANTIZATIONS, "quantization")
    _check_choices(formats, FORMATS, "format")
    if out.exists() and not (out / "bundle.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out}: is there already and is no bundle; choose another --out")
    config, vocabulary, model = load_run(run, implementation="portable")
    best = _best_dev_scores(RunFolder(Path(run)))
    function = trace(model)
    metadata: dict[str, Any] = {
        "bundle_version": BUNDLE_VERSION,
        "speechgru_version": __version__,
        "sample_rate": config.data.sample_rate,
        "step_seconds": config.step_seconds,
        "subsampling_factor": config.model.subsampling_factor,
        **vocabulary.as_record(),
        "blank_id": BLANK_ID,
        "text": dataclasses.asdict(config.text.rules),
        "features": {
            **config.features.model_dump(),
            "f_max_hz": config.f_max_hz,
            "frame_length": config.frame_length,
            "hop_length": config.hop_length,
            "n_fft": config.n_fft,
            **_statistics(model),
        },
        "model": config.model.model_dump(),
        "parameters": int(model.count_params()),
        "dev": best,
        "provenance": make_provenance(seed=config.train.seed),
        "models": {},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        made = Path(temporary) / "bundle"
        made.mkdir()
        forms = list(quantize) if "tflite" in formats else []
        total = len(forms) + ("savedmodel" in formats)
        for done, form in enumerate(forms):
            progress("exporting", done, total, f"TFLite {form}")
            name = "model.tflite" if form == forms[0] else f"model-{form}.tflite"
            content = to_tflite(function, form=form, calibration=lambda: _calibration(config))
            (made / name).write_bytes(content)
            metadata["models"][form] = {"file": name, "size_bytes": len(content)}
        metadata["default_form"] = forms[0] if forms else None
        if "savedmodel" in formats:
            progress("exporting", len(forms), total, "SavedModel")
            _save_model(model, made / "saved_model")
        progress("exporting", total, total, "")
        write_json(made / "bundle.json", metadata)
        _replace_folder(made, out)
    return metadata


def trace(model: Any) -> Any:
    """One utterance's `samples` [1, N] -> `log_probs` [1, S, V] as a concrete function."""

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name="samples")])
    def recognize(samples: tf.Tensor) -> dict[str, tf.Tensor]:
        num_samples = tf.reshape(tf.shape(samples)[1], [1])
        logits_BSV, _ = model([samples, num_samples], training=False)
        return {"log_probs": tf.nn.log_softmax(logits_BSV)}

    return recognize.get_concrete_function()


def to_tflite(function: Any, *, form: str, calibration: Callable[[], Iterator[np.ndarray]]) -> bytes:
    """Converts `trace`'s function with built-in operators only.

    Args:
        function: the concrete function.
        form: one of `QUANTIZATIONS`.
        calibration: gives `samples_N` arrays for `int8`.

    Returns:
        The TFLite file's bytes.

    Raises:
        UserError: an operator has no TFLite built-in; the message holds the converter's.
    """
    try:
        if form == "int8":
            return _to_int8(function, calibration)
        converter = _converter(function)
        if form != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
    except UserError:
        raise
    except Exception as error:  # the converter raises its own kinds, some of them plain Exception
        raise UserError(f"the TFLite form {form!r} cannot be made: {error}") from error


def _converter(function: Any) -> tf.lite.TFLiteConverter:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def _to_int8(function: Any, calibration: Callable[[], Iterator[np.ndarray]]) -> bytes:
    """Static 8-bit weights and activations in the convolution and the products outside the recurrent loop.

    The front end keeps its floats: samples and mel power span more decades than 8 bits. So does the loop, whose states
    the converter cannot carry in 8 bits. The converter's quantisation debugger is its public way to leave parts out.
    """

    def recordings() -> Iterator[list[np.ndarray]]:
        return ([samples_N[None]] for samples_N in calibration())

    names = _tensor_names(_converter(function).convert())
    converter = _converter(function)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = recordings
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=recordings,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=[name for name in names if "front_end" in name], denylisted_ops=list(_FLOAT_OPERATORS)
        ),
    )
    return debugger.get_nondebug_quantized_model()


def _tensor_names(content: bytes) -> list[str]:
    """The names of a TFLite model's tensors; one made by joining several operators counts under each of their names."""
    from ai_edge_litert.interpreter import Interpreter

    names = {tensor["name"] for tensor in Interpreter(model_content=content).get_tensor_details()}
    return sorted(names | {part for name in names for part in name.split(";")})


def _save_model(model: Any, path: Path) -> None:
    """A SavedModel whose default signature takes padded batches of samples with their lengths."""
    module = tf.Module()
    module.model = model

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.float32, name="samples"),
            tf.TensorSpec([None], tf.int32, name="num_samples"),
        ]
    )
    def recognize(samples: tf.Tensor, num_samples: tf.Tensor) -> dict[str, tf.Tensor]:
        logits_BSV, num_steps_B = model([samples, num_samples], training=False)
        return {"log_probs": tf.nn.log_softmax(logits_BSV), "num_steps": num_steps_B}

    module.recognize = recognize
    tf.saved_model.save(module, str(path), signatures={"serving_default": recognize})


def _statistics(model: Any) -> dict[str, list[float]]:
    """The corpus's mean and deviation of each feature, as the graph holds them; nothing where none are used."""
    layers = {layer.name: layer for layer in model.get_layer("front_end").layers}
    normalization = layers.get("normalization")
    if not isinstance(normalization, GlobalNormalization):
        return {}
    statistics = {"mean": normalization.mean_D, "deviation": normalization.deviation_D}
    return {name: [round(float(value), 6) for value in values.numpy()] for name, values in statistics.items()}


def _calibration(config: RunConfig) -> Iterator[np.ndarray]:
    if config.data.dev is None:
        raise UserError("int8 needs recordings to calibrate on; train with data.dev, or quantize dynamic")
    # The same recordings that training scored itself on: what it could not read is left out here too.
    examples, _ = read_for_scoring(config.data.dev, sample_rate=config.data.sample_rate, text=config.text.rules)
    for example in examples[:: max(1, len(examples) // _CALIBRATION_UTTERANCES)][:_CALIBRATION_UTTERANCES]:
        yield read_utterance(example.utterance, sample_rate=config.data.sample_rate).samples_N


def _best_dev_scores(folder: RunFolder) -> dict[str, Any] | None:
    scores = [record for record in folder.read_history() if record["kind"] == "dev"]
    if not scores:
        return None
    best = min(scores, key=lambda record: (record["wer"], -record["step"]))
    return {key: best[key] for key in ("step", "wer", "cer")}


def _check_choices(given: Sequence[str], known: Sequence[str], what: str) -> None:
    unknown = [value for value in given if value not in known]
    if unknown or not given:
        raise UserError(f"unknown {what} {', '.join(map(repr, unknown)) or '(none)'}; choose from {', '.join(known)}")
    if len(set(given)) != len(given):
        raise UserError(f"a {what} stands twice in {', '.join(given)}; give each once")


def _replace_folder(made: Path, out: Path) -> None:
    """Puts a finished folder in an old one's place; the old one is moved aside until the new one stands."""
    old = made.parent / "old"
    if out.exists():
        os.replace(out, old)
    try:
        os.replace(made, out)
    except OSError:
        if old.exists():
            os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
