"""From a run to a bundle: one folder that computes what the trained model computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru import __version__
from speechgru.audio.in_graph import has_tensorflow_io
from speechgru.config.sections import RunConfig
from speechgru.decoding import LanguageWeights, Predictor, Spelling
from speechgru.errors import BundleError, UserError
from speechgru.export.card import model_card
from speechgru.export.convert import QUANTIZATIONS, Conversions, Inputs
from speechgru.export.flatbuffer import sealed
from speechgru.export.golden import shortest_recording, write_golden
from speechgru.export.graphs import Graphs
from speechgru.export.language import Carried, open_carried
from speechgru.export.micro.folder import MicroModels, require_micro_forms
from speechgru.export.micro.interpreter import require_tflite_micro
from speechgru.export.page import report_export
from speechgru.export.parity import Parity
from speechgru.export.saved_model import SIGNATURES, SavedModelPredictor, save_model
from speechgru.features import GlobalNormalization
from speechgru.files import atomic_folder, encode_json, held, require_nothing_else, sha256_of, write_json, write_text
from speechgru.grammar import Grammar
from speechgru.model.build import AcousticModel
from speechgru.model.predictor import KerasPredictor
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, make_provenance
from speechgru.runtime import BUNDLE_VERSION, METADATA_ENTRY, RECOGNIZE, STREAM, Recognizer
from speechgru.runtime.language import LANGUAGE_ENTRY
from speechgru.runtime.tflite import CHECKSUM_ENTRY
from speechgru.scoring.predictions import load_run
from speechgru.scoring.recordings import ScoringSet
from speechgru.scoring.trained_run import TrainedRun, open_run
from speechgru.text import BLANK_ID, Vocabulary
from speechgru.utterances.examination import Examined, read_utterance

FORMATS = ("tflite", "savedmodel", "micro")
#: What lies in a bundle beside its metadata and its files of these suffixes.
_ENTRIES, _SUFFIXES = ("README.md", "golden", "micro", "saved_model"), (".tflite", ".ngram", ".gru")

#: Recordings that an int8 export is calibrated on.
_CALIBRATION_UTTERANCES = 64


def export(
    run: str | Path | TrainedRun,
    out: str | Path,
    *,
    quantize: Sequence[str] = ("none",),
    formats: Sequence[str] = ("tflite",),
    manifest: str | Path | None = None,
    max_wer_change: float = 0.005,
    audio_signature: bool | None = None,
    golden_speech: bool = True,
    language_model: str | Path | None = None,
    language_weights: LanguageWeights | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Writes a bundle from a run's best weights, once every form of it was found to agree with the trained model.

    Args:
        run: the run folder, or an open run.
        out: the bundle folder; one that is there is replaced once the new one is whole.
        quantize: TFLite forms: `none` (float32), `dynamic` (int8 weights), `float16` (float16 weights), `int8`
            (weights and activations outside the front end and the recurrent loop, calibrated on the recordings). The
            first is the bundle's default.
        formats: `tflite`, `savedmodel`, `micro` (for TensorFlow Lite Micro, of a forward model, in the forms `none` and
            `int8`), or several.
        manifest: recordings to compare on, to calibrate on and to cut a golden vector from; the run's dev set when
            None, and where it has none its first training manifest.
        max_wer_change: how far a form's word error rate on them may be above the trained model's, absolute.
        audio_signature: whether the SavedModel has a signature for encoded bytes, which needs tensorflow-io wherever
            it is loaded; None where tensorflow-io is installed.
        golden_speech: whether one of the recordings travels along, see `golden`.
        language_model: the file of a language model that travels along, in the folder and in each `.tflite` file, and
            scores texts where it is asked for (`DecodingOptions.language`).
        language_weights: what it counts beside this recogniser; the usual when None.
        progress: reports each form before it is made.

    Returns:
        The bundle's metadata, as in `bundle.json`; the run folder's `report/export.html` shows it.

    Raises:
        BundleError: no run there, or a form differs too much from the trained model.
        UserError: `out` holds what is not of a bundle; or an unknown form, an operator that LiteRT has not built in, no
            recordings to compare on, or a model or form that does not fit a microcontroller where one is asked for.
    """
    out, forms = Path(out), list(quantize) if "tflite" in formats else []
    _check_choices(quantize, QUANTIZATIONS, "quantization")
    _check_choices(formats, FORMATS, "format")
    if not 0 <= max_wer_change <= 1:
        raise UserError(f"the allowed change of WER is a fraction of 1, got {max_wer_change}")
    require_nothing_else(out, kind="bundle", made=_ENTRIES, suffixes=_SUFFIXES)
    with_audio = "savedmodel" in formats and (has_tensorflow_io() if audio_signature is None else audio_signature)
    if with_audio and not has_tensorflow_io():
        raise UserError("the signature for encoded bytes needs tensorflow-io, which is not installed; leave it out")
    micro_forms = list(quantize) if "micro" in formats else []
    if micro_forms:
        require_micro_forms(micro_forms)
        require_tflite_micro()
    trained = open_run(run)
    _require_not_worse(trained.folder)
    source = _open_source(trained, manifest)
    carried = None
    if language_model is not None:
        spelling = Spelling(source.config.text.normalize, source.vocabulary)
        carried = open_carried(language_model, language_weights or LanguageWeights(), spelling)
    graphs = Graphs(source.model)
    micro = MicroModels(graphs, vocabulary=source.vocabulary) if micro_forms else None  # refused early, where it is
    steps = _Steps(progress, total=1 + 2 * len(forms) + ("savedmodel" in formats) + len(micro_forms))
    steps.begin("recognising the recordings")
    parity = Parity(
        source.trained,
        source.examples,
        sample_rate=source.config.data.sample_rate,
        vocabulary=source.vocabulary,
        step_seconds=source.config.step_seconds,
        max_wer_change=max_wer_change,
    )
    metadata = describe_run(
        source.folder, source.config, vocabulary=source.vocabulary, model=source.model, grammar=source.grammar
    ) | {
        "language_model": carried.as_record() if carried else None,
        "default_form": forms[0] if forms else None,
        "models": {},
        "saved_model": [],
        "micro": None,
        "parity_utterances": parity.num_utterances,
    }
    with atomic_folder(out) as made:
        if carried is not None:
            (made / carried.file).write_bytes(carried.content)
        _convert(source, graphs, forms, carried, made=made, metadata=metadata, steps=steps)
        # A recogniser reads the metadata, so they stand before any form is compared.
        write_json(made / "bundle.json", metadata)
        for form in forms:
            steps.begin(f"comparing TFLite {form}")
            parity.compare_tflite(made, form, is_exact=form == "none")
        if "savedmodel" in formats:
            steps.begin("SavedModel")
            metadata["saved_model"] = _save_and_compare(source, graphs, made, parity=parity, with_audio=with_audio)
        predictors: dict[str, Predictor] = {form: Recognizer(made, form=form) for form in forms}
        if micro is not None:
            for form in micro_forms:
                steps.begin(f"microcontroller {form}")
                predictors[f"micro-{form}"] = _make_and_compare(micro, form, source, parity=parity)
            metadata["micro"] = micro.write(made / "micro")
        metadata["parity"] = [form.as_record() for form in parity.forms]
        metadata["golden"] = write_golden(
            made / "golden",
            sample_rate=source.config.data.sample_rate,
            recording=shortest_recording(parity.recordings, parity.references) if golden_speech else None,
            front_end=graphs.front_end_stages,
            forms=predictors or {"SavedModel": source.trained},
            vocabulary=source.vocabulary,
            step_seconds=source.config.step_seconds,
        )
        write_json(made / "bundle.json", metadata)
        write_text(made / "README.md", model_card(metadata))
    with held(source.folder.path, is_others=True):  # also now, minutes after it was read
        report_export(metadata, source.folder.path / "report" / "export.html", signatures=SIGNATURES)
    steps.end()
    return metadata


