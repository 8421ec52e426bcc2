"""IFD against IC-IFD: what taking the instruction's own complexity out of IFD changes (arXiv 2412.11231, section 5)."""

from collections.abc import Iterator

import numpy as np

from evolvent.report.page.columns import numbers
from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.makers import on_one_scale
from evolvent.report.page.source import Sources

POINTS = 1_500


def figures(sources: Sources) -> Iterator[Figure]:
    """A point a row, of each run as many at the most as can be told apart."""
    values, drawn, rows = list[dict[str, object]](), 0, 0
    of_ifd, note = on_one_scale(sources.runs, "ifd")
    of_ic_ifd, _ = on_one_scale(sources.runs, "ic_ifd")
    for run in sources.runs:
        if run.answers is None or run.name not in of_ifd or run.name not in of_ic_ifd:
            continue
        pairs = np.column_stack([numbers(run.answers, of[run.name]) for of in (of_ifd, of_ic_ifd)])
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        rows += len(pairs)
        most = max(1, POINTS // len(sources.runs))
        if len(pairs) > most:
            pairs = pairs[np.random.default_rng(0).choice(len(pairs), most, replace=False)]
        drawn += len(pairs)
        values += [{"run": run.name, "ifd": rounded(a), "ic_ifd": rounded(b)} for a, b in pairs]
    if not values:
        return
    spec = plot(
        values,
        {"mark": {"type": "point", "opacity": 0.5, "size": 22}},
        x=number("ifd", "IFD"),
        y=number("ic_ifd", "IC-IFD"),
        color=name("run", legend={} if len(sources.runs) > 1 else None),
        tooltip=tips("run", "ifd", "ic_ifd"),
    )
    sample = f"{drawn:,} of {rows:,} rows, drawn at random" if drawn < rows else f"{rows:,} rows"
    caption = f"IC-IFD is IFD over the loss of the instruction: far from a line, the two select other rows. {sample}."
    yield Figure("ifd", "IFD against IC-IFD", caption + note, spec)
