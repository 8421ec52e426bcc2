"""Runs code that a model wrote, in processes that can reach nothing.

One sandbox process serves a batch of the responses of one call of ``evaluate`` (``batches.py``); a function that has to
be stopped ends it, and a new one takes the rest. Inside it, the harness forks a child for each function
(``harness.py``); what can be seen from inside is in ``wall.py``, which system calls there are in ``system_calls.py``.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from evolvent.sandbox.batches import batches, too_large
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.process import Answer, serve
from evolvent.sandbox.requirements import require_sandbox
from evolvent.sandbox.verdicts import Evaluation, Outcome, Verdict

# What the harness says of a call that took too long; how many calls may be stopped at that, or end their process; what
# is said of the others then.
TIME_LIMIT = "time limit"
STALLS = 3
GIVEN_UP = f"not called: {STALLS} calls before it took too long"
GIVEN_UP_ENDED = f"not called: {STALLS} calls before it ended their process"
TOO_LARGE = "response too large for the memory limit"


@dataclass(slots=True)
class Trial:
    """What is known of one function so far.

    Attributes:
        source: its source.
        asked: whether a process has answered for it.
        verdicts: one a response, of the first ones.
        problem, violation: as of ``Evaluation``.
        stops: why calls of it were stopped.
    """

    source: str
    asked: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    problem: str | None = None
    violation: str | None = None
    stops: list[str] = field(default_factory=list)

    @property
    def over(self) -> str | None:
        """Why it is called no more."""
        if self.problem is not None:
            return self.problem
        if len(self.stops) < STALLS:
            return None
        return GIVEN_UP if {*self.stops} == {TIME_LIMIT} else GIVEN_UP_ENDED

    def lacks(self, responses: int) -> bool:
        """Whether it is to be called for the first so many responses."""
        return self.over is None and (not self.asked or len(self.verdicts) < responses)

    def take(self, answer: Answer) -> None:
        """Note what a process said of it."""
        self.asked = True
        self.verdicts += answer.verdicts
        self.problem = answer.problem
        self.violation = self.violation or answer.violation
        if answer.violation and answer.verdicts and answer.verdicts[-1].reason == answer.violation:
            self.stops.append(answer.violation)

    def fill(self, responses: int, reason: str) -> None:
        """Give the first so many responses a verdict, those without one none and this reason."""
        self.verdicts += [Verdict(None, reason)] * (responses - len(self.verdicts))

    def evaluation(self, responses: int) -> Evaluation:
        """All that was found."""
        if self.problem is not None:
            self.verdicts = []  # nothing that it said counts
        self.fill(responses, self.over or "")
        return Evaluation(tuple(self.verdicts), self.problem, self.violation)


class Sandbox:
    """A place to run programs; safe to use from many tasks at once.

    Args:
        limits: of each function or program.
        unsafe: run without the wall: in a process of its own with resource limits and a bare environment, and
            otherwise with all of the user's rights.
        workers: sandbox processes at once; default: one more than there are cores, as a part of a process's life is
            waiting for the kernel to make and to clear away its namespaces.

    Raises:
        InputError: on entering, when there can be no sandbox here, and not ``unsafe``.
    """

    def __init__(self, limits: Limits | None = None, *, unsafe: bool = False, workers: int | None = None) -> None:
        self._limits = limits or Limits()
        self._unsafe = unsafe
        self._free = asyncio.Semaphore(workers or _cores() + 1)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(require_sandbox, self._unsafe)
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def evaluate(self, functions: Sequence[str], responses: Sequence[str]) -> list[Evaluation]:
        """Run every verification function on every response.

        Each function is Python source that defines ``evaluate(response: str) -> bool``; it has a namespace of its own.
        One that has run into the time limit or ended its process ``STALLS`` times is not called again: no verdict on
        the other responses. The responses are tried in batches, for each of which a function is loaded anew.

        Returns:
            One evaluation a function, in order.

        Raises:
            RunError: no sandbox process could be started, or two in a row were ended from outside.
        """
        trials = [Trial(source) for source in functions]
        done = 0
        for batch in batches(responses, self._limits.memory):
            large = too_large(batch, self._limits.memory)
            await self._try(trials, done, () if large else batch)
            done += len(batch)
            for trial in trials:
                trial.fill(done, trial.over or TOO_LARGE)
        return [trial.evaluation(done) for trial in trials]

    async def _try(self, trials: Sequence[Trial], done: int, batch: Sequence[str]) -> None:
        """Run the functions on a batch, which follows the responses that are done."""
        while work := [trial for trial in trials if trial.lacks(done + len(batch))]:
            first = min(len(trial.verdicts) for trial in work)  # what is behind all of them is not sent again
            functions = [(trial.source, len(trial.verdicts) - first) for trial in work]
            for trial, answer in zip(work, await self._serve(functions, batch[first - done :]), strict=False):
                trial.take(answer)

    async def run(self, program: str) -> Outcome:
        """Run a whole program; it passes when it comes to its end without an exception.

        Raises:
            RunError: no sandbox process could be started, or two in a row were ended from outside.
        """
        [answer] = await self._serve([(program, 0)], None)
        reason = answer.problem or answer.violation
        return Outcome(reason is None, reason)

    async def _serve(self, functions: Sequence[tuple[str, int]], responses: Sequence[str] | None) -> list[Answer]:
        async with self._free:
            return await serve(functions, responses, self._limits, walled=not self._unsafe)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
