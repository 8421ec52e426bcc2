"""Difficulty by round, as a judge sees it (arXiv 2412.11231, figure 2)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evolvent.metrics.difficulty import LEVELS as NAMES
from evolvent.report.page.columns import labels, numbers
from evolvent.report.page.figures.figure import LEVELS, Figure, Row, high, name, number, plot, tips
from evolvent.report.page.makers import on_one_scale
from evolvent.report.page.source import Source, Sources

Counts = Mapping[tuple[str, str], Mapping[str, int]]


def figures(sources: Sources) -> Iterator[Figure]:
    """Levels and scores of difficulty by run and round."""
    columns, note = on_one_scale(sources.runs, "difficulty_level")
    levels = {key: counts for run in sources.runs for key, counts in _levels(run, columns.get(run.name)).items()}
    if levels:
        yield by_round(levels, note)
    columns, note = on_one_scale(sources.runs, "difficulty_score")
    scores = [row for run in sources.runs for row in _scores(run, columns.get(run.name))]
    if len({row["round"] for row in scores}) > 1:
        yield scores_by_round(scores, note)


def scores_by_round(scores: Sequence[Row], more: str = "") -> Figure:
    """Mean scores of difficulty, a line a run.

    Args:
        scores: by ``run`` and ``round`` the mean ``score``, its interval from ``low`` to ``high``, and of how many
            ``rows``.
        more: what else the caption says.
    """
    caption = "Means of the judge's scores, with 95 % intervals by the normal distribution, over rows that have one."
    spec = plot(
        scores,
        {"mark": {"type": "line"}},
        {"mark": {"type": "rule"}, "encoding": {"y": number("low", "difficulty score"), "y2": {"field": "high"}}},
        {"mark": {"type": "point"}},
        x={"field": "round", "type": "ordinal", "title": "round", "axis": {"labelAngle": 0}},
        y=number("score", "difficulty score"),
        color=name("run"),
        tooltip=tips("run", "round", "score", "low", "high", "rows"),
    )
    return Figure("difficulty-score", "Difficulty score by round", caption + more, spec)


def by_round(levels: Counts, more: str = "") -> Figure:
    """Shares of the levels of difficulty.

    Args:
        levels: by run (or model) and round, how many instructions have each level.
        more: what else the caption says.
    """
    several = len({run for run, _ in levels}) > 1
    values = [
        {
            "rows": f"{when}: {run}" if several else when,
            "level": level,
            "share": counts.get(level, 0) / sum(counts.values()),
            "n": counts.get(level, 0),
            "place": place,
        }
        for (run, when), counts in levels.items()
        for place, level in enumerate(NAMES)
        if sum(counts.values())
    ]
    spec = plot(
        values,
        {"mark": {"type": "bar", "height": {"band": 0.8}}},
        height=high(values, "rows"),
        y=name("rows", axis={"ticks": False, "domain": False}),
        x=number("share", "share of instructions", axis={"format": "%"}, scale={"domain": [0, 1]}),
        color=name("level", scale={"domain": list(NAMES), "range": LEVELS}),
        order={"field": "place"},
        tooltip=tips("rows", "level", "n"),
    )
    n = sum(sum(counts.values()) for counts in levels.values())
    caption = f"Levels that the judge gave {n:,} instructions; those without a verdict are left out."
    return Figure("difficulty-level", "Difficulty level by round", caption + more, spec)


def _levels(run: Source, column: str | None) -> dict[tuple[str, str], Mapping[str, int]]:
    file = run.answers
    if file is None or column is None:
        return {}
    found = labels(file, column)
    rounds = numbers(file, "round")
    return {
        (run.name, f"round {when:.0f}"): Counter(
            {text: int(((found.of_rows == place) & (rounds == when)).sum()) for place, text in enumerate(found.texts)}
        )
        for when in np.unique(rounds)
    }


def _scores(run: Source, column: str | None) -> Sequence[dict[str, object]]:
    file = run.answers
    if file is None or column is None:
        return []
    values, rounds = numbers(file, column), numbers(file, "round")
    return [
        {"run": run.name, "round": int(when), **_mean(found)}
        for when in np.unique(rounds)
        if len(found := values[(rounds == when) & ~np.isnan(values)])
    ]


def _mean(values: np.ndarray) -> dict[str, float]:
    """A mean with the interval that the normal distribution gives it."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
    return {"score": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error, "rows": len(values)}
