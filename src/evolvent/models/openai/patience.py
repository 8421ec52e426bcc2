"""When a call that failed is sent again, and what the calls of one model find out together about its server.

A call sends the same body again, after a wait, a bounded number of times. Times are seconds of any monotonic clock (in
use, the running loop's), so a clock that jumps changes nothing.
"""

import logging
import random
from dataclasses import dataclass
from typing import NoReturn

from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random_exponential

from evolvent.errors import CallError, EvolventError, ModelUnavailableError, RunError, printable
from evolvent.models.openai.errors import Fault, Transient

MAX_FAULTS = 6
AWAY_S = 120.0
PATIENCE_S = 900.0
LEEWAY_S = 60.0  # beside two time-outs
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
LONGEST_AWAY_WAIT_S = 5.0
LEAST_AFTER_S = 0.1
MOST_SPREAD = 1.03  # of a wait that the server asks for

SEVERAL = 5  # different calls, with no answer to anybody in between
REFUSED_S = 10.0  # a server that answered before has refused everybody for so long
TELL_AFTER_S = 3.0
TELL_AGAIN_S = 300.0

log = logging.getLogger("evolvent")


@dataclass(slots=True)
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
        refusals: how many of its tries were ``REFUSED``.
        away_since: since when it has met nothing but a server that is away; None otherwise.
        gone: no connection came about for two minutes, and nobody was answered meanwhile.
        asked_too_much: the server asked for a wait beyond the bound, and answered nobody meanwhile.
    """

    timeout_s: float
    refusals: int = 0
    away_since: float | None = None
    gone: bool = False
    asked_too_much: bool = False
    _tries: int = 0
    _faults: int = 0
    _since: float | None = None  # the first fault that was no rate limit
    _limited_since: float | None = None

    @property
    def bound_s(self) -> float:
        """How long it goes on at the most, from the first fault or, for rate limits, the last answer."""
        return max(PATIENCE_S, 2 * self.timeout_s + LEEWAY_S)

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
        wait = backoff_s(fault, self._tries, after=after, longest=longest)
        return None if now + wait > ends else wait


def backoff_s(fault: Fault, tries: int, *, after: float | None, longest: float) -> float:
    """Seconds to wait after so many faults in a row.

    Args:
        fault: the last one.
        tries: how many there were.
        after: seconds that the server asks to wait.
        longest: the bound that a random wait ends at.
    """
    state = RetryCallState(AsyncRetrying(), fn=None, args=(), kwargs={})
    state.attempt_number = tries
    backoff = {"multiplier": FIRST_WAIT_S, "max": longest}
    if after is not None and after >= LEAST_AFTER_S:
        return after * random.uniform(1, MOST_SPREAD)
    if fault is Fault.REFUSED:  # long enough in all to tell a firewall's word from one to everybody
        return wait_random_exponential(**backoff, min=wait_exponential(**backoff)(state) / 2)(state)
    return max(wait_random_exponential(**backoff)(state), after or 0.0)


@dataclass(slots=True)
class Availability:
    """Whether the server answers. Times are the running loop's.

    One call's bad luck is no outage: a firewall refuses one prompt, one connection of many does not come about. What
    every call meets, with no answer to anybody in between, is a matter of the model.

    Attributes:
        uri: the model's URI, for the log.
        base_url: the server's address, for the log.
        last_answered: when a call of this process was last answered; None for never.
        unavailable: what was found to be wrong with the model; no further call is sent then.
    """

    uri: str
    base_url: str
    last_answered: float | None = None
    unavailable: EvolventError | None = None
    _silent_since: float | None = None
    _told_at: float | None = None
    _refused: int = 0
    _given_up: int = 0  # calls that found the server away until their patience ended, nobody answered meanwhile

    def check(self) -> None:
        """Raise what was found out, if anything: the others need not try again."""
        if self.unavailable is not None:
            raise type(self.unavailable)(self.unavailable.message, fix=self.unavailable.fix)

    def answered(self, now: float) -> None:
        """A call was answered."""
        self.last_answered = now
        if self._silent_since is not None:
            self._silent_since = None
            self._refused = self._given_up = 0

    def failed(self, words: str, now: float) -> None:
        """A try failed; said in the log once an outage, when it has lasted for a few seconds."""
        if self._silent_since is None:
            self._silent_since = now
        lately = self._told_at is not None and now - self._told_at < TELL_AGAIN_S
        if now - self._silent_since > TELL_AFTER_S and not lately:
            self._told_at = now
            log.warning("model %s: no answer at %s yet (%s); trying on", self.uri, self.base_url, printable(words))

    def refuses_all(self, *, first: bool, now: float) -> bool:
        """Count a refusal that says that no call can succeed.

        Args:
            first: it is this call's first one. A call that was refused before others were answered says nothing new.
            now: the time.

        Returns:
            Whether several calls met it, and nobody was answered in between.
        """
        self._refused += first
        lasting = self.last_answered is None or now - self.last_answered >= REFUSED_S
        return lasting and self._refused >= SEVERAL

    def stop(self, message: str, fix: str, *, kind: type[EvolventError] | None = None) -> NoReturn:
        """Raise, here and in every other call, that the model is of no use.

        Unless a kind is given: a mistake in the input, or, once it has answered, a run that could not finish.
        """
        kind = kind or (ModelUnavailableError if self.last_answered is None else RunError)
        self.unavailable = kind(f"model {self.uri}: {message}", fix=fix)
        raise self.unavailable from None

    def give_up(self, transient: Transient, patience: Patience) -> NoReturn:
        """Raise what a fault that outlasted all patience means.

        A server that answers nobody any more would fail every record that is left, so the run stops: what it has is
        stored, and the same command goes on once the server is back.
        """
        after, fault = transient.after or 0.0, transient.fault
        if fault is Fault.LIMITED or patience.asked_too_much:
            waits = (
                f"asks to wait {_span(after)}" if after >= 1 else f"has answered nobody for {_span(patience.bound_s)}"
            )
            fix = "What is answered is stored; the same command goes on then."
            self.stop(f"the server at {self.base_url} {waits}: {transient}", fix, kind=RunError)
        if fault is Fault.UNREACHABLE and self.last_answered is None:
            self.stop(
                f"no server answers at {self.base_url}: {transient}",
                "Start the server, or correct base_url=http://host:port/v1 in the model's URI; then run it again.",
            )
        since, answered = patience.away_since, self.last_answered
        left = fault is Fault.AWAY and since is not None and answered is not None and answered < since
        self._given_up += left
        if patience.gone or (left and self._given_up >= SEVERAL):
            self.stop(
                f"the server at {self.base_url} stopped answering: {transient}",
                "What it answered is stored. Start the server again, then the same command: it goes on.",
            )
        raise CallError(
            f"model {self.uri}: no answer in all its tries; the last: {transient}", raw=transient.raw
        ) from None


def _span(seconds: float) -> str:
    """A time to wait, in its greatest unit."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} s"
