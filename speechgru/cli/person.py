"""Commands for a person's own voice: record and adapt."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    ask,
    import_module,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.errors import UserError
from speechgru.visible import counted


@app.command()
def record(
    out: Annotated[Path, typer.Option(help="Folder for prompts, recordings and their manifest; resumed if there.")],
    grammar: Annotated[
        Path | None, typer.Option(help="The grammar that is read; needed once, the folder keeps it.")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Sentences to read.")] = 30,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Recordings made elsewhere: a file a line of prompts.txt, such as 7.wav."),
    ] = None,
    speaker: Annotated[str | None, typer.Option(help="Who speaks; else the folder's name.")] = None,
    device: Annotated[str | None, typer.Option(help="The microphone: a number or a part of its name.")] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, help="Hz to record at.")] = 16000,
    seed: Annotated[int, typer.Option(help="Another seed, other sentences.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Record sentences of a grammar in your own voice, for `adapt`.

    Each recording is checked at once and offered again. Without a microphone read prompts.txt elsewhere and give
    --from; the command ends with code 1 where a file is not good enough.
    Example: `speechgru record --grammar my.yaml --out me`
    """
    from speechgru.files import held_alone, require_own_folder

    require_own_folder(out, kind="the recordings")
    stored = out / "grammar.json"
    if grammar is None and not stored.exists():
        raise UserError(f"{out}: holds no grammar yet; give the one to read from with --grammar")
    chosen = int(device) if device is not None and device.isdecimal() else device
    if as_json and source is None:
        raise UserError("--json goes with --from: at a microphone somebody reads what is printed")
    print_beginning(f"reading {grammar or stored}")
    from speechgru.grammar import Grammar
    from speechgru.recording import SoundDeviceMicrophone
    from speechgru.recording import record as verb

    alone = held_alone(out, activity="is recording here", advice="end it first, or name another folder")
    with alone, show_progress(quiet=source is None or as_json) as progress:
        sitting = verb(
            Grammar.load(grammar or stored),
            out,
            num_prompts=prompts,
            source=source,
            microphone=lambda: SoundDeviceMicrophone(sample_rate=sample_rate, device=chosen),
            ask=lambda question: ask(question).strip().lower(),
            tell=lambda line: terminal.print(line, soft_wrap=True, highlight=False),
            speaker=speaker,
            seed=seed,
            progress=progress,
        )
    if as_json:
        print_json({**dataclasses.asdict(sitting), "manifest": str(sitting.manifest)})
        if sitting.messages:
            raise typer.Exit(1)
        return
    for message in sitting.messages:
        terminal.print(f"not kept: {message}", style="yellow", soft_wrap=True)
    done = sitting.num_prompts - len(sitting.missing)
    terminal.print(
        f"{sitting.manifest}: {done} of {sitting.num_prompts} prompts, {sitting.seconds:.0f} s", soft_wrap=True
    )
    if done and sitting.words_left:
        words = ", ".join(sitting.words_left[:20]) + (", ..." if len(sitting.words_left) > 20 else "")
        terminal.print(f"words of the grammar that were not recorded: {words}", soft_wrap=True)
    if done:
        print_next("adapt", "RUN", "--recordings", out, "--run", Path("runs") / out.name)
    else:
        print_next("record", "--out", out)
    if sitting.messages:
        raise typer.Exit(1)


