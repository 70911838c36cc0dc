"""Tables that keep their words in one piece, however narrow the terminal or the log is."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column
from rich.table import Table as RichTable

#: A longer word, such as a path, may continue in the next line.
_MOST_IN_ONE_PIECE = 20
#: Characters of a column beside its words: a border, and a space on both sides.
_BESIDE = 3


class Table(RichTable):
    """A table that is never cut: where its words do not fit beside each other, each row stands as lines of its own.

    >>> table = Table("form", "kB", "operators", "real-time factor")
    >>> table.add_row("dynamic", "1,092", "1,071", "0.0016")
    >>> Console(width=40).print(table)
    ┌──────────────────┬─────────┐
    │ form             │ dynamic │
    │ kB               │ 1,092   │
    │ operators        │ 1,071   │
    │ real-time factor │ 0.0016  │
    └──────────────────┴─────────┘
    """

    def add_column(self, *arguments: Any, **options: Any) -> None:
        super().add_column(*arguments, **({"overflow": "fold"} | options))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.box is None or len(self.columns) <= 2:
            yield from super().__rich_console__(console, options)
            return
        least = [_longest(column, of_lines=column.no_wrap) for column in self.columns]
        wanted = [_longest(column, of_lines=True) - width for column, width in zip(self.columns, least, strict=True)]
        left = options.max_width - 1 - sum(width + _BESIDE for width in least)
        if left < 0:
            yield from self._by_row().__rich_console__(console, options)
            return
        if sum(wanted) > left:  # Rich would narrow the widest columns, whatever their words are
            # Those that want the least have it all, such as "0.08 s"; the others share what is left.
            for place, number in enumerate(sorted(range(len(least)), key=lambda number: wanted[number])):
                given = min(wanted[number], left // (len(least) - place))
                self.columns[number].width = least[number] + given
                left -= given
        yield from super().__rich_console__(console, options)

    def _by_row(self) -> Table:
        """A row's headings above each other, each with its value; headings without a value are left out."""
        rows = Table("", "", title=self.title, caption=self.caption, show_header=False)
        rows.title_justify = self.title_justify
        for row in zip(*(column.cells for column in self.columns), strict=True):
            for column, value in zip(self.columns, row, strict=True):
                if str(value):
                    rows.add_row(column.header, value)
            rows.add_section()
        return rows


def _longest(column: Column, *, of_lines: bool) -> int:
    """Characters of a column's longest line, or of its longest word, as far as that stays in one piece."""
    lines = [line for cell in (column.header, *column.cells) for line in str(cell).split("\n")]
    if of_lines:
        return max(map(cell_len, lines))
    return max((min(cell_len(word), _MOST_IN_ONE_PIECE) for line in lines for word in line.split()), default=0)
