"""The scoreboard: its table is the file's, its steps are real commands, and a row is renewed by running them."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from speechgru.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scoreboard():
    spec = importlib.util.spec_from_file_location("scoreboard", ROOT / "scripts" / "scoreboard.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_of_the_file(scoreboard):
    rows = scoreboard.read_rows(scoreboard.ROWS)
    assert len({row["row"] for row in rows}) == len(rows)
    assert scoreboard.BEGINNING + scoreboard.table_of(rows) + scoreboard.END in scoreboard.PAGE.read_text(
        encoding="utf-8"
    )


def test_the_steps_of_a_row_are_commands_of_this_checkout(scoreboard):
    rows = [row for row in scoreboard.read_rows(scoreboard.ROWS) if "measure" in row]
    assert len(rows) >= 5
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    for row in rows:
        for step in row["measure"]["steps"]:
            program, first, *_ = shlex.split(step)
            assert first in targets if program == "make" else program == "speechgru" or (ROOT / first).is_file(), step
        for source in row["measure"]["read"]:
            assert source == "-" or source.startswith("build/"), source


def test_a_row_is_measured_again(scoreboard, tmp_path, capfd):
    step = """python -c "print('{\\"wer\\": 0.125, \\"wer_interval\\": [0.1, 0.15]}')" """.strip()
    row = {"row": "toy", "what": "a toy", "figure": "50.00 %", "command": "`make toy`", "seed": 0, "cores": 9}
    row |= {"date": "2020-01-01", "commit": "0000000", "measure": {"steps": [step], "read": ["-"]}}
    rows = [row, {**row, "row": "broken", "measure": {"steps": ["python -c 'raise SystemExit(3)'"], "read": ["-"]}}]
    page, kept = tmp_path / "results.md", tmp_path / "rows.yaml"
    page.write_text(f"before\n{scoreboard.BEGINNING}old{scoreboard.END}\nafter\n")
    scoreboard.renew(rows, ["toy"], page=page, kept=kept)
    assert "12.50 % (10.00 to 15.00), before 50.00 %" in capfd.readouterr().out
    written = yaml.safe_load(kept.read_text())[0]
    assert written["figure"] == "12.50 %" and written["date"] > "2026" and written["cores"] < 9
    assert page.read_text().startswith("before\n") and "| 12.50 % | 10.00 to 15.00 |" in page.read_text()
    held = kept.read_text()
    with pytest.raises(UserError, match=r"ended with 3; nothing of its rows was changed"):
        scoreboard.renew(rows, ["broken"], page=page, kept=kept)
    assert kept.read_text() == held
    with pytest.raises(UserError, match="no row 'none'"):
        scoreboard.renew(rows, ["none"], page=page, kept=kept)


def test_figures_of_evaluations(scoreboard):
    assert scoreboard.figures_of([{"wer": 0.0}, {"wer": 0.0013}]) == {"figure": "0.00, 0.13 %"}
    assert json.dumps(scoreboard.figures_of([{"wer": 0.5, "wer_interval": None}])) == '{"figure": "50.00 %"}'
