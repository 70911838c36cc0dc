"""Feeds damaged files and messages to everything that reads them: each ends in a result or in one clear error.

    python scripts/campaign_fuzz.py                          # the whole: 100,000 recordings, 20,000 of each other kind
    python scripts/campaign_fuzz.py --cases bundles=500      # so many of these alone
    python scripts/campaign_fuzz.py --minutes 20             # as many as that allows; the same command resumes

Examples are damaged by seeded mutations, of their bytes, of their words and lines, and of the values of their JSON
(`campaign_targets.py` has the kinds). An input whose error arises at a place where none did before joins the examples,
so that the next ones begin behind it. The code runs in a process of its own, with a limit of memory; it is watched by
this one, which notes a process that died or a case that took more than ten seconds of processor time, and resumes
behind it. A finding is also an error that is no user's mistake (`UserError`), and 500 MB more than at the beginning.
The input of each finding is kept in `findings/`. The last line is one JSON object.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from campaigns import Budget, Ledger, add_options, renew
from test_audio_fuzz import damage

from speechgru.errors import UserError

#: Processor seconds that a case may take, and wall seconds, on a machine that does other work too.
SECONDS, MOST_SECONDS = 10, 120
#: Of a worker: addresses, and what its memory may grow by.
GIGABYTES, MOST_GROWTH = 6, 500 << 20
#: Cases between two lines of a worker; examples that a target may have beside its own.
LINE, MOST_EXAMPLES = 250, 400
#: Values that no reader of JSON or YAML should be surprised by, and is.
JUNK = (None, True, -1, 0, 1, 2**31, 10**30, 3.5, 1e308, float("nan"), "", "\0", "x" * 3000, "\ud800", "../../x", [],
        [[]], [None], {}, {"a": {}}, "1e-3", "é\u202e\x1b[2J")  # fmt: skip
ODD = ("", " ", "\t", "\n", "\0", "\ufeff", "\u2028", "é", "💥", "\u202e", "'", '"', "\\", "{", "}", "[", "]", ":",
       "-1", "0", "1e999", "nan", "9" * 400, "a" * 5000, "../", "/dev/zero", "%s", "#", "&a", "*a")  # fmt: skip


# -- mutations -------------------------------------------------------------------------------------------------------


def mutated(content, rng, words=()):
    """A damaged copy: of its bytes, or, where it is text, of its words, lines or values."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return damage(content, rng)
    kind = rng.random()
    if kind < 0.2:
        return damage(content, rng)
    if kind < 0.5:
        changed = with_other_values(text, rng)
        if changed is not None:
            return changed.encode(errors="surrogatepass")
    for _ in range(rng.integers(1, 4)):
        text = with_other_words(text, rng, words)
    return text.encode(errors="surrogatepass")


def with_other_words(text, rng, words):
    """Exchanges, repeats, leaves out, moves or adds words or lines."""
    parts = re.split(r"(\n)" if rng.random() < 0.3 else r"(\W)", text)
    place, other = (int(rng.integers(len(parts))) for _ in range(2))
    kind = rng.integers(6)
    if kind == 0:
        parts[place] = str(rng.choice([*ODD, *words]))
    elif kind == 1:
        parts[place:place] = [parts[other]] * int(rng.choice([1, 2, 50]))
    elif kind == 2:
        del parts[place : place + int(rng.integers(1, 5))]
    elif kind == 3:
        parts[place], parts[other] = parts[other], parts[place]
    elif kind == 4:
        parts.insert(place, str(rng.choice([*ODD, *words])))
    else:
        parts = parts[:place]
    return "".join(parts)


def with_other_values(text, rng):
    """Exchanges a value of a JSON document or of one of its lines; None where it is neither."""
    lines = text.splitlines()
    for whole in (text, lines[int(rng.integers(len(lines)))] if lines else ""):
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(whole)
            if isinstance(document, dict | list) and document:
                changed = json.dumps(exchanged(document, rng), ensure_ascii=bool(rng.random() < 0.5))
                return text.replace(whole, changed, 1)
    return None


def exchanged(value, rng):
    """A document with one of its values or keys another."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[int(rng.integers(len(keys)))]
    inner = value[key]
    kind = rng.random()
    if isinstance(inner, dict | list) and inner and kind < 0.8:
        value[key] = exchanged(inner, rng)
    elif kind < 0.75:
        value[key] = JUNK[int(rng.integers(len(JUNK)))]
    elif isinstance(value, dict) and kind < 0.85:
        value[str(rng.choice(ODD))] = value.pop(key)
    elif isinstance(value, dict):
        del value[key]
    else:
        value[key:key] = [inner] * int(rng.choice([1, 3, 30]))
    return value


# -- the process in which the code runs ------------------------------------------------------------------------------


def work(family, folder, first, count):
    """Runs cases; prints a line for some of them, for each finding, and at the end."""
    from campaign_targets import TARGETS

    renew(folder / "examples")
    target = TARGETS[family](folder / "examples")
    places = target.lay_out()
    wholes = {path: path.read_bytes() for path in places}
    examples, seen = {path: [content] for path, content in wholes.items()}, set()
    warm(target, wholes)
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))
    most_memory = memory() + MOST_GROWTH
    for number in range(first, first + count):
        rng = np.random.default_rng([number, *family.encode()])
        path = places[int(rng.integers(len(places)))]
        own = examples[path]
        content = mutated(own[int(rng.integers(len(own)))], rng, target.words)
        if len(content) > 1 << 20:
            continue
        path.write_bytes(content)
        (folder / "now").write_text(f"{number} {path}")
        try:
            finding, place = outcome(target, path)
        finally:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wholes[path])
        if memory() > most_memory:
            finding, most_memory = finding or "takes 500 MB more", memory() + MOST_GROWTH
        if finding:
            print(json.dumps({"number": number, "finding": finding, "file": path.name}), flush=True)
            keep(folder, family, number, path.name, content)
        if place not in seen and place is not None:
            seen.add(place)
            if len(own) < MOST_EXAMPLES and len(content) < 1 << 18:
                own.append(content)
        if (number + 1) % LINE == 0:
            print(json.dumps({"number": number, "places": len(seen)}), flush=True)
    print(json.dumps({"number": first + count - 1, "places": len(seen)}), flush=True)


def warm(target, wholes):
    """Reads each example once, so that what is imported on the way does not count; each must be read."""
    for path in wholes:
        target.read(path)


def memory():
    """The most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def outcome(target, path):
    """What is wrong with how a case ended, and the place where its error arose; None for each where there is none."""
    try:
        target.read(path)
    except UserError as error:
        place = place_of(error)
        if not str(error).strip():
            return f"a message without words {place}", place
        if len(str(error)) > 20_000:
            return f"a message of {len(str(error)):,} characters {place}", place
        return None, place
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, OSError) and error.strerror and error.filename:
            return None, place_of(error)  # the command line says it on one line, and what of
        return f"{type(error).__name__} {place_of(error)}", place_of(error)
    return None, None


