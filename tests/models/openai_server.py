"""A real HTTP server in the test's own process that answers chat completions from a script."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from evolvent.errors import CallError, ModelUnavailableError
from evolvent.models.openai import OpenAIChat, patience
from evolvent.models.protocols import Reply, Sampling

Body = dict[str, Any]
Step = Callable[[web.Request, Body], Awaitable[web.StreamResponse]]

ASK = [{"role": "user", "content": "Say hello."}]
GREEDY = Sampling(temperature=0, max_tokens=16)
WARM = Sampling(temperature=0.7, top_p=0.9, max_tokens=16, seed=7)
KEY = "sk-proj-0123456789abcdefghij"
QUICK_S = 0.02


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of at most 20 ms where the server names none."""
    for name in ("FIRST_WAIT_S", "LONGEST_WAIT_S", "LONGEST_AWAY_WAIT_S"):
        monkeypatch.setattr(patience, name, QUICK_S)
    monkeypatch.setattr(patience, "AWAY_S", 10 * QUICK_S)


def completion(message: Body | None = None, **choice: Any) -> Body:
    """A chat completion as the protocol writes it."""
    message = {"role": "assistant", "content": "hello"} if message is None else message
    return {
        "id": "c1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


def says(body: Any, status: int = 200, **headers: str) -> Step:
    """A step that answers with JSON."""

    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        return web.json_response(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return step


def writes(text: str | bytes, status: int = 200, content_type: str = "application/json") -> Step:
    """A step that answers with these bytes."""

    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        raw = text.encode() if isinstance(text, str) else text
        return web.Response(body=raw, status=status, content_type=content_type)

    return step


def error(status: int, message: str, **more: Any) -> Step:
    """A step that answers with an error object."""
    return says({"error": {"message": message, **more}}, status)


OK = says(completion())


class Server:
    """Answers the n-th request with the n-th step, and all later ones with the last.

    Attributes:
        bodies: the requests' bodies; ``headers``: their headers; ``times``: when they came (monotonic seconds).
    """

    def __init__(self, steps: tuple[Step, ...], models: tuple[str, ...]) -> None:
        self.steps = steps
        self.models = models
        self.bodies: list[Body] = []
        self.headers: list[Any] = []
        self.times: list[float] = []
        self.listings = 0
        self.listing_status = 500  # where there are no models to list
        self.base_url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.times.append(time.monotonic())
        self.bodies.append(body)
        self.headers.append(request.headers)
        return await self.steps[min(len(self.bodies), len(self.steps)) - 1](request, body)

    async def list(self, _: web.Request) -> web.StreamResponse:
        self.listings += 1
        if not self.models:
            return web.Response(status=self.listing_status)
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.models]})


@asynccontextmanager
async def serving(
    *steps: Step, models: tuple[str, ...] = (), api_key: str | None = None, **options: Any
) -> AsyncIterator[tuple[Server, OpenAIChat]]:
    """A server with this script and a model that asks it."""
    server = Server(steps, models)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    app.router.add_get("/v1/models", server.list)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    model = OpenAIChat("tiny", uri="openai:tiny", base_url=server.base_url, api_key=api_key, **options)
    try:
        yield server, model
    finally:
        await model.close()
        await runner.cleanup()


def ask(*steps: Step, sampling: Sampling = GREEDY, **options: Any) -> tuple[Reply | Exception, Server]:
    """One call against this script: its reply or its error, and what the server saw."""

    async def call() -> tuple[Reply | Exception, Server]:
        async with serving(*steps, **options) as (server, model):
            try:
                return await model.chat(ASK, sampling), server
            except (CallError, ModelUnavailableError) as failure:
                return failure, server

    return asyncio.run(call())
