"""The way to a server: the pool of connections, bodies, proxies of the environment, keys, open files."""

import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from evolvent.errors import InputError

if TYPE_CHECKING:
    from aiohttp.client import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

CONNECT_S = 30.0
LONGEST_BODY = 1 << 26  # bytes; a reply of a million tokens with log probabilities is less
FILES_BESIDE = 128  # open files that are no connections: the store, tables, logs, libraries
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

    needed = connections + FILES_BESIDE
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
    return max(1, min(connections, allowed - FILES_BESIDE))


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


def without_key(text: str, key: str | None) -> str:
    """The text without the key, also where the server shows only the beginning of it."""
    if not key:
        return text
    text = text.replace(key, "[key]")
    return re.sub(re.escape(key[:8]) + r"\S*", "[key]", text) if len(key) > 12 else text


def said(error: Exception) -> str:
    """An exception's type and words, without a proxy's password."""
    words = re.sub(r"://\S*@", "://", str(error))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
