"""The gate that every try of a request goes through: so many at once, so many a minute, first come first served.

How many at once is the user's word or the level that is found (``level.py``); how many a minute, the user's caps and
what the server says is left: each server's own pace. A try goes to the least loaded of the servers that take it now. A
try of a call that failed before goes ahead of all first tries, so that no call grows old behind younger ones. Times are
seconds of any monotonic clock.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf

from evolvent.models.openai.level import HIGHEST, AdaptiveLevel
from evolvent.models.openai.wire import from_now, number_in, seconds

BURST_S = 0.1  # of a cap's rate may be sent at once: timers are not exact
LONGEST_HOLD_S = 900.0  # a reset further off is not waited for: a count of that kind says nothing about this moment
NO_TIME_S = 1e-6  # less than that is rounding
TELL_S = 10.0  # a longer wait that the server's headers ask for is said

log = logging.getLogger("evolvent")


class Cap:
    """A cap a minute, kept evenly: what is taken is paid back at the cap's rate before the next is taken.

    An amount may be put right once it is known; one greater than the cap itself is let through and paid back.

    Args:
        per_minute: the cap.
    """

    def __init__(self, per_minute: float) -> None:
        self._burst = per_minute / 60 * BURST_S
        self._rate = (per_minute - self._burst) / 60  # so that no minute holds more, burst included
        self._debt = 0.0
        self._at = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the next may be taken."""
        return max(0.0, self._owed(now) / self._rate)

    def take(self, amount: float, now: float) -> None:
        """Take an amount; a negative one gives back."""
        self._debt = self._owed(now) + amount
        self._at = now

    def _owed(self, now: float) -> float:
        return max(-self._burst, self._debt - (now - self._at) * self._rate)