def _require_not_worse(folder: RunFolder) -> None:
    """Refuses an adapted run that is no better than the one it started from.

    Raises:
        BundleError: it is not.
    """
    if folder.not_better.is_file():
        reason = folder.not_better.read_text(encoding="utf-8").strip()
        raise BundleError(
            f"{folder.path}: {reason}; export the run that it started from, or remove {folder.not_better.name} to "
            "export this one all the same"
        )


@dataclass(frozen=True)
class _Source:
    """What is exported, and what it is compared with.

    Args:
        folder: the run.
        config: its configuration.
        vocabulary: its labels.
        model: its best weights in the implementation that exports.
        trained: the same weights as training computes with them.
        examples: the recordings that forms are compared on.
        grammar: its sentences; None where it has none.
    """

    folder: RunFolder
    config: RunConfig
    vocabulary: Vocabulary
    model: AcousticModel
    trained: KerasPredictor
    examples: Sequence[Examined]
    grammar: Grammar | None


class _Steps:
    """Reports each step of an export before it begins."""

    def __init__(self, progress: Progress, *, total: int):
        self._progress, self._total, self._done = progress, total, 0

    def begin(self, note: str) -> None:
        self._progress("exporting", self._done, self._total, note)
        self._done += 1

    def end(self) -> None:
        self._progress("exporting", self._total, self._total, "")


