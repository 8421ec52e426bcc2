"""The figures of an evaluation with their uncertainty: Wilson intervals of shares, a bootstrap over items of ratios.

Where items stand or fall together (a measure's ``cluster``), what is drawn are these clusters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.evaluation.task import Measure, Task
from evolvent.evaluation.tasks import TASKS
from evolvent.records import CUT, Record
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import read_records

if TYPE_CHECKING:
    import numpy as np

CONFIDENCE, RESAMPLES = 0.95, 2_000
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
    """

    name: str
    value: float | None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


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
        sum(row.status == "ok" and not row.output.strip() for row in rows),
        failed,
        len(known) - len(clean) if named else None,
        len(named) - len(known),
        [figure(measure, clean) for measure in task.measures] if len(clean) < len(known) else (),
    )


def figure(measure: Measure, rows: Iterable[Record]) -> Figure:
    """A measure over rows, those without a verdict left out."""
    import numpy as np

    rows = with_verdict(measure, rows)
    scored, most = values(measure, rows)
    n = len(rows)
    if not n:
        return Figure(measure.name, None)
    value = float(scored.sum() / most.sum())
    scored, most = together(measure, rows, scored, most)
    if len(scored) == 1:
        return Figure(measure.name, value, n=n)
    if value in (0.0, 1.0) or (set(np.unique(scored)) <= {0.0, 1.0} and bool((most == 1).all())):
        from scipy.stats import binomtest

        interval = binomtest(round(value * len(scored)), len(scored)).proportion_ci(CONFIDENCE, method="wilson")
        return Figure(
            measure.name, value, float(np.sqrt(value * (1 - value) / n)), float(interval.low), float(interval.high), n
        )
    drawn = resampled(scored, most)
    interval = drawn.confidence_interval
    return Figure(measure.name, value, float(drawn.standard_error), float(interval.low), float(interval.high), n)


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


def resampled(scored: "np.ndarray", most: "np.ndarray") -> Any:
    """scipy's bootstrap of the sum of one over the sum of the other: an item's instructions stand or fall together.

    Args:
        scored, most: see ``values``; what is scored may be a difference of two models.
    """
    from scipy.stats import bootstrap

    return bootstrap(
        (scored, most),
        lambda scored, most, axis: scored.sum(axis) / most.sum(axis),
        n_resamples=RESAMPLES,
        paired=True,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,
    )
