"""What models score on benchmarks, before and after."""

from collections.abc import Iterator, Sequence

from evolvent.evaluation.figures import Figure as Score
from evolvent.evaluation.figures import figures_of
from evolvent.evaluation.task import Unit
from evolvent.report.page.figures.figure import Figure, high, name, number, plot, tips
from evolvent.report.page.source import Sources

SCORE: dict[Unit, str] = {"%": "score", "points": "points"}


def figures(sources: Sources) -> Iterator[Figure]:
    """A point with its interval for each figure of each run; shares and points have an axis each."""
    scores = [
        (run.name, of.task, one)
        for run in sources.runs
        if (file := run.records("evaluate")) is not None
        for of in figures_of(file)
        for one in of.figures
        if one.value is not None
    ]
    for unit in dict.fromkeys(one.unit for *_, one in scores):
        yield _of_unit(unit, [(run, task, one) for run, task, one in scores if one.unit == unit])


def _of_unit(unit: Unit, scores: Sequence[tuple[str, str, Score]]) -> Figure:
    """What is printed in one unit, by run, task and figure."""
    values = [
        {
            "run": run,
            "figure": f"{task}: {one.name}",
            "value": one.value,
            "low": one.value if one.low is None else one.low,
            "high": one.value if one.high is None else one.high,
            "items": one.n,
        }
        for run, task, one in scores
    ]
    runs = {run for run, *_ in scores}
    several, bare = len(runs) > 1, sum(one.low is None for *_, one in scores)
    share = {"axis": {"format": "%"}} if unit == "%" else {}
    spec = plot(
        values,
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": number("low", SCORE[unit]), "x2": {"field": "high"}},
        },
        {"mark": {"type": "point", "size": 80}, "encoding": {"x": number("value", SCORE[unit], **share)}},
        height=high(values, "figure", 18 * len(runs) if several else 26),
        y=name("figure", axis={"grid": True, "ticks": False, "domain": False}),
        **({"yOffset": name("run")} if several else {}),
        color=name("run", legend={} if several else None),
        tooltip=tips("run", "figure", "value", "low", "high", "items"),
    )
    caption = (
        "With 95 % intervals. Models are told apart by the items that both were asked, not by whether these overlap."
    )
    if bare:
        caption += f" {bare} of {len(scores)} figures are of too few items for an interval."
    slug, called = ("", "On benchmarks") if unit == "%" else ("-points", "On benchmarks, in points")
    return Figure(f"evaluation{slug}", called, caption, spec)
