"""Progress of a stage: its counts as it goes, and plain lines on standard error now and then."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from evolvent.errors import printable
from evolvent.models.protocols import Usage
from evolvent.records import Record
from evolvent.words import number_of

LINE_SECONDS = 10.0

# Records that are done before a rate is shown: that of the first few says how long a reply takes, not how many come.
RECORDS_FOR_A_RATE = 10

# Characters of a text of a sample row.
SHOWN = 300


@dataclass(slots=True)
class Progress:
    """How far a stage is: what the function is told that was given as ``progress``, each time a copy.

    It is told when a model is loaded, when work begins, at each reply, at each record, and at the end. What it raises
    ends the stage, which the same command goes on with.

    Attributes:
        stage: the stage's name.
        total: how many records it will work through.
        before: how many of them were done when this command began.
        done: how many are done.
        ok, failed, eliminated: rows so far; ``ok`` is None where a stage does not count them.
        calls, prompt_tokens, completion_tokens: replies that this command was given, those of the store not among them.
        seconds: since work began.
        loading: the model that is being loaded, by its URI; then nothing else is new.
        sample: the rows of a record, where one is to be shown (``show``).
        ended: whether it is the last time.
        stopped: whether it was stopped before it was done, by an error or a signal.
        calls_each: about how many calls a record takes; 0 where that is not known.
    """

    stage: str
    total: int
    before: int = 0
    done: int = 0
    ok: int | None = None
    failed: int = 0
    eliminated: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    loading: str | None = None
    sample: tuple[Record, ...] = ()
    ended: bool = False
    stopped: bool = False
    calls_each: float = 0.0
    samples: int = field(default=0, repr=False)
    started: float = field(default_factory=time.monotonic, repr=False)
    begun: bool = field(default=False, repr=False)
    tell: "Tell | None" = field(default=None, repr=False, compare=False)

    def load(self, uri: str) -> None:
        """Tell that a model is being loaded."""
        self._tell(loading=uri)

    def begin(self, done: int = 0, fates: Mapping[str, int] | None = None) -> None:
        """Begin work, of which so many records are done already, and so many rows are ok, failed and eliminated."""
        self.before = self.done = done
        if done and fates:
            self.ok, self.failed, self.eliminated = (fates[fate] for fate in ("ok", "failed", "eliminated"))
        self.started, self.begun = time.monotonic(), True
        self.calls = self.prompt_tokens = self.completion_tokens = 0  # what was tried before is no part of the pace
        self._tell()

    def called(self, usage: Usage) -> None:
        """Count one more reply."""
        self.calls += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self._tell()

    def advance(
        self, *, ok: int | None = None, failed: int = 0, eliminated: int = 0, rows: Sequence[Record] = ()
    ) -> None:
        """Count one more record, and the rows that it made."""
        made, todo = self.done - self.before, max(1, self.total - self.before)
        shown = self.samples and (not made or made * self.samples // todo > (made - 1) * self.samples // todo)
        self.done += 1
        if ok is not None:
            self.ok = (self.ok or 0) + ok
        self.failed += failed
        self.eliminated += eliminated
        self._tell(sample=tuple(rows) if shown else ())

    def end(self, *, stopped: bool = False) -> None:
        """Tell the last state."""
        self._tell(ended=True, stopped=stopped)

    def _tell(self, **news: Any) -> None:
        self.seconds = time.monotonic() - self.started
        if self.tell is not None:
            self.tell(replace(self, tell=None, **news))

    @property
    def rate(self) -> float:
        """Records a second in this command."""
        return (self.done - self.before) / max(self.seconds, 1e-9)

    @property
    def tokens_per_second(self) -> float:
        """Tokens out a second in this command."""
        return self.completion_tokens / max(self.seconds, 1e-9)

    @property
    def eta_seconds(self) -> float | None:
        """How long it will take from here, by the records that are done or, before that says much, by the calls."""
        made, todo = self.done - self.before, self.total - self.before
        if made >= RECORDS_FOR_A_RATE and self.done >= self.total / 20:
            return (self.total - self.done) / self.rate
        share = self.calls / (todo * self.calls_each) if todo and self.calls_each else 0.0
        return self.seconds * (1 - share) / share if 0 < share < 1 else None

    def pace(self) -> str:
        """Records and tokens a second in words; nothing of records before it means something."""
        parts = []
        if self.done - self.before >= RECORDS_FOR_A_RATE or self.done >= self.total:
            rate = self.rate
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min" if rate else "")
        if self.calls:
            parts += [number_of(self.calls, "calls"), f"{self.tokens_per_second:,.0f} tokens/s"]
        return ", ".join(filter(None, parts))

    def fates(self) -> str:
        """What became of the rows so far."""
        passed = "" if self.ok is None else f"{self.ok:,} ok, "
        return f"{passed}{self.failed:,} failed, {self.eliminated:,} eliminated"

    def line(self) -> str:
        """The state as one line."""
        here = f" ({self.done - self.before:,} by this command)" if self.before else ""
        parts = [f"{self.done:,} of {number_of(self.total, 'records')}{here}", self.pace()]
        if self.eta_seconds is not None and self.done < self.total:
            parts.append(f"{time_words(self.eta_seconds)} left")
        return f"{self.stage}: {', '.join(filter(None, [*parts, self.fates()]))}"


# Is told how far a stage is; what it returns does not matter.
Tell = Callable[[Progress], object]


@contextmanager
def told(progress: Progress, show: bool | Tell) -> Iterator[None]:
    """Tell how far a stage is while it runs.

    Args:
        progress: what is told.
        show: False counts in silence, True writes plain lines on standard error, a function is told.
    """
    progress.tell = None if show is False else plain_lines() if show is True else show
    try:
        yield
    except BaseException:
        progress.end(stopped=True)
        raise
    progress.end()


@contextmanager
def shown(stage: str, total: int, *, show: bool | Tell) -> Iterator[Callable[..., None]]:
    """Tell how far some work is.

    Args:
        stage: its name.
        total: how many records it will work through.
        show: as for ``told``.

    Yields:
        A function to call once a record, with ``ok=``, ``failed=`` and ``eliminated=`` for the rows that record made.
    """
    progress = Progress(stage, total)
    with told(progress, show):
        progress.begin()
        yield progress.advance


def plain_lines(*, rate: bool = True) -> Tell:
    """Tells on standard error: what is new at once and, if ``rate``, a line every ten seconds and one at the end."""
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        for line in news(progress):
            say(line)
        if not progress.calls and progress.done == progress.before:  # nothing is to be told yet
            last = time.monotonic()
        if rate and (time.monotonic() - last >= LINE_SECONDS or progress.ended):
            last = time.monotonic()
            if progress.begun and not progress.stopped:
                say(progress.line())

    return tell


def news(progress: Progress) -> Iterator[str]:
    """Lines to write at once, whatever else is shown: a model that is being loaded, a sample."""
    if progress.loading is not None:
        yield f"{progress.stage}: loading {progress.loading} …"
    asked = None
    for row in progress.sample:
        by = f"round {row.round}, {row.operator or row.method}" if row.round else "seed"
        fate = f" [{row.status if row.reason is None else f'{row.status}: {row.reason}'}]"
        answered = row.teacher is not None or bool(row.scores)
        if row.question != asked:
            asked = row.question
            yield f"  {by}: {_short(asked)}{'' if answered or not row.round else fate}"
        if answered:
            scores = "".join(f" {name} {value:.3g}" for name, value in row.scores.items() if isinstance(value, float))
            yield f"    answer{f' by {row.teacher}' if row.teacher else ''}: {_short(row.output)}{fate}{scores}"


def _short(text: str) -> str:
    """The beginning of a text on one line, in which nothing steers a terminal."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


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
