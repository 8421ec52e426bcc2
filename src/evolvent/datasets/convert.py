"""convert: instruction data from one format or kind of file to another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.datasets.load import Problem, load
from evolvent.datasets.options import CONVERT, Converting
from evolvent.datasets.write import kind_of_file, write
from evolvent.files import output_path
from evolvent.options import Reading, implements


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


@implements(CONVERT)
def convert(
    data: str | Path | Iterable[Mapping[str, Any]],
    out: str | Path,
    given: Converting,
    reading: Reading,
) -> ConvertCounts:
    """Read instruction data in any format and write it in another.

    With ``skip_bad`` rows that have more turns than the format holds are left out, too, and counted.

    Raises:
        InputError: as for ``load`` and ``write``.
        RunError: the disk is full.
    """
    path = output_path(out, data)
    kind_of_file(path)
    seeds = load(data, format=reading.format, map=reading.map, skip_bad=reading.skip_bad, limit=reading.limit)
    counts = write(seeds, path, format=given.to, skip_bad=reading.skip_bad)
    return ConvertCounts(
        rows=seeds.rows,
        skipped=seeds.skipped,
        duplicates=seeds.duplicates,
        written=counts.written,
        multi_turn=counts.multi_turn,
        format=seeds.format,
        to=given.to,
        problems=seeds.problems,
    )
