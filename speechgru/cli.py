"""The `speechgru` command: parses arguments, calls a verb, prints what it gave back."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from speechgru import __version__
from speechgru.errors import Interrupted, UserError
from speechgru.progress import line_progress

app = typer.Typer(
    help="Small speech recognisers: train on your own recordings, ship one file.\n\n"
    "The usual way: prepare -> check -> train -> evaluate -> export -> transcribe. "
    "Each command's --help shows an example.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
_out = Console(markup=False, emoji=False)  # what it prints is names and transcripts
_err = Console(stderr=True, emoji=False)

#: How to decode, alike in `evaluate` and `transcribe`.
_BeamWidth = Annotated[
    int | None,
    typer.Option(min=1, help="Texts that a beam search follows; 1 is greedy. 16 where the options below need one."),
]
_Hotword = Annotated[
    list[str] | None, typer.Option("--hotword", metavar="TEXT[=BOOST]", help="A phrase to prefer; may be repeated.")
]
_Hotwords = Annotated[
    Path | None, typer.Option("--hotwords", help="File with such a phrase a line, its boost after a tab or none.")
]
_Phrases = Annotated[Path | None, typer.Option("--phrases", help="File with the only texts allowed, one a line.")]
_RepeatPhrases = Annotated[bool, typer.Option("--repeat-phrases", help="Allow any sequence of the phrases.")]

#: What a wrong argument raises. Typer has a click of its own since 0.26, an installed one before.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

_JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read, and nothing else.")]


def main() -> None:
    """The entry point of the `speechgru` command."""
    run_command(lambda: app(prog_name="speechgru", standalone_mode=False))


def run_command(command: Callable[[], Any]) -> None:
    """Runs `command` and ends the process as a command should.

    A user's mistake ends in one readable message and exit code 2, Ctrl-C in exit code 130, SIGTERM in 143, anything
    else in its traceback: that one is ours.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up chatter says nothing to a user
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show a character gets its number
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command()
    except (typer.Abort, KeyboardInterrupt):
        _err.print("stopped; what was written before is kept")
        sys.exit(130)
    except Interrupted as interrupted:
        _err.print(escape(str(interrupted)), soft_wrap=True, highlight=False)
        sys.exit(interrupted.code)
    except UserError as error:
        _fail(str(error))
    except _UsageError as error:
        context, message = getattr(error, "ctx", None), error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was given: the help is printed already
            sys.exit(2)
        _fail(message + (f" (see `{context.command_path} --help`)" if context else ""))
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    _err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        _out.print(f"speechgru {__version__}", highlight=False)
        raise typer.Exit


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="synthetic, fsdd, or folder (your own recordings).")],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl, dev.jsonl, test.jsonl.")],
    source: Annotated[Path | None, typer.Option(help="Folder that holds the corpus already.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same corpus.")] = 0,
    utterances: Annotated[int | None, typer.Option(help="synthetic: utterances in all.")] = None,
    joined: Annotated[int | None, typer.Option(help="fsdd: also join so many digits to one utterance.")] = None,
) -> None:
    """Make manifests from a corpus.

    Example: `speechgru prepare folder --source my_recordings --out data/mine`
    """
    from speechgru.corpora import prepare as verb

    options = {name: value for name, value in {"utterances": utterances, "joined": joined}.items() if value is not None}
    with show_progress() as progress:
        manifests = verb(corpus, out, source=source, seed=seed, progress=progress, **options)
    from speechgru.manifest import read_manifest

    table = Table(_whole("manifest"), "utterances", "minutes", title=f"{corpus} in {out}")
    for path in manifests.values():
        lines = read_manifest(path)
        table.add_row(str(path), f"{len(lines):,}", f"{sum(line.duration for line in lines) / 60:.1f}")
    _out.print(table)


