"""The options of select."""

from dataclasses import dataclass
from pathlib import Path

from evolvent.datasets.options import WRITTEN, output_format
from evolvent.options import DATA, Interface, Reading, option
from evolvent.selection.where import parse_conditions


def check_top(top: str | int) -> None:
    """Check how much is to be kept; errors as for ``parse_top``."""
    from evolvent.selection.choose import parse_top

    parse_top(top)


def check_best_per(name: str) -> None:
    """Check of what the best row is kept; errors as for ``choose.check_best_per``."""
    from evolvent.selection import choose

    choose.check_best_per(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selecting:
    """Which rows are kept, and where they are written."""

    by: str = option("The column to go by, a score say: ic_ifd.", metavar="COLUMN")
    top: str | int = option("How much of the competing rows to keep: 25% or 1000.", metavar="SHARE", check=check_top)
    out: Path = option(WRITTEN, metavar="FILE")
    ascending: bool = option("Keep the lowest instead.", False)
    where: tuple[str, ...] = option(
        'A condition that must hold: "ifd<1", "teacher==hf:NAME". Signs: < <= > >= == !=.',
        (),
        metavar="COLUMN<X",
        repeatable=True,
        check=parse_conditions,
    )
    best_per: str | None = option(
        "Keep only the best row of each: instruction (with its input) or seed_id.",
        None,
        metavar="NAME",
        check=check_best_per,
    )
    decontaminate: tuple[str | Path, ...] = option(
        "Leave out rows that share a run of 13 words with this file.", (), metavar="FILE", repeatable=True
    )
    to: str = output_format("messages")


SELECT = Interface("evolvent.selection.select", "select", {"data": DATA}, (Selecting, Reading), without=("limit",))
