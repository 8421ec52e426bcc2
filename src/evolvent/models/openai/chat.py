"""OpenAIChat: conversations answered by a server, over one pool of connections."""

import asyncio
import errno
from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite
from typing import NoReturn

import aiohttp
import orjson
from yarl import URL

from evolvent.errors import CallError, EvolventError, InputError, ModelUnavailableError, RunError
from evolvent.models.openai.connection import (
    allow_open_files,
    checked_key,
    open_session,
    proxy_of,
    said,
    without_key,
)
from evolvent.models.openai.gate import Gate, Outcome
from evolvent.models.openai.level import HIGHEST
from evolvent.models.openai.reply import decode, read_reply
from evolvent.models.openai.request import Dialect
from evolvent.models.openai.retries import Fault, Patience, Transient
from evolvent.models.openai.server_errors import ServerError, error_in_success, read_error, retry_after
from evolvent.models.protocols import Reply, Sampling, until_kept
from evolvent.models.uri import checked_base_url
from evolvent.records import Message

LISTING_S = 5.0
SHOWN = 300
RAW_KEPT = 10_000  # characters of an answer that could not be read
CHARACTERS_A_TOKEN = 4
FATAL = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, aiohttp.InvalidURL)
AWAY = {502, 503, 504, 529}


class OpenAIChat:
    """A ChatModel behind an OpenAI-compatible server. Making one sends nothing and needs no running loop.

    Args:
        model: the model's name at the server.
        uri: the model's URI as records hold it.
        base_url: the server's address up to and including ``/v1``.
        api_key: sent as a bearer token; shown nowhere, and cut out of every error.
        extra_body: request fields merged last into every request; they may override ours.
        concurrency: how many requests at once, exactly; None finds the level that suits the server, up to 512.
        requests_per_minute: at most so many requests a minute; None for no cap.
        tokens_per_minute: at most so many tokens a minute, prompts and replies; None for no cap.
        timeout_s: seconds that one try may take from connecting to the reply's last byte.
        api_key_env: the environment variable that the key came from, for errors.

    Attributes:
        concurrency: how many calls to have open: more than requests at once, because a call that waits before its next
            try holds up none.

    Raises:
        InputError: a base URL, key, extra field or time-out that cannot work, or more requests at once than this
            process may open files.
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
        self.concurrency = 3 * concurrency if concurrency else 2 * HIGHEST
        self._base_url = checked_base_url(base_url)
        self._url: URL | str = URL(f"{self._base_url}/chat/completions")
        self._api_key = checked_key(api_key, api_key_env)
        self._api_key_env = api_key_env
        if not (isfinite(timeout_s) and timeout_s > 0):  # aiohttp takes zero and below for no time-out at all
            raise InputError(f"model {uri}: the time-out is {timeout_s:g} s", fix="It is a number of seconds above 0.")
        self._timeout_s = timeout_s
        allow_open_files(concurrency or HIGHEST, uri)
        # The key goes with each request: aiohttp sends a session's own headers to the proxy too.
        self._headers = {"Content-Type": "application/json", "User-Agent": "evolvent"}
        if self._api_key:
            self._headers["Authorization"] = f"Bearer {self._api_key}"
        self._proxy = proxy_of(self._base_url)
        self._dialect = Dialect(model, uri, _checked_extra(extra_body or {}))
        named = {"backend": "openai", "base_url": self._base_url, "model": model, "extra_body": extra_body or {}}
        self.identity = orjson.dumps(named, option=orjson.OPT_SORT_KEYS).decode()
        self._gate = Gate(
            concurrency,
            timeout_s=timeout_s,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self._reply_tokens: float | None = None  # what replies take on average
        self._session: aiohttp.ClientSession | None = None
        self._learning = asyncio.Lock()
        self._diagnosing = asyncio.Lock()
        self._answered = False
        self._unavailable: EvolventError | None = None

    def __repr__(self) -> str:
        return f"OpenAIChat({self.uri!r})"

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation.

        Raises:
            CallError: the server refused this conversation, answered nothing usable, or failed every retry.
            ModelUnavailableError: no server there, no key, no such model, or no quota left.
            RunError: the same of a server that had answered calls before.
        """
        dialect = self._dialect
        changes = dialect.changes
        body = dialect.body(messages, sampling)
        answer = await self._send(body, messages, sampling)
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
                answer = await self._send(body, messages, sampling)
        return await self.chat(messages, sampling) if isinstance(answer, ServerError) else answer

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        session, self._session = self._session, None
        self._unavailable = None
        self._learning, self._diagnosing = asyncio.Lock(), asyncio.Lock()  # a lock stays with the loop it waited in
        self._gate.close()
        if session is not None:
            await session.close()

    async def _send(
        self, body: Mapping[str, object], messages: Sequence[Message], sampling: Sampling
    ) -> Reply | ServerError:
        """Send one body until it is answered, or raise what no further try can change."""
        try:
            data = orjson.dumps(body)
        except TypeError as error:
            raise CallError(f"model {self.uri}: the conversation cannot be written as JSON: {error}") from error
        patience: Patience | None = None
        while True:
            expected = sampling.max_tokens if self._reply_tokens is None else self._reply_tokens
            ticket = await self._gate.enter(len(data) / CHARACTERS_A_TOKEN + expected)
            outcome, tokens = Outcome.OTHER, None
            try:
                self._check_available()  # what one call found out, the others need not try again
                status, headers, raw = await self._post(data)
                self._gate.heard(ticket, headers)
                answer = self._read(status, headers, raw, messages, sampling)
                if isinstance(answer, Reply):
                    self._answered = True
                    outcome, tokens = Outcome.ANSWERED, answer.usage.prompt_tokens + answer.usage.completion_tokens
                    self._learn_length(answer.usage.completion_tokens)
                return answer
            except Transient as transient:
                if transient.fault is not Fault.BROKEN:
                    outcome = Outcome.REFUSED
                tokens = 0 if transient.fault is Fault.LIMITED else None
                patience = patience or Patience(self._timeout_s)
                wait = patience.wait_s(transient, known=self._answered)
                if wait is None:
                    self._give_up(transient)
            finally:
                leave = partial(self._gate.leave, ticket, outcome, tokens)
                held = until_kept.get()
                if held is None or outcome is not Outcome.ANSWERED:
                    leave()
                else:
                    held.append(leave)
            await asyncio.sleep(wait)
            self._check_available()

    def _check_available(self) -> None:
        if self._unavailable is not None:
            raise type(self._unavailable)(self._unavailable.message, fix=self._unavailable.fix)

    def _learn_length(self, tokens: int) -> None:
        before = tokens if self._reply_tokens is None else self._reply_tokens
        self._reply_tokens = before + (tokens - before) / 16

    def _give_up(self, transient: Transient) -> NoReturn:
        """Raise what a fault that outlasted all patience means.

        A server that cannot be reached any more would fail every record that is left, so the run stops: what it has
        is stored, and the same command goes on once the server is back.
        """
        if transient.fault is not Fault.UNREACHABLE:
            raise CallError(
                f"model {self.uri}: no answer in all its tries; the last: {transient}", raw=transient.raw
            ) from None
        if self._answered:
            self._unavailable = RunError(
                f"model {self.uri}: the server at {self._base_url} stopped answering: {transient}",
                fix="What it answered is stored. Start the server again, then the same command: it goes on.",
            )
        else:
            self._unavailable = ModelUnavailableError(
                f"model {self.uri}: no server answers at {self._base_url}: {transient}",
                fix="Start the server, or correct base_url=http://host:port/v1 in the model's URI; then run it again.",
            )
        raise self._unavailable from None

    async def _post(self, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """One request: its status, headers and body. Errors of aiohttp can hold the key, so none is chained."""
        if self._session is None:
            self._session = open_session(self._timeout_s)  # in the loop that first calls
        try:
            async with self._session.request(
                "POST", self._url, data=data, headers=self._headers, proxy=self._proxy, allow_redirects=False
            ) as response:
                return response.status, response.headers, await response.read()
        except FATAL as error:
            raise ModelUnavailableError(
                f"model {self.uri}: cannot connect to {self._base_url}: {self._redact(said(error))}",
                fix="Check base_url in the model's URI, the server's certificate and your proxy settings.",
            ) from None
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise Transient("no connection in time", Fault.UNREACHABLE) from None
            raise Transient(f"no reply within {self._timeout_s:g} s", Fault.LATE) from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise InputError(
                    f"model {self.uri}: {said(error)}: {self._gate.in_flight:,} requests are under way",
                    fix="Lower --concurrency, or raise the limit of open files (ulimit -n).",
                ) from None
            unreachable = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)
            fault = Fault.UNREACHABLE if unreachable else Fault.AWAY
            raise Transient(self._redact(said(error)), fault) from None

    def _read(
        self, status: int, headers: Mapping[str, str], raw: bytes, messages: Sequence[Message], sampling: Sampling
    ) -> Reply | ServerError:
        """What an answer says.

        Raises:
            Transient: an error that another try may not meet.
            CallError: JSON that is no chat completion.
        """
        body: object = None
        try:
            body = decode(raw)
        except ValueError:
            if 200 <= status < 300:
                kind = headers.get("content-type", "no content type")
                words = read_error(status, None, raw, self._redact).message
                what = f"a reply that cannot be read as JSON ({len(raw):,} bytes, {kind}): {words}"
                raise Transient(what, raw=self._kept(raw)) from None
        if 200 <= status < 300:
            inside = error_in_success(body) if isinstance(body, dict) else None
            if inside is None:
                return self._completion(body, raw, messages, sampling)
            status, body = inside
        refusal = read_error(status, body, raw, self._redact)
        if 300 <= status < 400:
            refusal = ServerError(status, f"the server redirects to {self._redact(headers.get('location', 'nowhere'))}")
        if refusal.temporary:
            fault = Fault.LIMITED if status == 429 else Fault.AWAY if status in AWAY else Fault.BROKEN
            raise Transient(str(refusal), fault, after=retry_after(headers))
        return refusal

    def _completion(self, body: object, raw: bytes, messages: Sequence[Message], sampling: Sampling) -> Reply:
        try:
            if not isinstance(body, dict):
                raise TypeError("no object")
            return read_reply(body, messages, sampling)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:  # JSON of another shape
            kept = self._kept(raw)
            raise CallError(
                f"model {self.uri}: the server's answer is no chat completion: {kept[:SHOWN]}", raw=kept
            ) from error

    def _kept(self, raw: bytes) -> str:
        return self._redact(raw[: 4 * RAW_KEPT].decode("utf-8", "replace"))[:RAW_KEPT]

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
            if self._unavailable is None:
                message, fix = await self._diagnosis(error)
                kind = RunError if self._answered else ModelUnavailableError
                self._unavailable = kind(message, fix=fix)
        raise type(self._unavailable)(self._unavailable.message, fix=self._unavailable.fix)

    async def _diagnosis(self, error: ServerError) -> tuple[str, str]:
        """What is wrong with a server that will answer no call, and what to do about it."""
        message = f"model {self.uri}: {self._base_url} says {error}"
        variable = self._api_key_env
        if error.out_of_quota or error.status == 402:
            return message, "The account has no quota left: top it up, or use another key."
        if error.status in (401, 403):
            held = f"The key in {variable} was not accepted." if self._api_key else f"{variable} holds no key."
            return message, f"{held} Set it: export {variable}=…"
        if error.status == 404:
            served = await self._listing()
            if served:
                return message, f"The server lists these models: {served}."
        return message, f"Check base_url in the model's URI; it usually ends in /v1. The request went to {self._url}"

    async def _listing(self) -> str:
        """The models that the server lists, or "" if it lists none."""
        try:
            async with (
                open_session(LISTING_S) as session,
                session.get(
                    f"{self._base_url}/models", headers=self._headers, proxy=self._proxy, allow_redirects=False
                ) as response,
            ):
                body = decode(await response.read()) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, ValueError):  # a time-out is an OSError
            return ""
        listed = body.get("data") if isinstance(body, dict) else None
        names = [str(m["id"]) for m in listed if isinstance(m, dict) and "id" in m] if isinstance(listed, list) else []
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        return self._redact(", ".join(names[:20]) + more)

    def _redact(self, text: str) -> str:
        return without_key(text, self._api_key)


def _checked_extra(extra: Mapping[str, object]) -> dict[str, object]:
    if extra.get("stream") or extra.get("n", 1) != 1:
        raise InputError("extra request fields ask for a stream or several choices", fix="Leave out stream and n.")
    try:
        orjson.dumps(extra)
    except TypeError as error:
        raise InputError(f"the extra request fields are not JSON: {error}") from error
    return dict(extra)
