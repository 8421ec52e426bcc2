"""Win, tie or lose against other answers (arXiv 2412.11231, figures 6 and 7)."""

from collections.abc import Iterator, Mapping

import numpy as np

from evolvent.models.short_names import short_names
from evolvent.report.page.columns import labels, numbers
from evolvent.report.page.figures.figure import BAD, COLOURS, OK, Figure, high, name, number, plot, tips
from evolvent.report.page.makers import on_one_scale
from evolvent.report.page.source import Source, Sources, called_in

FATES = {"win": 1.0, "tie": 0.5, "lose": 0.0}


def figures(sources: Sources) -> Iterator[Figure]:
    """The verdicts by run and teacher."""
    columns, note = on_one_scale(sources.runs, "win")
    several = len(sources.runs) > 1
    found = {who: of for run in sources.runs for who, of in _verdicts(run, columns.get(run.name), several=several)}
    if found:
        yield bars(found, note)


def bars(found: Mapping[str, Mapping[str, int]], more: str = "") -> Figure:
    """A bar each of wins, ties and losses; the caption says ``more``."""
    values = [
        {"who": who, "verdict": fate, "share": of[fate] / sum(of.values()), "n": of[fate], "place": place}
        for who, of in found.items()
        for place, fate in enumerate(FATES)
    ]
    x = number("share", "share of instructions", stack="zero", axis={"format": "%"}, scale={"domain": [0, 1]})
    spec = plot(
        values,
        {
            "mark": {"type": "bar", "height": {"band": 0.8}},
            "encoding": {"color": name("verdict", scale={"domain": list(FATES), "range": [OK, COLOURS[8], BAD]})},
        },
        {
            "transform": [{"filter": "datum.share > 0.06"}],
            "mark": {"type": "text", "color": "white", "dx": -4, "align": "right"},
            "encoding": {"text": {"field": "n"}, "detail": {"field": "verdict"}},
        },
        height=high(values, "who", 28),
        y=name("who", axis={"ticks": False, "domain": False}),
        x=x,
        order={"field": "place"},
        tooltip=tips("who", "verdict", "n"),
    )
    caption = "By a judge who saw each pair in both orders; pairs without a verdict are left out." + more
    return Figure("win", "Win, tie or lose against the other answers", caption, spec)


def _verdicts(run: Source, column: str | None, *, several: bool) -> Iterator[tuple[str, dict[str, int]]]:
    file = run.answers
    if file is None or column is None:
        return
    values, teachers = numbers(file, column), labels(file, "teacher")
    short = short_names(teachers.texts)[0]
    for place, teacher in enumerate(teachers.texts):
        own = values[(teachers.of_rows == place) & np.isfinite(values)]
        if len(own):
            yield (
                called_in(run, short[teacher], several=several),
                {fate: int((own == worth).sum()) for fate, worth in FATES.items()},
            )
