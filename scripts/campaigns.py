"""What the campaigns share: a ledger to resume from, commands as processes, folders compared, a disk that fails.

The campaigns are tests at a size that no suite has time for, and stand on what the tests have: the server of commands
(`tests/commands.py`), the corpus of tones, the quick trials of a sweep.
"""

import contextlib
import csv
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # also runs without an installation

from commands import Commands  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from speechgru.files import open_log, read_file  # noqa: E402

#: What is another one in each name: numbers, and the eight signs of a file in the making.
_OWN = re.compile(r"(?<=[.-])[a-z0-9_]{8}(?=\.|$)|\d+")
#: What a command may be ended with that was given something wrong, or found the answer to be no.
ORDERLY = (0, 1, 2)


class Ledger:
    """What a campaign has done, a line a case, so that the same command resumes behind it.

    Args:
        path: the file; its damaged last line, of a killed campaign, is left out.
    """

    def __init__(self, path):
        self.path, self.records = Path(path), []
        if self.path.exists():
            for line in read_file(self.path).decode(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    self.records.append(json.loads(line))

    def add(self, family, number, *, cases=1, findings=(), **rest):
        """Writes what a case came to; each finding is one text."""
        record = {"family": family, "number": number, "cases": cases, "findings": list(findings), **rest}
        self.records.append(record)
        with open_log(self.path) as stream:
            stream.write(json.dumps(record).encode() + b"\n")
        for finding in findings:
            print(f"{family} {number}: {finding}", flush=True)

    def numbers(self, family):
        """The cases of a family that are done."""
        return {record["number"] for record in self.records if record["family"] == family}

    def count(self, family):
        """How many cases a family has, where a record may be of several."""
        return sum(record["cases"] for record in self.records if record["family"] == family)

    def print(self, *columns, **also):
        """Prints the table, and as the last line one JSON object.

        Args:
            *columns: fields of the records, to be summed.
            **also: further entries of the object.
        """
        families = list(dict.fromkeys(record["family"] for record in self.records))
        table = Table("family", "cases", "findings", *columns, "seconds")
        for family in families:
            own = [record for record in self.records if record["family"] == family]
            sums = [sum(record.get(column, 0) for record in own) for column in (*columns, "seconds")]
            found = sum(len(record["findings"]) for record in own)
            table.add_row(family, f"{self.count(family):,}", str(found), *(f"{value:,.0f}" for value in sums))
        Console().print(table)
        kinds = Counter(finding for record in self.records for finding in record["findings"])
        print(json.dumps({
            "cases": {family: self.count(family) for family in families},
            "findings": dict(kinds.most_common(50)), **also,
        }))  # fmt: skip


class Budget:
    """The time that a campaign may take.

    Args:
        minutes: after which no case is begun.
    """

    def __init__(self, minutes):
        self._end = time.monotonic() + 60 * minutes

    @property
    def is_left(self):
        return time.monotonic() < self._end


def add_options(parser, *, folder, minutes=600.0):
    """The options that every campaign has; its processes keep to one thread an operation, beside other work."""
    for threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    parser.add_argument("--folder", type=Path, default=Path(folder), help="where it works, and resumes from")
    parser.add_argument("--minutes", type=float, default=minutes, help="no case is begun after so many")


# -- a disk that fails -----------------------------------------------------------------------------------------------


class Disk:
    """Counts, and can end or fail, what the processes of a command change below a folder (`campaign_disk.c`).

    Args:
        folder: for the library and the count.
        watched: the folder that is counted.
    """

    def __init__(self, folder, watched):
        self.library, self._counter, self._watched = Path(folder) / "disk.so", Path(folder) / "count", watched
        self._log = Path(folder) / "changes"
        if not self.library.exists():
            source = Path(__file__).with_name("campaign_disk.c")
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)

    def environment(self, event="", at=0):
        """The variables of a process that `event` happens to at its change number `at`; sets the count to 0.

        Without an event the changes are noted, for `kinds`.
        """
        self._counter.write_bytes(bytes(8))
        self._log.unlink(missing_ok=True)
        return {
            "LD_PRELOAD": str(self.library),
            "CAMPAIGN_FOLDER": os.path.realpath(self._watched),
            "CAMPAIGN_COUNTER": str(self._counter.absolute()),
            "CAMPAIGN_LOG": "" if event else str(self._log.absolute()),
            "CAMPAIGN_EVENT": event,
            "CAMPAIGN_AT": str(at),
        }

    @property
    def count(self):
        """The changes since the environment was made."""
        return int.from_bytes(self._counter.read_bytes(), sys.byteorder)

    def kinds(self):
        """The numbers of the noted changes of each kind: one call, to names that differ in their numbers alone."""
        found = defaultdict(list)
        for line in self._log.read_text(errors="replace").splitlines():
            number, call, name = line.split(" ", 2)
            found[f"{call} {_OWN.sub('#', name.removeprefix(os.path.realpath(self._watched)))}"].append(int(number))
        return {kind: sorted(numbers) for kind, numbers in sorted(found.items())}