def _open_source(trained: TrainedRun, manifest: str | Path | None) -> _Source:
    """Reads the run and the list of recordings."""
    config, vocabulary, model = load_run(trained.folder.path, implementation="portable")
    vocabulary = vocabulary.written  # letters that training learnt beside words are no part of the model
    examples = _examples(config, manifest)
    return _Source(trained.folder, config, vocabulary, model, trained.predictor, examples, trained.grammar)


def describe_run(
    folder: RunFolder, config: RunConfig, *, vocabulary: Vocabulary, model: AcousticModel, grammar: Grammar | None
) -> dict[str, Any]:
    """The metadata of a bundle that do not depend on what is exported.

    Args:
        folder: the run.
        config: its configuration.
        vocabulary: what its labels are written as.
        model: its weights in the implementation that exports.
        grammar: its sentences; None where it has none.
    """
    return {
        "bundle_version": BUNDLE_VERSION,
        "speechgru_version": __version__,
        "sample_rate": config.data.sample_rate,
        "step_seconds": config.step_seconds,
        "subsampling_factor": config.model.subsampling_factor,
        **vocabulary.as_record(),
        "blank_id": BLANK_ID,
        "text": dataclasses.asdict(config.text.rules),
        "language": config.text.language or (grammar.language if grammar else None),
        "grammar": grammar.as_record() if grammar else None,
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
        "latency_seconds": _latency(model, config),
        "stream": model.stream_record(),
        "stream_obstacle": model.stream_obstacle,
        "dev": _best_dev_scores(folder),
        "training_seconds": folder.read_training_seconds(),
        "rejection": folder.read_rejection(),
        "provenance": make_provenance(seed=config.train.seed),
    }


def _convert(
    source: _Source,
    graphs: Graphs,
    forms: Sequence[str],
    carried: Carried | None,
    *,
    made: Path,
    metadata: dict[str, Any],
    steps: _Steps,
) -> None:
    """Writes a `.tflite` file of each form, and records them in the metadata."""
    functions = {RECOGNIZE: graphs.recognize()} if forms else {}
    if forms and metadata["stream"] is not None:
        functions[STREAM] = graphs.stream()
    conversions = Conversions(functions)
    within = {LANGUAGE_ENTRY: carried.content} if carried else {}
    for form in forms:
        steps.begin(f"TFLite {form}")
        content = conversions.to_tflite(form, calibration=_calibration(source))
        file = "model.tflite" if form == forms[0] else f"model-{form}.tflite"
        # Each file is a bundle by itself: it holds the metadata too, with itself as the only form.
        own = metadata | {"default_form": form, "models": {form: {"file": file}}, "checksum": CHECKSUM_ENTRY}
        content = sealed(content, {METADATA_ENTRY: encode_json(own), **within})
        (made / file).write_bytes(content)
        metadata["models"][form] = {"file": file, "size_bytes": len(content), "sha256": sha256_of(made / file)}