@app.command()
def adapt(
    start: Annotated[Path, typer.Argument(help="The run folder to start from.", metavar="RUN")],
    recordings: Annotated[
        Path,
        typer.Option(
            help="A manifest, a folder of `record`, or recordings with their texts beside them; or a ZIP of it."
        ),
    ],
    run: Annotated[Path, typer.Option(help="The run folder to write; an interrupted adaptation is resumed there.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Keys to set, such as train.learning_rate=5e-4.", metavar="[KEY=VALUE]..."),
    ] = None,
    steps: Annotated[int, typer.Option(help="The longest training that is tried; down to a sixteenth of it.")] = 320,
    folds: Annotated[int, typer.Option(help="Parts of the recordings; each is held out once.")] = 4,
    share: Annotated[float, typer.Option(help="Percent of a batch that are the person's recordings.")] = 50,
    join: Annotated[int, typer.Option(help="Also join recordings of single words into strings of up to N words.")] = 0,
    general: Annotated[
        Path | None, typer.Option(help="Manifest of other people that must not get worse; else the run's dev set.")
    ] = None,
    replay: Annotated[
        list[Path] | None, typer.Option(help="Manifest to mix in; may be repeated. Else what the run was trained on.")
    ] = None,
    max_forgetting: Annotated[float, typer.Option(help="Percentage points by which the general WER may rise.")] = 1.0,
    as_json: JsonFlag = False,
) -> None:
    """Teach a run a person's voice; keep it only where it is better.

    Cross-validation on the recordings chooses how long to train. Ends with code 1 where the adapted run is not better.
    Example: `speechgru adapt runs/first --recordings me --run runs/me`
    """
    print_beginning(f"adapting {start} to {recordings}")
    from speechgru.files import require_own_folder
    from speechgru.runs import RunFolder

    # Before TensorFlow is loaded, which takes seconds.
    require_own_folder(run, kind="run")
    RunFolder(start).require().require_weights()
    for path in (recordings, *([general] if general else ()), *(replay or ())):
        if not path.exists():
            raise UserError(f"{path}: there is no such manifest or folder")
    module = needs_training_packages(lambda: import_module("speechgru.adapt"))
    options = module.AdaptOptions(
        folds=folds,
        steps=steps,
        share=share / 100,
        join=join,
        max_forgetting=max_forgetting / 100,
        general=general,
        replay=replay or (),
        overrides=overrides or (),
    )
    with show_progress(quiet=as_json) as progress:
        result = module.adapt(start, recordings, run, options=options, progress=progress)
    if as_json:
        print_json(_adaptation_record(result))
    else:
        _print_adaptation(result)
    if not result.is_better:
        raise typer.Exit(1)


def _adaptation_record(result: Any) -> dict[str, Any]:
    """What a program wants to know; the record in the run folder has the texts too."""

    def numbers(comparison: dict[str, Any]) -> dict[str, Any]:
        sides = {
            side: comparison[side] and {key: comparison[side][key] for key in ("wer", "wer_interval", "cer", "words")}
            for side in ("before", "after")
        }
        return {**sides, "change_interval": comparison["change_interval"]}

    return {
        "run": str(result.run),
        "is_better": result.is_better,
        "reasons": list(result.reasons),
        "steps": result.steps,
        "person": numbers(result.person),
        "general": numbers(result.general),
        "left_out": list(result.left_out),
        "seconds": result.seconds,
        "notes": list(result.notes),
    }


def _print_adaptation(result: Any) -> None:
    for message in result.left_out:
        terminal.print(f"left out: {message}", style="yellow", soft_wrap=True)
    table = Table("", "WER", "95 % interval", title=str(result.run))
    for name, comparison in (("the person, held out", result.person), ("the general set", result.general)):
        for when in ("before", "after"):
            side = comparison[when]
            row = [f"{side['wer']:.2%}", "{:.2%} to {:.2%}".format(*side["wer_interval"])] if side else ["–", "–"]
            table.add_row(f"{name}: {when}", *row)
        change = comparison["change_interval"]
        row = ["", "{:+.2f} to {:+.2f} points".format(*(100 * end for end in change)) if change else "–"]
        table.add_row("change", *row, end_section=True)
    terminal.print(table)
    if result.is_better:
        terminal.print(
            f"better, after {counted(result.steps, 'step')}; {result.run} is ready to export", soft_wrap=True
        )
        for note in result.notes:
            terminal.print(note, soft_wrap=True)
    else:
        terminal.print(f"not better: {'; '.join(result.reasons)}", style="yellow", soft_wrap=True)
    terminal.print(f"{result.page} shows it all ({result.seconds:.0f} s)", soft_wrap=True)
    if result.is_better:
        print_next("export", result.run, "--out", "bundle")
    else:
        print_next("record", "--out", "RECORDINGS", "--prompts", "60")