@app.command()
def check(
    manifests: Annotated[
        list[Path], typer.Argument(help="Manifests to read; give the test set last.", metavar="MANIFEST...")
    ],
    config: Annotated[Path | None, typer.Option(help="The configuration they are meant for.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the clean manifest here (a folder for several), and what is left out beside it."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for check.html and check.json; an interrupted check goes on there.")
    ] = None,
    as_json: _JsonFlag = False,
) -> None:
    """Read every recording and transcript once and say what is wrong with which line.

    Ends with code 1 when something is wrong or suspect. Example:
    `speechgru check data/mine/train.jsonl data/mine/test.jsonl --out clean --report doctor`
    """
    from speechgru.check import check as verb
    from speechgru.config import load_config

    with show_progress(quiet=as_json) as progress:
        findings = verb(
            manifests, config=load_config(config) if config else None, out=out, report=report, progress=progress
        )
    if as_json:
        _print_json([found.as_record() for found in findings])
    else:
        for found in findings:
            for accusations, title in ((found.problems, "left out"), (found.suspicions, "suspect")):
                _print_accusations(accusations, title=f"{found.manifest}: {title}")
            for told in found.shared:
                _out.print(_describe_shared(found.manifest, told))
            counts = ", ".join(f"{count} {reason}" for reason, count in found.counts.items())
            suspect = ", ".join(f"{count} {reason}" for reason, count in found.suspicion_counts.items())
            _out.print(
                f"{found.manifest}: {len(found.usable):,} usable"
                + (f", {counts}" if counts else "")
                + (f"; suspect: {suspect}" if suspect else "")
            )
        if report is not None:
            _out.print(f"{report / 'check.html'} shows it all")
    if any(found.problems or found.suspicions for found in findings):
        raise typer.Exit(1)


def _print_accusations(accusations: list[Any], *, title: str, most: int = 100) -> None:
    if not accusations:
        return
    table = Table("line", "reason", _whole("what is wrong"), title=title, show_lines=True)
    for accusation in accusations[:most]:
        table.add_row(str(accusation.utterance.line), accusation.reason, accusation.message)
    _out.print(table)
    if len(accusations) > most:
        _out.print(f"and {len(accusations) - most:,} more; --report or --json lists all")


def _describe_shared(manifest: Path, told: dict[str, Any]) -> str:
    """What a manifest has in common with one that is held out from it, in a sentence."""
    other = told["manifest"]
    both = [f"{len(told[what]):,} {what}" for what in ("speakers", "recordings") if told[what]]
    relation = f"shares {' and '.join(both)} with" if both else "is held out from"
    return (
        f"{other} {relation} {manifest}, which has "
        f"{told['text_share']:.1%} of its texts and {1 - told['unseen_word_share']:.1%} of its words"
    )


@app.command()
def shard(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests to pack, in this order.", metavar="MANIFEST...")],
    out: Annotated[Path, typer.Option(help="Folder for the shards; an unfinished job there is gone on with.")],
    config: Annotated[Path | None, typer.Option(help="The configuration they are meant for.")] = None,
    form: Annotated[str, typer.Option(help="samples, or features: log-mel, for training without augmentation.")] = (
        "samples"
    ),
    shard_megabytes: Annotated[float, typer.Option(help="Size of a file.")] = 128,
    as_json: _JsonFlag = False,
) -> None:
    """Pack a corpus into a few large, checksummed files, for corpora larger than memory.

    `data.train` then names the folder in place of the manifests.
    Example: `speechgru shard data/big/train.jsonl --config my.yaml --out shards/train`
    """
    from speechgru.config import RunConfig, load_config

    verb = _needs_training_packages(lambda: _import("speechgru.shard").shard)
    settings = load_config(config) if config else RunConfig()
    with show_progress(quiet=as_json) as progress:
        summary = verb(manifests, out, config=settings, form=form, shard_megabytes=shard_megabytes, progress=progress)
    if as_json:
        _print_json({**dataclasses.asdict(summary), "out": str(summary.out)})
        return
    kept = f" ({summary.num_kept} were there and whole)" if summary.num_kept else ""
    _out.print(
        f"{summary.out}: {summary.num_records:,} utterances, {summary.seconds / 3600:.2f} hours, as {summary.form} in "
        f"{summary.num_shards} shards{kept}, {summary.size_bytes / 1e6:,.1f} MB",
        soft_wrap=True,
    )
    if summary.num_skipped:
        _out.print(
            f"{summary.num_skipped} utterances were left out; {summary.out / 'skipped.jsonl'} lists them",
            style="yellow",
            soft_wrap=True,
        )


@app.command()
def listen(
    manifest: Annotated[Path, typer.Argument(help="The recordings.")],
    out: Annotated[Path, typer.Option(help="Folder for the sounds, the pictures and index.html.")],
    config: Annotated[Path | None, typer.Option(help="The configuration whose augmentation to hear.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Recordings to take, spread over the manifest.")] = 6,
    copies: Annotated[int, typer.Option(min=1, help="Augmented versions of each.")] = 3,
) -> None:
    """Hear and see what training hears: recordings before and after augmentation.

    Example: `speechgru listen data/mine/train.jsonl --config my.yaml --out build/listen`
    """
    from speechgru.config import RunConfig, load_config

    verb = _needs_training_packages(lambda: _import("speechgru.listen").listen)
    settings = load_config(config) if config else RunConfig()
    with show_progress() as progress:
        page = verb(manifest, config=settings, out=out, count=count, copies=copies, progress=progress)
    _out.print(f"{page}: open it in a browser", soft_wrap=True)


@app.command(context_settings={"ignore_unknown_options": False})
def train(
    config: Annotated[Path, typer.Argument(help="A YAML file; configs/base.yaml explains every key.")],
    run: Annotated[Path, typer.Option(help="The run folder; a run that is there is resumed.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Keys to set, such as train.learning_rate=1e-3.", metavar="[KEY=VALUE]..."),
    ] = None,
) -> None:
    """Train a recogniser, or go on with the one in the run folder.

    Example: `speechgru train configs/quickstart.yaml --run runs/first train.max_steps=500`
    """
    from speechgru.config import load_config

    settings = load_config(config, overrides or ())
    verb = _needs_training_packages(lambda: _import("speechgru.train").train)
    with show_progress() as progress:
        result = verb(settings, run, progress=progress)
    best = "no dev manifest" if result.best_wer is None else f"best dev WER {result.best_wer:.2%}"
    _out.print(
        f"{result.run}: {result.steps:,} steps in {result.seconds:.0f} s, {best}, "
        f"{result.num_parameters:,} parameters, {result.num_train:,} utterances; ended by {result.ended}",
        soft_wrap=True,
    )
    _out.print(f"{result.run / 'report' / 'training.html'} shows it all", soft_wrap=True)
    if result.num_skipped:
        _out.print(
            f"{result.num_skipped} utterances were left out; {result.run / 'skipped.jsonl'} lists them", style="yellow"
        )
    if result.num_dropped:
        _out.print(
            f"{result.num_dropped} steps had no finite loss or gradient and were dropped; "
            f"{result.run / 'history.jsonl'} names their utterances",
            style="yellow",
            soft_wrap=True,
        )
    if result.num_infeasible:
        _out.print(
            f"{result.num_infeasible} utterances had too few steps for their text in training and were not learnt "
            f"from; {result.run / 'history.jsonl'} names them",
            style="yellow",
        )


#: What a trial's time goes into.
_TRIAL_PARTS = {"training": "training", "measuring": "exporting and measuring", "overhead": "all else"}


@app.command()
def tune(
    sweep: Annotated[Path, typer.Argument(help="A sweep file; configs/sweep_*.yaml are ready ones.")],
    run: Annotated[Path, typer.Option(help="The sweep's folder; a sweep that is there goes on.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Keys to set in every trial, such as data.dev=PATH.", metavar="[KEY=VALUE]..."),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Trials at a time on this machine.")] = 1,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Let workers of other machines join there.")
    ] = None,
    as_json: _JsonFlag = False,
) -> None:
    """Search hyperparameters; ends in best.yaml, trials.csv and a page. Killed, the same command goes on.

    Example: `speechgru tune configs/sweep_architecture.yaml --run sweeps/first data.dev=data/mine/dev.jsonl`
    """
    from speechgru.tune.sweep_file import load_sweep

    loaded = load_sweep(sweep, overrides or ())
    verb = _needs_training_packages(lambda: _import("speechgru.tune.verb").tune)
    with show_progress(quiet=as_json) as progress:
        result = verb(loaded, run, workers=workers, listen=listen, progress=progress)
    counts = dict.fromkeys(("completed", "failed", "refused"), 0)
    for trial in result.trials:
        counts[trial["status"]] += 1
    if as_json:
        _print_json(
            {**dataclasses.asdict(result), "folder": str(result.folder), "best": result.best and str(result.best)}
        )
        return
    if result.num_redrawn:
        _out.print(
            f"{result.num_redrawn} trials of earlier sessions would be drawn otherwise today; they count as they were",
            style="yellow",
            soft_wrap=True,
        )
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    _out.print(f"{result.folder}: {told or 'no trial'} in {result.seconds:.0f} s; {result.ended}", soft_wrap=True)
    done = [trial for trial in result.trials if trial["status"] == "completed"]
    if done:
        mean = {part: sum(trial[f"{part}_seconds"] for trial in done) / len(done) for part in _TRIAL_PARTS}
        parts = ", ".join(f"{mean[part]:.1f} {words}" for part, words in _TRIAL_PARTS.items())
        _out.print(f"seconds a trial, mean: {parts}", soft_wrap=True)
    best = next((trial for trial in result.trials if trial["is_best"]), None)
    if best is None:
        _out.print("no trial was completed within the limits; the page says why", style="yellow")
    else:
        chosen = ", ".join(f"{key}={value}" for key, value in best["values"].items())
        _out.print(f"best: trial {best['trial']}, dev WER {best['wer']:.2%}, {chosen}", soft_wrap=True)
        _out.print(f"{result.best} trains it", soft_wrap=True)
    _out.print(f"{result.folder / 'report' / 'sweep.html'} shows it all", soft_wrap=True)


