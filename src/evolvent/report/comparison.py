"""compare's figures as tables: a row a figure, a column a group."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evolvent.models.short_names import short_names
from evolvent.report.tables import Table
from evolvent.words import number_of

if TYPE_CHECKING:
    from evolvent.metrics.compare import Comparison, Group
    from evolvent.metrics.data_set import Figure


def comparison_tables(found: "Comparison") -> list[Table]:
    """The tables of a comparison: figures, labels, and why rows were left out."""
    names, notes = short_names(group.name for group in found.groups)
    heads = tuple(f"{names[group.name]} ({number_of(group.rows, 'rows')})" for group in found.groups)
    by_name = [{figure.name: figure for figure in group.figures} for group in found.groups]
    figures = dict.fromkeys(name for group in by_name for name in group)
    rows = [(name, *(_cell(group[name]) if name in group else "" for group in by_name)) for name in figures]
    below = ("in brackets the 95 % interval, by a bootstrap over seeds", *found.notes, *_whys(found), *notes)
    tables = [Table(f"figures of {found.file.name}", ("", *heads), rows, below)]
    tables += [table for table in (_labels(found, heads), _excluded(found)) if table.rows]
    return tables


def _cell(figure: "Figure") -> str:
    if figure.value is None:
        return "none"
    interval = "" if figure.low is None else f" [{figure.low:.4g}, {figure.high:.4g}]"
    return f"{figure.value:.4g}{interval}"


def _whys(found: "Comparison") -> Iterator[str]:
    """Why figures do not exist, each reason once."""
    seen: dict[str, str] = {}
    for group in found.groups:
        for figure in group.figures:
            if figure.value is None and figure.why:
                seen.setdefault(f"{figure.name}: {figure.why}", group.name)
    for words, name in seen.items():
        yield f"{words} ({name})" if len(found.groups) > 1 else words


def _labels(found: "Comparison", heads: tuple[str, ...]) -> Table:
    labels = dict.fromkeys(
        (column, label) for group in found.groups for column, of in group.labels.items() for label in of
    )
    rows = [
        (f"{column}: {label}", *(f"{group.labels.get(column, {}).get(label, 0):,}" for group in found.groups))
        for column, label in labels
    ]
    return Table("labels", ("", *heads), rows)


def _excluded(found: "Comparison") -> Table:
    rows = [
        (group.name, figure.name, f"{figure.n:,}", f"{count:,}", reason)
        for group in found.groups
        for figure in group.figures
        for reason, count in figure.excluded.items()
        if _alone(group, figure)
    ]
    return Table("rows without a score", ("group", "figure", "counted", "left out", "reason"), rows)


def _alone(group: "Group", figure: "Figure") -> bool:
    """Whether a figure is the first of its group to leave these rows out: the others of its model do, too."""
    same = (other for other in group.figures if other.excluded == figure.excluded)
    return next(same) is figure
