"""Several runs against each other: ordered by their scores as candidates of a ranking are, seed by seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from evolvent.errors import InputError
from evolvent.metrics.car import BETA
from evolvent.ranking.figures import figures
from evolvent.ranking.measured import Measured, evolutions, measured
from evolvent.ranking.order import Order, order
from evolvent.ranking.result import BaseRanking, Ranked
from evolvent.ranking.verdict import sentence, together
from evolvent.report.page.columns import column_of, labels
from evolvent.report.page.source import Source
from evolvent.runs.record_files import score_columns


def compared(runs: Sequence[Source]) -> Ranked | None:
    """What a ranking would say of runs; None if they have nothing to compare.

    Args:
        runs: the runs; those that no base model has scored, or another one than the first, are left out, and it is
            said.
    """
    if len(runs) < 2:
        return None
    evolved = {run.name: run.evolved for run in runs if run.evolved is not None}
    scored = {run.name: run.records("score") for run in runs}
    bases = {name: _base_model(file) for name, file in scored.items() if file is not None}
    base = next(iter(bases.values()), None)
    files = {name: file for name, file in scored.items() if file is not None and bases[name] == base}
    columns = {name: _plain(file) for name, file in files.items()}
    orders: list[Order] = []
    if len(evolved) > 1:
        orders += _orders(lambda: evolutions(evolved), evolved=True)
    if len(files) > 1:
        orders += _orders(lambda: measured(files, columns, {}), evolved=bool(evolved))
    orders = [one for one in orders if len(one.standings) > 1]
    if not orders:
        return None
    names = {run.name: run.name for run in runs}
    left_out = [name for name in bases if bases[name] != base]
    flags = [f"{name} has scores by another base model, and is not compared by them" for name in left_out]
    verdict = [*(sentence(one, names) for one in orders), together(orders, names)]
    folder, candidates = runs[0].folder, {run.name: run.folder for run in runs}
    return Ranked(folder, folder, candidates, {}, [BaseRanking(base or "", orders, verdict, flags)], {}, {})


def _orders(read: Callable[[], Measured], *, evolved: bool) -> Iterator[Order]:
    try:
        found = read()
    except InputError:  # none has a row
        return
    for figure in figures(found.scores, BETA, evolved=evolved):
        yield order(found, figure)


def _plain(file: Path) -> Mapping[str, str]:
    """By the plain name of a score the column that holds it: that of the first base model."""
    found: dict[str, str] = {}
    for name, column in score_columns(file).items():
        if column.kind != "string":
            found.setdefault(name.partition("@")[0], name)
    return found


def _base_model(file: Path) -> str | None:
    column = column_of(file, "base_model")
    texts = labels(file, column).texts if column is not None else []
    return next((text for text in texts if text), None)
