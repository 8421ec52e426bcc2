"""OpenAIChat: conversations answered by a server, or by several that serve one model, over one pool of connections."""

import asyncio
import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import NoReturn

import aiohttp
import orjson

from evolvent.errors import CallError, InputError, RunError
from evolvent.models.openai.connection import (
    BodyTooLongError,
    Endpoint,
    Listing,
    allow_open_files,
    checked_key,
    open_session,
    proxy_of,
    read_body,
)
from evolvent.models.openai.errors import Fault, ServerError, Transient, read_answer, said
from evolvent.models.openai.level import HIGHEST
from evolvent.models.openai.pace import Gate, Outcome, Pace
from evolvent.models.openai.patience import Patience
from evolvent.models.openai.pool import Pool, Server
from evolvent.models.openai.wire import Dialect, checked_extra
from evolvent.models.protocols import Reply, Sampling, Usage, until_kept
from evolvent.models.token_counts import CHARACTERS_A_TOKEN
from evolvent.models.uri import checked_base_url
from evolvent.records import Message

FATAL = (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL)

# At temperature 0 another seed draws nothing else: a server's blank reply is asked for again as it was.
GREEDY_TRIES = 3


class OpenAIChat:
    """A ChatModel behind OpenAI-compatible servers. Making one sends nothing and needs no running loop.

    Args:
        model: the model's name at the server.
        uri: the model's URI as records hold it.
        base_url: the server's address up to and including ``/v1``; it is part of every call's key.
        more_base_urls: those of further servers of the same model; they are in no key.
        api_key: sent as a bearer token; shown nowhere, and cut out of every error.
        extra_body: request fields merged last into every request; they may override ours.
        concurrency: how many requests at once to each server, exactly; None finds the level that suits, up to 512.
        requests_per_minute: at most so many requests a minute to each server; None for no cap.
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
        more_base_urls: Sequence[str] = (),
        api_key: str | None,
        extra_body: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        timeout_s: float = 600.0,
        api_key_env: str = "OPENAI_API_KEY",
    ) -> None:
        if not (isfinite(timeout_s) and timeout_s > 0):  # aiohttp takes zero and below for no time-out at all
            raise InputError(f"model {uri}: the time-out is {timeout_s:g} s", fix="It is a number of seconds above 0.")
        self.uri = uri
        base_url, *others = map(checked_base_url, (base_url, *more_base_urls))
        key = checked_key(api_key, api_key_env)
        endpoints = [Endpoint(model, url, key, api_key_env, proxy_of(url)) for url in (base_url, *others)]
        self._timeout_s = timeout_s
        self._dialect = Dialect(model, uri, checked_extra(extra_body or {}))
        named = {"backend": "openai", "base_url": base_url, "model": model, "extra_body": extra_body or {}}
        self.identity = orjson.dumps(named, option=orjson.OPT_SORT_KEYS).decode()
        wanted = (concurrency or HIGHEST) * len(endpoints)
        connections = allow_open_files(wanted)
        most = max(1, connections // len(endpoints))
        if concurrency and connections < wanted:
            raise InputError(
                f"model {uri}: {wanted:,} requests at once need {wanted - connections:,} more open files "
                "than the system's hard limit allows",
                fix=f"Lower --concurrency to {most:,} or less, or raise the limit (ulimit -n).",
            )
        self.concurrency = 3 * wanted if concurrency else 2 * connections
        paces = [
            Pace(
                concurrency,
                timeout_s=timeout_s,
                highest=most,
                requests_per_minute=requests_per_minute,
                tokens_per_minute=tokens_per_minute,
            )
            for _ in endpoints
        ]
        self._gate = Gate(paces, uri=uri)
        self._pool = Pool(uri, [Server(uri, *each) for each in zip(endpoints, paces, strict=True)])
        self._reply_tokens: float | None = None  # what replies take on average
        self._prompts_refused = False  # a 403 was found to be meant for prompts, not for the key
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin(None)

    def __repr__(self) -> str:
        return f"OpenAIChat({self.uri!r})"

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation.

        Raises:
            CallError: the server refused this conversation, answered nothing usable, or failed every retry.
            ModelUnavailableError: no server there, no key, no such model, or no quota left.
            RunError: the same of a server that had answered calls before, or it asks for a longer wait than can be.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._begin(loop)
        await self._pool.compare()
        dialect = self._dialect
        known = len(dialect.refused)
        body = dialect.body(messages, sampling)
        answer = await self._send(body, messages, sampling)
        if not isinstance(answer, ServerError):
            return answer
        if dialect.refused_in(body, answer.refuses) is None:
            self._fail(answer)
        # One call finds out what the server takes; those that were refused at the same time then know it.
        async with self._learning:
            if len(dialect.refused) == known:
                return await self._find_out(answer, body, messages, sampling)
        return await self.chat(messages, sampling)

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        session = self._session
        self._begin(None)
        if session is not None:
            await session.close()

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Forget what belongs to another loop: connections, locks, times. A session left open there is not usable."""
        self._loop = loop
        self._session: aiohttp.ClientSession | None = None
        self._learning, self._diagnosing = asyncio.Lock(), asyncio.Lock()
        self._pool.begin()
        self._gate.close()

    async def _find_out(
        self, answer: Reply | ServerError, body: Mapping[str, object], messages: Sequence[Message], sampling: Sampling
    ) -> Reply:
        """Send a body without the fields that the server refuses; only what is accepted then was a refusal of them."""
        refused: dict[str, ServerError] = {}
        while isinstance(answer, ServerError):
            name = self._dialect.refused_in(body, answer.refuses)
            if name is None:
                self._fail(answer)
            refused[name] = answer
            body = self._dialect.body(messages, sampling, without=refused)
            answer = await self._send(body, messages, sampling)
        for name, error in refused.items():
            self._dialect.learn(name, error)
        return answer

    async def _send(
        self, body: Mapping[str, object], messages: Sequence[Message], sampling: Sampling
    ) -> Reply | ServerError:
        """Send one body until it is answered, or raise what no further try can change."""
        try:
            data = orjson.dumps(body)
        except TypeError as error:
            raise CallError(f"model {self.uri}: the conversation cannot be written as JSON: {error}") from error
        clock = asyncio.get_running_loop().time
        availability = self._pool.availability
        patience: Patience | None = None
        used: list[Usage] = []
        while True:
            expected = sampling.max_tokens if self._reply_tokens is None else self._reply_tokens
            ticket = await self._gate.enter(
                len(data) / CHARACTERS_A_TOKEN + expected, again=patience is not None or bool(used)
            )
            outcome, tokens, kept, server = Outcome.OTHER, None, False, self._pool.servers[ticket.place]
            try:
                availability.check()  # what one call found out, the others need not try again
                status, headers, raw = await self._post(server, data)
                self._gate.heard(ticket, headers)
                answer = read_answer(
                    status, headers, raw, messages, sampling, uri=self.uri, redact=server.endpoint.redact
                )
                if isinstance(answer, Reply):
                    self._pool.answered(server, clock())
                    outcome, tokens = Outcome.ANSWERED, answer.usage.prompt_tokens + answer.usage.completion_tokens
                    self._learn_length(answer.usage.completion_tokens)
                    used.append(answer.usage)
                    if sampling.temperature == 0 and _is_blank(answer) and len(used) < GREEDY_TRIES:
                        continue
                    kept = True
                    if len(self._pool.servers) > 1:
                        answer = replace(answer, server=server.endpoint.base_url)
                    return answer if len(used) == 1 else replace(answer, usage=_together(used))
                if answer.unpaid:
                    endpoint = server.endpoint
                    availability.stop(f"{endpoint.base_url} says {answer}", endpoint.mending(answer, Listing()))
                return answer
            except Transient as transient:
                if transient.fault not in (Fault.BROKEN, Fault.REFUSED):
                    outcome = Outcome.REFUSED
                tokens = 0 if transient.fault is Fault.LIMITED else None
                patience = patience or Patience(self._timeout_s)
                if self._pool.failed(server, transient, sent_at=ticket.sent_at, now=clock()):
                    self._move_on(transient, patience, ticket.sent_at, clock())
                    continue
                wait = await self._wait_s(server, transient, patience, ticket.sent_at, clock())
                if patience.refusals == 1 and availability.last_answered is None:
                    # A wrong key is found out by the first few calls: nobody is let in behind them meanwhile.
                    await asyncio.sleep(wait)
                    wait = 0.0
            finally:
                leave = partial(self._gate.leave, ticket, outcome, tokens)
                places = until_kept.get()
                if places is None or not kept:
                    leave()  # a reply that is given up is never kept: its place would be lost
                else:
                    places.append(leave)
            await asyncio.sleep(wait)
            availability.check()

    def _learn_length(self, tokens: int) -> None:
        before = tokens if self._reply_tokens is None else self._reply_tokens
        self._reply_tokens = before + (tokens - before) / 16

    def _move_on(self, transient: Transient, patience: Patience, sent_at: float, now: float) -> None:
        """Let another server be tried at once; but a call that is at fault itself does not go round them for ever.

        Raises:
            CallError: six of its tries reached a server and failed.
        """
        answered = self._pool.availability.last_answered
        reached = transient.fault not in (Fault.UNREACHABLE, Fault.LIMITED)
        if reached and patience.wait_s(transient, now=now, sent_at=sent_at, last_answered=answered) is None:
            self._pool.availability.give_up(transient, patience)

    async def _wait_s(
        self, server: Server, transient: Transient, patience: Patience, sent_at: float, now: float
    ) -> float:
        """Seconds until the next try of a call, or raise what it means that there is to be none."""
        availability = self._pool.availability
        availability.failed(str(transient), now)
        wait = patience.wait_s(transient, now=now, sent_at=sent_at, last_answered=availability.last_answered)
        if transient.error is not None:
            await self._refused(server, transient.error, patience, now, last=wait is None)
        if wait is None:
            availability.give_up(transient, patience)
        return wait

    async def _refused(self, server: Server, error: ServerError, patience: Patience, now: float, *, last: bool) -> None:
        """Judge a refusal that reads as if no call could succeed: 401, 403, 404 …

        A firewall refuses one prompt so, and a proxy that starts anew a few requests. So it holds for the model only
        where several calls meet it with no answer to anybody in between, or the list of models is refused the same way.

        Raises:
            ModelUnavailableError or RunError: it holds for the model.
            CallError: this call met it at its last try.
        """
        availability, endpoint = server.availability, server.endpoint
        several = availability.refuses_all(first=patience.refusals == 1, now=now)
        again = patience.refusals == 2 or len(self._pool.servers) > 1  # of several the next try may go to another
        alone = again and availability.last_answered is None  # a run of few records
        if not (several or alone or last) or (error.status == 403 and self._prompts_refused and not last):
            return
        words = f"{endpoint.base_url} says {error}"
        if last and not several and (self._prompts_refused or availability.last_answered is not None):
            fix = "Other calls are not refused so: a firewall or a proxy on the way may refuse this one's words."
            raise CallError(f"model {self.uri}: no answer in all its tries; the last: {words}", fix=fix)
        async with self._diagnosing:
            self._pool.availability.check()
            listing = await endpoint.listing() if error.status in (401, 403, 404) else Listing()
            says, fix = endpoint.confirms(error, listing), endpoint.mending(error, listing)
            self._prompts_refused = self._prompts_refused or says is False
            if (several and says is not False) or (alone and says):
                self._pool.availability.stop(words, fix)
        if last:
            raise CallError(f"model {self.uri}: no answer in all its tries; the last: {words}", fix=fix)

    async def _post(self, server: Server, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """One request: its status, headers and body. Errors of aiohttp can hold the key, so none is chained."""
        if self._session is None:
            self._session = open_session(self._timeout_s)  # in the loop that first calls
        endpoint = server.endpoint
        try:
            async with self._session.post(
                server.url, data=data, headers=server.headers, proxy=endpoint.proxy, allow_redirects=False
            ) as response:
                return response.status, response.headers, await read_body(response)
        except FATAL as error:
            self._pool.availability.stop(
                f"cannot connect to {endpoint.base_url}: {endpoint.redact(said(error))}",
                "Check base_url in the model's URI, the server's certificate and your proxy settings.",
            )
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise Transient("no connection in time", Fault.UNREACHABLE) from None
            raise Transient(f"no reply within {self._timeout_s:g} s", Fault.LATE) from None
        except BodyTooLongError as error:
            raise Transient(str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                kind = InputError if self._pool.availability.last_answered is None else RunError
                raise kind(
                    f"model {self.uri}: {said(error)}: {self._gate.in_flight:,} requests are under way",
                    fix="Lower --concurrency, or raise the limit of open files (ulimit -n).",
                ) from None
            unreachable = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)
            fault = Fault.UNREACHABLE if unreachable else Fault.AWAY
            raise Transient(endpoint.redact(said(error)), fault) from None

    def _fail(self, error: ServerError) -> NoReturn:
        """Raise what an error that no other try can change means for the caller."""
        if error.too_long:
            raise CallError(
                f"model {self.uri}: the conversation and its reply do not fit the model's context ({error})",
                fix="Lower --max-tokens, shorten the conversation, or start the server with a longer context.",
            )
        own = [name for name in self._dialect.extra_body if name in error.message]
        fix = f"If the server does not know {', '.join(own)}, take it out of --extra-body." if own else ""
        raise CallError(f"model {self.uri}: {error}", fix=fix)


def _is_blank(reply: Reply) -> bool:
    """Whether a reply holds nothing and does not say why, as servers answer when they are at fault."""
    return not (reply.text.strip() or reply.refusal or reply.reasoning) and reply.finish_reason in ("stop", "unknown")


def _together(used: Sequence[Usage]) -> Usage:
    """The tokens of one call's replies, those that were given up included: they are paid, too."""
    return Usage(
        sum(usage.prompt_tokens for usage in used),
        sum(usage.completion_tokens for usage in used),
        any(usage.estimated for usage in used),
    )
