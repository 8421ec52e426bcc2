"""Runs code that a model wrote, in processes that can reach nothing.

One sandbox process serves one call of ``evaluate``; a function that has to be stopped ends it, and a new one takes the
rest. Inside it, the harness forks a child for each function (``harness.py``); what can be seen from inside is in
``wall.py``, which system calls there are in ``system_calls.py``.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Self

from evolvent.sandbox.limits import Limits
from evolvent.sandbox.process import Answer, serve
from evolvent.sandbox.requirements import require_sandbox
from evolvent.sandbox.verdicts import Evaluation, Outcome, Verdict

LOST = "its sandbox ended"


# What the harness says of a call that took too long; how many of them there may be; what is said of the others then.
TIME_LIMIT = "time limit"
STALLS = 3
GIVEN_UP = f"not called: {STALLS} calls before it took too long"


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
        One that has run into the time limit ``STALLS`` times is not called again: no verdict on the other responses.

        Returns:
            One evaluation a function, in order.

        Raises:
            RunError: no sandbox process could be started.
        """
        done: list[Evaluation] = []
        verdicts: list[Verdict] = []  # of the function at work, which may need more than one process
        violation: str | None = None
        while len(done) < len(functions):
            work = [(functions[len(done)], len(verdicts)), *((source, 0) for source in functions[len(done) + 1 :])]
            for answer in await self._serve(work, responses) or [Answer([], LOST, LOST)]:
                verdicts += answer.verdicts
                if sum(verdict.reason == TIME_LIMIT for verdict in verdicts) >= STALLS:
                    verdicts += [Verdict(None, GIVEN_UP)] * (len(responses) - len(verdicts))
                violation = violation or answer.violation
                if answer.problem is not None:
                    verdicts = [Verdict(None, answer.problem)] * len(responses)
                if len(verdicts) == len(responses):
                    done.append(Evaluation(tuple(verdicts), answer.problem, violation))
                    verdicts, violation = [], None
        return done

    async def run(self, program: str) -> Outcome:
        """Run a whole program; it passes when it comes to its end without an exception.

        Raises:
            RunError: no sandbox process could be started.
        """
        answers = await self._serve([(program, 0)], None)
        reason = answers[0].problem or answers[0].violation if answers else LOST
        return Outcome(reason is None, reason)

    async def _serve(self, functions: Sequence[tuple[str, int]], responses: Sequence[str] | None) -> list[Answer]:
        async with self._free:
            return await serve(functions, responses, self._limits, walled=not self._unsafe)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
