"""One trial, in a process of its own: trains, measures, and leaves an outcome in its folder.

`python -m speechgru.tune.trial FOLDER` is what a worker runs. A process for each trial gives its memory back, and its
crash is nobody else's.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import statistics
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from speechgru import jsonlines
from speechgru.config.load import load_config
from speechgru.config.resuming import with_keys
from speechgru.config.sections import RunConfig
from speechgru.errors import DiskError, Interrupted, UserError
from speechgru.export import export
from speechgru.files import held, make_folder, write_json, write_text
from speechgru.model.predictor import KerasPredictor
from speechgru.process.locked_folder import locked_file
from speechgru.progress import Progress, line_progress
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint
from speechgru.scoring.evaluation import evaluate
from speechgru.scoring.loss import ScoredLoss
from speechgru.scoring.predictions import decode_recordings, load_run
from speechgru.scoring.recordings import ScoringSet
from speechgru.train import train
from speechgru.train.checkpoints import BEST_BEFORE_STOP
from speechgru.tune.folder import BUSY, DISK_FAILED, TrialFolder, read_json
from speechgru.tune.refusals import reason_by_size
from speechgru.tune.sweep_file import dev_manifest
from speechgru.utterances.manifest import read_manifest

#: Seconds that another process has to leave the trial, and a stopped one to keep its state.
_PATIENCE = 120
#: Added to the objective of a trial that breaks a limit, besides how far it does: more than any two trials that keep
#: the limits usually differ by.
_OVER_LIMITS = 1.0
#: What a limit is measured against.
_MEASURES = {
    "max_size_mb": "size_mb",
    "max_rtf": "rtf",
    "max_latency_ms": "latency_ms",
    "max_parameters": "parameters",
}


def main() -> None:
    """Runs the trial of the folder that the command line names."""
    folder = TrialFolder(Path(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with held(folder.sweep.path, folder.plan.exists, is_others=True), locked_file(folder.lock, timeout=_PATIENCE):
            if folder.read_outcome() is None:
                write_json(
                    folder.outcome, run_trial(folder, progress=line_progress(lambda line: print(line, flush=True)))
                )
    except filelock.Timeout:
        print(f"another process runs {folder.path}", flush=True)
        _leave(BUSY)
    except Interrupted as interrupted:
        print(interrupted, flush=True)
        _leave(interrupted.code)
    except DiskError as error:
        print(error, flush=True)
        _leave(DISK_FAILED)
    except UserError as error:
        print(error, flush=True)
        _leave(2)
    _leave(0)


def _leave(code: int) -> None:
    """Ends at once: all is on the disk, and taking TensorFlow down takes a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with_parent() -> None:
    """The worker holds the other end of our input; when it is gone, so are we, with our state kept."""
    while os.read(0, 1):  # not sys.stdin, whose lock would be held while the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(128 + signal.SIGTERM)


def run_trial(folder: TrialFolder, *, progress: Progress) -> dict[str, Any]:
    """Trains and measures what the trial's plan says; resumes where an earlier process stopped.

    Args:
        folder: the trial's folder, with its plan.
        progress: called by training and measuring.

    Returns:
        The outcome: `status` is `completed`, with `score` (what the search makes small), the scores and costs; or
        `failed` or `refused` with the `reason`.

    Raises:
        DiskError: a file cannot be written or read any more, which is not the trial's failure.
        Interrupted: a signal came; the state is kept.
    """
    plan = read_json(folder.plan)
    try:
        return _run(folder, plan, progress)
    except (DiskError, Interrupted):
        raise
    except UserError as error:
        reason = str(error)
    except MemoryError as error:
        reason = f"the memory did not suffice ({type(error).__name__}: {error})"
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    return {"status": "failed", "score": None, "reason": reason}


def _run(folder: TrialFolder, plan: dict[str, Any], progress: Progress) -> dict[str, Any]:
    config = RunConfig.model_validate(plan["config"])
    if plan["go_on_from"] is not None:
        _resume_from(folder.path.parent / plan["go_on_from"], folder.path)
        before = load_config(RunFolder(folder.path).config, stored=True).train.monitor  # of an earlier version's rung
        config = with_keys(config, {"train.monitor": before})
    max_size_mb = plan["limits"].get("max_size_mb")
    if max_size_mb is not None:
        reason = reason_by_size(folder.path, config, form=plan["form"], max_size_mb=max_size_mb)
        if reason is not None:
            return {"status": "refused", "score": None, "reason": reason}
    parts = []
    for number in range(plan["repeats"]):
        seeded = config.model_copy(
            update={"train": config.train.model_copy(update={"seed": config.train.seed + number})}
        )
        parts.append(_train_and_measure(folder, plan, seeded, number, progress))
    outcome: dict[str, Any] = {
        key: statistics.fmean(part[key] for part in parts) if len(parts) > 1 else parts[0][key]
        for key in ("wer", "cer", "loss", "trained_wer", "rtf", "latency_ms")
        if parts[0][key] is not None
    }
    outcome |= {key: parts[0][key] for key in ("parameters", "size_mb", "steps") if parts[0][key] is not None}
    outcome |= {key: sum(part[key] for part in parts) for key in ("training_seconds", "measuring_seconds")}
    outcome["repeats"] = [part[plan["metric"]] for part in parts]
    broken = {
        limit: outcome[_MEASURES[limit]] / most
        for limit, most in plan["limits"].items()
        if outcome[_MEASURES[limit]] > most
    }
    outcome["broken_limits"] = {limit: outcome[_MEASURES[limit]] for limit in broken}
    score = outcome[plan["metric"]]
    if broken:
        score += _OVER_LIMITS + sum(math.log(over) for over in broken.values())
    return {"status": "completed", "score": score, "reason": None, **outcome}


