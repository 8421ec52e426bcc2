"""An evaluation's figures as a table: a row a figure, with its uncertainty and what it rests on."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from evolvent.evaluation.tasks import TASKS
from evolvent.report.tables import Table

if TYPE_CHECKING:
    from evolvent.evaluation.figures import Figure, Figures
    from evolvent.evaluation.paired import Difference

COLUMNS = ("task", "figure", "{unit}", "± s.e.", "95 % interval", "n", "cut", "empty", "no verdict")

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
    columns = tuple(column.format(unit=_units(one for of in found for one in of.figures)) for column in COLUMNS)
    return [Table("figures", columns, rows + clean, tuple(_notes(found)))]


def difference_table(found: "Sequence[Difference]", against: str, unlike: Sequence[str] = ()) -> Table:
    """The table of a comparison on the same items."""
    rows = [
        (
            one.task,
            one.name,
            _number(one.ours, one.unit),
            _number(one.theirs, one.unit),
            _number(one.difference, one.unit, "+"),
            "" if one.low is None else f"{_number(one.low, one.unit, '+')} to {_number(one.high, one.unit, '+')}",
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
        _units(found),
        f"other {_units(found)}",
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


def _units(figures: "Iterable[Figure | Difference]") -> str:
    """What figures are printed in."""
    return " or ".join(dict.fromkeys(figure.unit for figure in figures)) or "%"


def _number(value: float | None, unit: str, sign: str = "") -> str:
    return f"{(value or 0.0) * (100 if unit == '%' else 1):{sign}.2f}"


def _cells(figure: "Figure") -> tuple[str, str, str]:
    if figure.value is None:
        return "none", "", ""
    value, error, low, high = (
        _number(one, figure.unit) for one in (figure.value, figure.error, figure.low, figure.high)
    )
    return value, "" if figure.error is None else error, "" if figure.low is None else f"{low} to {high}"


def _notes(found: "Sequence[Figures]") -> Iterator[str]:
    for of in found:
        yield f"{of.task}: {TASKS[of.task].about}; {of.decoding}, in the model's own chat template"
    yield INTERVALS["Wilson"]
    yield "cut: a reply ended at the token limit or in a loop; empty: a reply without text, which is wrong"
    for of in found:
        for why, items in of.failed.items():
            yield f"{of.task}: {items:,} of {of.items:,} without a verdict: {why}"
        if of.contaminated is not None:
            yield f"{of.task}: the training data hold {of.contaminated:,} of {of.items:,} items (column contaminated)"
        if of.too_short:
            yield f"{of.task}: {of.too_short:,} of {of.items:,} items are too short to look for"
