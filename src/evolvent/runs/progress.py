"""Progress of a stage on standard error: one bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evolvent.report.tables import time_words

LINE_SECONDS = 10.0

# Records that are done before a rate is shown: that of the first few says how long a reply takes, not how many come.
RECORDS_FOR_A_RATE = 10


@dataclass(slots=True)
class Progress:
    """Counts of a stage as it goes.

    Attributes:
        stage: the stage's name.
        total: how many records it will work through.
        before: how many of them were done when it began.
        ok: rows that passed; None where a stage does not count them.
    """

    stage: str
    total: int
    before: int = 0
    done: int = 0
    ok: int | None = None
    failed: int = 0
    eliminated: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, *, ok: int | None = None, failed: int = 0, eliminated: int = 0) -> None:
        """Count one more record, and the rows that it made."""
        self.done += 1
        if ok is not None:
            self.ok = (self.ok or 0) + ok
        self.failed += failed
        self.eliminated += eliminated

    def rate(self) -> float:
        """Records a second so far."""
        return (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)

    def pace(self) -> str:
        """The rate in words; nothing before it means something."""
        if self.done - self.before < RECORDS_FOR_A_RATE and self.done < self.total:
            return ""
        rate = self.rate()
        return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min" if rate else ""

    def fates(self) -> str:
        """What became of the rows so far."""
        passed = "" if self.ok is None else f"{self.ok:,} ok, "
        return f"{passed}{self.failed:,} failed, {self.eliminated:,} eliminated"

    def line(self) -> str:
        """The state as one line."""
        parts = [f"{self.done:,} of {self.total:,} records", self.pace()]
        if parts[-1] and self.total > self.done >= self.total / 20:
            parts.append(f"{time_words((self.total - self.done) / self.rate())} left")
        return f"{self.stage}: {', '.join(filter(None, [*parts, self.fates()]))}"


@contextmanager
def shown(stage: str, total: int, *, done: int = 0, show: bool) -> Iterator[Callable[..., None]]:
    """Show a stage's progress while it runs.

    Args:
        stage: the stage's name.
        total: how many records it will work through.
        done: how many of them are done already.
        show: False counts in silence.

    Yields:
        A function to call once a record, with ``ok=``, ``failed=`` and ``eliminated=`` for the rows that record made.
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

        def advance(*, ok: int | None = None, failed: int = 0, eliminated: int = 0) -> None:
            progress.advance(ok=ok, failed=failed, eliminated=eliminated)
            bars.update(bar, completed=progress.done, rate=progress.pace(), fate=progress.fates())

        yield advance
    sys.stderr.write(progress.line() + "\n")


@contextmanager
def _lines(progress: Progress) -> Iterator[Callable[..., None]]:
    last = time.monotonic()

    def advance(*, ok: int | None = None, failed: int = 0, eliminated: int = 0) -> None:
        nonlocal last
        progress.advance(ok=ok, failed=failed, eliminated=eliminated)
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            sys.stderr.write(progress.line() + "\n")

    yield advance
    sys.stderr.write(progress.line() + "\n")
