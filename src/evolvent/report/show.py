"""show: what a run folder holds, for Python and the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from evolvent.options import argument, option, takes
from evolvent.report.contents import Contents, contents
from evolvent.runs.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What is shown of a run."""

    examples: int = option("How many trajectories to show.", 3, metavar="N", least=0)


@takes(Showing)
def show(
    run: Annotated[str | Path | Run, argument("A run folder.", "RUN", more="Or a Run.")],
    given: Showing,
) -> Contents:
    """Show what a run holds: counts, yields, tokens, scores, examples.

    Returns:
        Its stages by name, each with its state, counts, yield and accounts; its scores; its first trajectories.

    Raises:
        InputError: it is not a run folder, or a file of it is damaged so that it cannot be read.
    """
    return contents(run.path if isinstance(run, Run) else Path(run), examples=given.examples, compared=True)