def _train_and_measure(
    folder: TrialFolder, plan: dict[str, Any], config: RunConfig, number: int, progress: Progress
) -> dict[str, Any]:
    run, epochs = folder.repeat(number), plan["stop_after_epochs"]
    trained = train(config, run, progress=progress, stop_after=None if epochs is None else float(epochs))
    started = time.monotonic()
    # The evaluation of the weights that are kept: the last that was the best so far.
    best = [record for record in RunFolder(run).read_history() if record["kind"] == "dev" and record["best"]][-1]
    part: dict[str, Any] = {
        "wer": trained.best_wer,
        "cer": best["cer"],
        "trained_wer": trained.best_wer,
        "loss": dev_loss(run) if plan["metric"] == "loss" else None,
        "parameters": trained.num_parameters,
        "steps": trained.steps,
        "training_seconds": trained.seconds,
        **dict.fromkeys(("size_mb", "rtf", "latency_ms")),
    }
    if plan["form"] is not None:
        with locked_file(folder.sweep.measuring, timeout=-1):
            part |= _measure(run, run / folder.bundle.name, config, plan["form"], progress)
    return {**part, "measuring_seconds": time.monotonic() - started}


def _measure(run: Path, bundle: Path, config: RunConfig, form: str, progress: Progress) -> dict[str, Any]:
    """What the trial's model costs and recognises on a device, as `speechgru evaluate` finds it too."""
    dev = dev_manifest(config)
    metadata = export(run, bundle, quantize=[form], max_wer_change=1.0, golden_speech=False, progress=progress)
    scored = evaluate(bundle, dev, form=form, progress=progress)
    latency = metadata["latency_seconds"]
    if latency is None:  # it waits for the whole recording, and computes then
        longest = max(utterance.duration for utterance in read_manifest(dev))
        seconds = scored["rtf"] * longest
    else:
        stream = next(record for record in metadata["parity"] if "stream_rtf" in record)
        seconds = latency["greatest"] * (1.0 + stream["stream_rtf"])
    return {
        "wer": scored["wer"],
        "cer": scored["cer"],
        "size_mb": metadata["models"][form]["size_bytes"] / 1e6,
        "rtf": scored["rtf"],
        "latency_ms": 1000.0 * seconds,
    }


def dev_loss(run: str | Path) -> float:
    """The CTC loss of a run's best weights on its dev set, in nats, the mean over the utterances.

    Raises:
        UserError: an utterance has too few steps for its text, so that its loss is infinite, or no labels at all.
    """
    config, vocabulary, model = load_run(run)
    recordings = ScoringSet(dev_manifest(config), sample_rate=config.data.sample_rate, text=config.text.rules)
    loss = ScoredLoss(vocabulary)
    decode_recordings(
        KerasPredictor(model),
        recordings,
        vocabulary=vocabulary,
        step_seconds=config.step_seconds,
        batch_size=config.train.batch_size,
        observe=loss.add,
    )
    for line, reference in zip(recordings.usable_lines, (each.text for each in recordings), strict=True):
        if line not in loss.by_line:
            vocabulary.encode(reference, where=f"{config.data.dev}:{line + 1}")
    loss_N = np.array([loss.by_line[line] for line in recordings.usable_lines])
    if not np.isfinite(loss_N).all():
        names = [recordings[index].utterance.utterance_id for index in np.flatnonzero(~np.isfinite(loss_N))[:5]]
        raise UserError(
            f"{config.data.dev}: {(~np.isfinite(loss_N)).sum()} utterances have too few steps for their text, so that "
            f"the loss is infinite ({', '.join(names)}); search for wer, or lower model.subsampling_factor"
        )
    return float(loss_N.mean())


def _resume_from(past: Path, here: Path) -> None:
    """Makes `here` a run that resumes where the one in `past` was stopped; nothing to do where it is one already."""
    before, now = RunFolder(past), RunFolder(here)
    if now.config.exists():
        return
    for path in (before.vocabulary, before.provenance, before.skipped):
        shutil.copy2(path, here / path.name)
    jsonlines.write_lines(now.history, [record for record in before.read_history() if record["kind"] != "end"])
    make_folder(now.checkpoints)
    for path in (before.best, before.checkpoints / BEST_BEFORE_STOP):
        if path.exists():
            shutil.copy2(path, now.checkpoints / path.name)
    newest = before.list_checkpoints()[0]
    arrays, state = load_checkpoint(newest)
    # A rung of an earlier version ended by a callback, and its state says so.
    save_checkpoint(now.checkpoints / newest.name, arrays, {**state, "ended": None})
    write_text(now.config, before.config.read_text(encoding="utf-8"))  # last: with it the folder is a run


if __name__ == "__main__":
    main()
