"""The rows of a trial: as many for each candidate to train on, and some of all candidates that no student sees."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolvent.ranking.measured import stands_with
from evolvent.records import Record

# One in so many seeds is held out, and of these so many rows of a candidate at the most.
HELD_OUT, MOST_HELD_OUT = 5, 50
# A candidate with fewer rows to train on has no part: all would be trained on as few.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class TrialRows:
    """The rows of a trial.

    Attributes:
        trained: by candidate the rows that its students are trained on, as many for each.
        held_out: rows of all these candidates that no student is trained on.
        units: for each row held out what it stands or falls with (``stands_with``).
        owners: for each row held out the candidate that it is of.
        lacking: by candidate without part in it, why.
    """

    trained: Mapping[str, Sequence[Record]]
    held_out: Sequence[Record]
    units: Sequence[str]
    owners: Sequence[str]
    lacking: Mapping[str, str]

    @property
    def size(self) -> int:
        """How many rows each student is trained on."""
        return len(next(iter(self.trained.values()), ()))


def trial_rows(answered: Mapping[str, Sequence[Record]], seeds: Mapping[str, str], wanted: int, seed: int) -> TrialRows:
    """Choose the rows: all candidates' in one order of seeds, so that those who answered the same have the same rows.

    Args:
        answered: by candidate its rows that can be trained on.
        seeds: by question of the sample the seed that it was evolved from, where it was.
        wanted: how many a student is trained on at the most.
        seed: of the order.
    """
    by_unit: dict[str, dict[str, list[Record]]] = {name: {} for name in answered}
    for name, rows in answered.items():
        for row in rows:
            by_unit[name].setdefault(stands_with(row, seeds), []).append(row)
    units = sorted({unit for of in by_unit.values() for unit in of}, key=lambda unit: _drawn(seed, unit))
    held = units[: len(units) // HELD_OUT]

    def of(name: str, units: Sequence[str]) -> list[tuple[str, Record]]:
        return [(unit, row) for unit in units for row in by_unit[name].get(unit, ())]

    kept = {name: [row for _, row in of(name, units[len(held) :])] for name in answered}
    lacking = {
        name: f"it has {len(rows)} rows to train on, a trial takes {FEWEST} at the least"
        for name, rows in kept.items()
        if len(rows) < FEWEST
    }
    part = {name: rows for name, rows in kept.items() if name not in lacking}
    size = min([wanted, *map(len, part.values())])
    held_out = [(unit, row, name) for name in part for unit, row in of(name, held)[:MOST_HELD_OUT]]
    return TrialRows(
        {name: rows[:size] for name, rows in part.items()},
        [row for _, row, _ in held_out],
        [unit for unit, _, _ in held_out],
        [name for _, _, name in held_out],
        lacking,
    )


def _drawn(seed: int, unit: str) -> bytes:
    return hashlib.sha256(f"{seed}/{unit}".encode("utf-8", "surrogatepass")).digest()
