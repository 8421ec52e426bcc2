"""The figures of an evaluation with their uncertainty: Wilson intervals of shares, a bootstrap over items of ratios.

Where items stand or fall together (a measure's ``cluster``), what is drawn are these clusters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.evaluation.task import Measure, Task, Unit
from evolvent.evaluation.tasks import TASKS
from evolvent.records import CUT, Record
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import read_records

if TYPE_CHECKING:
    import numpy as np

CONFIDENCE, RESAMPLES, REFITS = 0.95, 2_000, 200
CONTAMINATED = "contaminated"  # the column that says whether the training data hold an item


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a task.

    Attributes:
        name: what it is.
        value: its value; None where no item has a verdict.
        error: its standard error; ``low``, ``high``: its 95 % interval; None where there are fewer than two items, or
            all stand or fall together.
        n: the items that it is of.
        unit: what it is printed in: a share in per cent, or points.
    """

    name: str
    value: float | None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: Unit = "%"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model scores on a task.

    Attributes:
        task: its name.
        decoding: how replies were drawn, in words.
        items: how many were asked.
        figures: its figures.
        cut: replies that ended at the token limit or in a loop; ``empty``: replies without text, which are wrong.
        failed: items without a reply, and so without a verdict, by the reason.
        contaminated: items that the training data hold; None where none were named.
        too_short: items in whose texts nothing can be looked for.
        clean: the figures of the items that were looked for and that the training data do not hold.
    """

    task: str
    decoding: str
    items: int
    figures: Sequence[Figure]
    cut: int
    empty: int
    failed: dict[str, int]
    contaminated: int | None = None
    too_short: int = 0
    clean: Sequence[Figure] = ()


def figures_of(file: Path) -> list[Figures]:
    """The figures of every task in an evaluated file."""
    entry = read_manifest(file.parent).get("evaluate")
    drawn: Mapping[str, Mapping[str, Any]] = entry.settings.get("decoding", {}) if entry is not None else {}
    by_task = groupby(read_records(file), key=task_of)
    return [of_task(TASKS[name], list(rows), _in_words(drawn.get(name))) for name, rows in by_task if name in TASKS]


def _in_words(drawn: Mapping[str, Any] | None) -> str:
    """How replies were drawn."""
    if drawn is None:
        return ""
    stop = f", up to {' or '.join(map(repr, drawn['stop']))}" if drawn["stop"] else ""
    return f"greedy, at most {drawn['max_tokens']:,} tokens{stop}"


def task_of(record: Record) -> str:
    """The task that a row is of."""
    return str(record.scores["task"])


def of_task(task: Task, rows: Sequence[Record], decoding: str = "") -> Figures:
    """The figures of one task."""
    named = [row for row in rows if CONTAMINATED in row.scores]
    known = [row for row in named if row.scores[CONTAMINATED] is not None]
    clean = [row for row in known if not row.scores[CONTAMINATED]]
    failed: dict[str, int] = {}
    for row in rows:
        if row.status == "failed":
            failed[row.reason or ""] = failed.get(row.reason or "", 0) + 1
    return Figures(
        task.name,
        decoding,
        len(rows),
        [figure(measure, rows) for measure in task.measures],
        sum(row.finish_reason in CUT for row in rows),
        sum(row.status == "ok" and not all(map(str.strip, replies(task, row))) for row in rows),
        failed,
        len(known) - len(clean) if named else None,
        len(named) - len(known),
        [figure(measure, clean) for measure in task.measures] if len(clean) < len(known) else (),
    )


def replies(task: Task, row: Record) -> list[str]:
    """The model's replies of a task's row, in their order."""
    turns = [turn["content"] for turn in row.messages or [] if turn["role"] == "assistant"]
    return [row.output, *(turns[-len(task.then) :] if task.then else [])]


def figure(measure: Measure, rows: Iterable[Record]) -> Figure:
    """A measure over rows, those without a verdict left out."""
    import numpy as np

    rows = with_verdict(measure, rows)
    scored, most = values(measure, rows)
    n = len(rows)
    value = estimated(measure, scored, most) if n else None
    scored, most = together(measure, rows, scored, most)
    if value is None or len(scored) == 1:
        return Figure(measure.name, value, n=n, unit=measure.unit)
    shares = measure.unit == "%" and measure.estimate is None
    if shares and (value in (0.0, 1.0) or (set(np.unique(scored)) <= {0.0, 1.0} and bool((most == 1).all()))):
        from scipy.stats import binomtest

        interval = binomtest(round(value * len(scored)), len(scored)).proportion_ci(CONFIDENCE, method="wilson")
        error = float(np.sqrt(value * (1 - value) / n))
    else:
        drawn = resampled(measure, scored, most)
        interval, error = drawn.confidence_interval, float(drawn.standard_error)
    return Figure(measure.name, value, error, float(interval.low), float(interval.high), n, measure.unit)


def estimated(measure: Measure, scored: "np.ndarray", most: "np.ndarray") -> float | None:
    """A measure's value, of what ``values`` gives; None where it does not exist."""
    return float(scored.sum() / most.sum()) if measure.estimate is None else measure.estimate(scored, most)


def with_verdict(measure: Measure, rows: Iterable[Record]) -> list[Record]:
    """The rows that a measure is of."""
    return [row for row in rows if row.scores.get(measure.column) is not None]


def values(measure: Measure, rows: Sequence[Record]) -> "tuple[np.ndarray, np.ndarray]":
    """What each item scores, and could score at the most; float64 of shape [items] both.

    An item weighs 1; where groups of items weigh the same, 1 over the items of its group, relative to the mean.
    """
    import numpy as np

    array = np.array(
        [
            (float(row.scores[measure.column] or 0.0), float(row.scores[measure.of] or 0.0) if measure.of else 1.0)
            for row in rows
        ],
        float,
    ).reshape(-1, 2)
    if measure.groups is not None:
        counted = Counter(row.scores.get(measure.groups) for row in rows)
        weights = [len(rows) / len(counted) / counted[row.scores.get(measure.groups)] for row in rows]
        array *= np.array(weights)[:, None]
    return array[:, 0], array[:, 1]


def together(measure: Measure, rows: Sequence[Record], *arrays: "np.ndarray") -> "list[np.ndarray]":
    """Of each array of items the sums over what stands or falls together; as they are if that is each item alone."""
    import numpy as np

    if measure.cluster is None:
        return list(arrays)
    clusters = [str(row.scores.get(measure.cluster) or row.id) for row in rows]  # older files have no such column
    _, place = np.unique(clusters, return_inverse=True)
    return [np.bincount(place, weights=array) for array in arrays]


def resampled(measure: Measure, *of_models: "np.ndarray") -> Any:
    """scipy's bootstrap of a measure over items: what is of an item stands or falls together.

    Args:
        measure: the measure.
        of_models: what ``values`` gives of a model; of another model, too, for the difference of the two.
    """
    from scipy.stats import bootstrap

    def of_one(scored: "np.ndarray", most: "np.ndarray", axis: int) -> Any:
        if measure.estimate is None:
            return scored.sum(axis) / most.sum(axis)
        found = measure.estimate(scored, most)
        return scored.mean() if found is None else found  # nothing but wins was drawn, say

    def statistic(scored: "np.ndarray", most: "np.ndarray", *other: "np.ndarray", axis: int = -1) -> Any:
        ours = of_one(scored, most, axis)
        return ours - of_one(other[0], other[1], axis) if other else ours

    return bootstrap(
        of_models,
        statistic,
        n_resamples=RESAMPLES if measure.estimate is None else REFITS,
        paired=True,
        vectorized=measure.estimate is None,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,
    )
