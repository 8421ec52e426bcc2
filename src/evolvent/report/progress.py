"""The progress of a stage on a terminal: a bar; elsewhere plain lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from evolvent.runs.progress import Progress, plain_lines, say


def on_standard_error(progress: Progress) -> AbstractContextManager[Callable[[], object]]:
    """Show a stage's progress on standard error, as what that is allows (a ``runs.progress.Display``)."""
    return bar(progress) if sys.stderr.isatty() else plain_lines(progress)


@contextmanager
def bar(progress: Progress) -> Iterator[Callable[[], None]]:
    """A bar while the stage runs, and its last state as a line."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[fate]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        drawn = bars.add_task(progress.stage, total=progress.total, rate="", fate="")

        def advanced() -> None:
            bars.update(drawn, completed=progress.done, rate=progress.pace(), fate=progress.fates())

        yield advanced
    say(progress.line())
