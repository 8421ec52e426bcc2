"""An evaluation's figures as a table: a row a figure, with its uncertainty and what it rests on."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evolvent.report.tables import Table

if TYPE_CHECKING:
    from evolvent.evaluation.figures import Figure, Figures

COLUMNS = ("task", "figure", "%", "± s.e.", "95 % interval", "n", "cut", "empty", "no verdict")


def evaluation_tables(found: "Sequence[Figures]") -> list[Table]:
    """The table of an evaluation."""
    rows = [
        (of.task, one.name, *_cells(one), f"{one.n:,}", f"{of.cut:,}", f"{of.empty:,}", f"{sum(of.failed.values()):,}")
        for of in found
        for one in of.figures
    ]
    return [Table("figures", COLUMNS, rows, tuple(_notes(found)))]


def _cells(figure: "Figure") -> tuple[str, str, str]:
    if figure.value is None:
        return "none", "", ""
    interval = "" if figure.low is None else f"{100 * figure.low:.2f} to {100 * (figure.high or 0):.2f}"
    return f"{100 * figure.value:.2f}", "" if figure.error is None else f"{100 * figure.error:.2f}", interval


def _notes(found: "Sequence[Figures]") -> Iterator[str]:
    yield "cut: replies that ended at the token limit; empty: replies without text, which are wrong"
    for of in found:
        for why, items in of.failed.items():
            yield f"{of.task}: {items:,} without a verdict: {why}"
