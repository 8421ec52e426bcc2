"""The keywords of a run as tables."""

from typing import TYPE_CHECKING

from evolvent.report.tables import Table

if TYPE_CHECKING:
    from evolvent.evolution.auto_evol_instruct.keywords import Keywords

# Keywords that are printed.
SHOWN = 20


def keyword_tables(found: "Keywords") -> list[Table]:
    """The figure, what it was counted from, and the most frequent keywords."""
    figures = [("different keywords", len(found.keywords)), *found.counts.items()]
    counted = Table("keywords of trajectories", ("", "count"), [(what, f"{n:,}") for what, n in figures])
    most = [(word, f"{times:,}") for word, times in found.keywords[:SHOWN]]
    more = len(found.keywords) - len(most)
    notes = (f"{more:,} more in the file",) if more else ()
    return [counted, Table("most frequent keywords", ("keyword", "ways"), most, notes)]
