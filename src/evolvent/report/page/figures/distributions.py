"""How scores are distributed: distances to the nearest neighbour, and how sure the evolver was of its words.

Sources: arXiv 2412.11231, figures 4 (minimum neighbour distance) and 5 (probability of the likeliest token).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from evolvent.report.page.columns import column_of, numbers
from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.makers import on_one_scale
from evolvent.report.page.source import Sources

BINS = 30


def figures(sources: Sources) -> Iterator[Figure]:
    """Histograms of every run."""
    columns, note = on_one_scale(sources.runs, "mnd")
    mnd = _values({run.name: (run.answers, columns.get(run.name)) for run in sources.runs})
    if mnd:
        caption = f"Squared distance of each instruction to its nearest neighbour: further right is more diverse.{note}"
        yield histogram("mnd", "Distance to the nearest neighbour", caption, "distance", mnd)
    top1 = _values({run.name: (run.evolved, column_of(run.evolved, "top1_first5")) for run in sources.runs})
    if top1:
        caption = (
            "Mean probability of the likeliest token over the first five positions of each of the evolver's replies: "
            "further left is a broader output space."
        )
        yield histogram("top1", "How sure the evolver was", caption, "probability", top1)


def histogram(slug: str, title: str, caption: str, unit: str, runs: Mapping[str, np.ndarray]) -> Figure:
    """A figure of distributions on common bins.

    Args:
        slug, title, caption: as a figure has them.
        unit: what the values are.
        runs: the values of each run.
    """
    every = np.concatenate(list(runs.values()))
    edges = np.histogram_bin_edges(every, BINS)
    values = [
        {"run": run, "from": rounded(low), "to": rounded(high), "rows": int(n), "share": rounded(n / len(of))}
        for run, of in runs.items()
        for low, high, n in zip(edges, [*edges[1:], edges[-1]], [*np.histogram(of, edges)[0], 0], strict=True)
    ]
    medians = [{"run": run, "median": rounded(float(np.median(of)))} for run, of in runs.items()]
    several = len(runs) > 1
    steps = {"type": "area", "interpolate": "step-after", "line": {"strokeWidth": 1.5}, "fillOpacity": 0.12}
    bars = steps if several else {"type": "bar", "binSpacing": 1}
    x = number("from", unit) if several else number("from", unit, bin={"binned": True})
    spec = plot(
        values,
        {
            "mark": bars,
            "encoding": {
                "x": x,
                **({} if several else {"x2": {"field": "to"}}),
                "y": number("share", "share of rows", stack=None, axis={"format": "%"}, scale={"zero": True}),
                "tooltip": tips("run", "from", "to", "rows"),
            },
        },
        {
            "data": {"values": medians},
            "mark": {"type": "rule", "strokeWidth": 2, "strokeDash": [5, 3]},
            "encoding": {"x": number("median", unit), "tooltip": tips("run", "median")},
        },
        color=name("run", legend={} if several else None),
    )
    told = ", ".join(f"{one['run']} {one['median']:g}" if several else f"{one['median']:g}" for one in medians)
    return Figure(slug, title, f"{caption} Dashed: the median ({told}).", spec)


def _values(columns: Mapping[str, tuple[Path | None, str | None]]) -> dict[str, np.ndarray]:
    """By run the values of a column of a file, where it has any."""
    found = {}
    for run, (file, column) in columns.items():
        values = numbers(file, column) if file is not None and column is not None else np.empty(0)
        if (there := np.isfinite(values)).any():
            found[run] = values[there]
    return found
