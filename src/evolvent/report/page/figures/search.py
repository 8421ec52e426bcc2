"""The steps of a search for an evolving method: the failure rate of every candidate (arXiv 2406.00770)."""

from collections.abc import Iterator, Mapping
from typing import Any

from evolvent.evolution.auto_evol_instruct.history import read_history
from evolvent.report.page.figures.figure import COLOURS, OK, Figure, name, number, plot, tips
from evolvent.report.page.source import Source, Sources
from evolvent.stages import file_of

STAGE = "optimize-method"
CHOSEN, NOT = "chosen", "not chosen"


def figures(sources: Sources) -> Iterator[Figure]:
    """A figure for each search."""
    for place, run in enumerate(sources.runs):
        history = history_of(run)
        if history is not None:
            suffix = f": {run.name}" if len(sources.runs) > 1 else ""
            yield _steps(history, f"steps-{place + 1}" if suffix else "steps", suffix)


def history_of(run: Source) -> Mapping[str, Any] | None:
    """What a run has noted of its search for a method; None if it made none."""
    file = run.folder / file_of(STAGE)
    return read_history(file) if STAGE in run.entries and file.is_file() else None


def _steps(history: Mapping[str, Any], slug: str, suffix: str) -> Figure:
    values = [{**_point(0, history["initial"], CHOSEN), "place": 0.0}]
    for step in history["steps"]:
        measured = [one for one in step["candidates"] if "failure_rate" in one and "invalid" not in one]
        for place, one in enumerate(measured):
            fate = CHOSEN if step["chosen"] == f"candidate {one['candidate']}" else NOT
            values.append({**_point(step["step"], one, fate), "place": 2 * place / max(1, len(measured) - 1) - 1})
    invalid = sum("invalid" in one for step in history["steps"] for one in step["candidates"])
    spec = plot(
        values,
        {
            "mark": {"type": "rule", "opacity": 0.5},
            "encoding": {"y": number("low", "failure rate", scale={"zero": True}), "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "size": 80},
            "encoding": {"y": number("rate", "failure rate", scale={"zero": True})},
        },
        x={"field": "step", "type": "ordinal", "title": "step", "axis": {"labelAngle": 0}},
        xOffset={"field": "place", "type": "quantitative", "scale": {"domain": [-2, 2]}},
        color=name("fate", scale={"domain": [CHOSEN, NOT], "range": [OK, COLOURS[8]]}),
        tooltip=tips("step", "version", "rate", "low", "high"),
    )
    caption = (
        f"λ, the share of the dev set's evolutions that failed, with its 95 % interval; step 0 is the initial method. "
        f"Stopped: {history['stopped'] or 'not yet'}; {invalid:,} candidates were invalid."
    )
    return Figure(slug, f"The search for a method{suffix}", caption, spec)


def _point(step: int, one: Mapping[str, Any], fate: str) -> dict[str, Any]:
    low, high = one["interval"]
    return {
        "step": step,
        "version": one["version"],
        "rate": one["failure_rate"],
        "low": low,
        "high": high,
        "fate": fate,
    }
