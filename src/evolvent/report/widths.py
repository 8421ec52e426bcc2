"""How a table is put into a width: as it is, with narrow columns, or a block a row. Nothing is left out of it."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evolvent.report.tables import Table

if TYPE_CHECKING:
    from rich.table import Table as Drawn

# Cells that are not to be broken: amounts, tokens, times, shares; a value with its interval; two that belong together.
AMOUNT = r"~?[-+]?[\d,]+(\.\d+)?(e[+-]?\d+)?"
WHOLE = re.compile(
    rf"({AMOUNT}( (s|min|h))?|{AMOUNT} (to|:) {AMOUNT}|({AMOUNT} )?\[{AMOUNT}, {AMOUNT}\]|none|nan|yes|no)?"
)
HEADING = 12  # characters of a line of their headings, where there is room
# The longest words that are not broken in a column of text: where there is room, and in narrow columns.
WORD, NARROW_WORD = 20, 12
BETWEEN = 3  # a border and a blank on both sides of a column; blanks between the cells of a block


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as it is put: its texts, in lines where they have to be, whether cells are whole, and its widths."""

    heading: str
    cells: Sequence[str]
    whole: bool
    least: int
    most: int


def laid_out(table: Table, width: int) -> "Drawn | str":
    """A table as it fits into the width of a terminal; its title and its notes are the caller's to print."""
    for narrow in (False, True):
        columns = [_column(name, cells, narrow) for name, *cells in zip(table.columns, *table.rows, strict=True)]
        room = width - 1 - BETWEEN * len(columns)
        if sum(column.least for column in columns) <= room:
            return _drawn(columns, room)
    return "\n".join(line for row in table.rows for line in _block(table.columns, row, width))


def _column(name: str, cells: Sequence[str], narrow: bool) -> _Column:
    if all(WHOLE.fullmatch(cell) for cell in cells):
        lines = [cell.replace(" [", "\n[") if narrow else cell for cell in cells]
        longest = _longest(lines)
        heading = textwrap.fill(name, max(longest, 1 if narrow else HEADING), break_long_words=False)
        width = max(longest, _longest([heading]))
        return _Column(heading, lines, True, width, width)
    words = _longest(" ".join([name, *cells]).split())
    least = min(words, NARROW_WORD if narrow else WORD)
    return _Column(name, cells, False, least, _longest([name, *cells]))


def _longest(texts: Sequence[str]) -> int:
    """The longest line of texts, in columns of the terminal."""
    from rich.cells import cell_len

    return max((cell_len(line) for text in texts for line in text.split("\n")), default=0)


def _drawn(columns: Sequence[_Column], room: int) -> "Drawn":
    """The table in lines; its widest columns of text are narrower until it fits."""
    from rich.table import Table as Drawn
    from rich.text import Text

    widths = [column.most for column in columns]
    while sum(widths) > room:
        _, widest = max((width, place) for place, width in enumerate(widths) if width > columns[place].least)
        widths[widest] -= 1
    drawn = Drawn()
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.whole else "left"
        drawn.add_column(Text(column.heading), justify=justify, width=width, overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        drawn.add_row(*map(Text, cells))
    return drawn


def _block(names: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """A row under its first cell, or, where that is empty, under the row above: each further cell behind its name."""
    first, *others = (f"{name}: {cell}" if name and cell else cell for name, cell in zip(names, row, strict=True))
    lines = [first] if first else []
    indent = "  "
    for text in filter(None, others):
        if indent == "    " and len(lines[-1]) + BETWEEN + len(text) <= width:
            lines[-1] += " " * BETWEEN + text
        else:
            lines.append(indent + text)
            indent = "    "
    for line in lines:
        yield from textwrap.wrap(
            line, width, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
        )
