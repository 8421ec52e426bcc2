"""What was measured of each candidate: the scores of its rows, and which seed each row comes of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evolvent.errors import InputError
from evolvent.runs.record_files import read_records, score_columns


@dataclass(frozen=True, slots=True)
class Measured:
    """The scores of candidates' rows.

    Attributes:
        candidates: their names, in the order in which they were given.
        of: for each row the number of its candidate, int64 of shape [rows].
        seeds: for each row the number of its seed, from 0, int64 of shape [rows].
        scores: by column, float64 of shape [rows]; NaN where a row has none.
        kept: how many rows each candidate has.
        texts: for each candidate how many different outputs its rows have.
    """

    candidates: Sequence[str]
    of: np.ndarray
    seeds: np.ndarray
    scores: Mapping[str, np.ndarray]
    kept: Sequence[int]
    texts: Sequence[int]

    def by_candidate(self, column: str) -> np.ndarray:
        """A column's values, of shape [rows, candidates]: NaN but for the row's own candidate."""
        found = np.full((len(self.of), len(self.candidates)), np.nan)
        found[np.arange(len(self.of)), self.of] = self.scores[column]
        return found


def measured(files: Mapping[str, Path]) -> Measured:
    """Read what scored files hold of candidates.

    Rows of one instruction of the user's stand or fall together: those of one seed where they were evolved from it, else
    those that ask the same.

    Args:
        files: for each candidate its scored.parquet.

    Raises:
        InputError: a file cannot be read, or none holds a row.
    """
    columns = {name for file in files.values() for name, one in score_columns(file).items() if one.kind != "string"}
    of_rows, of_seeds, seeds, outputs = list[int](), list[int](), dict[str, int](), [set[str]() for _ in files]
    values: dict[str, list[float]] = {name: [] for name in sorted(columns)}
    for number, file in enumerate(files.values()):
        for record in read_records(file):
            if record.status != "ok":
                continue
            of_rows.append(number)
            item = record.seed_id if record.round else record.question
            of_seeds.append(seeds.setdefault(item, len(seeds)))
            outputs[number].add(record.output)
            for name, found in values.items():
                value = record.scores.get(name)
                found.append(float("nan") if value is None else float(value))
    if not of_rows:
        raise InputError("no candidate has a row to rank it by", fix="evolvent show FOLDER says what became of each.")
    counts = Counter(of_rows)
    return Measured(
        tuple(files),
        np.array(of_rows, np.int64),
        np.array(of_seeds, np.int64),
        {name: np.array(found, float) for name, found in values.items()},
        [counts[number] for number in range(len(files))],
        [len(found) for found in outputs],
    )
