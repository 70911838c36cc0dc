"""Commands that train: train, tune, join and report."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    JsonFlag,
    app,
    import_module,
    near,
    needs_training_packages,
    print_beginning,
    print_error,
    print_json,
    print_next,
    print_notes,
    show_progress,
    terminal,
)
from speechgru.cli.decoding import (
    BeamWidth,
    GRULanguageFile,
    Hotword,
    Hotwords,
    LanguageModel,
    OwnLanguage,
    describe_interval,
)
from speechgru.cli.decoding_tuning import tune_the_beam
from speechgru.errors import UserError
from speechgru.files import require_page_place
from speechgru.visible import counted


@app.command(context_settings={"ignore_unknown_options": False})
def train(
    config: Annotated[
        Path,
        typer.Argument(help="A YAML file, or the name of one of the package's; `speechgru config` lists and explains."),
    ],
    run: Annotated[Path, typer.Option(help="The run folder; a run that is there is resumed.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Keys to set, such as train.learning_rate=1e-3.", metavar="[KEY=VALUE]..."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a recogniser, or resume the one in the run folder.

    Example: `speechgru train configs/quickstart.yaml --run runs/first train.max_steps=500`
    """
    print_beginning(f"reading {config}")
    from speechgru.config.beginning import require_beginning
    from speechgru.config.corpus_files import require_files
    from speechgru.config.load import load_config
    from speechgru.config.resuming import resume
    from speechgru.files import require_own_folder
    from speechgru.runs import RunFolder

    require_own_folder(run, kind="run")
    settings = load_config(config, overrides or ())
    # Before TensorFlow is loaded, which takes seconds.
    require_files(settings)
    said = resume(RunFolder(run), settings).notes
    if not RunFolder(run).is_claimed:
        require_beginning(settings)
    if not as_json:
        print_notes(said)
    verb = needs_training_packages(lambda: import_module("speechgru.train").train)
    with show_progress(quiet=as_json) as progress:
        result = verb(settings, run, progress=progress)
    if as_json:
        print_json({**dataclasses.asdict(result), "run": str(result.run)})
        return
    best = "no dev manifest"
    if result.best_wer is not None:
        from speechgru.train.monitor import describe_score

        best = f"best dev {describe_score(result.best_wer, result.best_cer, monitor=result.monitor, digits=2)}"
        if result.best_interval is not None:
            interval = describe_interval(result.best_interval)
            best += f" (95 % interval {interval}: {result.num_dev} dev utterances)"
    terminal.print(
        f"{result.run}: {counted(result.steps, 'step')} in {result.seconds:.0f} s, {best}, "
        f"{result.num_parameters:,} parameters, {counted(result.num_train, 'utterance')}; ended by {result.ended}",
        soft_wrap=True,
    )
    terminal.print(f"{result.run / 'report' / 'training.html'} shows it all", soft_wrap=True)
    for note in result.notes:
        if note not in said:
            terminal.print(note, style="yellow", soft_wrap=True)
    if result.num_skipped:
        terminal.print(
            f"{counted(result.num_skipped, 'utterance was', 'utterances were')} left out; see "
            f"{result.run / 'skipped.jsonl'}",
            style="yellow",
        )
    if result.num_dropped:
        terminal.print(
            f"{counted(result.num_dropped, 'step')} had no finite loss or gradient and changed nothing; "
            f"{result.run / 'history.jsonl'} names their utterances",
            style="yellow",
            soft_wrap=True,
        )
    if result.num_infeasible:
        terminal.print(
            f"{counted(result.num_infeasible, 'utterance')} had too few steps for the text in training and taught "
            f"nothing; see {result.run / 'history.jsonl'}",
            style="yellow",
        )
    print_next("evaluate", run, "--manifest", _test_beside(settings.data.dev))


def _test_beside(dev: str | None) -> Path:
    """The test set that `speechgru prepare` wrote beside a dev set, as a person would write it."""
    test = Path("TEST.jsonl") if dev is None else Path(dev).with_name("test.jsonl")
    if not test.is_file():
        return Path("TEST.jsonl")
    return near(test)


