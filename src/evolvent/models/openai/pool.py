"""The servers of one model: which are in use, and which are left out because they do not answer.

Each has its own pace (``pace.py``). One is left out to which no connection comes about, that answers nobody for as long
as a try may take, that asks for a wait longer than any call waits, or that fails as many tries in a row as it may be
sent at once, five at least: what it was asked is sent to the others. It rests as long as a call would wait before its
next try, then it is sent one try; when that is answered, it is back. The last server in use is never left out: with all
of them away, calls wait as they do for a single one.
"""

import asyncio
import logging
from collections.abc import Sequence

from yarl import URL

from evolvent.errors import ModelUnavailableError, printable
from evolvent.models.openai import patience
from evolvent.models.openai.connection import Endpoint
from evolvent.models.openai.errors import Fault, Transient
from evolvent.models.openai.pace import Pace
from evolvent.models.openai.patience import Availability

log = logging.getLogger("evolvent")


class Server:
    """One server of a model.

    Args:
        uri: the model's URI, for the log and for errors.
        endpoint: where it is asked.
        pace: how fast.

    Attributes:
        availability: whether it answers.
        faults: tries in a row that failed.
        rests: how often it has been left to rest since it last answered; 0 for one that is in use.
        url, headers: those of a request.
    """

    def __init__(self, uri: str, endpoint: Endpoint, pace: Pace) -> None:
        self.endpoint = endpoint
        self.pace = pace
        self.url: URL | str = URL(f"{endpoint.base_url}/chat/completions")
        self.headers = endpoint.headers
        self.begin(uri)

    def begin(self, uri: str) -> None:
        """Forget what belongs to another running loop."""
        self.availability = Availability(uri, self.endpoint.base_url)
        self.faults = self.rests = 0
        self.pace.rests_until = None


class Pool:
    """The servers of one model.

    Args:
        uri: the model's URI, for the log and for errors.
        servers: at least one.

    Attributes:
        availability: whether any of them answers.
    """

    def __init__(self, uri: str, servers: Sequence[Server]) -> None:
        self._uri = uri
        self.servers = servers
        self.begin()

    def begin(self) -> None:
        """Forget what belongs to another running loop."""
        for server in self.servers:
            server.begin(self._uri)
        self.availability = Availability(self._uri, " and ".join(server.endpoint.base_url for server in self.servers))
        self._compared = len(self.servers) == 1
        self._comparing = asyncio.Lock()

    def answered(self, server: Server, now: float) -> None:
        """A server answered a call."""
        self.availability.answered(now)
        server.availability.answered(now)
        server.faults = 0
        if server.rests:
            server.rests, server.pace.rests_until = 0, None
            log.warning("model %s: %s answers again", self._uri, server.endpoint.base_url)

    def failed(self, server: Server, transient: Transient, *, sent_at: float, now: float) -> bool:
        """A try failed.

        Args:
            server: where.
            transient: how.
            sent_at: when it was sent.
            now: the time.

        Returns:
            Whether other servers take over what this one was asked: it is left out.
        """
        fault = transient.fault
        others = any(not other.rests for other in self.servers if other is not server)
        if fault is Fault.REFUSED or not others:  # what a refusal says of the model is found out by its calls
            return False
        server.faults += 1
        until = server.pace.rests_until
        if until is None:
            answered = server.availability.last_answered
            silent = fault in (Fault.UNREACHABLE, Fault.LATE) and (answered is None or answered < sent_at)
            asks = (transient.after or 0.0) > patience.PATIENCE_S
            if not (silent or asks or server.faults >= max(patience.SEVERAL, server.pace.limit)):
                return False
            words = printable(str(transient))
            log.warning("model %s: %s is left out until it answers: %s", self._uri, server.endpoint.base_url, words)
        if until is None or now >= until:  # not by those that were under way before it was left out
            server.rests += 1
            away = fault in (Fault.AWAY, Fault.UNREACHABLE)
            longest = patience.LONGEST_AWAY_WAIT_S if away else patience.LONGEST_WAIT_S
            rest = patience.backoff_s(fault, server.rests, after=transient.after, longest=longest)
            server.pace.rests_until = now + rest
        return True

    async def compare(self) -> None:
        """Check once that the servers which list their models list this one, or, where none does, the same.

        Raises:
            ModelUnavailableError: one of them serves something else; it is named.
        """
        if self._compared:
            return
        async with self._comparing:
            self.availability.check()
            if self._compared:
                return
            endpoints = [server.endpoint for server in self.servers]
            listings = await asyncio.gather(*(endpoint.listing() for endpoint in endpoints))
            told = [(endpoint, listing) for endpoint, listing in zip(endpoints, listings, strict=True) if listing.names]
            wrong = [(endpoint, listing) for endpoint, listing in told if endpoint.model not in listing.names]
            if len(wrong) < len(told) or len({frozenset(listing.names) for _, listing in told}) > 1:
                for endpoint, listing in wrong:
                    self.availability.stop(
                        f"{endpoint.base_url} does not serve it: it lists {endpoint.named(listing)}",
                        "All servers of one model serve it under one name. Start this one with the model, or take its "
                        "base_url out of the model's URI.",
                        kind=ModelUnavailableError,
                    )
            self._compared = True
