"""Several runs against each other: ordered by their scores as candidates of a ranking are, seed by seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from evolvent.errors import InputError
from evolvent.metrics.car import BETA
from evolvent.models.short_names import short_names
from evolvent.ranking.figures import OF_ANSWERS, OF_EVOLUTIONS, figures
from evolvent.ranking.measured import Measured, evolutions, measured
from evolvent.ranking.order import Order, order
from evolvent.ranking.result import BaseRanking, Ranked
from evolvent.ranking.verdict import verdict_of
from evolvent.report.page.makers import Maker, makers, of_most
from evolvent.report.page.source import Source

# What figures are made of.
SCORES = dict.fromkeys((*OF_ANSWERS, *OF_EVOLUTIONS, "response_loss", "response_rank"))

# By score and run why it is not compared by it.
Lacking = Mapping[str, Mapping[str, str]]


def compared(runs: Sequence[Source]) -> Ranked | None:
    """What a ranking would say of runs; None if they have nothing to compare.

    Args:
        runs: the runs; scores are compared of those where the same models made them with the same settings, and of the
            others it is said that they are left out.
    """
    if len(runs) < 2:
        return None
    evolved = {run.name: run.evolved for run in runs if run.evolved is not None}
    scored = {run.name: file for run in runs if (file := run.records("score")) is not None}
    made = {run.name: _by_maker(run) for run in runs if run.name in scored}
    base = of_most(of.get("response_loss", ()) for of in made.values())
    orders: list[Order] = []
    if len(evolved) > 1:
        orders += _orders(lambda: evolutions(evolved), {}, evolved=True)
    columns, lacking = _alike(made, base)
    if len(columns) > 1:
        files = {name: scored[name] for name in columns}
        orders += _orders(lambda: measured(files, columns, {}), lacking, evolved=bool(evolved))
    orders, flags = [one for one in orders if len(one.standings) > 1], list(_left_out(lacking))
    if not orders and not flags:
        return None
    if any(one.figure.startswith("car(") for one in orders):
        flags.append(f"CAR is taken at beta {BETA:g}")
    folder, candidates = runs[0].folder, {run.name: run.folder for run in runs}
    verdict = verdict_of(orders, short_names(candidates)[0], trial=False)
    ranking = BaseRanking(base.model if base else "", orders, verdict, flags)
    return Ranked(folder, folder, candidates, {}, [ranking], {}, {})


def _orders(read: Callable[[], Measured], lacking: Lacking, *, evolved: bool) -> Iterator[Order]:
    """The orders by what was read, which say why a run is left out that has the scores of another maker."""
    try:
        found = read()
    except InputError:  # none has a row
        return
    for figure in figures(found.scores, BETA, evolved=evolved):
        one = order(found, figure)
        why = {name: text for score in figure.columns for name, text in lacking.get(score, {}).items()}
        yield replace(one, without={name: why.get(name, text) for name, text in one.without.items()})


def _by_maker(run: Source) -> dict[str, dict[Maker, str]]:
    """By score and by what made it the columns that figures are made of."""
    found: dict[str, dict[Maker, str]] = {}
    for column, maker in makers(run.entries["score"]).items():
        plain = column.partition("@")[0]
        if plain in SCORES:
            found.setdefault(plain, {})[maker] = column
    return found


def _alike(
    made: Mapping[str, Mapping[str, Mapping[Maker, str]]], base: Maker | None
) -> tuple[dict[str, dict[str, str]], Lacking]:
    """The columns of scores that are one scale: the same models made them with the same settings.

    Args:
        made: by run, score and maker the column.
        base: the maker of losses, which comes first.

    Returns:
        By run and score the column; and by score and run why others have none.
    """
    columns: dict[str, dict[str, str]] = {}
    lacking: dict[str, dict[str, str]] = {}
    for score in SCORES:
        of_runs = {name: of[score] for name, of in made.items() if score in of}
        maker = base if any(base in of for of in of_runs.values()) else of_most(of_runs.values())
        alike = {name: of[maker] for name, of in of_runs.items() if maker in of} if maker else {}
        for name, column in alike.items() if len(alike) > 1 else ():
            columns.setdefault(name, {})[score] = column
        for name, of in of_runs.items():
            if maker is not None and name not in alike:
                lacking.setdefault(score, {})[name] = _unlike(next(iter(of)), maker)
    return columns, lacking


def _unlike(one: Maker, other: Maker) -> str:
    if one.words == other.words:
        return f"made by {one.words} with other weights"
    return f"made by {one.words}, the others' by {other.words}"


def _left_out(lacking: Lacking) -> Iterator[str]:
    """Which scores of which runs are not compared, and why."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for score, of in lacking.items():
        for name, why in of.items():
            by_reason.setdefault((name, why), []).append(score)
    for (name, why), scores in by_reason.items():
        yield f"{name} is not compared by {', '.join(scores)}: {why}"