@app.command()
def join(
    run: Annotated[Path, typer.Argument(help="The sweep's folder, as its chief sees it.")],
    chief: Annotated[str, typer.Option(metavar="HOST:PORT", help="What the chief listens on.")],
    workers: Annotated[int, typer.Option(min=1, help="Trials at a time on this machine.")] = 1,
) -> None:
    """Work for a sweep that another machine leads, until it ends.

    Example: `speechgru join sweeps/first --chief 192.168.1.10:7777 --workers 2`
    """
    verb = _needs_training_packages(lambda: _import("speechgru.tune.verb").join)
    with show_progress() as progress:
        replaced = verb(run, chief, workers=workers, progress=progress)
    _out.print(f"{run}: the sweep has ended" + (f"; {replaced} workers died and were replaced" if replaced else ""))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The run folder, of a training that has ended or still goes on.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write; else report/training.html in the run.")] = None,
) -> None:
    """Write the page of a run's training: curves, what was left out, dev recordings to hear and see.

    Example: `speechgru report runs/first --out training.html`
    """
    # A GPU may be busy with the very training that is shown, and three recordings need none.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # Drawing, too, needs what comes with the training packages.
    page = _needs_training_packages(lambda: _import("speechgru.report.of_training").report_training(run, out))
    _out.print(f"{page}: open it in a browser", soft_wrap=True)