def _save_and_compare(source: _Source, graphs: Graphs, made: Path, *, parity: Parity, with_audio: bool) -> list[str]:
    """Writes the SavedModel and compares it; returns the names of its signatures."""
    path = made / "saved_model"
    signatures = save_model(graphs, path, sample_rate=source.config.data.sample_rate, with_audio=with_audio)
    size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    parity.compare("SavedModel", SavedModelPredictor(path), size_bytes=size_bytes, is_exact=True)
    return signatures


def _make_and_compare(micro: MicroModels, form: str, source: _Source, *, parity: Parity) -> Predictor:
    """Makes a microcontroller's form and compares it; returns what runs it."""
    made = micro.make(form, recordings=(samples_1N[0] for (samples_1N,) in _calibration(source)))
    parity.compare(
        f"TFLite Micro {form}",
        made.predictor,
        size_bytes=len(made.content),
        is_exact=form == "none",
        is_timed=False,  # by kernels that are for no such machine
    )
    return made.predictor


def _examples(config: RunConfig, manifest: str | Path | None) -> list[Examined]:
    """The recordings that forms are compared on."""
    if manifest is None:
        manifests = [config.data.dev, *(path for path in config.data.train if Path(path).suffix == ".jsonl")]
        manifest = next((path for path in manifests if path is not None), None)
    if manifest is None:
        raise UserError(
            "the run names no manifest of recordings on which the exported forms could be compared with the trained "
            "model; give one (--manifest)"
        )
    if not Path(manifest).is_file():
        raise UserError(
            f"{manifest}: the exported forms are compared on the run's recordings, and this manifest is gone; give "
            "another (--manifest)"
        )
    # What training could not read is left out here too.
    return ScoringSet(manifest, sample_rate=config.data.sample_rate, text=config.text.rules)[:]


def _latency(model: AcousticModel, config: RunConfig) -> dict[str, float] | None:
    """Seconds of sound from a step's first sample until its log-probabilities; None where a step waits for the end."""
    if model.stream_obstacle is not None:
        return None
    least, greatest = model.stream_geometry().latency_samples
    return {"least": least / config.data.sample_rate, "greatest": greatest / config.data.sample_rate}


def _calibration(source: _Source) -> Iterator[Inputs]:
    """What an int8 export is calibrated on: recordings, evenly chosen, and digital silence, which no corpus has."""
    sample_rate, examples = source.config.data.sample_rate, source.examples
    yield [np.zeros([1, sample_rate // 2], np.float32)]
    chosen = examples[:: max(1, len(examples) // _CALIBRATION_UTTERANCES)][:_CALIBRATION_UTTERANCES]
    for example in chosen:
        yield [read_utterance(example.utterance, sample_rate=sample_rate).samples_N[None]]


def _statistics(model: AcousticModel) -> dict[str, list[float]]:
    """The corpus's mean and deviation of each feature, as the graph holds them; nothing where none are used."""
    normalization = model.front_end.normalization
    if not isinstance(normalization, GlobalNormalization):
        return {}
    statistics = {"mean": normalization.mean_D, "deviation": normalization.deviation_D}
    return {name: [round(float(value), 6) for value in values.numpy()] for name, values in statistics.items()}


def _best_dev_scores(folder: RunFolder) -> dict[str, Any] | None:
    scores = [record for record in folder.read_history() if record["kind"] == "dev"]
    if not scores:
        return None
    marked = [record for record in scores if record.get("best")]
    best = marked[-1] if marked else min(scores, key=lambda record: (record["wer"], -record["step"]))
    return {key: best[key] for key in ("step", "wer", "cer")}


def _check_choices(given: Sequence[str], known: Sequence[str], what: str) -> None:
    unknown = [value for value in given if value not in known]
    if unknown or not given:
        raise UserError(f"unknown {what} {', '.join(map(repr, unknown)) or '(none)'}; choose from {', '.join(known)}")
    if len(set(given)) != len(given):
        raise UserError(f"a {what} is given twice in {', '.join(given)}; give each once")
