"""Kills commands again and again, runs the same commands after it, and compares the results with undisturbed ones.

    python scripts/campaign_kills.py                          # the whole: 200 trainings, 100 sweeps, 50 of each other
    python scripts/campaign_kills.py --kills export=5,sweep=8 # so many of these alone
    python scripts/campaign_kills.py --minutes 30             # as many as that allows; the same command resumes

A chain is one command that is killed one to five times (kill -9), each time at another seeded moment: at the n-th
change that it makes to the disk, in any of its processes (`campaign_disk.c`), or after a share of its time. A sweep
loses its chief, a worker, a trial or, where others' machines join it, the supervisor there. Then the command runs to
its end. What must hold:

- after each kill every file with its final name is whole, what the user had is as it was, and no process stays;
- the command that follows ends as the undisturbed one did, with no traceback on the way;
- training ends with the same bits (weights, optimizer, history, best), a sweep with the same trials and winner, the
  others with the same files; nothing is left over beside them.

The table counts kills, and chains whose command ended before its kill apart. The last line is one JSON object.
"""

import argparse
import contextlib
import csv
import itertools
import json
import os
import random
import shutil
import signal
import time
from pathlib import PurePath

from campaign_jobs import MODULES, jobs, make_world, start
from campaigns import (
    Budget,
    Disk,
    Ledger,
    add_options,
    age,
    complaints,
    differences,
    end_all,
    open_commands,
    processes_of,
    renew,
    snapshot,
    wait_out,
)

from speechgru.files import write_json

#: Kills of each family, as the goal has them.
SIZES = {
    "prepare": 50, "shard": 50, "merge": 50, "language train": 50, "segment": 50, "export": 50, "train-gru": 50,
    "adapt": 50, "sweep": 100, "training": 200,
}  # fmt: skip
#: What differs between two undisturbed runs, and what is none of the result.
ASIDE = ("*.tfevents.*", "*.lock", "training.lock")
#: The page about an export, which lies in the run that was exported.
REPORTED = ("report/export.html", "report/.export.*")
NOTES = "what the user wrote"


