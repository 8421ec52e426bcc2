"""When a call that failed is sent again: the same body, after a wait, a bounded number of times.

No clock in here; times are seconds of any monotonic one, so a clock that jumps changes nothing.
"""

import random
from enum import Enum

from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random_exponential

from evolvent.models.openai.reply import well_formed
from evolvent.models.openai.server_errors import ServerError

MAX_FAULTS = 6
AWAY_S = 120.0
PATIENCE_S = 900.0
LEEWAY_S = 60.0  # beside two time-outs
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
LONGEST_AWAY_WAIT_S = 5.0
LEAST_AFTER_S = 0.1
MOST_SPREAD = 1.03  # of a wait that the server asks for


class Fault(Enum):
    """What kind of fault one try met."""

    LIMITED = "limited"  # 429: the server is well and only asks for patience
    AWAY = "away"  # 502, 503, 504, 529, a connection that broke
    UNREACHABLE = "unreachable"  # no connection came about
    LATE = "late"  # no reply in time
    REFUSED = "refused"  # 401, 403, 404 …: no call can succeed, or this one met a firewall
    BROKEN = "broken"  # any other error, a reply that cannot be read


class Transient(Exception):
    """A try that failed in a way that another one may not.

    Args:
        words: what happened, in the server's words where it spoke.
        fault: what kind of fault it was.
        after: seconds that the server asks to wait.
        raw: what the server sent, if it could not be read.
        error: the server's error, if it is ``REFUSED``.
    """

    def __init__(
        self,
        words: str,
        fault: Fault = Fault.BROKEN,
        *,
        after: float | None = None,
        raw: str | None = None,
        error: ServerError | None = None,
    ) -> None:
        super().__init__(well_formed(words))
        self.fault = fault
        self.after = after
        self.raw = raw
        self.error = error


class Patience:
    """How long one call goes on trying, and how long it waits between two tries.

    Six faults end it, or 15 minutes, two time-outs if that is longer (``bound_s``). Rate limits are bounded by time
    alone, and by the server's silence, not by this call's bad luck: what ends the call is that nobody was answered for
    so long. A server that has answered before and is away (it starts again, say) is waited for, two minutes at least,
    and asked every few seconds; where no connection comes about, the two minutes begin anew with every answer that
    another call gets.

    The wait is the server's Retry-After (a little more, so that not all come back at one instant), or a random one
    whose bound doubles from 1 to 30 seconds: exponential backoff with full jitter.

    Args:
        timeout_s: how long one try may take.

    Attributes:
        bound_s: how long it goes on at the most, from the first fault or, for rate limits, the last answer.
        refusals: how many of its tries were ``REFUSED``.
        away_since: since when it has met nothing but a server that is away; None otherwise.
        gone: no connection came about for two minutes, and nobody was answered meanwhile.
        asked_too_much: the server asked for a wait beyond the bound, and answered nobody meanwhile.
    """

    __slots__ = (
        "_faults",
        "_limited_since",
        "_since",
        "_tries",
        "asked_too_much",
        "away_since",
        "bound_s",
        "gone",
        "refusals",
    )

    def __init__(self, timeout_s: float) -> None:
        self.bound_s = max(PATIENCE_S, 2 * timeout_s + LEEWAY_S)
        self.refusals = 0
        self._tries = self._faults = 0
        self._since: float | None = None  # the first fault that was no rate limit
        self._limited_since: float | None = None
        self.away_since: float | None = None
        self.gone = self.asked_too_much = False

    def wait_s(
        self, transient: Transient, *, now: float, sent_at: float, last_answered: float | None = None
    ) -> float | None:
        """Seconds to wait after this fault before the next try; None when there is to be none.

        Args:
            transient: the fault.
            now: the time.
            sent_at: when the try was sent.
            last_answered: when the server last answered anybody; None for never.
        """
        fault, after = transient.fault, transient.after
        self._tries += 1
        self.refusals += fault is Fault.REFUSED
        longest = LONGEST_WAIT_S
        if fault is Fault.LIMITED:
            self.away_since = None
            self._limited_since = now if self._limited_since is None else self._limited_since
            ends = max(self._limited_since, last_answered or self._limited_since) + self.bound_s
        else:
            self._since = now if self._since is None else self._since
            ends = self._since + self.bound_s
            if last_answered is not None and fault in (Fault.AWAY, Fault.UNREACHABLE):
                self.away_since = now if self.away_since is None else self.away_since
                since = max(self.away_since, last_answered) if fault is Fault.UNREACHABLE else self.away_since
                if self._tries >= MAX_FAULTS and now - since >= AWAY_S:
                    self.gone = fault is Fault.UNREACHABLE
                    return None
                longest = LONGEST_AWAY_WAIT_S
            else:
                self.away_since = None
                self._faults += 1
                if self._faults >= MAX_FAULTS:
                    return None
        if after is not None and now + MOST_SPREAD * after > ends:
            if last_answered is not None and last_answered >= sent_at:
                after = None  # others are answered meanwhile: not meant so
            elif after > self.bound_s:
                self.asked_too_much = True
        state = RetryCallState(AsyncRetrying(), fn=None, args=(), kwargs={})
        state.attempt_number = self._tries
        backoff = {"multiplier": FIRST_WAIT_S, "max": longest}
        if after is not None and after >= LEAST_AFTER_S:
            wait = after * random.uniform(1, MOST_SPREAD)
        elif fault is Fault.REFUSED:  # long enough in all to tell a firewall's word from one to everybody
            wait = wait_random_exponential(**backoff, min=wait_exponential(**backoff)(state) / 2)(state)
        else:
            wait = max(wait_random_exponential(**backoff)(state), after or 0.0)
        return None if now + wait > ends else wait
