"""What models score on benchmarks, before and after."""

from collections.abc import Iterator

from evolvent.evaluation.figures import figures_of
from evolvent.report.page.figures.figure import Figure, high, name, number, plot, tips
from evolvent.report.page.source import Sources


def figures(sources: Sources) -> Iterator[Figure]:
    """A point with its interval for each figure of each run."""
    values = [
        {
            "run": run.name,
            "figure": f"{of.task}: {one.name}",
            "value": one.value,
            "low": one.value if one.low is None else one.low,
            "high": one.value if one.high is None else one.high,
            "items": one.n,
        }
        for run in sources.runs
        if (file := run.records("evaluate")) is not None
        for of in figures_of(file)
        for one in of.figures
        if one.value is not None
    ]
    if not values:
        return
    several = len({one["run"] for one in values}) > 1
    spec = plot(
        values,
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": number("low", "score"), "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "size": 80},
            "encoding": {"x": number("value", "score", axis={"format": "%"}, scale={"zero": False})},
        },
        height=high(values, "figure", 18 * len(sources.runs) if several else 26),
        y=name("figure", axis={"grid": True, "ticks": False, "domain": False}),
        **({"yOffset": name("run")} if several else {}),
        color=name("run", legend={} if several else None),
        tooltip=tips("run", "figure", "value", "low", "high", "items"),
    )
    caption = (
        "With 95 % intervals. Models are told apart by the items that both were asked, not by whether these overlap."
    )
    yield Figure("evaluation", "On benchmarks", caption, spec)
