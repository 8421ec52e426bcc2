"""OpenAIChat: conversations answered by a server, over one pool of connections."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from math import isfinite
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.openai.reply import decode, read_reply
from evolvent.models.openai.request import Dialect
from evolvent.models.openai.retries import Patience, Transient
from evolvent.models.openai.server_errors import ServerError, error_in_success, read_error, retry_after
from evolvent.models.protocols import Reply, Sampling
from evolvent.models.uri import checked_base_url
from evolvent.records import Message

CONNECT_S = 30.0
LISTING_S = 5.0
SHOWN = 300
FATAL = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, aiohttp.InvalidURL)


class OpenAIChat:
    """A ChatModel behind an OpenAI-compatible server. Making one sends nothing and needs no running loop.

    The number of calls at once is the caller's; the pool of connections grows with it.

    Args:
        model: the model's name at the server.
        uri: the model's URI as records hold it.
        base_url: the server's address up to and including ``/v1``.
        api_key: sent as a bearer token; shown nowhere, and cut out of every error.
        extra_body: request fields merged last into every request; they may override ours.
        concurrency: how many calls at once suit the server when the user names no number.
        timeout_s: seconds that one try may take from connecting to the reply's last byte.
        api_key_env: the environment variable that the key came from, for errors.

    Raises:
        InputError: a base URL, key, extra field or time-out that cannot work.
    """

    def __init__(
        self,
        model: str,
        *,
        uri: str,
        base_url: str,
        api_key: str | None,
        extra_body: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        timeout_s: float = 600.0,
        api_key_env: str = "OPENAI_API_KEY",
    ) -> None:
        self.uri = uri
        self.concurrency = concurrency or 64
        self._base_url = checked_base_url(base_url)
        self._url = f"{self._base_url}/chat/completions"
        self._api_key = _checked_key(api_key, api_key_env)
        self._api_key_env = api_key_env
        if not (isfinite(timeout_s) and timeout_s > 0):  # aiohttp takes zero and below for no time-out at all
            raise InputError(f"model {uri}: the time-out is {timeout_s:g} s", fix="It is a number of seconds above 0.")
        self._timeout_s = timeout_s
        # The key goes with each request: aiohttp sends a session's own headers to the proxy too.
        self._headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        self._proxy = _proxy(self._base_url)
        self._dialect = Dialect(model, uri, _checked_extra(extra_body or {}))
        named = {"backend": "openai", "base_url": self._base_url, "model": model, "extra_body": extra_body or {}}
        self.identity = orjson.dumps(named, option=orjson.OPT_SORT_KEYS).decode()
        self._session: aiohttp.ClientSession | None = None
        self._learning = asyncio.Lock()
        self._diagnosing = asyncio.Lock()
        self._unavailable: ModelUnavailableError | None = None

    def __repr__(self) -> str:
        return f"OpenAIChat({self.uri!r})"

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation.

        Raises:
            CallError: the server refused this conversation, answered nothing usable, or failed every retry.
            ModelUnavailableError: no server there, no key, no such model, or no quota left.
        """
        body = await self._ask(messages, sampling)
        try:
            return read_reply(body, messages, sampling)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:  # JSON of another shape
            shown = self._redact(str(body))[:SHOWN]
            raise CallError(f"model {self.uri}: the server's answer is no chat completion: {shown}") from error

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        session, self._session = self._session, None
        self._unavailable = None
        self._learning, self._diagnosing = asyncio.Lock(), asyncio.Lock()  # a lock stays with the loop it waited in
        if session is not None:
            await session.close()

    async def _ask(self, messages: Sequence[Message], sampling: Sampling) -> Mapping[str, object]:
        """A completion, whatever the server had to be told otherwise before it gave one."""
        dialect = self._dialect
        changes = dialect.changes
        body = dialect.body(messages, sampling)
        answer = await self._send(body)
        if not isinstance(answer, ServerError):
            return answer
        if dialect.refused(answer, body) is None:
            await self._fail(answer)
        # One call finds out what the server takes; those that were refused at the same time then know it.
        async with self._learning:
            while dialect.changes == changes and isinstance(answer, ServerError):
                name = dialect.refused(answer, body)
                if name is None:
                    await self._fail(answer)
                dialect.learn(name, answer)
                changes = dialect.changes
                body = dialect.body(messages, sampling)
                answer = await self._send(body)
        return await self._ask(messages, sampling) if isinstance(answer, ServerError) else answer

    async def _send(self, body: Mapping[str, object]) -> Mapping[str, object] | ServerError:
        """Send one body until it is answered, or raise what no further try can change."""
        try:
            data = orjson.dumps(body)
        except TypeError as error:
            raise CallError(f"model {self.uri}: the conversation cannot be written as JSON: {error}") from error
        patience = Patience(self._timeout_s)
        while self._unavailable is None:  # what one call found out, the others need not try again
            try:
                return await self._try(data)
            except Transient as fault:
                wait = patience.wait_s(fault)
                if wait is None:
                    self._give_up(fault)
            await asyncio.sleep(wait)
        raise ModelUnavailableError(self._unavailable.message, fix=self._unavailable.fix)

    def _give_up(self, fault: Transient) -> NoReturn:
        """Raise what a fault that outlasted all patience means.

        A server that cannot be reached any more would fail every record that is left, so the run stops: what it has
        is stored, and the same command goes on once the server is back.
        """
        if not fault.unreachable:
            raise CallError(f"model {self.uri}: no answer in all its tries; the last: {fault}") from None
        self._unavailable = ModelUnavailableError(
            f"model {self.uri}: no server answers at {self._base_url}: {fault}",
            fix="Start the server, or correct base_url=http://host:port/v1 in the model's URI; then run it again.",
        )
        raise self._unavailable from None

    async def _try(self, data: bytes) -> Mapping[str, object] | ServerError:
        """One request. Errors of aiohttp can hold the request's headers, so none is chained."""
        try:
            async with self._request("POST", self._url, data=data) as response:
                status, headers = response.status, response.headers
                raw = await response.read()
        except FATAL as error:
            raise ModelUnavailableError(
                f"model {self.uri}: cannot connect to {self._base_url}: {self._redact(_said(error))}",
                fix="Check base_url in the model's URI, the server's certificate and your proxy settings.",
            ) from None
        except TimeoutError as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            words = "no connection in time" if connecting else f"no reply within {self._timeout_s:g} s"
            raise Transient(words, unreachable=connecting) from None
        except (aiohttp.ClientError, OSError) as error:
            unreachable = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)
            raise Transient(self._redact(_said(error)), unreachable=unreachable) from None
        try:
            body = decode(raw)
        except ValueError:
            body = None
        if 200 <= status < 300:
            if body is None:
                kind = headers.get("content-type", "no content type")
                words = read_error(status, None, raw, self._redact).message
                raise Transient(f"a reply that cannot be read as JSON ({len(raw):,} bytes, {kind}): {words}")
            if not isinstance(body, dict):
                return ServerError(status, "the reply is JSON but no chat completion")
            inside = error_in_success(body)
            if inside is None:
                return body
            status, body = inside
        refusal = read_error(status, body, raw, self._redact)
        if 300 <= status < 400:
            refusal = ServerError(status, f"the server redirects to {self._redact(headers.get('location', 'nowhere'))}")
        if refusal.temporary:
            raise Transient(str(refusal), after=retry_after(headers), rate_limited=status == 429)
        return refusal

    async def _fail(self, error: ServerError) -> NoReturn:
        """Raise what an error means for the caller."""
        if error.too_long:
            raise CallError(
                f"model {self.uri}: the conversation and its reply do not fit the model's context ({error})",
                fix="Lower --max-tokens, shorten the conversation, or start the server with a longer context.",
            )
        if not error.final_for_model:
            own = [name for name in self._dialect.extra_body if name in error.message]
            fix = f"If the server does not know {', '.join(own)}, take it out of --extra-body." if own else ""
            raise CallError(f"model {self.uri}: {error}", fix=fix)
        async with self._diagnosing:
            self._unavailable = self._unavailable or await self._diagnosis(error)
        raise ModelUnavailableError(self._unavailable.message, fix=self._unavailable.fix)

    async def _diagnosis(self, error: ServerError) -> ModelUnavailableError:
        """What to do about a server that will answer no call."""
        message = f"model {self.uri}: {self._base_url} says {error}"
        variable = self._api_key_env
        if error.out_of_quota or error.status == 402:
            return ModelUnavailableError(message, fix="The account has no quota left: top it up, or use another key.")
        if error.status in (401, 403):
            held = f"The key in {variable} was not accepted." if self._api_key else f"{variable} holds no key."
            return ModelUnavailableError(message, fix=f"{held} Set it: export {variable}=…")
        if error.status == 404:
            served = await self._listing()
            if served:
                return ModelUnavailableError(message, fix=f"The server lists these models: {served}.")
        fix = "Check base_url in the model's URI; it usually ends in /v1. The request went to " + self._url
        return ModelUnavailableError(message, fix=fix)

    async def _listing(self) -> str:
        """The models that the server lists, or "" if it lists none."""
        try:
            timeout = aiohttp.ClientTimeout(total=LISTING_S)
            async with self._request("GET", f"{self._base_url}/models", timeout=timeout) as response:
                body = decode(await response.read()) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, ValueError):  # a time-out is an OSError
            return ""
        listed = body.get("data") if isinstance(body, dict) else None
        names = [str(m["id"]) for m in listed if isinstance(m, dict) and "id" in m] if isinstance(listed, list) else []
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        return self._redact(", ".join(names[:20]) + more)

    def _request(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A request in the session, which is made in the loop that first calls.

        aiohttp's own reading of the environment (``trust_env``) stays off: it would take passwords from ~/.netrc too.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=min(CONNECT_S, self._timeout_s)),
                headers={"Content-Type": "application/json", "User-Agent": "evolvent"},
            )
        return self._session.request(
            method, url, headers=self._headers, proxy=self._proxy, allow_redirects=False, **options
        )

    def _redact(self, text: str) -> str:
        """The text without the key, also where the server shows only the beginning of it."""
        if not self._api_key:
            return text
        text = text.replace(self._api_key, "[key]")
        return re.sub(re.escape(self._api_key[:8]) + r"\S*", "[key]", text) if len(self._api_key) > 12 else text


def _checked_key(key: str | None, variable: str) -> str | None:
    key = key.strip() if key else None
    if key and (not key.isprintable() or not key.isascii() or " " in key):
        raise InputError(f"{variable} holds characters that no key has", fix="Set it to the key alone, on one line.")
    return key or None


def _checked_extra(extra: Mapping[str, object]) -> dict[str, object]:
    if extra.get("stream") or extra.get("n", 1) != 1:
        raise InputError("extra request fields ask for a stream or several choices", fix="Leave out stream and n.")
    try:
        orjson.dumps(extra)
    except TypeError as error:
        raise InputError(f"the extra request fields are not JSON: {error}") from error
    return dict(extra)


def _proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this server (``http_proxy``, ``https_proxy``, ``no_proxy``)."""
    url = urlsplit(base_url)
    proxy = getproxies().get(url.scheme)
    if not proxy or proxy_bypass(url.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _said(error: Exception) -> str:
    words = re.sub(r"://\S*@", "://", str(error))  # a proxy's password
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
