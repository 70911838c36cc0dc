"""Lets the disk, the clock or the folder of a command fail at each of its changes in turn, and looks at what it says.

    python scripts/campaign_faults.py                          # each change of each command, five faults at each
    python scripts/campaign_faults.py --most 20                # twenty changes of each command, evenly spread
    python scripts/campaign_faults.py --jobs export,shard --faults full,once

At the n-th change that a command makes to its folder, in any of its processes, from n = 1 on (`campaign_disk.c`):

- `full`: the disk is full from there on; `readonly`: nothing can be changed from there on; `once`: that change fails;
- `gone`: somebody renames the folder that it writes; `clock`: the time of day is a day earlier.

What must hold: one clear message and exit status 2, or the result where nothing of it was lost; no traceback; what the
user had is as it was, what was there before is there or whole; no process stays. The same command, with all well again,
then ends as an undisturbed one, with the same files. The last line is one JSON object.
"""

import argparse
import itertools
import random
import shutil
import time

from campaign_jobs import jobs, start
from campaign_kills import Chains, same_training
from campaigns import Budget, Ledger, add_options, age, complaints, differences, end_all, wait_out

FAULTS = ("full", "readonly", "once", "gone", "clock")


def suffer(chains, name, job, fault, at):
    """One fault at one change; gives the findings."""
    expected, whole, volatile, renewed, _, _ = chains.reference(name, job)
    chains.begin(job)
    command = start(chains.commands, job, chains.case, chains.disk.environment(fault, at))
    status, said = wait_out(command, chains.case)
    findings = complaints(status, said)
    if end_all(command.pid, chains.case):
        findings.append("processes stay behind")
    if fault == "clock" and status != expected:
        findings.append(f"ends with {status}: {said.strip().splitlines()[-1][:200]}")
    away = chains.case / "away"
    if away.exists():
        if (chains.case / "out").exists():
            findings.append("half a folder has come back")
        shutil.rmtree(chains.case / "out", ignore_errors=True)
        away.rename(chains.case / "out")
    volatile = renewed if status in (0, 1) or fault == "gone" else volatile  # it may have been at its end
    findings += chains.half_made(job, whole, volatile)
    age(chains.case)
    status, again = wait_out(start(chains.commands, job, chains.case, chains.disk.environment()), chains.case)
    if status != expected:
        return [*findings, f"the command that follows ends with {status}: {again.strip().splitlines()[-1][:200]}"]
    findings += [f"the command that follows: {each}" for each in complaints(status, again)]
    findings += differences(whole, chains.look(job), volatile=volatile)
    if job.family == "training":
        findings += same_training(chains.folder / f"whole-{name}", chains.case / "out")
    return findings


def places(num_changes, most):
    """Changes from the first to the last, all or so many of them."""
    if num_changes <= most:
        return range(1, num_changes + 1)
    return sorted({1 + round(k * (num_changes - 1) / (most - 1)) for k in range(most)}) if most > 1 else [1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, folder="campaigns/faults")
    parser.add_argument("--jobs", default="", help=f"of {', '.join(jobs())}; all where none is named")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--most", type=int, default=10**6, help="changes of a command at which each fault happens")
    options = parser.parse_args()
    chains, budget = Chains(options.folder.absolute()), Budget(options.minutes)
    ledger = Ledger(chains.folder / "ledger.jsonl")
    waiting = {}
    for name in options.jobs.split(",") if options.jobs else jobs():
        chosen = places(chains.reference(name, jobs()[name])[4], options.most)
        waiting[name] = random.Random(name).sample(chosen, len(chosen))  # some of all of it first
    while budget.is_left and any(waiting.values()):
        for name, fault in itertools.product([name for name in waiting if waiting[name]], options.faults.split(",")):
            at = waiting[name][-1]
            if budget.is_left and at not in ledger.numbers(f"{name} {fault}"):
                began = time.monotonic()
                findings = suffer(chains, name, jobs()[name], fault, at)
                ledger.add(f"{name} {fault}", at, findings=findings, seconds=time.monotonic() - began)
        for left in filter(None, waiting.values()):
            left.pop()
    chains.commands.close()
    ledger.print()


if __name__ == "__main__":
    main()
