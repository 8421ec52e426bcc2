"""The way to a server: its address and key, the pool of connections, proxies of the environment, open files."""

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from evolvent.errors import InputError
from evolvent.models.openai.errors import ServerError
from evolvent.models.openai.wire import decode, well_formed

if TYPE_CHECKING:
    from aiohttp.client import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

CONNECT_S = 30.0
LISTING_S = 5.0
LISTED = 20  # models that are named
LONGEST_BODY = 1 << 26  # bytes; a reply of a million tokens with log probabilities is less
OTHER_FILES = 128  # open files that are no connections: the store, tables, logs, libraries
ENOUGH_FILES = 65_536


class BodyTooLongError(Exception):
    """A body of more than ``LONGEST_BODY`` bytes."""


class CleanConnector(aiohttp.TCPConnector):
    """A pool that never gives out a connection on which something came unasked.

    A second copy of a reply that arrives while its connection lies in the pool would be read as the answer to the next
    request: another record's.
    """

    async def connect(self, req: "ClientRequest", traces: "list[Trace]", timeout: "ClientTimeout") -> "Connection":
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


def open_session(timeout_s: float) -> aiohttp.ClientSession:
    """A session of unbounded connections, for the running loop.

    aiohttp's own reading of the environment (``trust_env``) stays off: it would take passwords from ~/.netrc too.
    """
    return aiohttp.ClientSession(
        connector=CleanConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s)),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """An answer's body, whole.

    Raises:
        BodyTooLongError: it has more than ``LONGEST_BODY`` bytes, unpacked; the connection is closed.
    """
    chunks, length = [], 0
    while chunk := await response.content.readany():
        chunks.append(chunk)
        length += len(chunk)
        if length > LONGEST_BODY:
            response.close()
            raise BodyTooLongError(f"the answer has more than {LONGEST_BODY:,} bytes")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def allow_open_files(connections: int) -> int:
    """Let this process open a file for each connection: raise its soft limit as far as that needs and may.

    Returns:
        How many connections there can be, up to as many as asked for.
    """
    if sys.platform == "win32":
        return connections  # sockets are not counted among files there
    import resource

    needed = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= 4 * needed:  # several models may be open
        return connections
    wanted = max(soft, 4 * needed, ENOUGH_FILES)
    allowed = wanted if hard == unlimited else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a lower limit of its own
        allowed = soft
    return max(1, min(connections, allowed - OTHER_FILES))


def proxy_of(base_url: str) -> str | None:
    """The proxy that the environment names for this server (``http_proxy``, ``https_proxy``, ``no_proxy``)."""
    url = urlsplit(base_url)
    proxy = getproxies().get(url.scheme)
    if not proxy or proxy_bypass(url.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def checked_key(key: str | None, variable: str) -> str | None:
    """A key without the white space around it; None for an empty one.

    Raises:
        InputError: it cannot be sent in a header.
    """
    key = key.strip() if key else None
    if key and (not key.isprintable() or not key.isascii() or " " in key):
        raise InputError(f"{variable} holds characters that no key has", fix="Set it to the key alone, on one line.")
    return key or None


class Listing(NamedTuple):
    """What ``GET /models`` was answered: the status (0 for no answer) and the models' names."""

    status: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked.

    Attributes:
        model: the model's name at the server.
        base_url: the address up to and including ``/v1``.
        key: the bearer token; never shown.
        key_variable: the environment variable that it came from.
        proxy: the proxy's address, or None.
    """

    model: str
    base_url: str
    key: str | None = field(repr=False)
    key_variable: str
    proxy: str | None = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """A request's headers. A session's own would go to the proxy too."""
        headers = {"Content-Type": "application/json", "User-Agent": "evolvent"}
        return headers | ({"Authorization": f"Bearer {self.key}"} if self.key else {})

    def redact(self, text: str) -> str:
        """Words that can be shown and stored: without the key, and with whole characters only."""
        text = well_formed(text)
        if not self.key:
            return text
        text = text.replace(self.key, "[key]")  # servers show the beginning of a key, too
        return re.sub(re.escape(self.key[:8]) + r"\S*", "[key]", text) if len(self.key) > 12 else text

    async def listing(self) -> Listing:
        """The models that the server lists."""
        try:
            async with (
                open_session(LISTING_S) as session,
                session.get(
                    f"{self.base_url}/models", headers=self.headers, proxy=self.proxy, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    return Listing(response.status)
                body = decode(await read_body(response))
        except (aiohttp.ClientError, BodyTooLongError, OSError, ValueError):  # a time-out is an OSError
            return Listing()
        listed = body.get("data") if isinstance(body, dict) else None
        models = listed if isinstance(listed, list) else []
        return Listing(200, tuple(str(each["id"]) for each in models if isinstance(each, dict) and "id" in each))

    def confirms(self, error: ServerError, listing: Listing) -> bool | None:
        """Whether a listing, which holds no prompt, says of a refusal that it is meant for every call.

        Returns:
            None where it says nothing either way.
        """
        if listing.status == error.status:
            return True
        if error.status == 404 and listing.names:
            return True if self.model not in listing.names else None
        if error.status == 403 and self.model in listing.names:
            return False
        return None

    def named(self, listing: Listing) -> str:
        """The models that the server lists, the first of them."""
        more = f" and {len(listing.names) - LISTED} more" if len(listing.names) > LISTED else ""
        return self.redact(", ".join(listing.names[:LISTED])) + more

    def mending(self, error: ServerError, listing: Listing) -> str:
        """What to do about a server that refuses every call so."""
        if error.unpaid:
            return "The account has no quota left: top it up, or use another key."
        if error.status in (401, 403):
            key = (
                f"The key in {self.key_variable} was not accepted."
                if self.key
                else f"{self.key_variable} holds no key."
            )
            return f"{key} Set it: export {self.key_variable}=…"
        if error.status == 404 and listing.names:
            return f"The server lists these models: {self.named(listing)}."
        return (
            "Check base_url in the model's URI; it usually ends in /v1. "
            f"The request went to {self.base_url}/chat/completions"
        )