class Chains:
    """Kills commands, and looks at what is left.

    Args:
        folder: the campaign's; cases run in `folder/case`.
    """

    def __init__(self, folder):
        self.folder, self.case = folder, folder / "case"
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = Disk(folder, self.case)
        self.commands = open_commands(folder / "logs", self.disk.library, *(f"speechgru.{each}" for each in MODULES))
        self.world = make_world(folder, self.commands)
        self.read = snapshot(self.world, REPORTED)
        self.references = {}

    def begin(self, job):
        """Lays out a case: notes of the user's, and what the command finds there."""
        renew(self.case)
        (self.case / "notes.txt").write_text(NOTES)
        if job.begins_with:
            shutil.copytree(self.world / job.begins_with, self.case / "out")

    def look(self, job):
        """The snapshot of the case."""
        return snapshot(self.case, ASIDE, timed=job.timed, logs=job.logs)

    def reference(self, name, job):
        """An undisturbed command's status and files, those that another run or a second command changes, and its size.

        They are kept in the folder, as the world is: after a change of the package both belong to another campaign.

        Returns:
            The status; the snapshot; names that differ between two runs; names that also the command that finds its
            own result changes; the numbers of the changes to the disk, by kind; the seconds.
        """
        kept = self.folder / f"reference-{name}.json"
        if name not in self.references and kept.exists():
            status, one, volatile, renewed, kinds, seconds = json.loads(kept.read_text())
            self.references[name] = status, one, set(volatile), set(renewed), kinds, seconds
        if name not in self.references:
            found = []
            for is_again in (False, False, True):
                if not is_again:
                    self.begin(job)
                began = time.monotonic()
                status, said = start(self.commands, job, self.case, self.disk.environment()).wait()
                wrong = complaints(status, said, orderly=(0, 1))
                if wrong:
                    raise SystemExit(f"{name}, undisturbed: {wrong}: {said}")
                if not is_again:
                    seconds, kinds = time.monotonic() - began, self.disk.kinds()
                found.append(self.look(job))
            one, other, again = found
            volatile = {key for key in one if other.get(key) != one[key]}
            renewed = volatile | {key for key in one if again.get(key) != one[key]}
            if job.family == "training":
                renew(self.folder / f"whole-{name}", self.case / "out")
            self.references[name] = (status, one, volatile, renewed, kinds, seconds)
            write_json(kept, [status, one, sorted(volatile), sorted(renewed), kinds, seconds])
        return self.references[name]

    def run(self, name, job, seed):
        """One chain; gives the number of kills, of commands that ended first, and the findings."""
        expected, whole, volatile, renewed, kinds, seconds = self.reference(name, job)
        num_changes = sum(map(len, kinds.values()))
        draws = random.Random(f"{name} {seed}")
        self.begin(job)
        findings, kills, ended = [], 0, 0
        for _ in range(draws.randint(1, 5)):
            if draws.random() < 0.6:
                variables = self.disk.environment("kill", draws.randint(1, num_changes))
                command = start(self.commands, job, self.case, variables)
                status, said = command.wait()
            else:
                command = start(self.commands, job, self.case, self.disk.environment())
                self.wait(command, draws.uniform(0.02, 1.0) * seconds)
                command.send(signal.SIGKILL)
                status, said = command.wait()
            if status in (0, 1):
                ended += 1
            else:
                kills += 1
            if status != -signal.SIGKILL:  # it has ended by itself, perhaps since a child of its was killed
                findings += [f"after a child's death {each}" for each in complaints(status, said)]
            if end_all(command.pid, self.case):
                findings.append("processes stay behind")
            if ended or not differences(whole, self.look(job), volatile=renewed):
                volatile = renewed  # it was at its end, and the next one finds its result
            findings += self.half_made(job, whole, volatile)
        age(self.case)
        status, said = wait_out(start(self.commands, job, self.case, self.disk.environment()), self.case)
        if status != expected:
            findings.append(f"the command that follows ends with {status}: {said.strip().splitlines()[-1][:300]}")
        else:
            findings += [f"the command that follows: {each}" for each in complaints(status, said)]
            findings += differences(whole, self.look(job), volatile=volatile)
            if job.family == "training":
                findings += same_training(self.folder / f"whole-{name}", self.case / "out")
        if snapshot(self.world, REPORTED) != self.read:
            findings.append("what the command reads has changed")
            self.read = snapshot(self.world, REPORTED)
        return kills, ended, findings

    @staticmethod
    def wait(command, seconds):
        deadline = time.monotonic() + seconds
        while command.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)

    def half_made(self, job, whole, volatile):
        """Files with a name of the result that are not whole, and notes that are gone."""
        found = self.look(job)
        before = snapshot(self.world / job.begins_with) if job.begins_with else {}
        return [
            f"{name} is half made"
            for name, checksum in found.items()
            if name in whole and name not in volatile and checksum != whole[name]
            and checksum != before.get(name.removeprefix("out/"))
            and not any(PurePath(name).match(pattern) for pattern in job.growing)
        ] + ["notes.txt is lost"] * (found.get("notes.txt") != whole["notes.txt"])  # fmt: skip


def same_training(one, other):
    """What differs between two runs beside times: weights, optimizer and the best in their bits, and the history."""
    from test_train_survival import assert_same_run

    try:
        assert_same_run(one, other)
    except AssertionError as error:
        return [f"another result: {' '.join(str(error).split())[:200]}"]
    return []


# -- sweeps ----------------------------------------------------------------------------------------------------------


