"""An OpenAI-compatible server that misbehaves as real ones do. Its good replies depend on the request alone."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from time import time
from typing import Any

import orjson
from aiohttp import web

from tests.faults.draw import Draw
from tests.openai_server import reply_to
from tests.processes import LONG_S

Body = dict[str, Any]
Fault = Callable[[Body], web.Response]
TEN_MB = 10 << 20


class FaultyServer:
    """Answers chat completions on a port of this machine.

    Attributes:
        draw: which request meets which fault; replace it to begin anew.
        latency_s: seconds that a reply takes.
        arrivals: the requests' prompts in the order in which they came.
        peak: how many were being answered at once at the most.
        before_reply: awaited before each reply with its prompt, to hold some of them back.
        bearers: the keys that the requests came with.
    """

    def __init__(self) -> None:
        self.port = 0
        self.reset()

    def reset(self) -> None:
        """Forget what came; answer well from now on."""
        self.draw = Draw()
        self.latency_s = 0.01
        self.arrivals: list[str] = []
        self.bearers: set[str] = set()
        self.peak = 0
        self.before_reply: Callable[[str], Awaitable[None]] | None = None
        self._now = 0

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = orjson.loads(raw)
        prompt = body["messages"][-1]["content"]
        self.arrivals.append(prompt)
        self.bearers.add(request.headers.get("Authorization", ""))
        fault = self.draw.fault(raw)
        self._now += 1
        self.peak = max(self.peak, self._now)
        try:
            await asyncio.sleep(self.latency_s)
            if self.before_reply is not None:
                await self.before_reply(prompt)
        finally:
            self._now -= 1
        return FAULTS[fault](body) if fault else says(body)


class Background:
    """An event loop in a thread of its own, for servers of a test that waits for a process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="servers", daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[None]) -> None:
        """Run a coroutine to its end."""

        async def wrapped() -> None:
            await work

        asyncio.run_coroutine_threadsafe(wrapped(), self.loop).result(LONG_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


def says(body: Body, text: str | None = None, **choice: Any) -> web.Response:
    """A completion: of the request alone unless a text is given."""
    prompt = body["messages"][-1]["content"]
    text = _good(body) if text is None else text
    return completion({"content": text}, prompt, **choice)


def completion(message: Body, prompt: str = "", **choice: Any) -> web.Response:
    """A completion with this message."""
    words = str(message.get("content") or "").split()
    return answer(
        {
            "id": "c1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop", **choice}],
            "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": len(words)},
        }
    )


def answer(body: Any, status: int = 200, **headers: str) -> web.Response:
    """A JSON answer; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(body=orjson.dumps(body), status=status, headers=named, content_type="application/json")


def wrong(status: int, words: str, **headers: str) -> web.Response:
    """An answer that is an error."""
    return answer({"error": {"message": words, "type": "server_error"}}, status, **headers)


def _good(body: Body) -> str:
    return reply_to(body["messages"][-1]["content"], body.get("seed"))


def _text(text: str, content_type: str = "application/json", status: int = 200) -> web.Response:
    return web.Response(text=text, content_type=content_type, status=status)


def _half(body: Body) -> web.Response:
    whole = says(body).body
    assert isinstance(whole, bytes)
    return web.Response(body=whole[: len(whole) // 2], content_type="application/json")


def _as_text(body: Body) -> web.Response:
    whole = says(body).body
    assert isinstance(whole, bytes)
    return web.Response(body=whole, content_type="text/plain")


def _date(_: Body) -> web.Response:
    now = time()
    return wrong(429, "rate limit", Date=formatdate(now, usegmt=True), Retry_After=formatdate(now + 1, usegmt=True))


def _half_a_character(body: Body) -> web.Response:
    text = orjson.dumps(f"? {_good(body)}").decode().replace("?", r"\ud83d", 1)
    return _text(f'{{"choices": [{{"message": {{"content": {text}}}, "finish_reason": "stop"}}]}}')


HTML = "<!doctype html><html><body><h1>Bad gateway</h1></body></html>"
TOOL = {"id": "t1", "type": "function", "function": {"name": "search", "arguments": "{}"}}

# The same request is answered well when it comes again.
PASSING: dict[str, Fault] = {
    "429": lambda _: wrong(429, "rate limit"),
    "429 with Retry-After": lambda _: wrong(429, "rate limit", Retry_After="1"),
    "429 with a date": _date,
    "429 with 3 s": lambda _: wrong(429, "rate limit", Retry_After="3"),
    "500": lambda _: wrong(500, "worker died"),
    "502 HTML": lambda _: _text(HTML, "text/html", 502),
    "503": lambda _: wrong(503, "loading"),
    "truncated JSON": _half,
    "invalid JSON": lambda _: _text('{"choices": [{"message": {"content": tru}}]}'),
    "no body": lambda _: _text(""),
    "HTML as 200": lambda _: _text(HTML, "text/html"),
    "10 MB of no JSON": lambda _: _text("x" * TEN_MB),
    "error as 200": lambda _: answer({"error": {"message": "upstream failed", "code": 502}}),
}

# A good reply in a strange cover.
STRANGE: dict[str, Fault] = {"JSON as text/plain": _as_text}

# The reply is a completion, and not what was asked for; it may come out better with another seed, or not at all.
CONTENT: dict[str, Fault] = {
    "null content": lambda _: completion({"content": None}),
    "no content": lambda _: completion({}),
    "empty text": lambda _: completion({"content": ""}),
    "blank text": lambda _: completion({"content": " \n "}),
    "cut at the token limit": lambda body: says(body, finish_reason="length"),
    "content filter": lambda _: completion({"content": None}, finish_reason="content_filter"),
    "refusal": lambda _: completion({"content": None, "refusal": "I cannot help with that."}),
    "tool call only": lambda _: completion({"content": None, "tool_calls": [TOOL]}, finish_reason="tool_calls"),
    "reasoning only": lambda _: completion({"content": None, "reasoning_content": "Let me think."}),
    "unclosed <think>": lambda body: says(body, "<think>Let me think about"),
    "10 MB of text": lambda body: says(body, f"{_good(body)}{' Mend it.' * (TEN_MB // 9)}"),
    "half a character": _half_a_character,
    "no usage": lambda body: answer({"choices": [{"message": {"content": _good(body)}}]}),
    "no choices": lambda _: answer({"choices": []}),
    "choices of another shape": lambda _: answer({"choices": [{"message": "text"}], "usage": 7}),
    "a list": lambda _: answer([1, 2]),
    "too long": lambda _: wrong(400, "This model's maximum context length is 4 tokens."),
    "flagged": lambda _: wrong(403, "Your request was flagged by moderation."),
}

# A good reply with the model's thoughts before it, which do not belong to it.
THOUGHTS: dict[str, Fault] = {
    "<think>": lambda body: says(body, f"<think>Let me think.</think>\n\n{_good(body)}"),
    "</think> alone": lambda body: says(body, f"Let me think.\n</think>\n\n{_good(body)}"),
    "reasoning_content": lambda body: completion({"content": _good(body), "reasoning_content": "Let me think."}),
    "reasoning": lambda body: completion({"content": _good(body), "reasoning": "Let me think."}),
}

FAULTS = {
    **PASSING,
    **STRANGE,
    **CONTENT,
    **THOUGHTS,
    "wrong key": lambda _: wrong(401, "Incorrect API key provided."),
}