class Allowance:
    """What a server says is left until a reset (``x-ratelimit-remaining-*``, ``x-ratelimit-reset-*``).

    The server counts a request when it takes it in, so its word counts from the request that it answered: those sent
    since are taken off. The word about the latest request holds.

    Args:
        kind: ``requests`` or ``tokens``.
    """

    def __init__(self, kind: str) -> None:
        self._remaining = f"x-ratelimit-remaining-{kind}"
        self._reset = f"x-ratelimit-reset-{kind}"
        self.sent = 0.0  # in all, ever
        self._heard_of = -1.0
        self._end = 0.0
        self._until = 0.0

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until so much may be sent."""
        return self._until - now if now < self._until and self.sent + amount > self._end else 0.0

    def heard(self, headers: Mapping[str, str], sent: float, now: float) -> None:
        """Take in a reply's headers.

        Args:
            headers: the reply's.
            sent: what had been sent in all when its request was, that one included.
            now: the time.
        """
        if self._remaining not in headers:
            return
        remaining = number_in(headers.get(self._remaining))
        reset = seconds(headers.get(self._reset))
        if remaining is None or remaining < 0 or reset is None or sent < self._heard_of:
            return
        reset = from_now(reset, headers)
        self._heard_of = sent
        self._end = sent + remaining
        self._until = now + reset if reset <= LONGEST_HOLD_S else 0.0


class Outcome(Enum):
    """How a try ended, as far as the gate cares."""

    ANSWERED = "answered"
    REFUSED = "refused"  # the server has too much to do, or is not to be reached
    OTHER = "other"


@dataclass(slots=True)
class Ticket:
    """A try that is on its way: to which of the servers, and what had been sent there when it was."""

    tokens: float
    place: int = 0
    cohort: int = 0
    falls: int = 0
    sent_at: float = 0.0
    sent_requests: float = 0.0
    sent_tokens: float = 0.0


class Pace:
    """How fast one server is asked: how many tries at once, and how many a minute.

    Args:
        concurrency: how many tries at once, always; None finds the level that suits the server.
        timeout_s: what one try may take.
        highest: the highest level that may be found.
        requests_per_minute: at most so many; None for no cap.
        tokens_per_minute: at most so many, of prompts and replies; None for no cap.

    Attributes:
        in_flight: tries that are on their way.
        rests_until: nothing is sent before that time, and then one try at once; None for a server that is in use.
    """

    def __init__(
        self,
        concurrency: int | None,
        *,
        timeout_s: float = 600.0,
        highest: int = HIGHEST,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self._fixed = concurrency
        self._level = AdaptiveLevel(timeout_s, highest)
        self._requests = Cap(requests_per_minute) if requests_per_minute is not None else None
        self._tokens = Cap(tokens_per_minute) if tokens_per_minute is not None else None
        self._requests_left = Allowance("requests")
        self._tokens_left = Allowance("tokens")
        self.in_flight = 0
        self.rests_until: float | None = None

    @property
    def limit(self) -> int:
        """Tries that may be on their way now."""
        return self._fixed or self._level.limit

    @property
    def load(self) -> float:
        """Tries on their way over those that may be; below any other's where the next try shows whether it is back."""
        return self.in_flight / self.limit if self.rests_until is None else -1.0

    def wait_s(self, tokens: float, now: float) -> float:
        """Seconds until a try of so many tokens may be sent; infinite until another one ends."""
        resting = self.rests_until is not None
        if self.in_flight >= (1 if resting else self.limit):
            return inf
        wait = max(self.held_s(tokens, now), self.rests_until - now if self.rests_until is not None else 0.0)
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(now))
        return wait if wait > NO_TIME_S else 0.0

    def held_s(self, tokens: float, now: float) -> float:
        """The part of it that the server's headers ask for."""
        return max(self._requests_left.wait_s(1, now), self._tokens_left.wait_s(tokens, now))

    def send(self, ticket: Ticket, now: float) -> None:
        """A try is sent."""
        self.in_flight += 1
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(ticket.tokens, now)
        self._requests_left.sent += 1
        self._tokens_left.sent += ticket.tokens
        ticket.sent_requests, ticket.sent_tokens = self._requests_left.sent, self._tokens_left.sent
        ticket.sent_at = now
        if self._fixed is None:
            ticket.falls = self._level.falls
            ticket.cohort = self._level.sent(self.in_flight)

    def end(self, ticket: Ticket, outcome: Outcome, tokens: float | None, now: float) -> None:
        """A try has ended; the arguments are those of ``Gate.leave``."""
        self.in_flight -= 1
        if tokens is not None and self._tokens is not None:
            self._tokens.take(tokens - ticket.tokens, now)
        if self._fixed is None:
            level = self._level
            if outcome is Outcome.ANSWERED:
                level.answered(ticket.cohort, ticket.falls, now - ticket.sent_at)
            elif outcome is Outcome.REFUSED:
                level.refused(ticket.cohort, ticket.falls)
            else:
                level.left(ticket.cohort)

    def heard(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        """Take in what a reply's headers say about the server's rate limits."""
        self._requests_left.heard(headers, ticket.sent_requests, now)
        self._tokens_left.heard(headers, ticket.sent_tokens, now)


class Gate:
    """Lets tries pass in the order in which they came, those of calls that failed before ahead of the others.

    A try that has failed leaves the gate while its call waits, so waiting calls hold nobody up.

    Args:
        paces: those of the servers, at least one; a ticket holds the place of its server among them.
        uri: the model's URI, for the log.
    """

    def __init__(self, paces: Sequence[Pace], *, uri: str = "") -> None:
        self._paces = paces
        self._uri = uri
        self._waiting: deque[tuple[asyncio.Future[None], Ticket]] = deque()
        self._again: deque[tuple[asyncio.Future[None], Ticket]] = deque()  # failed before: these go first
        self._told_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Tries on their way, to all servers."""
        return sum(pace.in_flight for pace in self._paces)

    async def enter(self, tokens: float, *, again: bool = False) -> Ticket:
        """Wait for one's turn.

        Args:
            tokens: an estimate of the request's and its reply's.
            again: a try of this call failed before.

        Returns:
            What ``leave`` wants back, whatever happens.
        """
        loop = asyncio.get_running_loop()
        ticket = Ticket(tokens)
        if not self._again and (again or not self._waiting) and not self._send(ticket, loop.time()):
            return ticket
        turn = loop.create_future()
        (self._again if again else self._waiting).append((turn, ticket))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn had come: on to the next
                self.leave(ticket, Outcome.OTHER)
            else:
                self._admit()  # it may have been the one whose time the others waited for
            raise
        return ticket

    def leave(self, ticket: Ticket, outcome: Outcome, tokens: float | None = None) -> None:
        """End a try.

        Args:
            ticket: from ``enter``.
            outcome: how it ended.
            tokens: how many it took, if that is known.
        """
        self._paces[ticket.place].end(ticket, outcome, tokens, asyncio.get_running_loop().time())
        if self._waiting or self._again:
            self._admit()

    def heard(self, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """Take in what a reply's headers say about the server's rate limits."""
        self._paces[ticket.place].heard(ticket, headers, asyncio.get_running_loop().time())

    def close(self) -> None:
        """Forget the running loop, its clock too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._told_until = 0.0

    def _admit(self) -> None:
        """Let in whoever may go now; set a timer for the first of those who have to wait for time to pass."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while queue := self._again or self._waiting:
            turn, ticket = queue[0]
            if not turn.done():  # done before its turn: cancelled
                now = loop.time()
                wait = self._send(ticket, now)
                if wait == inf:
                    return
                if wait:
                    self._timer = loop.call_later(wait, self._admit)
                    self._tell(ticket, now)
                    return
                turn.set_result(None)
            queue.popleft()

    def _send(self, ticket: Ticket, now: float) -> float:
        """Send a try to the least loaded server that takes it now; else the seconds until one does."""
        wait, _, place = min(
            (pace.wait_s(ticket.tokens, now), pace.load, place) for place, pace in enumerate(self._paces)
        )
        if not wait:
            ticket.place = place
            self._paces[place].send(ticket, now)
        return wait

    def _tell(self, ticket: Ticket, now: float) -> None:
        """Say once that everybody waits because the server's headers say that nothing is left."""
        wait = min(pace.held_s(ticket.tokens, now) for pace in self._paces)
        if wait > TELL_S and now >= self._told_until:
            self._told_until = now + wait
            log.warning("model %s: by its x-ratelimit headers the server takes no more for %.0f s", self._uri, wait)