@app.command()
def evaluate(
    run_or_bundle: Annotated[Path, typer.Argument(help="A run folder or an exported bundle.")],
    manifest: Annotated[Path, typer.Option(help="What to score on.")],
    form: Annotated[str | None, typer.Option(help="Which of a bundle's models to run; see `export`.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst utterances to show.")] = 5,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="FIELD", help="Score by this field; may be repeated. Else speaker, duration."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="HTML file to write: slices, confusions, the worst to hear.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances that a run hears at once.")] = 32,
    beam_width: _BeamWidth = None,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    as_json: _JsonFlag = False,
) -> None:
    """Score a run or a bundle: WER, CER, and every utterance's errors.

    Example: `speechgru evaluate runs/first --manifest data/mine/test.jsonl --slice speaker --report errors.html`
    """
    from speechgru.decoding import options_from_lists

    decoding = options_from_lists(
        beam_width=beam_width,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
    )
    from speechgru.runtime import is_bundle

    if not is_bundle(run_or_bundle):
        _needs_training_packages(lambda: _import("tensorflow"))
    from speechgru.evaluate import evaluate as verb

    with show_progress(quiet=as_json) as progress:
        record = verb(
            run_or_bundle,
            manifest,
            form=form,
            slices=slices or ("speaker", "duration"),
            batch_size=batch_size,
            decoding=decoding,
            progress=progress,
        )
    if report is not None:
        _import("speechgru.report.of_evaluation").report_evaluation(record, report)
    if as_json:
        _print_json(record)
        return
    low, high = record["wer_interval"]
    table = Table("measure", "value", title=record["name"])
    for name, value in {
        "decoding": record["decoding"]["description"],
        "WER": f"{record['wer']:.2%}  (95 % interval {low:.2%} to {high:.2%})",
        "CER": f"{record['cer']:.2%}",
        "sentences with errors": f"{record['sentence_error_rate']:.2%}",
        "substitutions, insertions, deletions": "{substitutions}, {insertions}, {deletions}".format(**record),
        "words, utterances": f"{record['words']:,}, {record['num_utterances']:,}",
        "real-time factor": f"{record['rtf']:.4f}",
        "could not be read": str(record["num_skipped"]),
    }.items():
        table.add_row(name, value)
    _out.print(table)
    for entry in record["slices"] if slices else ():
        table = Table(entry["field"], "WER", "95 % interval", "words", "utterances", title=f"by {entry['field']}")
        for group in entry["groups"]:
            low, high = group["wer_interval"]
            table.add_row(
                _describe_group(group),
                f"{group['wer']:.2%}",
                f"{low:.2%} to {high:.2%}" if group["errors"] else "–",  # resampling no error would look like certainty
                f"{group['words']:,}",
                f"{group['num_utterances']:,}",
            )
        _out.print(table)
    bad = sorted((u for u in record["utterances"] if u["word_errors"]), key=lambda u: -u["word_errors"])[:worst]
    if bad:
        table = Table(_whole("utterance"), "reference", "hypothesis", "errors", title="the worst")
        for utterance in bad:
            table.add_row(
                utterance["utterance_id"],
                utterance["reference"],
                utterance["hypothesis"],
                str(utterance["word_errors"]),
            )
        _out.print(table)
    if report is not None:
        _out.print(f"{report} shows it all", soft_wrap=True)


