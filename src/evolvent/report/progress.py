"""The progress of a stage on standard error: a bar on a terminal, plain lines elsewhere."""

import sys
from typing import TYPE_CHECKING

from evolvent.runs.progress import Progress, Tell, news, plain_lines, say, time_words

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


def on_standard_error() -> Tell:
    """Tells how far stages are on standard error, as what that is allows."""
    return bar() if sys.stderr.isatty() else plain_lines()


def bar() -> Tell:
    """Draws a bar while a stage runs, and leaves its last state as a line."""
    drawn: Bars | None = None

    def tell(progress: Progress) -> None:
        nonlocal drawn
        if progress.begun and drawn is None:
            drawn = _bars(progress)
            drawn.start()
        for line in news(progress):
            if drawn is None:
                say(line)
            else:
                drawn.console.print(line, markup=False, highlight=False, soft_wrap=True)
        if drawn is not None:
            left = "" if progress.eta_seconds is None else f"{time_words(progress.eta_seconds)} left"
            task, fate = drawn.task_ids[0], progress.fates()
            drawn.update(task, completed=progress.done, rate=progress.pace(), left=left, fate=fate)
            if progress.ended:
                drawn.stop()
                drawn = None
                if not progress.stopped:
                    say(progress.line())

    return tell


def _bars(progress: Progress) -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    words = (TextColumn(f"{{task.fields[{name}]}}") for name in ("rate", "left", "fate"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *words)
    bars = Bars(*columns, console=Console(stderr=True), transient=True)
    bars.add_task(progress.stage, total=progress.total, rate="", left="", fate="")
    return bars
