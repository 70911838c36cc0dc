"""What is kept for commands that nobody gave: calibrate, and negatives add."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.console import (
    Commands,
    JsonFlag,
    app,
    first_of,
    import_module,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.cli.decoding import GRU_FLAGS, DecodingFlags, FalseAccepts, Misses, rejection_table, with_decoding


@app.command()
@with_decoding(without=(*GRU_FLAGS, "threshold"))
def calibrate(
    run_or_bundle: Annotated[Path, typer.Argument(help="A run folder or an exported bundle.")],
    dev: Annotated[Path, typer.Option(help="Manifest of commands that were not trained on.")],
    negatives: Annotated[list[Path], typer.Option(help="Manifest of recordings without a command; may be repeated.")],
    false_accepts_per_hour: FalseAccepts = None,
    misses: Misses = None,
    form: Annotated[str | None, typer.Option(help="Which of a bundle's models to run; see `export`.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances that a run computes at once.")] = 32,
    *,
    flags: DecodingFlags,
    as_json: JsonFlag = False,
) -> None:
    """Choose the margin below which a text is not accepted, and keep it in the run or bundle.

    A run's exports have it too. A threshold is for the decoding that it was chosen with: give the same options.
    Example: `speechgru calibrate bundle --dev dev.jsonl --negatives noise.jsonl --grammar --misses 3`
    """
    print_beginning(f"scoring {run_or_bundle} on {dev}")

    decoding = flags.options()
    # Before TensorFlow is loaded, which takes seconds.
    from speechgru.runs import RunFolder
    from speechgru.runtime import is_bundle
    from speechgru.utterances import read_manifest

    if not is_bundle(run_or_bundle):
        RunFolder(run_or_bundle).require().require_weights()
    read_manifest(dev)
    verb = needs_training_packages(lambda: import_module("speechgru.export.calibration").calibrate)
    with show_progress(quiet=as_json) as progress:
        record = verb(
            run_or_bundle,
            dev,
            negatives,
            form=form,
            false_accepts_per_hour=false_accepts_per_hour,
            misses=None if misses is None else misses / 100,
            batch_size=batch_size,
            decoding=decoding,
            progress=progress,
        )
    if as_json:
        print_json(record)
        return
    for note in record["notes"]:
        terminal.print(note, style="yellow", soft_wrap=True)
    terminal.print(rejection_table(record["rejection"]))
    terminal.print(
        f"{run_or_bundle} accepts a text from the margin {record['rejection']['chosen']['threshold']:.3f} on",
        soft_wrap=True,
    )
    if is_bundle(run_or_bundle):
        print_next("transcribe", run_or_bundle, *(["--grammar"] if flags.grammar else []), "HELLO.wav")
    else:
        print_next("export", run_or_bundle, "--out", "bundle")


negatives_app = typer.Typer(cls=Commands, help="Recordings in which nobody gave a command.", no_args_is_help=True)
app.add_typer(negatives_app, name="negatives")


@negatives_app.command("add")
def add_negatives(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings in which something was found that nobody said.")],
    to: Annotated[Path, typer.Option(help="The manifest to add them to; made when missing.")],
    as_json: JsonFlag = False,
) -> None:
    """Add your own false accepts to a manifest of negatives.

    Give it to `evaluate` and `calibrate` as negatives, and to training: as data.negatives, or as one of data.train.
    Example: `speechgru negatives add tv.wav door.wav --to data/negatives.jsonl`
    """
    print_beginning(f"reading {first_of(recordings)}")
    from speechgru.files import require_file_place
    from speechgru.utterances.negatives import add_negatives as verb

    require_file_place(to)
    done = verb(recordings, to)
    if as_json:
        print_json({**dataclasses.asdict(done), "manifest": str(done.manifest)})
        return
    known = f", {done.num_known:,} were there already" if done.num_known else ""
    terminal.print(
        f"{done.manifest}: {done.num_added:,} added{known}; {done.seconds / 60:.1f} minutes in all", soft_wrap=True
    )
    print_next("calibrate", "BUNDLE", "--dev", "DEV.jsonl", "--negatives", done.manifest, "--grammar")
