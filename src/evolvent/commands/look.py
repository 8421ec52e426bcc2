"""The command that looks into a run's calls."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from evolvent.call_store.options import Wanted
from evolvent.files import output_path
from evolvent.options import argument, option, takes

if TYPE_CHECKING:
    from evolvent.call_store.log import StoredCall

RUN = argument("A run folder.", "RUN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """How many calls are printed, or where they go."""

    limit: int = option("How many to print.", 10, metavar="N", least=1)
    out: Path | None = option("Write all of them to a file instead.", None, metavar="FILE.jsonl")


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls that were asked for.

    Attributes:
        total: how many there are.
        calls: the first of them; none where all were written to a file.
        why_none: what to say where there are none.
        out: the file.
    """

    total: int
    calls: "Iterable[StoredCall]" = ()
    why_none: tuple[str, ...] = ()
    out: Path | None = None


@takes(Wanted, Printing)
def calls(run: Annotated[str, RUN], wanted: Wanted, printing: Printing) -> Calls:
    """Look into a run's calls: prompts, replies, failures."""
    from evolvent.call_store import log

    found = log.stored_calls(Path(run), wanted, None if printing.out else printing.limit)
    if printing.out is not None:
        out = output_path(printing.out)
        return Calls(log.export(found, out), out=out)
    total = log.count_calls.plain(run, wanted)
    return Calls(total, found, () if total else tuple(log.why_none(run, wanted)))