class Sweeps:
    """Sweeps of trials that train nothing (`tests/quick_trials`), of whose processes one after another is killed.

    Args:
        chains: its server of commands and its folder.
    """

    def __init__(self, chains):
        self.commands, self.folder = chains.commands, chains.folder / "sweeps"
        self.tones = chains.world
        self.expected = None

    def sweep(self):
        from test_tune_survival import Sweep

        renew(self.folder)
        sweep = Sweep(self.commands, self.tones, self.folder / "case")
        (sweep.folder / "notes.txt").write_text(NOTES)
        return sweep

    def run(self, seed):
        """One chain; gives the number of kills, of roles that were over before, and the findings."""
        from test_tune_survival import first_six

        if self.expected is None:
            sweep = self.sweep()
            sweep.finish()
            self.expected = first_six(sweep)
        draws, sweep, findings = random.Random(f"sweep {seed}"), self.sweep(), []
        kills = ended = killed_trials = 0
        joined = draws.random() < 0.3
        for _ in range(draws.randint(2, 5)):
            role = draws.choice(["chief", "worker", "trial", *(["supervisor"] if joined else [])])
            began = self.begin(sweep, draws, joined)
            victim = self.victim(role, sweep.folder, began, draws)
            if victim is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                kills += 1
                killed_trials += role == "trial"
            if role != "chief" and draws.random() < 0.5:  # the sweep is left to itself for a while
                time.sleep(draws.uniform(0, 1))
            for process in began:
                process.send(signal.SIGKILL)
            for process in began:
                status, said = process.wait()
                if status != -signal.SIGKILL:
                    findings += [f"{role} killed: {each}" for each in complaints(status, said)]
                if end_all(process.pid, sweep.folder, seconds=60):
                    findings.append(f"{role} killed: processes stay behind")
            if victim is None:  # the sweep was over before
                ended += 1
                break
        status, said = sweep.start("--workers", 2).wait()
        findings += complaints(status, said, orderly=(0,))
        if status == 0:
            findings += self.other_trials(sweep, first_six(sweep), may_fail=killed_trials > 1)
            with open(sweep.run / "trials.csv", newline="") as stream:
                if sum(row["is_best"] == "True" for row in csv.DictReader(stream)) != 1:
                    findings.append("not one winner")
        if (sweep.folder / "notes.txt").read_text() != NOTES:
            findings.append("notes.txt is lost")
        return kills, ended, findings

    def other_trials(self, sweep, trials, *, may_fail):
        """What differs from the undisturbed sweep. A trial that was killed twice at one place has failed."""
        found = []
        for trial, expected in itertools.zip_longest(trials, self.expected):
            outcome = {}
            with contextlib.suppress(OSError, TypeError):
                outcome = json.loads((sweep.run / "trials" / trial["trial"] / "outcome.json").read_text())
            if trial != expected and not (may_fail and "twice at the same place" in (outcome.get("reason") or "")):
                found.append(f"another trial: {trial} in place of {expected}, {outcome.get('reason')}")
        return found

    def begin(self, sweep, draws, joined):
        """Starts the sweep, with a machine that joins it or without."""
        slow = " ".join(f"{number:04}" for number in range(6) if draws.random() < 0.5)
        if joined:
            port = 20000 + draws.randrange(20000)
            began = [sweep.start("--workers", 0, "--listen", f"127.0.0.1:{port}", slow=slow)]
            deadline = time.monotonic() + 60
            while not (sweep.run / "token").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            join = ("join", "sweep")
            began.append(sweep.start("--chief", f"127.0.0.1:{port}", "--workers", 2, command=join, slow=slow))
        else:
            began = [sweep.start("--workers", draws.choice([1, 2]), slow=slow)]
        return began

    @classmethod
    def victim(cls, role, folder, began, draws):
        """Waits for a seeded while in which a role is played; gives who plays it, None where nobody does any more."""
        moment = draws.uniform(0.0, {"trial": 2.0, "worker": 4.0}.get(role, 8.0))
        found, last = [], time.monotonic()
        while moment > 0 and began[0].poll() is None:
            time.sleep(0.02)
            found, now = cls.players(role, folder, began), time.monotonic()
            moment, last = moment - (now - last) * bool(found), now
        return draws.choice(found) if found and began[0].poll() is None else None

    @staticmethod
    def players(role, folder, began):
        """The processes of a role."""
        if role in ("chief", "supervisor"):
            process = began[0 if role == "chief" else -1]
            return [process.pid] if process.poll() is None else []
        return processes_of(None, folder, naming=f"speechgru.tune.{role}\0")


# -- the campaign ----------------------------------------------------------------------------------------------------


def asked_sizes(text):
    """`export=5,sweep=8` as a dictionary; the goal's sizes where nothing is asked."""
    if not text:
        return SIZES
    asked = {name.strip(): int(count) for name, count in (part.split("=") for part in text.split(","))}
    if asked.keys() - SIZES.keys():
        raise SystemExit(f"--kills names {', '.join(SIZES)}, got {', '.join(asked.keys() - SIZES.keys())}")
    return asked


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, folder="campaigns/kills")
    parser.add_argument("--kills", default="", help="so many kills of these families: export=5,sweep=8")
    options = parser.parse_args()
    folder, budget = options.folder.absolute(), Budget(options.minutes)
    chains, ledger = Chains(folder), Ledger(folder / "ledger.jsonl")
    sweeps = Sweeps(chains)
    sizes = asked_sizes(options.kills)
    while budget.is_left and (left := [family for family, size in sizes.items() if ledger.count(family) < size]):
        for family in left:  # each in its turn, so that a short campaign has some of all
            variants = {name: job for name, job in jobs().items() if job.family == family}
            number = next(number for number in itertools.count() if number not in ledger.numbers(family))
            name, began = list(variants)[number % len(variants)], time.monotonic()
            kills, ended, findings = (
                sweeps.run(number) if family == "sweep" else chains.run(name, variants[name], number)
            )
            ledger.add(family, number, cases=kills, findings=[f"{name}: {each}" for each in findings],
                       ended_before=ended, chains=1, seconds=time.monotonic() - began)  # fmt: skip
            if not budget.is_left:
                break
    chains.commands.close()
    ledger.print("chains", "ended_before")


if __name__ == "__main__":
    main()