def _describe_group(group: dict[str, Any]) -> str:
    """A slice's group: its value, its range, or that it has none."""
    if "value" in group:
        return str(group["value"])
    if "low" not in group:
        return "(not given)"
    low, high = f"{group['low']:g}", f"{group['high']:g}"
    return low if low == high else f"{low} to {high}"


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    quantize: Annotated[
        str, typer.Option(help="TFLite forms, comma-separated: none, dynamic, float16, int8. The first is the default.")
    ] = "none",
    formats: Annotated[str, typer.Option("--format", help="tflite, savedmodel, or both.")] = "tflite",
    manifest: Annotated[
        Path | None, typer.Option(help="Recordings to compare the forms on; else the run's dev set.")
    ] = None,
    max_wer_change: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of WER that a form may be above the trained model.")
    ] = 0.5,
    audio_signature: Annotated[
        bool | None, typer.Option(help="SavedModel takes file bytes too; it then needs tensorflow-io wherever it runs.")
    ] = None,
    golden_speech: Annotated[
        bool, typer.Option(help="A recording of the dev set travels along, for ports to test themselves with.")
    ] = True,
    as_json: _JsonFlag = False,
) -> None:
    """Write a bundle: one folder that a device runs without TensorFlow.

    Each form is compared with the trained model first; one that hears something else is not written (code 2).
    Example: `speechgru export runs/first --out bundle --quantize dynamic,none`
    """
    verb = _needs_training_packages(lambda: _import("speechgru.export").export)
    with show_progress(quiet=as_json) as progress:
        metadata = verb(
            run,
            out,
            quantize=_split(quantize),
            formats=_split(formats),
            manifest=manifest,
            max_wer_change=max_wer_change / 100,
            audio_signature=audio_signature,
            golden_speech=golden_speech,
            progress=progress,
        )
    if as_json:
        _print_json(metadata)
        return
    heading, *rows = _import("speechgru.export.card").parity_rows(metadata["parity"])
    table = Table(*heading, title=f"{out}, compared on {metadata['parity_utterances']} recordings")
    for row in rows:
        table.add_row(*row)
    _out.print(table)


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder, or one .tflite file of it.")],
    as_json: _JsonFlag = False,
) -> None:
    """Show what a bundle is and what its models hold, without running them (no TensorFlow).

    Example: `speechgru inspect bundle`
    """
    from speechgru.inspect import inspect as verb

    record = verb(bundle)
    if as_json:
        _print_json(record)
        return
    table = Table("fact", _whole("value"), title=str(bundle))
    for name, value in _bundle_facts(record).items():
        table.add_row(name, value)
    _out.print(table)
    if not record["models"]:
        return
    parity = {compared["form"]: compared for compared in record["parity"] or ()}
    table = Table("form", _whole("file"), "kB", "operators", "tensors", "weights", *(["WER"] if parity else []))
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
    _out.print(table)
    table = Table("form", _whole("signature"), "", _whole("name"), "shape", "type")
    for model in record["models"]:
        for signature in model["signatures"]:
            for way, tensors in (("takes", signature["inputs"]), ("gives", signature["outputs"])):
                for tensor in tensors:
                    shape = ", ".join("any" if size < 0 else str(size) for size in tensor["shape"])
                    name = signature["name"] or "–"
                    table.add_row(model["form"], name, way, tensor["name"], f"[{shape}]", tensor["dtype"])
    _out.print(table)


