"""Progress of a stage: its counts as it goes, and plain lines on standard error now and then."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field

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


# Shows a progress while it is entered; gives a function to call when it has advanced.
Display = Callable[[Progress], AbstractContextManager[Callable[[], object]]]


@contextmanager
def shown(
    stage: str, total: int, *, done: int = 0, fates: Mapping[str, int] | None = None, show: bool | Display
) -> Iterator[Callable[..., None]]:
    """Show a stage's progress while it runs.

    Args:
        stage: the stage's name.
        total: how many records it will work through.
        done: how many of them are done already.
        fates: how many of their rows are ok, failed and eliminated.
        show: False counts in silence, True writes plain lines, a display shows it in its own way.

    Yields:
        A function to call once a record, with ``ok=``, ``failed=`` and ``eliminated=`` for the rows that record made.
    """
    progress = Progress(stage, total, done, done)
    if done and fates:
        progress.ok, progress.failed, progress.eliminated = (fates[fate] for fate in ("ok", "failed", "eliminated"))
    if show is False:
        yield progress.advance
        return
    display = plain_lines if show is True else show
    with display(progress) as advanced:

        def advance(**rows: int) -> None:
            progress.advance(**rows)
            advanced()

        yield advance


@contextmanager
def plain_lines(progress: Progress) -> Iterator[Callable[[], None]]:
    """A line on standard error every ten seconds, and one at the end."""
    last = time.monotonic()

    def advanced() -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            say(progress.line())

    yield advanced
    say(progress.line())


def say(line: str) -> None:
    """Write a line on standard error; where that is closed, full or read by nobody, it is dropped."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"{line}\n")


def time_words(seconds: float) -> str:
    """A time in the unit that suits it: ``41.2 s``, ``3.5 min``, ``12.0 h``."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
