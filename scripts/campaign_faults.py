"""Lets the disk, the clock or the folder of a command fail at each of its changes in turn, and looks at what it says.

    python scripts/campaign_faults.py                          # each change of each command, five faults at each
    python scripts/campaign_faults.py --of-each 1              # the first change of each kind of each family
    python scripts/campaign_faults.py --most 20                # twenty changes of each command, evenly spread
    python scripts/campaign_faults.py --jobs export,shard --faults full,once

At the n-th change that a command makes to its folder, in any of its processes, from n = 1 on (`campaign_disk.c`):

A kind of change is one call (open, write, rename, flush, ...) to names that differ in their numbers alone. Several jobs
of a family, such as the trainings, share most of theirs; with `--of-each` a kind is of the first job that has it.

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
ALL = 10**6


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
        came_back = {file: checksum for file, checksum in chains.look(job).items() if file.startswith("out/")}
        whole_out = {file: checksum for file, checksum in whole.items() if file.startswith("out/")}
        if (chains.case / "out").exists() and differences(whole_out, came_back, volatile=renewed):
            findings.append("half a folder has come back")
        shutil.rmtree(chains.case / "out", ignore_errors=True)
        away.rename(chains.case / "out")
    # It may have been at its end, and then the next one finds its result.
    is_at_end = status in (0, 1) or fault == "gone" or not differences(whole, chains.look(job), volatile=renewed)
    volatile = renewed if is_at_end else volatile
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


def spread(numbers, most):
    """Numbers from the first to the last, all or so many of them."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[round(k * (len(numbers) - 1) / max(most - 1, 1))] for k in range(most)]


def places(kinds, of_each, most):
    """The changes at which faults happen: so many of each kind, and so many in all."""
    return spread(sorted(number for numbers in kinds.values() for number in spread(numbers, of_each)), most)


def unshared(kinds, families):
    """The kinds of changes of each job, without those that a job of the same family before it has.

    Args:
        kinds: the numbers of a job's changes, by kind, by the job's name.
        families: by the job's name.
    """
    seen, left = set(), {}
    for name, numbers in kinds.items():
        left[name] = {kind: numbers[kind] for kind in numbers if (families[name], kind) not in seen}
        seen |= {(families[name], kind) for kind in numbers}
    return left


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, folder="campaigns/faults")
    parser.add_argument("--jobs", default="", help=f"of {', '.join(jobs())}; all where none is named")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--of-each", type=int, default=None, help="changes of each kind at which each fault happens")
    parser.add_argument("--most", type=int, default=ALL, help="changes of a command at which each fault happens")
    options = parser.parse_args()
    chains, budget = Chains(options.folder.absolute()), Budget(options.minutes)
    ledger = Ledger(chains.folder / "ledger.jsonl")
    names = options.jobs.split(",") if options.jobs else list(jobs())
    kinds = {name: chains.reference(name, jobs()[name])[4] for name in names}
    if options.of_each is not None:
        kinds = unshared(kinds, {name: jobs()[name].family for name in names})
    waiting = {}
    for name in names:
        chosen = places(kinds[name], options.of_each or ALL, options.most)
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
