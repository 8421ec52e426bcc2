"""The options of select."""

from dataclasses import dataclass
from pathlib import Path

from evolvent.datasets.options import WRITTEN, output_format
from evolvent.options import DATA, Interface, Reading, option, share
from evolvent.selection.where import parse_conditions


def check_top(top: str | float) -> None:
    """Check how much is to be kept; errors as for ``parse_top``."""
    from evolvent.selection.choose import parse_top

    parse_top(top)


def check_best_per(name: str) -> None:
    """Check of what the best row is kept; errors as for ``choose.check_best_per``."""
    from evolvent.selection import choose

    choose.check_best_per(name)


def check_language(code: str) -> None:
    """Check that texts in this language can be told; errors as for ``choose.check_language``."""
    from evolvent.selection import choose

    choose.check_language(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selecting:
    """Which rows are kept, and where they are written."""

    by: str = option("The column to go by, a score say: ic_ifd.", metavar="COLUMN")
    top: str | int | float = option(
        "How much of the competing rows to keep: 25%, 0.25 or 1000.", metavar="SHARE", check=check_top
    )
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
    keep_cut: bool = option("Keep answers that were cut (finish_reason length or loop), too.", False)
    drop_refusals: bool = option("Leave out answers whose first sentence refuses (rules for English).", False)
    language: str | None = option(
        "Leave out rows in another language than this; those where none can be told stay.",
        None,
        metavar="CODE",
        check=check_language,
    )
    dedup: float | None = option(
        "Keep the best of near-duplicate instructions: of this share of common n-grams or more, 80% or 0.8 say.",
        None,
        metavar="SHARE",
        parse=share,
        least=0.5,
        most=1,
    )
    decontaminate: tuple[str | Path, ...] = option(
        "Leave out rows that share a run of 13 words with this file.", (), metavar="FILE", repeatable=True
    )
    to: str = output_format("messages")


SELECT = Interface("evolvent.selection.select", "select", {"data": DATA}, (Selecting, Reading), without=("limit",))
