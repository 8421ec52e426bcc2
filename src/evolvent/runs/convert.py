"""convert: instruction data, or what a run has made, as a training set of another format or kind of file.

Of a run the rows are written that are ok and answered; of evolved.parquet, which holds no answers, those that
``respond`` would take: the evolutions that are ok, instructions alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from evolvent.datasets.dataset_info import check_described, describe
from evolvent.datasets.load import Problem, load
from evolvent.datasets.options import CONVERT, Converting
from evolvent.datasets.write import kind_of_file, write
from evolvent.errors import InputError
from evolvent.files import MANIFEST, locate, output_path
from evolvent.options import Reading, implements
from evolvent.records import Record
from evolvent.runs.inputs import EVERY, Data, StageInput, record_file
from evolvent.runs.record_files import is_record_file
from evolvent.runs.run import Run
from evolvent.stages import STAGES, file_of


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
        no_input: rows whose input only said that there is none; it is written empty.
        left_out: rows of a run that were left out, by why.
    """

    rows: int
    skipped: int
    duplicates: int
    written: int
    multi_turn: int
    format: str
    to: str
    problems: tuple[Problem, ...] = ()
    no_input: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{_rows(self.written)} of {self.format} written as {self.to}"]
        if self.skipped:
            parts.append(f"{_rows(self.skipped, 'bad row')} left out")
        if self.multi_turn:
            parts.append(f"{_rows(self.multi_turn)} of several turns left out")
        if self.duplicates:
            parts.append(f"{_rows(self.duplicates, 'duplicate')} among them")
        if self.no_input:
            parts.append(f"{_rows(self.no_input, 'input')} that said there is none written empty")
        if self.left_out:
            why = ", ".join(f"{n:,} {what}" for what, n in self.left_out.items())
            parts.append(f"{_rows(sum(self.left_out.values()))} left out ({why}); --all writes them, too")
        return "; ".join(parts)


def _rows(count: int, noun: str = "row") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


@implements(CONVERT)
def convert(data: Data, out: str | Path, given: Converting, reading: Reading) -> ConvertCounts:
    """Read instruction data in any format, or a run, and write it in another.

    With ``skip_bad`` rows that have more turns than the format holds are left out, too, and counted.

    Raises:
        InputError: as for ``load`` and ``write``; the run holds nothing that could be written.
        RunError: the disk is full.
    """
    path = output_path(out, data)
    kind_of_file(path)
    if given.dataset_info:
        check_described(path, given.to)
    data = data.path if isinstance(data, Run) else data
    file = _file_of_run(data) if isinstance(data, str | Path) else None
    if file is None:
        return _convert_data(data, path, given, reading)
    return _convert_run(file, path, given, reading)


def _convert_data(
    data: str | Path | Iterable[Mapping[str, Any]], path: Path, given: Converting, reading: Reading
) -> ConvertCounts:
    seeds = load(data, format=reading.format, map=reading.map, skip_bad=reading.skip_bad, limit=reading.limit)
    counts = write(seeds, path, format=given.to, skip_bad=reading.skip_bad)
    if given.dataset_info:
        describe(path, given.to, counts.columns)
    return ConvertCounts(
        rows=seeds.rows,
        skipped=seeds.skipped,
        duplicates=seeds.duplicates,
        written=counts.written,
        multi_turn=counts.multi_turn,
        format=seeds.format,
        to=given.to,
        problems=seeds.problems,
        no_input=seeds.no_input,
    )


def _convert_run(file: Path, path: Path, given: Converting, reading: Reading) -> ConvertCounts:
    source = record_file(file, EVERY, out=file.parent)
    left_out: Counter[str] = Counter()
    records = islice(source if given.all else _usable(source, left_out), reading.limit)
    counts = write(records, path, format=given.to, skip_bad=reading.skip_bad, history=given.with_history)
    if given.dataset_info:
        describe(path, given.to, counts.columns)
    return ConvertCounts(
        rows=source.rows,
        skipped=0,
        duplicates=0,
        written=counts.written,
        multi_turn=counts.multi_turn,
        format=file.name,
        to=given.to,
        left_out=dict(left_out.most_common()),
    )


def _file_of_run(data: str | Path) -> Path | None:
    """The file of a run that is meant: the last in a run folder that holds records; None if the data is no run's."""
    path, _ = locate(data, "read")
    if not (path / MANIFEST).is_file():
        return path if is_record_file(path) else None
    files = [path / file_of(stage) for stage in STAGES]
    made = [file for file in files if is_record_file(file) and file.name != file_of("keywords")]
    if not made:
        raise InputError(f"{path} holds no rows yet", fix="See what it holds: evolvent show RUN.")
    return made[-1]


def _usable(source: StageInput, left_out: Counter[str]) -> Iterator[Record]:
    """The rows that are ok and answered or, where no row is answered, the evolutions that are ok."""
    answered = any(record.teacher for record in source)
    nothing = True
    for record in source:
        if record.status != "ok":
            left_out[record.status] += 1
        elif not answered and not record.round:
            left_out["seeds"] += 1
        elif answered and not record.output.strip():
            left_out["without an answer"] += 1
        else:
            nothing = False
            yield record
    if nothing:
        raise InputError(
            f"{source.about['source']} holds no row that is ok" + (" and answered" if answered else " and evolved"),
            fix="See why: evolvent show RUN. --all writes every row.",
        )
