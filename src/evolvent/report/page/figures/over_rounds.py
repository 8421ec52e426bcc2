"""Performance over rounds: what students score that were trained on one round each (arXiv 2412.11231, figure 1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.evaluation.figures import Figure as Score
from evolvent.evaluation.figures import figures_of
from evolvent.models.short_names import short_names
from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.source import Source, Sources
from evolvent.training.note import NOTE, read_note
from evolvent.words import number_of

SEVERAL = "several evolvers"


@dataclass(frozen=True, slots=True)
class Point:
    """A student's score.

    Attributes:
        line: which line it is a point of: what its training data were evolved by, or what it was made of.
        round: the round of its training data.
        score: the figure of the benchmark.
    """

    line: str
    round: int
    score: Score


def figures(sources: Sources) -> Iterator[Figure]:
    """A figure for each benchmark that students of two rounds or more were evaluated on."""
    trained = [(file, note) for run in (*sources.runs, *sources.students) for file, note in _evaluated(run)]
    counts: list[Mapping[str, Any]] = [note.get("counts", {}) for _, note in trained]
    rounds = [sorted(map(int, of.get("rounds", {}))) for of in counts]
    evolvers, bases = [_evolver(of) for of in counts], [note["how"]["base_model"] for _, note in trained]
    lines = _lines(evolvers, bases)
    by_task: dict[str, list[Point]] = {}
    for (file, _), of, line in zip(trained, rounds, lines, strict=True):
        for found in figures_of(file) if len(of) == 1 and of[0] else []:
            by_task.setdefault(found.task, []).extend(Point(line, of[0], one) for one in found.figures)
    mixed = sum(len(of) > 1 for of in rounds)
    for task, points in by_task.items():
        if len({point.round for point in points}) > 1:
            yield over_rounds(task, points, _left_out(mixed))


def over_rounds(task: str, points: Sequence[Point], more: str = "") -> Figure:
    """The scores of a benchmark by round.

    Args:
        task: the benchmark.
        points: its scores; of several students of a line and a round the line goes through their mean.
        more: what else the caption says.
    """
    lines = list(dict.fromkeys((point.line, point.score.name) for point in points))
    values = [
        {
            "place": (2 * lines.index((point.line, point.score.name)) + 1) / len(lines) - 1,
            "students of": point.line,
            "figure": point.score.name,
            "round": point.round,
            "value": rounded(point.score.value),
            "low": rounded(point.score.value if point.score.low is None else point.score.low),
            "high": rounded(point.score.value if point.score.high is None else point.score.high),
            "items": point.score.n,
        }
        for point in points
        if point.score.value is not None
    ]
    share = {"axis": {"format": "%"}} if all(point.score.unit == "%" for point in points) else {}
    shown = {channel: len({one[channel] for one in values}) > 1 for channel in ("students of", "figure")}
    spec = plot(
        values,
        {
            "mark": {"type": "line"},
            "encoding": {
                "y": number("value", "score", aggregate="mean", **share),
                "strokeDash": name("figure", legend={"symbolType": "stroke"} if shown["figure"] else None),
            },
        },
        {"mark": {"type": "rule", "opacity": 0.6}, "encoding": {"y": number("low", "score"), "y2": {"field": "high"}}},
        {"mark": {"type": "point"}, "encoding": {"y": number("value", "score"), "shape": name("figure", legend=None)}},
        x={"field": "round", "type": "ordinal", "title": "round of the training data", "axis": {"labelAngle": 0}},
        xOffset={"field": "place", "type": "quantitative", "scale": {"domain": [-8, 8]}},  # intervals beside each other
        color=name("students of", legend={} if shown["students of"] else None),
        tooltip=tips("students of", "figure", "round", "value", "low", "high", "items"),
    )
    caption = f"Scores of students that were trained on one round each, with 95 % intervals.{more}"
    return Figure(f"over-rounds-{task}", f"{task} over rounds", caption, spec)


def _evaluated(run: Source) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """A run's evaluation, with the note of the training that made its model; nothing if no training of ours did."""
    file = run.records("evaluate")
    model = Path(str(run.entries["evaluate"].settings.get("model", "")).removeprefix("hf:")) if file else None
    if file is None or model is None:
        return
    for folder in (model, run.folder / model.name):  # where it was made, and where the run was moved to
        if (folder / NOTE).is_file() and (note := read_note(folder)):
            yield file, note
            return


def _left_out(mixed: int) -> str:
    return f" Left out: {number_of(mixed, 'students')} of several rounds." if mixed else ""


def _evolver(counts: Mapping[str, Any]) -> str:
    found = list(counts.get("evolvers", {}))
    return found[0] if len(found) == 1 else SEVERAL if found else ""


def _lines(evolvers: Sequence[str], bases: Sequence[str]) -> list[str]:
    """For each student the line that it stands on: its data's evolver and its base model, where these differ."""
    of_evolvers, of_bases = short_names(dict.fromkeys(evolvers))[0], short_names(dict.fromkeys(bases))[0]
    parts = [
        [short[one] for short, one in ((of_evolvers, evolver), (of_bases, base)) if len(short) > 1 and short[one]]
        for evolver, base in zip(evolvers, bases, strict=True)
    ]
    return [", ".join(part) or "all" for part in parts]
