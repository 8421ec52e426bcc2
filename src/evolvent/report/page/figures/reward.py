"""Reward against loss with the lines of equal CAR, and how CAR orders teachers as beta grows (arXiv 2411.07133)."""

from collections.abc import Iterator, Sequence

import numpy as np

from evolvent.metrics.car import BETA, SWEEP, car
from evolvent.report.page.columns import Labels, column_of, labels, numbers
from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.source import Source, Sources, called_in
from evolvent.report.tables import short_names

REWARDS = ("reward", "judge_score")
LINES = 5
RANKS = {"tickMinStep": 1, "format": "d", "titleAnchor": "middle"}


def figures(sources: Sources) -> Iterator[Figure]:
    """Both figures, where answers have rewards and losses."""
    for column in REWARDS:
        means = [mean for run in sources.runs for mean in _means(run, column, several=len(sources.runs) > 1)]
        if means:
            yield _against(means, column)
            if len(means) > 1 and all(reward >= 0 for _, reward, _ in means):
                yield _sweep(means, column)


Means = Sequence[tuple[str, float, float]]


def _means(run: Source, column: str, *, several: bool) -> Iterator[tuple[str, float, float]]:
    """For each teacher of a run the mean reward and the mean loss of its answers."""
    file = run.answers
    of_reward, of_loss = column_of(file, column), column_of(file, "response_loss")
    if file is None or of_reward is None or of_loss is None:
        return
    rewards, losses = numbers(file, of_reward), numbers(file, of_loss)
    teachers: Labels = labels(file, "teacher")
    short = short_names(teachers.texts)[0]
    for place, teacher in enumerate(teachers.texts):
        rows = (teachers.of_rows == place) & np.isfinite(rewards) & np.isfinite(losses)
        if rows.any():
            yield (
                called_in(run, short[teacher], several=several),
                float(rewards[rows].mean()),
                float(losses[rows].mean()),
            )


def _against(means: Means, column: str) -> Figure:
    points = [{"teacher": who, "reward": rounded(r), "loss": rounded(loss)} for who, r, loss in means]
    losses = [loss for *_, loss in means]
    span = max(max(losses) - min(losses), 0.1)
    low, high = max(0.0, min(losses) - span / 2), max(losses) + span / 2
    top = max(r for _, r, _ in means) + max(0.1, 0.15 * abs(max(r for _, r, _ in means)))
    worth = [value for _, r, loss in means if (value := car(r, loss)) is not None]
    ends = {
        f"{level:.3g}": (level, min(high, (top / level - 1) / BETA))  # where it leaves the figure
        for level in (np.linspace(min(worth) * 0.9, max(worth) * 1.1, LINES) if worth else ())
        if level > 0
    }
    lines = [
        {"car": called, "loss": rounded(loss), "reward": rounded(level * (1 + BETA * loss)), "end": bool(loss == end)}
        for called, (level, end) in ends.items()
        for loss in (low, end)
        if end - low > 0.04 * (high - low)
    ]
    axes = {"x": number("loss", "mean loss of the answers, nat/token"), "y": number("reward", f"mean {column}")}
    spec = plot(
        points,
        {
            "data": {"values": lines},
            "mark": {"type": "line", "strokeDash": [3, 3], "opacity": 0.4, "color": "#858b94"},
            "encoding": {**axes, "detail": {"field": "car"}},
        },
        {
            "data": {"values": [line for line in lines if line["end"]]},
            "mark": {"type": "text", "align": "right", "dy": -6, "opacity": 0.7, "fontSize": 10},
            "encoding": {**axes, "text": {"field": "car"}},
        },
        {
            "mark": {"type": "point", "size": 90},
            "encoding": {
                **axes,
                "color": name("teacher"),
                "tooltip": tips("teacher", "reward", "loss"),
            },
        },
        height=260,
    )
    caption = f"Dashed: lines of equal CAR = reward / (1 + {BETA:g} · loss), with its value; the upper left is best."
    return Figure(f"car-{column}", f"CAR: {column} against loss", caption, spec)


def _sweep(means: Means, column: str) -> Figure:
    values = [
        {"teacher": who, "beta": f"{beta:g}", "rank": rank, "car": rounded(value)}
        for beta in SWEEP
        for rank, (value, who) in enumerate(
            sorted(((reward / (1 + beta * loss), who) for who, reward, loss in means), reverse=True), 1
        )
    ]
    spec = plot(
        values,
        {"mark": {"type": "line", "strokeWidth": 2}},
        {"mark": {"type": "point"}},
        x={"field": "beta", "type": "ordinal", "sort": None, "title": "β", "axis": {"labelAngle": 0}},
        y=number("rank", "rank by CAR", scale={"reverse": True, "zero": False}, axis=RANKS),
        color=name("teacher"),
        tooltip=tips("teacher", "beta", "rank", "car"),
    )
    caption = "β says how much the loss counts; 0 is by reward alone. Where lines cross, the choice hangs on β."
    return Figure(f"car-sweep-{column}", f"CAR by {column}: the order as β grows", caption, spec)
