"""How fast a server may be asked: the user's caps a minute, and what the server itself says is left.

Times are seconds of any monotonic clock.
"""

import re
from collections.abc import Mapping
from math import isfinite

from evolvent.models.openai.dates import from_now

BURST_S = 0.1  # of a cap's rate may be sent at once: timers are not exact
LONGEST_HOLD_S = 900.0  # a reset further off is not waited for: a count of that kind says nothing about this moment

DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(d|h|ms|m|s))+?", re.ASCII)
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Pace:
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
        remaining = _number(headers.get(self._remaining))
        reset = seconds(headers.get(self._reset))
        if remaining is None or remaining < 0 or reset is None or sent < self._heard_of:
            return
        reset = from_now(reset, headers)
        self._heard_of = sent
        self._end = sent + remaining
        self._until = now + reset if reset <= LONGEST_HOLD_S else 0.0


def seconds(text: str | None) -> float | None:
    """The seconds of ``1s``, ``6m0s``, ``120ms``, ``1h2m3.5s`` or a plain number (0 below it); None for all else."""
    text = (text or "").strip().lower()
    if DURATION.fullmatch(text):
        return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(d|h|ms|m|s)", text))
    number = _number(text)
    return None if number is None else max(0.0, number)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) else None
