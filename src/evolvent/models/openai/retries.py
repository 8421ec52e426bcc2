"""When a call that failed is sent again: the same body, after a wait, a bounded number of times."""

import random
import time

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

MAX_FAULTS = 6
PATIENCE_S = 900.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0


class Transient(Exception):
    """A try that failed in a way that another one may not.

    Args:
        words: what happened, in the server's words where it spoke.
        after: seconds that the server asks to wait.
        rate_limited: the server is well and only asks for patience, so this is not counted as a fault.
        unreachable: no connection came about.
    """

    def __init__(
        self, words: str, *, after: float | None = None, rate_limited: bool = False, unreachable: bool = False
    ) -> None:
        super().__init__(words)
        self.after = after
        self.rate_limited = rate_limited
        self.unreachable = unreachable


class Patience:
    """How long one call goes on trying, and how long it waits between two tries.

    Six faults end it. Rate limits are bounded by time alone: no try begins later than 15 minutes, or two time-outs
    if that is longer, after the first. The wait is the server's Retry-After (a little more, so that not all come back
    at one instant) or a random one whose bound doubles from 1 to 30 seconds, whichever is longer: exponential backoff
    with full jitter. Times are monotonic; a clock that jumps changes nothing.

    Args:
        timeout_s: how long one try may take.
    """

    __slots__ = ("_ends", "_faults", "_state")

    def __init__(self, timeout_s: float) -> None:
        self._ends = time.monotonic() + max(PATIENCE_S, 2 * timeout_s + 60)
        self._faults = 0
        self._state: RetryCallState | None = None  # made at the first fault: most calls have none

    def wait_s(self, fault: Transient) -> float | None:
        """Seconds to wait after this fault before the next try; None when there is to be none."""
        if self._state is None:
            self._state = RetryCallState(AsyncRetrying(), fn=None, args=(), kwargs={})
        else:
            self._state.attempt_number += 1
        self._faults += not fault.rate_limited
        wait = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)(self._state)
        if fault.after is not None:
            wait = max(wait, fault.after * random.uniform(1, 1.1))
        return None if self._faults >= MAX_FAULTS or time.monotonic() + wait > self._ends else wait
