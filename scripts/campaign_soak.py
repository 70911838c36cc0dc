"""Lets streams, a sweep and trainings run for long, and looks whether anything grows that should not.

    python scripts/campaign_soak.py                                      # the whole: 20 streams for an hour, 200, 20
    python scripts/campaign_soak.py --minutes 5 --trials 20 --trainings 5
    python scripts/campaign_soak.py --minutes 5 --speed 100              # streams as quick as the machine allows

- streams of one recogniser, side by side: tones that spell texts (`tests/spelt.py`), fed in pieces of changing length,
  each when a microphone would have recorded it; each utterance's text must be the one that the sound has by itself;
- a sweep of tiny trials (`tests/quick_trials`) with two workers: all are completed, with one winner, and its chief
  stays as small as it was;
- a process, as a notebook's, that trains again and again.

Memory, open files, threads and temporary files are counted after the first quarter, when all is warm, and at the end.
The last line is one JSON object.
"""

import argparse
import csv
import gc
import os
import tempfile
import time
from pathlib import Path

from campaigns import Disk, Ledger, add_options, open_commands, renew

#: What a quantity may grow by from the first quarter to the end.
MOST_GROWTH = {"memory_mb": 50.0, "files": 2, "threads": 2, "temporary": 0}


def counts(process="self"):
    """Memory in MB, open files, threads of a process, and temporary files."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return {
        "memory_mb": int(fields["VmRSS"].split()[0]) / 1024,
        "files": len(os.listdir(f"/proc/{process}/fd")),
        "threads": int(fields["Threads"]),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }


def growth(warm, end):
    """How much each quantity has grown, and the findings."""
    grown = {name: round(end[name] - warm[name], 1) for name in warm}
    findings = [f"{name} grows by {by:g}" for name, by in grown.items() if by > MOST_GROWTH[name]]
    return grown, findings


def soak_streams(num_streams, minutes, *, speed=1.0):
    """Feeds streams beside each other; gives utterances, what has grown, and findings.

    Args:
        num_streams: how many.
        minutes: for how long.
        speed: seconds of sound that a stream is fed in a second.
    """
    import numpy as np
    from spelt import RATE, STREAMS, say

    from speechgru.runtime import Recognizer

    recognizer, rng = Recognizer(STREAMS), np.random.default_rng(0)
    texts = ["".join(rng.choice(["a", "b"], rng.integers(1, 7))) for _ in range(40)]
    sounds = [say(text, seed=number) / 32768 for number, text in enumerate(texts)]
    alone = [recognizer.transcribe(sound.astype(np.float32), RATE).text for sound in sounds]
    told = dict.fromkeys(range(num_streams))
    warm, utterances, findings = None, 0, []
    began, last = time.monotonic(), 60 * minutes
    due = dict.fromkeys(told, began)  # when the next piece of a stream has been recorded
    while time.monotonic() - began < last or warm is None:
        time.sleep(max(0.0, min(due.values()) - time.monotonic()))
        for number in told:
            if due[number] > time.monotonic():
                continue
            if told[number] is None:
                which = int(rng.integers(len(sounds)))
                told[number] = [recognizer.stream(), which, 0]
            stream, which, place = told[number]
            size = int(rng.integers(1, 4000))
            if place < len(sounds[which]):
                stream.feed(sounds[which][place : place + size].astype(np.float32))
                told[number][2] += size
                due[number] += size / RATE / speed
                continue
            text = stream.finish().text
            utterances += 1
            if text != alone[which]:
                findings.append(f"a stream writes {text!r}, and the whole recording is {alone[which]!r}")
            told[number] = None
        if warm is None and time.monotonic() - began > last / 4 and utterances >= num_streams:
            warm = counts()
    grown, more = growth(warm, counts())
    return utterances, grown, findings + more


def soak_sweep(folder, trials):
    """Runs a sweep of trials that train nothing; gives trials, what its chief has grown by, and findings."""
    from test_tune_survival import Sweep
    from tones import write_corpus

    disk = Disk(folder, folder / "case")
    commands = open_commands(folder / "logs", disk.library, "speechgru.tune.chief")
    renew(folder / "case")
    renew(folder / "tones")
    units = ", ".join(str(16 + number) for number in range(64))
    sweep = Sweep(commands, write_corpus(folder / "tones"), folder / "case", trials=trials, units=units)
    process, warm, end = sweep.start("--workers", 2), None, None
    while process.poll() is None:
        done = len(list(sweep.run.glob("trials/*/outcome.json")))
        if done and (now := chief_counts(process.pid)):
            warm, end = (now if warm is None and done >= trials / 4 else warm), now
        time.sleep(0.2)
    status, said = process.wait()
    commands.close()
    findings = [] if status == 0 else [f"ends with {status}: {said.strip().splitlines()[-1][:200]}"]
    with open(sweep.run / "trials.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    completed = sum(row["status"] == "completed" for row in rows)
    if completed != trials or sum(row["is_best"] == "True" for row in rows) != 1:
        findings.append(f"{completed} of {trials} completed")
    grown, more = growth(warm, end) if warm else ({}, [])
    return completed, grown, findings + more


def chief_counts(process):
    """What `counts` gives of the chief; None where it has just ended."""
    try:
        return counts(process) | {"temporary": 0}
    except (OSError, KeyError):
        return None


def soak_trainings(folder, trainings):
    """Trains in this process again and again; gives trainings, what has grown, and findings."""
    from tones import make_config, write_corpus

    from speechgru.train import train

    renew(folder / "tones")
    config = make_config(write_corpus(folder / "tones"), folder / "config.yaml", "model.direction=forward")
    warm = None
    for number in range(trainings):
        renew(folder / "case")
        train(config, folder / "case" / "run")
        gc.collect()  # what nobody can reach is not kept, whenever Python would have looked for it
        if warm is None and number + 1 >= trainings / 4:
            warm = counts()
    grown, findings = growth(warm, counts())
    return trainings, grown, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, folder="campaigns/soak", minutes=60.0)
    parser.add_argument("--streams", type=int, default=20, help="beside each other, for so many --minutes; 0 for none")
    parser.add_argument("--speed", type=float, default=1.0, help="of the streams' sound, in times of real time")
    parser.add_argument("--trials", type=int, default=200, help="of the sweep; 0 for none")
    parser.add_argument("--trainings", type=int, default=20, help="in one process; 0 for none")
    options = parser.parse_args()
    folder = options.folder.absolute()
    renew(folder / "temporary")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "temporary")  # others' files do not count
    ledger, grown = Ledger(folder / "ledger.jsonl"), {}
    for family, size, run in (
        ("streams", options.streams, lambda: soak_streams(options.streams, options.minutes, speed=options.speed)),
        ("sweep", options.trials, lambda: soak_sweep(folder, options.trials)),
        ("trainings", options.trainings, lambda: soak_trainings(folder, options.trainings)),
    ):
        if size and not ledger.numbers(family):
            began = time.monotonic()
            cases, grown[family], findings = run()
            ledger.add(family, size, cases=cases, findings=findings, grown=grown[family],
                       seconds=time.monotonic() - began)  # fmt: skip
    ledger.print(grown={record["family"]: record["grown"] for record in ledger.records})


if __name__ == "__main__":
    main()
