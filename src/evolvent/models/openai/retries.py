"""When a call that failed is sent again: the same body, after a wait, a bounded number of times."""

import random
import time
from enum import Enum

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

MAX_FAULTS = 6
AWAY_S = 120.0
PATIENCE_S = 900.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
LONGEST_AWAY_WAIT_S = 5.0
LEAST_AFTER_S = 0.1


class Fault(Enum):
    """What kind of fault one try met."""

    LIMITED = "limited"  # 429: the server is well and only asks for patience
    AWAY = "away"  # 502, 503, 504, 529, a connection that broke
    UNREACHABLE = "unreachable"  # no connection came about
    LATE = "late"  # no reply in time
    BROKEN = "broken"  # any other error, a reply that cannot be read


class Transient(Exception):
    """A try that failed in a way that another one may not.

    Args:
        words: what happened, in the server's words where it spoke.
        fault: what kind of fault it was.
        after: seconds that the server asks to wait.
        raw: what the server sent, if it could not be read.
    """

    def __init__(
        self, words: str, fault: Fault = Fault.BROKEN, *, after: float | None = None, raw: str | None = None
    ) -> None:
        super().__init__(words)
        self.fault = fault
        self.after = after
        self.raw = raw


class Patience:
    """How long one call goes on trying, and how long it waits between two tries.

    Six faults end it. Rate limits are bounded by time alone: no try begins later than 15 minutes, or two time-outs
    if that is longer, after the first. A server that has answered before and is away (it starts again, say) is waited
    for, two minutes at least, and asked every few seconds. The wait is the server's Retry-After (a little more, so that
    not all come back at one instant), or a random one whose bound doubles from 1 to 30 seconds: exponential backoff
    with full jitter.
    Times are monotonic; a clock that jumps changes nothing.

    Args:
        timeout_s: how long one try may take.
    """

    __slots__ = ("_away_since", "_ends", "_faults", "_state")

    def __init__(self, timeout_s: float) -> None:
        self._ends = time.monotonic() + max(PATIENCE_S, 2 * timeout_s + 60)
        self._faults = 0
        self._away_since: float | None = None
        self._state: RetryCallState | None = None  # made at the first fault: most calls have none

    def wait_s(self, transient: Transient, *, known: bool = False) -> float | None:
        """Seconds to wait after this fault before the next try; None when there is to be none.

        Args:
            transient: the fault.
            known: the server has answered before.
        """
        now = time.monotonic()
        if self._state is None:
            self._state = RetryCallState(AsyncRetrying(), fn=None, args=(), kwargs={})
        else:
            self._state.attempt_number += 1
        longest = LONGEST_WAIT_S
        if known and transient.fault in (Fault.AWAY, Fault.UNREACHABLE):
            self._away_since = now if self._away_since is None else self._away_since
            if self._state.attempt_number >= MAX_FAULTS and now - self._away_since >= AWAY_S:
                return None
            longest = min(LONGEST_WAIT_S, LONGEST_AWAY_WAIT_S)
        else:
            self._away_since = None
            self._faults += transient.fault is not Fault.LIMITED
        if transient.after is not None and transient.after >= LEAST_AFTER_S:
            wait = transient.after * random.uniform(1, 1.03)
        else:
            wait = wait_random_exponential(multiplier=FIRST_WAIT_S, max=longest)(self._state)
            wait = max(wait, transient.after or 0.0)
        return None if self._faults >= MAX_FAULTS or now + wait > self._ends else wait
