"""Shows the rows of the scoreboard, or measures some of them again: python scripts/scoreboard.py [ROW ...]

`docs/scoreboard.yaml` holds a row for each accuracy that the project claims: what it is, the figure and its interval,
the command, seed, cores, date and commit. A row with `measure` can be renewed: its steps are run in their order, in the
checkout's folder, each step once though several rows have it; WER and interval are read from the evaluations that
`read` names (`-` is what the last step printed), and figure, date, commit and cores are written. The table in
docs/results.md is made from that file (`--table` makes it without measuring).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also runs without an installation

from speechgru.cli import run_command
from speechgru.errors import UserError
from speechgru.files import write_text
from speechgru.processors import num_processors
from speechgru.runs import git_commit

ROOT = Path(__file__).resolve().parents[1]
ROWS, PAGE = ROOT / "docs" / "scoreboard.yaml", ROOT / "docs" / "results.md"
BEGINNING, END = "<!-- scripts/scoreboard.py writes this table from scoreboard.yaml -->\n\n", "\n\n<!-- its end -->"
_HEAD = "# Every accuracy that the project claims; `python scripts/scoreboard.py ROW` measures one again.\n"
_COLUMNS = ("what, on which test", "figure", "interval", "command", "seed", "cores", "date, commit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to measure; none shows them all")
    parser.add_argument("--table", action="store_true", help="write the table of docs/results.md and measure nothing")
    args = parser.parse_args()
    rows = read_rows(ROWS)
    if args.table:
        write_table(rows, PAGE)
    elif not args.rows:
        for row in rows:
            print(
                f"{row['row']:26} {row['figure']:22} {row['date']}  {'' if 'measure' in row else 'not by one command'}"
            )
    else:
        renew(rows, args.rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the scoreboard, in their order."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def renew(rows: list[dict[str, Any]], names: list[str], *, page: Path = PAGE, kept: Path = ROWS) -> None:
    """Measures rows again; each is written as soon as it is known.

    Args:
        rows: all of them, changed in place.
        names: of the rows to measure.
        page: the page with their table.
        kept: the file of the rows.

    Raises:
        UserError: there is no such row, nothing says how to measure it, or a step failed.
    """
    by_name = {row["row"]: row for row in rows}
    for name in names:
        if name not in by_name:
            raise UserError(f"the scoreboard has no row {name!r}; `python scripts/scoreboard.py` shows them")
        if "measure" not in by_name[name]:
            raise UserError(f"{kept}: {name} has no `measure`, so no command makes it alone; see its recipe in {page}")
    printed: dict[str, str] = {}
    for row in (by_name[name] for name in names):
        for step in row["measure"]["steps"]:
            if step not in printed:
                printed[step] = _run(step)
        last = printed[row["measure"]["steps"][-1]]
        records = [
            json.loads(last if source == "-" else (ROOT / source).read_text(encoding="utf-8"))
            for source in row["measure"]["read"]
        ]
        before = row["figure"]
        row |= figures_of(records)
        row |= {"cores": num_processors(), "date": datetime.date.today().isoformat(), "commit": _commit()}
        write_text(kept, _HEAD + yaml.safe_dump(rows, sort_keys=False, width=116, allow_unicode=True))
        write_table(rows, page)
        print(f"{row['row']:26} {row['figure']} ({row.get('interval', 'no interval')}), before {before}")


def figures_of(records: list[dict[str, Any]]) -> dict[str, str]:
    """Figure and interval of one evaluation, or the figures of several.

    >>> figures_of([{"wer": 0.0199, "wer_interval": [0.015, 0.0253]}])
    {'figure': '1.99 %', 'interval': '1.50 to 2.53'}
    >>> figures_of([{"wer": 0.0}, {"wer": 0.0013}])
    {'figure': '0.00, 0.13 %'}
    """
    figures = {"figure": ", ".join(f"{100 * record['wer']:.2f}" for record in records) + " %"}
    if len(records) == 1 and records[0].get("wer_interval"):
        low, high = records[0]["wer_interval"]
        figures["interval"] = f"{100 * low:.2f} to {100 * high:.2f}"
    return figures


def table_of(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = []
    for row in rows:
        when = f"{row['date']}, {row['commit']}"
        cells = (row["what"], row["figure"], row.get("interval", ""), row["command"], row["seed"], row["cores"], when)
        lines.append(tuple(map(str, cells)))
    written = [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in (_COLUMNS, *lines)]
    return "\n".join([written[0], "|---" * len(_COLUMNS) + "|", *written[1:]])


def write_table(rows: list[dict[str, Any]], page: Path) -> None:
    """Puts the table where the page has it."""
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGINNING)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise UserError(f"{page}: has no place for the table; it stands between {BEGINNING.strip()} and {END.strip()}")
    write_text(page, before + BEGINNING + table_of(rows) + END + after)


def _run(step: str) -> str:
    """Runs a step of a shell line's words, in the checkout; what it printed."""
    print(f"$ {step}", file=sys.stderr, flush=True)
    first, *words = shlex.split(step)
    programs = {"speechgru": [sys.executable, "-m", "speechgru.cli"], "python": [sys.executable]}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*programs.get(first, [first]), *words]
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        raise UserError(f"`{step}` ended with {ended.returncode}; nothing of its rows was changed")
    return ended.stdout


def _commit() -> str:
    return (git_commit() or "unknown")[:7]


if __name__ == "__main__":
    run_command(main)
