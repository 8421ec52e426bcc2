"""Two models on the same items: the difference of each figure, with an interval and a test that know of the pairs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from evolvent.errors import InputError
from evolvent.evaluation.figures import CONFIDENCE, estimated, resampled, task_of, together, values
from evolvent.evaluation.task import Measure, Unit
from evolvent.evaluation.tasks import TASKS
from evolvent.records import Record
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import read_records


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two models, over the items that both have a verdict on.

    Attributes:
        task, name: the figure.
        n: the items that both have; ``unpaired``: those that only one has, or that were asked in other words.
        ours, theirs: its values.
        low, high: the 95 % interval of ``ours`` - ``theirs``: Newcombe's where items are right or wrong, each for
            itself; else by a bootstrap over items, or over what stands or falls together; None below two items.
        wins, losses: items on which one is right and the other wrong; None where an item is not right or wrong.
        p: that of McNemar's exact test of these; None where items stand or fall together.
        unit: what it is printed in.
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
    unit: Unit = "%"

    @property
    def difference(self) -> float:
        """``ours`` - ``theirs``."""
        return self.ours - self.theirs


def differences(ours: Path, theirs: Path) -> list[Difference]:
    """Every figure that two evaluated files both have.

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
            difference = _difference(task, measure, both, len(every) - len(both)) if both else None
            if difference is not None:
                found.append(difference)
    if not found:
        raise InputError(f"{ours} and {theirs} have no item in common", fix="Evaluate both on the same tasks and data.")
    return found


def asked_otherwise(ours: Path, theirs: Path) -> list[str]:
    """How two evaluated files were asked and judged in other ways, a line each: decoding, judge, versions of libraries.

    The notes of their folders say so; nothing is known of a file without one.
    """
    entries = [read_manifest(file.parent).get("evaluate") for file in (ours, theirs)]
    if entries[0] is None or entries[1] is None:
        return []
    mine, other = (
        {
            **{f"{task}: {name}": value for task, how in given["decoding"].items() for name, value in how.items()},
            **{f"version of {name}": version for name, version in given["judged_by"].items()},
            **{name: given.get(name) for name in ("judge", "extra_body")},
        }
        for given in (entry.settings for entry in entries if entry is not None)
    )
    return [
        f"asked otherwise: {name}: {mine[name]}, the other {other[name]}"
        for name in mine
        if name in other and mine[name] != other[name]
    ]


def _by_id(rows: Iterable[Record]) -> dict[str, Record]:
    return {row.id: row for row in rows if task_of(row) in TASKS}


def _has_verdicts(measure: Measure, *rows: Record) -> bool:
    return all(row.scores.get(measure.column) is not None for row in rows)


def _difference(task: str, measure: Measure, both: Sequence[tuple[Record, Record]], unpaired: int) -> Difference | None:
    """The difference of a figure; None where one of the two has none."""
    from scipy.stats import binomtest

    rows, others = [ours for ours, _ in both], [theirs for _, theirs in both]
    a, most = values(measure, rows)
    b, other_most = values(measure, others)
    n, of_a, of_b = len(both), estimated(measure, a, most), estimated(measure, b, other_most)
    if of_a is None or of_b is None:
        return None
    low = high = wins = losses = p = None
    right, right_too = ([row.scores[measure.column] for row in of] for of in (rows, others))
    if measure.unit == "%" and measure.of is None and {*right, *right_too} <= {0.0, 1.0}:
        wins = sum(one == 1 and other == 0 for one, other in zip(right, right_too, strict=True))
        losses = sum(one == 0 and other == 1 for one, other in zip(right, right_too, strict=True))
    if measure.cluster is None and wins is not None and losses is not None:
        p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
        both_right = right.count(1.0) - wins
        if n > 1:
            low, high = newcombe(both_right, wins, losses, n - both_right - wins - losses)
    elif len((drawn_from := together(measure, rows, a, most, b, other_most))[0]) > 1:
        drawn = resampled(measure, *drawn_from)
        low, high = float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
    return Difference(task, measure.name, n, unpaired, of_a, of_b, low, high, wins, losses, p, measure.unit)


def newcombe(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares of the same items.

    Source: Newcombe, Statistics in Medicine 17 (1998), 2635-2650, method 10: from the shares' Wilson intervals, and the
    correlation of the two with a correction for continuity.

    Args:
        both, first, second, neither: on how many items both, only the first, only the second, or none is right.
    """
    from scipy.stats import binomtest

    n = both + first + second + neither
    one, other = (both + first) / n, (both + second) / n
    of_one, of_other = (
        binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson") for right in (both + first, both + second)
    )
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess = both * neither - first * second
    corrected = max(excess - n / 2, 0) if excess > 0 else excess
    correlation = corrected / sqrt(product) if product else 0.0

    def distance(x: float, y: float) -> float:
        return sqrt(max(x**2 - 2 * correlation * x * y + y**2, 0.0))

    below, above = one - of_one.low, of_one.high - one
    return (
        one - other - distance(below, of_other.high - other),
        one - other + distance(above, other - of_other.low),
    )
