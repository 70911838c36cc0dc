"""Commands for bundles: export and inspect."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    import_module,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    split,
    terminal,
)
from speechgru.cli.decoding import BlankPenalty, LanguageWeight, UnknownPenalty, WordBonus
from speechgru.errors import UserError
from speechgru.files import require_own_folder


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    quantize: Annotated[
        str, typer.Option(help="TFLite forms, comma-separated: none, dynamic, float16, int8. The first is the default.")
    ] = "none",
    formats: Annotated[
        str,
        typer.Option("--format", help="tflite, savedmodel, micro (a microcontroller's; forms none, int8), or several."),
    ] = "tflite",
    manifest: Annotated[
        Path | None, typer.Option(help="Recordings to compare the forms on; else the run's dev set.")
    ] = None,
    max_wer_change: Annotated[
        float, typer.Option(min=0, max=100, help="Percentage points of WER that a form may be above the trained model.")
    ] = 0.5,
    audio_signature: Annotated[
        bool | None, typer.Option(help="SavedModel takes file bytes too; it then needs tensorflow-io wherever it runs.")
    ] = None,
    golden_speech: Annotated[
        bool, typer.Option(help="A recording of the dev set travels along, for ports to test themselves with.")
    ] = True,
    language_model: Annotated[
        Path | None,
        typer.Option(help="A language model that travels along, for `transcribe --lm`: .ngram, ARPA, or a GRU's."),
    ] = None,
    language_weight: LanguageWeight = None,
    word_bonus: WordBonus = None,
    unknown_penalty: UnknownPenalty = None,
    blank_penalty: BlankPenalty = None,
    settings: Annotated[
        Path | None, typer.Option("--decoding", help="Numbers of the language model that `tune --decoding` chose.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a bundle: one folder that a device runs without TensorFlow.

    Each form is compared with the trained model first; one whose texts differ is not written (code 2).
    Example: `speechgru export runs/first --out bundle --quantize dynamic,none`
    """
    print_beginning(f"exporting {run} to {out}")
    from speechgru.decoding import DecodingSettings, LanguageWeights
    from speechgru.language.gru import is_gru
    from speechgru.runs import RunFolder

    require_own_folder(out, kind="bundle")
    weights = LanguageWeights(language_weight, word_bonus, unknown_penalty, blank_penalty)
    if settings is not None:
        chosen = DecodingSettings.read(settings)
        of_gru = language_model is not None and is_gru(language_model)
        weights = weights.over(chosen.weights_of_only_gru if of_gru else chosen.language_weights)
    if language_model is None and weights != LanguageWeights():
        raise UserError(
            "the weights of a language model are given, and no model; name its file (--language-model FILE)"
        )
    RunFolder(run).require().require_weights()  # before TensorFlow is loaded, which takes seconds
    verb = needs_training_packages(lambda: import_module("speechgru.export").export)
    with show_progress(quiet=as_json) as progress:
        metadata = verb(
            run,
            out,
            quantize=split(quantize),
            formats=split(formats),
            manifest=manifest,
            max_wer_change=max_wer_change / 100,
            audio_signature=audio_signature,
            golden_speech=golden_speech,
            language_model=language_model,
            language_weights=weights,
            progress=progress,
        )
    if as_json:
        print_json(metadata)
        return
    heading, *rows = import_module("speechgru.export.card").parity_rows(metadata["parity"])
    table = Table(*heading, title=f"{out}, compared on {metadata['parity_utterances']} recordings")
    for row in rows:
        table.add_row(*row)
    terminal.print(table)
    if metadata["micro"] is not None:
        card = import_module("speechgru.export.card")
        table = Table(*card.MICRO_HEADINGS, title=f"{out / 'micro'}, for a microcontroller")
        for row in card.micro_rows(metadata["micro"]):
            table.add_row(*row)
        terminal.print(table)
        terminal.print(card.micro_operators(metadata["micro"]), highlight=False)
    if metadata["models"]:
        with_model = ["--lm"] if metadata["language_model"] else []
        print_next("transcribe", out, *(["--grammar"] if metadata["grammar"] else with_model), "HELLO.wav")
    else:  # a SavedModel alone, which servers run
        print_next("inspect", out)


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder, or one .tflite file of it.")],
    golden: Annotated[
        bool, typer.Option("--golden", help="Run its golden vectors on this machine; ends with 1 where one fails.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what a bundle is and what its models hold, without running them (no TensorFlow).

    Example: `speechgru inspect bundle`
    """
    print_beginning(f"reading {bundle}")
    if golden:
        _inspect_golden(bundle, as_json=as_json)
        return
    from speechgru.runtime.inspection import inspect as verb

    record = verb(bundle)
    if as_json:
        print_json(record)
        return
    table = Table("fact", "value", title=str(bundle))
    for name, value in _bundle_facts(record).items():
        table.add_row(name, value)
    terminal.print(table)
    if not record["models"]:
        return
    parity = {compared["form"]: compared for compared in record["parity"] or ()}
    table = Table("form", "file", "kB", "operators", "tensors", "weights", *(["WER"] if parity else []))
    for model in record["models"]:
        foreign = f" ({len(model['foreign_operators'])} not LiteRT's)" if model["foreign_operators"] else ""
        wer = parity.get(f"TFLite {model['form']}", {}).get("wer")
        table.add_row(
            model["form"] + (" (default)" if model["is_default"] else ""),
            model["file"],
            f"{model['size_bytes'] / 1000:,.0f}",
            f"{model['num_operators']:,}{foreign}",
            f"{model['num_tensors']:,}",
            f"{model['num_weights']:,}",
            *(["–" if wer is None else f"{wer:.2%}"] if parity else []),
        )
    terminal.print(table)
    unchecked = [model["file"] for model in record["models"] if not model["has_checksum"]]
    if unchecked:
        terminal.print(
            f"{', '.join(unchecked)}: has no checksum, so that damage is not noticed; export the bundle again",
            style="yellow",
            soft_wrap=True,
        )
    table = Table("form", "signature", "", "name", "shape", "type")
    for model in record["models"]:
        for signature in model["signatures"]:
            for way, tensors in (("takes", signature["inputs"]), ("gives", signature["outputs"])):
                for tensor in tensors:
                    shape = ", ".join("any" if size < 0 else str(size) for size in tensor["shape"])
                    name = signature["name"] or "–"
                    table.add_row(model["form"], name, way, tensor["name"], f"[{shape}]", tensor["dtype"])
    terminal.print(table)
    print_next("transcribe", bundle, "HELLO.wav")


def _inspect_golden(bundle: Path, *, as_json: bool) -> None:
    """Reports whether the bundle gives here what it gave where it was exported."""
    from speechgru.runtime.golden import check_golden

    results = check_golden(bundle)
    if as_json:
        print_json([dataclasses.asdict(result) | {"passed": result.passed} for result in results])
    else:
        table = Table("form", "case", "", "off by", "allowed", "text", "", title=str(bundle))
        for result in results:
            text = result.text
            if text != result.expected_text:
                text += f" (expected: {result.expected_text})"
            way = "stream" if result.is_stream else "whole"
            off, allowed = f"{result.difference:.2g}", f"{result.tolerance:.2g}"
            table.add_row(result.form, result.case, way, off, allowed, text, "passed" if result.passed else "FAILED")
        terminal.print(table)
        print_next("transcribe", bundle, "HELLO.wav")
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def _bundle_facts(record: dict[str, Any]) -> dict[str, str]:
    """What the metadata of a bundle says, in words; an older version's says less."""
    from speechgru.grammar import describe_grammar
    from speechgru.runtime.language import describe_language

    provenance, features, model = record["provenance"] or {}, record["features"], record["model"]
    versions = provenance.get("versions", {})
    latency, dev, rejection = record["latency_seconds"], record["dev"], record["rejection"]
    facts = {
        "written by": f"speechgru {record['speechgru_version']}, format {record['bundle_version']}",
        "exported": provenance.get("created"),
        "commit": provenance.get("commit"),
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("tensorflow", "keras") if name in versions),
        "input": f"{record['sample_rate']:,} Hz, a step every {record['step_seconds'] * 1000:g} ms",
        "front end": "{n_mels} mel filters, {frame_length_ms:g} ms every {hop_length_ms:g} ms".format(**features)
        if features
        else None,
        "writes": f"{record['vocabulary_size']:,} {record['unit']}s",
        "language": record["language"],
        "model": "{num_layers} x {units} units, {direction}".format(**model) if model else None,
        "grammar": describe_grammar(record["grammar"]) if record["grammar"] else None,
        "language model": describe_language(record["language_model"]) if record["language_model"] else None,
        "latency": f"{latency['least']:.2f} to {latency['greatest']:.2f} s"
        if latency
        else "the whole recording: it does not stream",
        "parameters": f"{record['parameters']:,}" if record["parameters"] is not None else None,
        "dev set": f"WER {dev['wer']:.2%}, CER {dev['cer']:.2%}, step {dev['step']:,}" if dev else None,
        "accepts": f"from the margin {rejection['threshold']:.3f} on" if rejection else None,
        "SavedModel": ", ".join(record["saved_model"]),
    }
    return {name: value for name, value in facts.items() if value}
