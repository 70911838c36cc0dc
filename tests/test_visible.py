"""Names and texts of strangers: shown on a terminal, a page and in a table, and nothing else done."""

import csv
import io
import json
import re
import sys
import unicodedata

import pytest

from speechgru.cli import console
from speechgru.report import html
from speechgru.visible import visible, visible_cell, visible_json

HOSTILE = "a\x1b]0;t\x07\x1b[2Jb\x9b31m\u202ec\u2066d\u2028e\x00f\x7fg\ud800h\ri\tj"
SHOWN = r"a\x1b]0;t\x07\x1b[2Jb\x9b31m\u202ec\u2066d\u2028e\x00f\x7fg\ud800h\ri\tj"


def test_what_steers_is_an_escape():
    assert visible(HOSTILE) == SHOWN
    assert json.loads(visible_json(json.dumps([HOSTILE], ensure_ascii=False))) == [HOSTILE]
    assert visible_json(json.dumps([HOSTILE], ensure_ascii=False)).isprintable()


def test_every_control_character_and_every_change_of_direction_is_covered():
    turns = ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        steers = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if (steers or unicodedata.bidirectional(character) in turns) and character != "\n":
            assert visible(character).isascii(), hex(number)


def test_what_languages_need_stays():
    for text in ("über", "می\u200cخواهم", "\u200fעברית", "👩\u200d🚀", "東京", "नमस्ते", "one\ntwo"):
        assert visible(text) == text
        assert html.text(text) == text


@pytest.mark.parametrize("width", [40, 200])
def test_the_terminal_gets_no_control_character_of_a_name(width):
    from rich.table import Table

    stream = io.StringIO()
    terminal = console.Terminal(file=stream, width=width, force_terminal=True, color_system=None, emoji=False)
    table = Table("name", title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    with console.progress_bars(terminal):
        terminal.print(table)
        terminal.print(HOSTILE, markup=False)
        terminal.print("[bold]", console.escape(HOSTILE), style="yellow", soft_wrap=True)
    ours = re.sub(r"\x1b\[(\?25[lh]|\d?[AK]|2K|1A)|\r", "", stream.getvalue())
    assert "\\x1b" in ours
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069\ud800-\udfff]", ours)


def test_errors_and_json_of_a_command_are_plain(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        console.run_command(lambda: console.print_json({"name": HOSTILE}))
    with pytest.raises(SystemExit):
        console.run_command(lambda: console.err.print(console.escape(HOSTILE)))
    monkeypatch.setattr("builtins.input", lambda question: question)
    assert console.ask(HOSTILE) == SHOWN
    out, err = capsys.readouterr()
    assert json.loads(out) == {"name": HOSTILE}
    assert (out + err).replace("\n", "").isprintable()


def test_no_cell_is_a_formula_and_numbers_stay_numbers():
    cells = ["=1+1", "+1+1", "-1+a", "@SUM(A1)", "\t=1", "\r=1", "＝1", "=\n1", '=HYPERLINK("http://x","y")']
    stream = io.StringIO()
    csv.writer(stream).writerow([visible_cell(cell) for cell in cells])
    (row,) = csv.reader(io.StringIO(stream.getvalue()))
    assert not [cell for cell in row if cell[0] in "=+-@＝\t\r" or not cell.isprintable()]
    for plain in (1, -0.5, None, True, "-0.5", "+3", "-1e-05", "1 - 2", "a=b", ""):
        assert visible_cell(plain) is plain or visible_cell(plain) == plain
