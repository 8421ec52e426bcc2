"""The figures of a report: each module makes Vega-Lite specifications, plain JSON, of what runs hold."""

from collections.abc import Callable, Iterator

from evolvent.report.page.figures import (
    costs,
    distributions,
    evaluation,
    funnel,
    ifd,
    over_rounds,
    ranking,
    reward,
    rounds,
    search,
    training,
    win,
)
from evolvent.report.page.figures.figure import Figure
from evolvent.report.page.source import Sources

# In the order in which they are shown.
MAKERS: tuple[Callable[[Sources], Iterator[Figure]], ...] = (
    ranking.figures,
    evaluation.figures,
    over_rounds.figures,
    funnel.figures,
    search.figures,
    rounds.figures,
    win.figures,
    distributions.figures,
    ifd.figures,
    reward.figures,
    training.figures,
    costs.figures,
)


def figures_of(sources: Sources) -> list[Figure]:
    """Every figure that there is something to draw of."""
    return [figure for make in MAKERS for figure in make(sources)]
