"""Which request meets which fault: drawn from the request and from how many times it has come, never from the clock."""

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence

from tests.processes import LONG_S


class Draw:
    """Draws faults for requests, and remembers what it drew.

    Args:
        names: the faults to draw from, all equally likely; none for an undisturbed way.
        rate: the share of requests that meet one.
        most: how often one request may meet a fault before it is let through; None if the chosen meet one every time.
        in_all: how many faults there are at the most; 1 with a rate of 1 disturbs the very first request only.

    Attributes:
        requests: how often each request (its body's hash) has come.
        drawn: the faults that were met, each with the request's body.
    """

    def __init__(
        self, names: Sequence[str] = (), *, rate: float = 1.0, most: int | None = 1, in_all: int | None = None
    ) -> None:
        self.names = tuple(names)
        self.rate = rate
        self.most = most
        self.in_all = in_all
        self.requests: Counter[str] = Counter()
        self.drawn: list[tuple[str, bytes]] = []
        self._met: Counter[str] = Counter()
        self._changed = threading.Condition()

    def fault(self, body: bytes) -> str | None:
        """The fault that this request meets this time, or None."""
        key = hashlib.sha256(body).hexdigest()
        with self._changed:
            self.requests[key] += 1
            self._changed.notify_all()
            if len(self.drawn) == self.in_all:
                return None
            if not self.names or (self.most is not None and self._met[key] >= self.most):
                return None
            time = self.requests[key] if self.most is not None else ""
            draw = hashlib.sha256(f"{key}|{time}".encode()).digest()
            if int.from_bytes(draw[:4], "big") >= self.rate * 2**32:
                return None
            self._met[key] += 1
            name = self.names[draw[4] % len(self.names)]
            self.drawn.append((name, body))
            return name

    @property
    def met(self) -> Counter[str]:
        """How often each fault was met."""
        return Counter(name for name, _ in self.drawn)

    @property
    def total(self) -> int:
        """How many requests have come."""
        return self.requests.total()

    @property
    def repeated(self) -> int:
        """How many requests have come again."""
        return self.total - len(self.requests)

    def wait_for(self, total: int, timeout_s: float = LONG_S) -> None:
        """Wait until so many requests have come."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.total >= total, timeout_s):
                raise TimeoutError(f"{self.total} requests came in {timeout_s:g} s, not {total}")
