"""What was measured of each candidate: the scores of its rows, and which seed each row comes of."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from evolvent.errors import InputError
from evolvent.metrics.score import REASON, metric_of, reasons_in
from evolvent.ranking.figures import KEPT, OF_ANSWERS, OF_EVOLUTIONS
from evolvent.records import Record
from evolvent.runs.record_files import read_records, score_columns


@dataclass(frozen=True, slots=True)
class Measured:
    """The scores of candidates' rows.

    Attributes:
        candidates: their names, in the order in which they were given.
        of: for each row the number of its candidate, int64 of shape [rows].
        seeds: for each row the number of its seed, from 0, int64 of shape [rows].
        scores: by column, float64 of shape [rows]; NaN where a row has none.
        kept: how many rows each candidate has that were kept and have a score that a figure is made of.
        reasons: for each candidate how many of its rows say why they lack a score, by what they say.
    """

    candidates: Sequence[str]
    of: np.ndarray
    seeds: np.ndarray
    scores: Mapping[str, np.ndarray]
    kept: Sequence[int]
    reasons: Mapping[str, Counter[str]] = field(default_factory=dict)

    def shifts(self, columns: Sequence[str]) -> dict[str, float]:
        """What makes the lowest value of each of some columns 0, if it is below; the same for all candidates."""
        return {
            one: max(0.0, -float(np.nanmin(self.scores[one], initial=0.0))) for one in columns if one in self.scores
        }

    def why(self, candidate: str, columns: Sequence[str]) -> str:
        """Why a candidate has none of some scores: what most of its rows say."""
        reasons = Counter[str]()
        for reason, count in self.reasons.get(candidate, {}).items():
            if metric_of(reason) in (None, *columns):
                reasons[reason] += count
        first = reasons.most_common(1)
        return (
            f"none of its rows has it; {first[0][1]:,} of them: {first[0][0]}" if first else "none of its rows has it"
        )

    def by_candidate(self, column: str) -> np.ndarray:
        """A column's values, of shape [rows, candidates]: NaN but for the row's own candidate."""
        found = np.full((len(self.of), len(self.candidates)), np.nan)
        found[np.arange(len(self.of)), self.of] = self.scores[column]
        return found


def measured(files: Mapping[str, Path], columns: Mapping[str, Mapping[str, str]], seeds: Mapping[str, str]) -> Measured:
    """Read what scored files hold of candidates.

    Rows of one seed stand or fall together where they were evolved from it, else those that ask the same.

    Args:
        files: for each candidate its scored.parquet.
        seeds: by question of the sample the seed that it was evolved from, where it was.
        columns: for each candidate, by the plain name of a score, the column that holds it.

    Raises:
        InputError: a file cannot be read, or none holds a row.
    """
    names = sorted({name for of in columns.values() for name in of})
    reasons: dict[str, Counter[str]] = {name: Counter() for name in files}

    def rows() -> Iterator[tuple[str, str, Mapping[str, float]]]:
        for name, file in files.items():
            explained_by = {REASON + "".join(column.partition("@")[1:]) for column in columns[name].values()}
            for record in read_records(file):
                if record.status == "ok":
                    reasons[name].update(
                        one for column in explained_by for one in reasons_in(record.scores.get(column))
                    )
                    yield name, stands_with(record, seeds), _numbers(record, columns[name])

    return replace(_gathered(tuple(files), names, rows()), reasons=reasons)


def evolutions(files: Mapping[str, Path]) -> Measured:
    """Read what became of evolvers' evolutions: whether each was kept, and how sure its evolver was of it.

    Args:
        files: for each candidate its evolved.parquet.
    """
    columns = {name for file in files.values() for name, one in score_columns(file).items() if one.kind != "string"}
    same = {name: name for name in columns}
    rows = (
        (name, record.seed_id, {**_numbers(record, same), **_kept(record)})
        for name, file in files.items()
        for record in read_records(file)
        if record.round
    )
    return _gathered(tuple(files), sorted({*columns, KEPT}), rows)


def stands_with(record: Record, seeds: Mapping[str, str]) -> str:
    """What a row stands or falls with: the seed that it, or its question, was evolved from, else its question."""
    return record.seed_id if record.round else seeds.get(record.question, record.question)


def _kept(record: Record) -> dict[str, float]:
    """Whether the rules kept an evolution; of a call that failed there is none to keep."""
    return {} if record.status == "failed" else {KEPT: float(record.status == "ok")}


def _numbers(record: Record, columns: Mapping[str, str]) -> dict[str, float]:
    found = {name: record.scores.get(column) for name, column in columns.items()}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _gathered(
    candidates: Sequence[str], names: Sequence[str], rows: Iterable[tuple[str, str, Mapping[str, float]]]
) -> Measured:
    """Rows as arrays: each with its candidate, what it stands or falls with, and its scores."""
    numbers, seeds = {name: number for number, name in enumerate(candidates)}, dict[str, int]()
    of_rows, of_seeds = list[int](), list[int]()
    values: dict[str, list[float]] = {name: [] for name in names}
    for name, seed, scores in rows:
        of_rows.append(numbers[name])
        of_seeds.append(seeds.setdefault(seed, len(seeds)))
        for column, found in values.items():
            found.append(scores.get(column, float("nan")))
    if not of_rows:
        raise InputError("no candidate has a row to rank it by", fix="evolvent show FOLDER says what became of each.")
    of, arrays = np.array(of_rows, np.int64), {name: np.array(found, float) for name, found in values.items()}
    if KEPT in arrays:
        counts = arrays[KEPT] == 1
    else:
        counts = np.isfinite([arrays[one] for one in {*OF_ANSWERS, *OF_EVOLUTIONS} & arrays.keys()]).any(axis=0)
    kept = np.bincount(of[counts], minlength=len(candidates)).tolist()
    return Measured(candidates, of, np.array(of_seeds, np.int64), arrays, kept)