#: What a trial's time goes into.
_TRIAL_PARTS = {"training": "training", "measuring": "exporting and measuring", "overhead": "all else"}


@app.command()
def tune(
    sweep: Annotated[
        Path | None, typer.Argument(help="A sweep file; configs/sweep_*.yaml are ready ones.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Keys to set in every trial, such as data.dev=PATH.", metavar="[KEY=VALUE]..."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The sweep's folder; a sweep that is there is resumed.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Trials at a time on this machine.")] = 1,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Let workers of other machines join there.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that they show; else `token` in the sweep's folder.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="File of a certificate (PEM): nobody in the network reads along.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="File of the certificate's key.")] = None,
    decoding: Annotated[
        Path | None, typer.Option(help="In place of a sweep: a run or bundle whose beam is tuned, without training.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="With --decoding: the dev set; never test.")] = None,
    out: Annotated[Path, typer.Option(help="With --decoding: the file of the chosen numbers.")] = Path("decoding.json"),
    form: Annotated[str | None, typer.Option(help="With --decoding: which of a bundle's models to run.")] = None,
    beam_width: BeamWidth = None,
    hotword: Hotword = None,
    hotwords: Hotwords = None,
    lm: OwnLanguage = False,
    language_model: LanguageModel = None,
    gru_language_model: GRULanguageFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Search hyperparameters; ends in best.yaml, trials.csv and a page. Killed, the same command resumes it.

    With --listen, other machines may `join`; a missing token is made, or the environment's SPEECHGRU_TOKEN has one.
    With --decoding it chooses a language model's weight, bonus and penalties, hotwords' boost and the beam's width.
    Example: `speechgru tune configs/sweep_architecture.yaml --run sweeps/first data.dev=data/mine/dev.jsonl`
    """
    if decoding is not None:
        if sweep is not None or manifest is None:
            raise UserError("with --decoding name the dev set (--manifest dev.jsonl), and no sweep file")
        tune_the_beam(
            decoding,
            manifest,
            form=form,
            beam_width=beam_width,
            hotword=hotword,
            hotwords=hotwords,
            lm=lm,
            language_model=language_model,
            gru_language_model=gru_language_model,
            out=out,
            test=_test_beside(str(manifest)),
            as_json=as_json,
        )
        return
    if (
        sweep is None
        or run is None
        or any((manifest, form, beam_width, hotword, hotwords, lm, language_model, gru_language_model))
    ):
        raise UserError(
            "name a sweep file and its folder (--run), or with --decoding a run or bundle and the dev set (--manifest)"
        )
    print_beginning(f"reading {sweep}")
    from speechgru.files import require_own_folder
    from speechgru.network import certificate_and_key
    from speechgru.tune.sweep_file import load_sweep

    require_own_folder(run, kind="sweep")
    tls = certificate_and_key(tls_certificate, tls_key)
    loaded = load_sweep(sweep, overrides or ())
    verb = needs_training_packages(lambda: import_module("speechgru.tune.chief").tune)
    with show_progress(quiet=as_json) as progress:
        result = verb(
            loaded,
            run,
            workers=workers,
            listen=listen,
            token_file=token_file,
            tls=tls,
            progress=progress,
        )
    counts = dict.fromkeys(("completed", "failed", "refused"), 0)
    for trial in result.trials:
        counts[trial["status"]] += 1
    if as_json:
        print_json(
            {**dataclasses.asdict(result), "folder": str(result.folder), "best": result.best and str(result.best)}
        )
        if not counts["completed"]:
            raise typer.Exit(1)
        return
    if result.num_redrawn:
        terminal.print(
            f"{counted(result.num_redrawn, 'trial')} of earlier sessions would be drawn otherwise today; all count as "
            "they were",
            style="yellow",
            soft_wrap=True,
        )
    ended = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    terminal.print(f"{result.folder}: {ended or 'no trial'} in {result.seconds:.0f} s; {result.ended}", soft_wrap=True)
    done = [trial for trial in result.trials if trial["status"] == "completed"]
    if done:
        mean = {part: sum(trial[f"{part}_seconds"] for trial in done) / len(done) for part in _TRIAL_PARTS}
        parts = ", ".join(f"{mean[part]:.1f} {words}" for part, words in _TRIAL_PARTS.items())
        terminal.print(f"seconds a trial, mean: {parts}", soft_wrap=True)
    best = next((trial for trial in result.trials if trial["is_best"]), None)
    if best is None:
        terminal.print("no trial was completed within the limits; the page says why", style="yellow")
    else:
        chosen = ", ".join(f"{key}={value}" for key, value in best["values"].items())
        terminal.print(f"best: trial {best['trial']}, dev WER {best['wer']:.2%}, {chosen}", soft_wrap=True)
        if best["wer"] < 1:
            terminal.print(f"{result.best} trains it", soft_wrap=True)
        else:
            terminal.print(
                "no trial has less than 100 % WER, so they say nothing of what is better; give each more "
                "(train.max_steps of the base configuration)",
                style="yellow",
                soft_wrap=True,
            )
    terminal.print(f"{result.folder / 'report' / 'sweep.html'} shows it all", soft_wrap=True)
    if best is not None and best["wer"] < 1:
        print_next("train", result.best, "--run", Path("runs") / result.folder.name)
    elif counts["completed"]:
        print_next("tune", sweep, "--run", "LONGER", "train.max_steps=STEPS")
    if not counts["completed"]:
        reason, count = _commonest_reason(result.trials)
        print_error(f"no trial succeeded; {count} of {len(result.trials)}: {reason}")
        raise typer.Exit(1)


def _commonest_reason(trials: Sequence[dict[str, Any]]) -> tuple[str, int]:
    """Why most trials gave no result, on one line, and of how many that is the reason."""
    reasons = Counter(" ".join(str(trial.get("reason") or "no reason is known").split())[:300] for trial in trials)
    return reasons.most_common(1)[0] if reasons else ("none was begun", 0)


@app.command()
def join(
    run: Annotated[Path, typer.Argument(help="The sweep's folder, as its chief sees it.")],
    chief: Annotated[str, typer.Option(metavar="HOST:PORT", help="What the chief listens on.")],
    workers: Annotated[int, typer.Option(min=1, help="Trials at a time on this machine.")] = 1,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the sweep's token; else `token` in the sweep's folder.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="File of the chief's certificate (PEM), where it has one.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Work for a sweep that another machine leads, until it ends.

    It shows the sweep's token, which may also be in the environment's SPEECHGRU_TOKEN.
    Example: `speechgru join sweeps/first --chief 192.168.1.10:7777 --workers 2`
    """
    print_beginning(f"joining the sweep of {chief}")
    verb = needs_training_packages(lambda: import_module("speechgru.tune.chief").join)
    with show_progress(quiet=as_json) as progress:
        replaced = verb(
            run, chief, workers=workers, token_file=token_file, certificate=tls_certificate, progress=progress
        )
    best = run / "best.yaml"
    if as_json:
        print_json({"run": str(run), "replaced": replaced, "best": str(best) if best.is_file() else None})
        return
    died = f"; {counted(replaced, 'worker')} died and got a successor" if replaced else ""
    terminal.print(f"{run}: the sweep has ended{died}")
    if best.is_file():
        print_next("train", best, "--run", Path("runs") / run.name)
    else:
        print_next("tune", "SWEEP.yaml", "--run", run)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The run folder, of a training that has ended or still runs.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write; else report/training.html in the run.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the page of a run's training: curves, what was left out, dev recordings with sound and picture.

    Example: `speechgru report runs/first --out training.html`
    """
    print_beginning(f"reading {run}")
    from speechgru.runs import RunFolder

    # Before TensorFlow is loaded, which takes seconds.
    if out is not None:
        require_page_place(out)
    RunFolder(run).require()
    # A GPU may be busy with the very training that is shown, and three recordings need none.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # Drawing, too, needs what comes with the training packages.
    page = needs_training_packages(lambda: import_module("speechgru.train.page").report_run(run, out))
    if as_json:
        print_json({"page": str(page)})
        return
    terminal.print(f"{page}: open it in a browser", soft_wrap=True)
    print_next("evaluate", run, "--manifest", "TEST.jsonl")
