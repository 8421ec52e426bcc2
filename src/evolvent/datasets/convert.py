"""convert: instruction data from one format or kind of file to another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.datasets.formats import check_format
from evolvent.datasets.load import Problem, load
from evolvent.datasets.render import OUTPUT_FORMATS
from evolvent.datasets.write import write
from evolvent.files import check_not_read, locate


@dataclass(frozen=True, slots=True)
class ConvertCounts:
    """What became of the rows.

    Attributes:
        rows: good rows read.
        skipped: bad rows left out (``skip_bad``).
        duplicates: good rows equal to an earlier one; they are written like the others.
        written: rows written.
        multi_turn: rows left out because they have more turns than the format holds (``skip_bad``).
        format: the format that was read.
        to: the format that was written.
        problems: the first bad rows, five at most.
    """

    rows: int
    skipped: int
    duplicates: int
    written: int
    multi_turn: int
    format: str
    to: str
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        parts = [f"{_rows(self.written)} of {self.format} written as {self.to}"]
        if self.skipped:
            parts.append(f"{_rows(self.skipped, 'bad row')} left out")
        if self.multi_turn:
            parts.append(f"{_rows(self.multi_turn)} of several turns left out")
        if self.duplicates:
            parts.append(f"{_rows(self.duplicates, 'duplicate')} among them")
        return "; ".join(parts)


def _rows(count: int, noun: str = "row") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def convert(
    data: str | Path | Iterable[Mapping[str, Any]],
    out: str | Path,
    *,
    to: str,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> ConvertCounts:
    """Read instruction data in any format and write it in another.

    Args:
        data: as for ``load``.
        out: the file to write, of a kind that ``write`` knows.
        to: messages, alpaca, sharegpt or prompt_completion.
        format: as for ``load``.
        map: as for ``load``.
        skip_bad: leave out, and count, rows that cannot be used or that have more turns than the format holds.
        limit: as for ``load``.

    Raises:
        InputError: as for ``load`` and ``write``.
        RunError: the disk is full.
    """
    check_format(to, OUTPUT_FORMATS)
    check_not_read(locate(out, "written")[0], data)
    seeds = load(data, format=format, map=map, skip_bad=skip_bad, limit=limit)
    counts = write(seeds, out, format=to, skip_bad=skip_bad)
    return ConvertCounts(
        rows=seeds.rows,
        skipped=seeds.skipped,
        duplicates=seeds.duplicates,
        written=counts.written,
        multi_turn=counts.multi_turn,
        format=seeds.format,
        to=to,
        problems=seeds.problems,
    )