def _bundle_facts(record: dict[str, Any]) -> dict[str, str]:
    """What the metadata of a bundle says, in words; an older version's says less."""
    provenance, features, model = record["provenance"] or {}, record["features"], record["model"]
    versions = provenance.get("versions", {})
    latency, dev = record["latency_seconds"], record["dev"]
    facts = {
        "written by": f"speechgru {record['speechgru_version']}, format {record['bundle_version']}",
        "exported": provenance.get("created"),
        "commit": provenance.get("commit"),
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("tensorflow", "keras") if name in versions),
        "hears": f"{record['sample_rate']:,} Hz, a step every {record['step_seconds'] * 1000:g} ms",
        "front end": "{n_mels} mel filters, {frame_length_ms:g} ms every {hop_length_ms:g} ms".format(**features)
        if features
        else None,
        "writes": f"{record['vocabulary_size']:,} {record['unit']}s",
        "model": "{num_layers} x {units} units, {direction}".format(**model) if model else None,
        "latency": f"{latency['least']:.2f} to {latency['greatest']:.2f} s"
        if latency
        else "the whole recording: it does not stream",
        "parameters": f"{record['parameters']:,}" if record["parameters"] is not None else None,
        "dev set": f"WER {dev['wer']:.2%}, CER {dev['cer']:.2%}, step {dev['step']:,}" if dev else None,
        "SavedModel": ", ".join(record["saved_model"]),
    }
    return {name: value for name, value in facts.items() if value}


