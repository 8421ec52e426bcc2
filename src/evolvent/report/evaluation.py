"""An evaluation's figures as a table: a row a figure, with its uncertainty and what it rests on."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evolvent.evaluation.tasks import TASKS
from evolvent.report.tables import Table

if TYPE_CHECKING:
    from evolvent.evaluation.figures import Figure, Figures
    from evolvent.evaluation.paired import Difference

COLUMNS = ("task", "figure", "%", "± s.e.", "95 % interval", "n", "cut", "empty", "no verdict")

INTERVALS = {
    whose: f"interval: {whose}'s for shares of items, a bootstrap over items (followbench: their chains) for others"
    for whose in ("Wilson", "Newcombe")
}


def evaluation_tables(found: "Sequence[Figures]") -> list[Table]:
    """The table of an evaluation."""
    rows = [
        (of.task, one.name, *_cells(one), f"{one.n:,}", f"{of.cut:,}", f"{of.empty:,}", f"{sum(of.failed.values()):,}")
        for of in found
        for one in of.figures
    ]
    clean = [
        (of.task, f"{one.name}, not contaminated", *_cells(one), f"{one.n:,}", "", "", "")
        for of in found
        for one in of.clean
    ]
    return [Table("figures", COLUMNS, rows + clean, tuple(_notes(found)))]


def difference_table(found: "Sequence[Difference]", against: str, unlike: Sequence[str] = ()) -> Table:
    """The table of a comparison on the same items."""
    rows = [
        (
            one.task,
            one.name,
            f"{100 * one.ours:.2f}",
            f"{100 * one.theirs:.2f}",
            f"{100 * one.difference:+.2f}",
            "" if one.low is None else f"{100 * one.low:+.2f} to {100 * (one.high or 0):+.2f}",
            "" if one.wins is None else f"{one.wins:,} : {one.losses:,}",
            "" if one.p is None else f"{one.p:.3g}",
            f"{one.n:,}",
            f"{one.unpaired:,}",
        )
        for one in found
    ]
    columns = (
        "task",
        "figure",
        "%",
        "other %",
        "difference",
        "95 % interval",
        "only ours : theirs",
        "p",
        "n",
        "unpaired",
    )
    notes = (
        f"{INTERVALS['Newcombe']}; p: McNemar's exact test of the items that only one got",
        f"other: {against}",
        *unlike,
    )
    return Table("against another, on the same items", columns, rows, notes)


def _cells(figure: "Figure") -> tuple[str, str, str]:
    if figure.value is None:
        return "none", "", ""
    interval = "" if figure.low is None else f"{100 * figure.low:.2f} to {100 * (figure.high or 0):.2f}"
    return f"{100 * figure.value:.2f}", "" if figure.error is None else f"{100 * figure.error:.2f}", interval


def _notes(found: "Sequence[Figures]") -> Iterator[str]:
    for of in found:
        yield f"{of.task}: {TASKS[of.task].about}; {of.decoding}, in the model's own chat template"
    yield INTERVALS["Wilson"]
    yield "cut: replies that ended at the token limit or in a loop; empty: replies without text, which are wrong"
    for of in found:
        for why, items in of.failed.items():
            yield f"{of.task}: {items:,} of {of.items:,} without a verdict: {why}"
        if of.contaminated is not None:
            yield f"{of.task}: the training data hold {of.contaminated:,} of {of.items:,} items (column contaminated)"
        if of.too_short:
            yield f"{of.task}: {of.too_short:,} of {of.items:,} items are too short to look for"
