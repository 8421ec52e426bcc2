"""Two models on the same items: the difference of each figure, with an interval and a test that know of the pairs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import InputError
from evolvent.evaluation.figures import resampled, task_of, values
from evolvent.evaluation.task import Measure
from evolvent.evaluation.tasks import TASKS
from evolvent.records import Record
from evolvent.runs.record_files import read_records


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two models, over the items that both have a verdict on.

    Attributes:
        task, name: the figure.
        n: the items that both have; ``unpaired``: those that only one has, or that were asked in other words.
        ours, theirs: its values.
        low, high: the 95 % interval of ``ours`` - ``theirs``, by a bootstrap over items; None below two items.
        wins, losses: items on which one is right and the other wrong; None where an item is not right or wrong.
        p: that of McNemar's exact test of these.
    """

    task: str
    name: str
    n: int
    unpaired: int
    ours: float
    theirs: float
    low: float | None
    high: float | None
    wins: int | None = None
    losses: int | None = None
    p: float | None = None

    @property
    def difference(self) -> float:
        """``ours`` - ``theirs``."""
        return self.ours - self.theirs


def differences(ours: Path, theirs: Path) -> list[Difference]:
    """Every figure of two evaluated files.

    Raises:
        InputError: they have no item in common.
    """
    mine, other = _by_id(read_records(ours)), _by_id(read_records(theirs))
    found = []
    for task in dict.fromkeys(task_of(row) for row in mine.values()):
        for measure in TASKS[task].measures:
            both = [
                (row, other[id])
                for id, row in mine.items()
                if task_of(row) == task
                and id in other
                and row.instruction == other[id].instruction
                and _has_verdicts(measure, row, other[id])
            ]
            every = {id for id, row in [*mine.items(), *other.items()] if task_of(row) == task}
            if both:
                found.append(_difference(task, measure, both, len(every) - len(both)))
    if not found:
        raise InputError(f"{ours} and {theirs} have no item in common", fix="Evaluate both on the same tasks and data.")
    return found


def _by_id(rows: Iterable[Record]) -> dict[str, Record]:
    return {row.id: row for row in rows if task_of(row) in TASKS}


def _has_verdicts(measure: Measure, *rows: Record) -> bool:
    return all(row.scores.get(measure.column) is not None for row in rows)


def _difference(task: str, measure: Measure, both: Sequence[tuple[Record, Record]], unpaired: int) -> Difference:
    from scipy.stats import binomtest

    a, most = values(measure, (ours for ours, _ in both))
    b, _ = values(measure, (theirs for _, theirs in both))
    n, share_a, share_b = len(both), float(a.sum() / most.sum()), float(b.sum() / most.sum())
    low = high = wins = losses = p = None
    if n > 1:
        drawn = resampled(a - b, most)
        low, high = float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
    if measure.of is None and set(a) | set(b) <= {0.0, 1.0}:
        wins, losses = int((a > b).sum()), int((a < b).sum())
        p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return Difference(task, measure.name, n, unpaired, share_a, share_b, low, high, wins, losses, p)