@app.command()
def transcribe(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder.")],
    audio: Annotated[list[Path], typer.Argument(help="Recordings: any format, rate, channel count.")],
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    beam_width: _BeamWidth = None,
    n_best: Annotated[int, typer.Option(min=1, help="Other readings to print too, with --json.")] = 1,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    words: Annotated[bool, typer.Option("--words", help="Show when each word was said.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show what is heard while it is spoken, at the pace of speaking.")
    ] = False,
    endpoint: Annotated[
        float | None, typer.Option(help="With --stream: an utterance ends after so many seconds of silence.")
    ] = None,
    as_json: _JsonFlag = False,
) -> None:
    """Turn recordings into text with the bundle alone (no TensorFlow).

    Example: `speechgru transcribe bundle hello.wav --hotword kitchen --json`
    """
    from speechgru.decoding import EndpointRule, options_from_lists
    from speechgru.transcribe import transcribe as verb

    if endpoint is not None and not stream:
        raise UserError("--endpoint cuts a stream into utterances; add --stream")
    if n_best > 1 and not as_json:
        raise UserError("--n-best prints several texts a recording, which a table has no place for; add --json")
    decoding = options_from_lists(
        beam_width=beam_width,
        n_best=n_best,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
    )
    if stream:
        rule = None if endpoint is None else EndpointRule(trailing_seconds=endpoint)
        records = [_transcribe_live(bundle, path, form, decoding, rule, quiet=as_json) for path in audio]
    else:
        with show_progress(quiet=as_json) as progress:
            records = verb(bundle, audio, form=form, decoding=decoding, progress=progress)
    if as_json:
        _print_json(records)
        return
    table = Table(_whole("recording"), "text", "confidence", *(["from", "to"] if words else []))
    for record in records:
        table.add_row(record["audio_filepath"], record["text"], f"{record['confidence']:.2f}")
        for word in record["words"] if words else ():
            times = (f"{word[key]:.2f} s" for key in ("start_seconds", "end_seconds"))
            table.add_row("", word["text"], f"{word['confidence']:.2f}", *times)
    _out.print(table)


def _transcribe_live(
    bundle: Path, path: Path, form: str | None, decoding: Any, endpoint: Any, *, quiet: bool
) -> dict[str, Any]:
    """One recording at the pace of speaking: on a terminal its text grows in a line, elsewhere a change is a line."""
    from rich.live import Live

    from speechgru.transcribe import transcribe_live

    shown = ""

    def listener(seconds: float, heard: Any) -> None:
        nonlocal shown
        for hypothesis in heard.ended:
            _err.print(f"{seconds:6.2f} s  {escape(hypothesis.text)}", highlight=False, soft_wrap=True)
        if heard.text != shown:
            shown = heard.text
            if live is not None:
                live.update(escape(shown))
            elif shown:
                _err.print(f"{seconds:6.2f} s  {escape(shown)} ...", highlight=False, soft_wrap=True)

    live = Live("", console=_err, transient=True) if _err.is_terminal and not quiet else None
    with live or contextlib.nullcontext():
        return transcribe_live(
            bundle,
            path,
            listener=(lambda seconds, heard: None) if quiet else listener,
            form=form,
            decoding=decoding,
            endpoint=endpoint,
        )


@contextlib.contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[Callable[[str, int, int, str], None]]:
    """A listener for verbs: bars on a terminal, a line every ten seconds and at each stage's end elsewhere."""
    if quiet:
        yield lambda stage, done, total, note="": None
    elif _err.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bars(*columns, console=_err) as bars:
            tasks: dict[str, Any] = {}

            def draw(stage: str, done: int, total: int, note: str = "") -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(escape(stage), total=total, note=note)
                bars.update(tasks[stage], completed=done, total=total, note=escape(note))

            yield draw
    else:
        yield line_progress(lambda line: _err.print(line, highlight=False, markup=False, soft_wrap=True))


def _needs_training_packages(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("speechgru"):
            raise
        raise UserError(f"this needs the training packages ({error.name}): pip install 'speechgru[train]'") from error


def _import(name: str) -> Any:
    import importlib

    return importlib.import_module(name)


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _whole(header: str) -> Column:
    """A column whose long words, such as paths, go on in the next line and are not cut."""
    return Column(header, overflow="fold")


def _print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