def open_commands(folder, library, *modules):
    """A server of commands whose processes a `Disk` may fail."""
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("LD_PRELOAD")
    os.environ["LD_PRELOAD"] = str(library)
    try:
        return Commands(folder, *modules)
    finally:
        os.environ.pop("LD_PRELOAD") if before is None else os.environ.update(LD_PRELOAD=before)


# -- folders compared ------------------------------------------------------------------------------------------------


#: A time as pages show it, and the columns of a table that hold some.
_TIME, _TIMES = re.compile(rb"[\d.,]+ (ms|s|min|h)\b"), "_seconds"


def snapshot(folder, leave_out=(), *, timed=(), logs=()):
    """Names and checksums of all files below a folder.

    Args:
        folder: the folder.
        leave_out: patterns of names that are not looked at.
        timed: of tables and pages whose times do not count.
        logs: of files that say what happened on the way; only that they are there counts.
    """
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(name.match(pattern) for pattern in leave_out):
            content = b"" if any(name.match(pattern) for pattern in logs) else path.read_bytes()
            if any(name.match(pattern) for pattern in timed):
                content = without_times(name, content)
            found[str(name)] = hashlib.sha256(content).hexdigest()
    return found


def without_times(name, content):
    """A table without its columns of seconds; a page without what reads as a time."""
    if name.suffix != ".csv":
        return _TIME.sub(b"", content)
    rows = csv.DictReader(content.decode().splitlines())
    return repr([{key: value for key, value in row.items() if not key.endswith(_TIMES)} for row in rows]).encode()


def differences(expected, found, *, volatile=frozenset()):
    """What is other in one snapshot than in another one; of a volatile file only whether it is there."""
    missing = [f"{name} is missing" for name in expected if name not in found]
    more = [f"{name} is left over" for name in found if name not in expected]
    other = [
        f"{name} is other" for name in expected
        if name in found and found[name] != expected[name] and name not in volatile
    ]  # fmt: skip
    return missing + more + other


def age(folder, *, seconds=120.0):
    """Lets what killed processes left look older than it is: nothing young is removed, it may be somebody's."""
    then = time.time() - seconds
    for path in Path(folder).rglob(".*"):
        with contextlib.suppress(OSError):
            os.utime(path, (then, then))


# -- processes -------------------------------------------------------------------------------------------------------


def processes_of(leader, case, *, naming=""):
    """The processes of a command.

    Args:
        leader: of the session that a command server starts for each command; None for those of the case alone.
        case: the folder that it works in; workers and trials of a sweep have sessions of their own, and name it.
        naming: what their command line must hold.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
            line = (path / "cmdline").read_bytes().decode(errors="replace")
            is_its = int(fields[3]) == leader or f"\0{os.path.realpath(case)}/" in line
            if is_its and fields[0] != "Z" and naming in line:
                found.append(int(path.name))
    return found


def end_all(leader, case, *, seconds=20.0):
    """Waits until all processes of a command have ended; kills those that do not, and gives how many these were."""
    deadline = time.monotonic() + seconds
    while left := processes_of(leader, case):
        if time.monotonic() > deadline:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            return len(left)
        time.sleep(0.02)
    return 0


def wait_out(command, case, *, seconds=900.0):
    """Gives what a command's `wait` does; one that never ends is killed, which is a complaint."""
    try:
        return command.wait(seconds=seconds)
    except AssertionError:
        end_all(command.pid, case, seconds=0)
        return command.wait()


def complaints(status, said, *, orderly=ORDERLY):
    """What a command did that it must not: a traceback, a fault, a status that nobody documents, many messages."""
    found = []
    if "Traceback (most recent call last)" in said or "has a fault" in said:
        line = next((line for line in said.splitlines()[::-1] if "Error" in line or "has a fault" in line), "")
        found.append(f"not one message: {line.strip()[:200]}")
    elif status not in orderly:
        found.append(f"exit status {status}: {said.strip().splitlines()[-1][:200] if said.strip() else 'nothing said'}")
    elif status == 2 and said.count("error: ") != 1:
        found.append(f"{said.count('error: ')} messages: {' | '.join(said.strip().splitlines()[-3:])[:300]}")
    elif status == 2 and said.rsplit("error: ", 1)[1].strip() in map(os.strerror, errno.errorcode):
        found.append(f"names no file: {said.strip().splitlines()[-1]}")
    return found


def renew(folder, copied=None):
    """Makes a folder anew, as a copy of another one."""
    shutil.rmtree(folder, ignore_errors=True)
    if copied is None:
        Path(folder).mkdir(parents=True)
    else:
        shutil.copytree(copied, folder)