def place_of(error):
    """The files and lines of ours that an error came through, the last ones."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "/speechgru/" in each.filename]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames[-3:]))


def keep(folder, family, number, name, content):
    """Keeps the input of a finding."""
    kept = folder / "findings"
    kept.mkdir(exist_ok=True)
    (kept / f"{family.replace(' ', '_')}-{number}-{name}").write_bytes(content)


# -- the process that watches ----------------------------------------------------------------------------------------


def watch(family, folder, first, count, ledger):
    """Lets a worker run cases; gives the number of the next case, after its end or its death."""
    folder.mkdir(parents=True, exist_ok=True)
    began, findings, done, places = time.monotonic(), [], first, 0
    with open(folder / "printed", "w") as printed, open(folder / "errors", "w") as errors:
        words = [sys.executable, __file__, "--worker", family, "--folder", folder, "--first", first, "--count", count]
        worker = subprocess.Popen([*map(str, words)], stdout=printed, stderr=errors)
        reason = supervise(worker, folder)
    for line in (folder / "printed").read_text().splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            done, places = max(done, record["number"] + 1), record.get("places", places)
            if "finding" in record:
                findings.append(record["finding"])
    if worker.returncode != 0:
        number, path = now(folder)
        if number is None:
            raise SystemExit(f"{family}: the worker does not begin: {(folder / 'errors').read_text()[-2000:]}")
        if Path(path).exists():
            keep(folder, family, number, Path(path).name, Path(path).read_bytes())
        findings.append(f"{reason or f'ended the process with {worker.returncode}'}, on {Path(path).name}")
        done = max(done, number + 1)
    ledger.add(family, first, cases=done - first, findings=findings, places=places,
               seconds=time.monotonic() - began)  # fmt: skip
    return done


def now(folder):
    """The case that a worker is at."""
    with contextlib.suppress(OSError, ValueError):
        number, _, path = (folder / "now").read_text().partition(" ")
        return int(number), path
    return None, ""


def supervise(worker, folder):
    """Waits for a worker's end; ends it where a case takes too long, and says so."""
    (folder / "now").unlink(missing_ok=True)
    at, used, since = None, 0.0, time.monotonic()
    while worker.poll() is None:
        time.sleep(0.5)
        number, _ = now(folder)
        seconds = processor_seconds(worker.pid)
        if number != at or number is None:
            at, used, since = number, seconds, time.monotonic()
        elif seconds - used > SECONDS or time.monotonic() - since > MOST_SECONDS:
            worker.kill()
            worker.wait()
            return f"takes more than {SECONDS} s"
    return ""


def processor_seconds(process):
    """What a process has used of the processors."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, folder="campaigns/fuzz")
    parser.add_argument("--cases", default="", help="so many cases of these kinds: bundles=500,audio=1000")
    parser.add_argument("--piece", type=int, default=2000, help="cases that one process runs")
    for name in ("--worker", "--first", "--count"):
        parser.add_argument(name, help=argparse.SUPPRESS, type=str if name == "--worker" else int)
    options = parser.parse_args()
    folder = options.folder.absolute()
    if options.worker:
        work(options.worker, folder, options.first, options.count)
        sys.stdout.flush()
        os._exit(0)  # whatever threads a server has
    from campaign_targets import TARGETS

    sizes = {family: target.cases for family, target in TARGETS.items()}
    if options.cases:
        sizes = {name: int(count) for name, count in (part.split("=") for part in options.cases.split(","))}
    folder.mkdir(parents=True, exist_ok=True)
    ledger, budget = Ledger(folder / "ledger.jsonl"), Budget(options.minutes)
    while budget.is_left:
        left = {family: size - ledger.count(family) for family, size in sizes.items() if ledger.count(family) < size}
        if not left:
            break
        for family, count in left.items():  # each in its turn, so that a short campaign has some of all
            if budget.is_left:
                watch(
                    family, folder / family.replace(" ", "_"), ledger.count(family), min(options.piece, count), ledger
                )
    ledger.print("places")


if __name__ == "__main__":
    main()
