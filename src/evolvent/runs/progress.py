"""Progress of a stage on standard error: one bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LINE_SECONDS = 10.0


@dataclass(slots=True)
class Progress:
    """Counts of a stage as it goes.

    Attributes:
        stage: the stage's name.
        total: how many records it will work through.
        before: how many of them were done when it began.
    """

    stage: str
    total: int
    before: int = 0
    done: int = 0
    failed: int = 0
    eliminated: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, *, failed: int = 0, eliminated: int = 0) -> None:
        """Count one more record."""
        self.done += 1
        self.failed += failed
        self.eliminated += eliminated

    def rate(self) -> float:
        """Records a second so far."""
        return (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)

    def line(self) -> str:
        """The state as one line."""
        rate = self.rate()
        left = (
            f", {(self.total - self.done) / rate:.0f} s left"
            if rate and self.total > self.done >= self.total / 20
            else ""
        )
        return (
            f"{self.stage}: {self.done:,} of {self.total:,} records, {rate:.1f}/s{left}, "
            f"{self.failed:,} failed, {self.eliminated:,} eliminated"
        )


@contextmanager
def shown(stage: str, total: int, *, done: int = 0, show: bool) -> Iterator[Callable[..., None]]:
    """Show a stage's progress while it runs.

    Args:
        stage: the stage's name.
        total: how many records it will work through.
        done: how many of them are done already.
        show: False counts in silence.

    Yields:
        A function to call once a record, with ``failed=`` and ``eliminated=`` for the rows that record made.
    """
    progress = Progress(stage, total, done, done)
    if not show:
        yield progress.advance
    elif sys.stderr.isatty():
        with _bar(progress) as advance:
            yield advance
    else:
        with _lines(progress) as advance:
            yield advance


@contextmanager
def _bar(progress: Progress) -> Iterator[Callable[..., None]]:
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
        bar = bars.add_task(progress.stage, total=progress.total, rate="", fate="")

        def advance(*, failed: int = 0, eliminated: int = 0) -> None:
            progress.advance(failed=failed, eliminated=eliminated)
            bars.update(
                bar,
                completed=progress.done,
                rate=f"{progress.rate():.1f}/s",
                fate=f"{progress.failed:,} failed, {progress.eliminated:,} eliminated",
            )

        yield advance
    sys.stderr.write(progress.line() + "\n")


@contextmanager
def _lines(progress: Progress) -> Iterator[Callable[..., None]]:
    last = time.monotonic()

    def advance(*, failed: int = 0, eliminated: int = 0) -> None:
        nonlocal last
        progress.advance(failed=failed, eliminated=eliminated)
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            sys.stderr.write(progress.line() + "\n")

    yield advance
    sys.stderr.write(progress.line() + "\n")
