"""When a call that failed is sent again: the same body, after a wait, a bounded number of times."""

import asyncio
import random

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

MAX_FAULTS = 6
PATIENCE_S = 900.0
BACKOFF = wait_random_exponential(multiplier=1, max=30)  # full jitter: up to 1, 2, 4, 8, 16 s


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


def retrying(timeout_s: float) -> AsyncRetrying:
    """The retries of one call; a Transient is tried again, anything else goes through.

    Six faults end it. Rate limits are bounded by time alone: no try begins later than 15 minutes, or two time-outs
    if that is longer, after the first. The wait is the server's Retry-After (a little more, so that not all come back
    at one instant) or a random one that doubles its bound, whichever is longer. It delays this call only.

    Args:
        timeout_s: how long one try may take.
    """
    patience_s = max(PATIENCE_S, 2 * timeout_s + 60)
    faults = 0

    def stop(state: RetryCallState) -> bool:
        nonlocal faults
        faults += not _fault(state).rate_limited
        return faults >= MAX_FAULTS or (state.seconds_since_start or 0) + state.upcoming_sleep > patience_s

    return AsyncRetrying(
        retry=retry_if_exception_type(Transient), wait=_wait, stop=stop, sleep=asyncio.sleep, reraise=True
    )


def _wait(state: RetryCallState) -> float:
    after = _fault(state).after
    backoff = BACKOFF(state)
    return backoff if after is None else max(after * random.uniform(1, 1.1), backoff)


def _fault(state: RetryCallState) -> Transient:
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, Transient)
    return fault
