"""The options of calls: which of a run's calls are wanted."""

from dataclasses import dataclass

from evolvent.options import Interface, argument, option
from evolvent.stages import row_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which calls are wanted; all that is given must hold."""

    record: str | None = option(
        "Of this record: its own id, its seed's, or that of what was made of it.", None, metavar="ID"
    )
    model: str | None = option("Of this model, by its URI as records hold it.", None, metavar="URI")
    stage: str | None = option("Of this stage: evolve, respond and so on.", None, metavar="NAME", check=row_of)
    error: str | None = option("Failed with these words in the error.", None, metavar="TEXT")
    failed: bool = option("Failed calls only.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """How many calls are wanted."""

    limit: int | None = option("The first so many of them; all if not given.", None, metavar="N", least=1)


CALLS_OF = Interface("evolvent.call_store.log", "calls", {"run": argument("A run folder.", "RUN")}, (Wanted, First))
