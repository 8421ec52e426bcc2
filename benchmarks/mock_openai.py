"""An OpenAI-compatible server that costs next to nothing, for benchmarks: it answers, misbehaves as told, and counts.

    PORT=8399 LATENCY_MS=200 python benchmarks/mock_openai.py

POST /v1/chat/completions, /v1/completions and /v1/embeddings; GET /v1/models, /health, /stats (counters as JSON);
POST /reset clears the counters. A reply depends on the prompt alone. Set by the environment:

===============  =====  ================================================================================
PORT             8399   0 takes a free one; the port in use is the first line printed
SHARE_PORT       0      1 lets several servers have one port: the system hands each connection to one of them
LATENCY_MS       0      how long each request is served
JITTER           0      as a share of LATENCY_MS: 0.5 draws from 50 % to 150 % of it
MAX_TOKENS_OUT   96     words in a reply
SLOTS            0      above 0: so many requests are served at once, the others queue, as on one GPU
P429             0      the share of requests answered 429 with Retry-After
RETRY_AFTER      1      that header's value, in seconds
P500             0      the share answered 500
PNULL            0      the share of completions whose content is null
PLENGTH          0      the share whose finish_reason is "length"
SEED             0      seed of those draws; each is drawn by prompt and by how often that prompt was asked before
ROWRE                   a regular expression whose first group names the input row inside a prompt
LOGKEYS                 a file to which the key of each answered request is appended
===============  =====  ================================================================================

The draws go by prompt and attempt, not by time, so two clients that send the same prompts meet the same faults.
"""

import asyncio
import hashlib
import json
import os
import re
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import orjson
from aiohttp import web

Choices = list[dict[str, Any]]

ROW = r"learner (\d+)"
PHRASES = (
    "then name the tool you would pick and say what it costs give one worked case with numbers list two mistakes that "
    "beginners make state the limits of your method and close with a check that a reader can do alone in a minute"
)
WORDS = PHRASES.split()
VARIANTS = 512
ERRORS = {
    400: ("messages is empty", "invalid_request_error", None),
    429: ("Rate limit reached for requests", "rate_limit_error", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request", "server_error", None),
}


def bodies(words: int) -> list[str]:
    """The texts that replies are made of."""
    return [
        " ".join(WORDS[(variant + step * (1 + variant % 11)) % len(WORDS)] for step in range(max(1, words - 12)))
        for variant in range(VARIANTS)
    ]


class Mock:
    """The server's settings and counters.

    Args:
        settings: the environment variables above.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        self.latency_s = float(settings.get("LATENCY_MS", 0)) / 1000
        self.jitter = float(settings.get("JITTER", 0))
        self.p429, self.p500, self.p_null, self.p_length = (
            float(settings.get(name, 0)) for name in ("P429", "P500", "PNULL", "PLENGTH")
        )
        self.retry_after = settings.get("RETRY_AFTER", "1")
        self.seed = settings.get("SEED", "0")
        self.row = re.compile(settings.get("ROWRE", ROW))
        self.bodies = bodies(int(settings.get("MAX_TOKENS_OUT", 96)))
        slots = int(settings.get("SLOTS", 0))
        self.slots = asyncio.Semaphore(slots) if slots else None
        log = settings.get("LOGKEYS", "")
        self.log: TextIO | None = Path(log).open("a", buffering=1) if log else None  # noqa: SIM115 (for the server's life)
        self.draws = bool(self.jitter or self.p429 or self.p500 or self.p_null or self.p_length)
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was counted, not the log."""
        self.asked: Counter[int] = Counter()
        self.answered: set[int] = set()
        self.rows: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.requests = self.row_answers = self.nulls = 0
        self.peak = self.in_flight
        self.first = self.last = 0.0

    def stats(self) -> dict[str, object]:
        """The counters; times are of the machine's monotonic clock, which its processes share."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "requests": self.requests,
            "ok": self.statuses[200],
            "status": {str(status): count for status, count in self.statuses.items()},
            "unique_ok": len(self.answered),
            "repeated_ok": self.statuses[200] - len(self.answered),
            "rows_ok": len(self.rows),
            "rows_repeated": self.row_answers - len(self.rows),
            "null_ok": self.nulls,
            "inflight": self.in_flight,
            "peak_inflight": self.peak,
            "first_request_monotonic": self.first,
            "last_reply_monotonic": self.last,
            "span_s": round(self.last - self.first, 3),
            "server_cpu_s": round(used.ru_utime + used.ru_stime, 2),
        }

    def shares(self, key: int) -> tuple[float, float, float]:
        """Three numbers in [0, 1) for this prompt and attempt: how long, which error, which flaw."""
        if not self.draws:
            return 0.5, 1.0, 0.5
        drawn = hashlib.sha256(f"{self.seed}|{key}|{self.asked[key]}".encode()).digest()
        first, second, third = (int.from_bytes(drawn[at : at + 8], "big") / 2**64 for at in (0, 8, 16))
        return first, second, third

    async def serve(self, prompt: str, said: bytes, body: dict[str, Any]) -> tuple[int, list[str | None], str]:
        """One request: its status, the texts of its choices and why they ended."""
        key = int.from_bytes(hashlib.sha256(said).digest()[:8], "big")
        self.requests += 1
        self.asked[key] += 1
        self.first = self.first or time.monotonic()
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        slow, error, flaw = self.shares(key)
        try:
            await self.work(self.latency_s * (1 + self.jitter * (2 * slow - 1)))
        finally:
            self.in_flight -= 1
        status = 429 if error < self.p429 else 500 if error < self.p429 + self.p500 else 200
        self.statuses[status] += 1
        if status != 200:
            return status, [], ""
        self.answered.add(key)
        self.last = time.monotonic()
        row = self.row.search(prompt)
        if row:
            self.row_answers += 1
            self.rows.add(row[1])
        if self.log:
            self.log.write(f"{key:016x}\n")
        null = flaw < self.p_null
        self.nulls += null
        opening = f"Explain to {row[0]} in full" if row else f"Explain case {key:x} in full"
        texts = [None if null else self.text(opening, key + choice) for choice in range(int(body.get("n") or 1))]
        return status, texts, "length" if flaw > 1 - self.p_length else "stop"

    async def work(self, seconds: float) -> None:
        """Take that long, in a slot if there is a bounded number of them."""
        if self.slots:
            async with self.slots:
                await asyncio.sleep(seconds)
        elif seconds:
            await asyncio.sleep(seconds)

    def text(self, opening: str, key: int) -> str:
        return f"{opening}: {self.bodies[key % VARIANTS]}."


async def read(request: web.Request) -> dict[str, Any]:
    """A request's body."""
    try:
        return dict(orjson.loads(await request.read()))
    except ConnectionResetError:  # the client was killed while it wrote
        raise web.HTTPBadRequest from None


def answer(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, headers=headers, content_type="application/json")


def refuse(status: int, headers: dict[str, str] | None = None) -> web.Response:
    message, kind, code = ERRORS[status]
    return answer(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers)


def completion(
    mock: Mock, body: dict[str, Any], prompt: str, texts: list[str | None], choices: Choices
) -> web.Response:
    asked, words = max(1, len(prompt) // 4), sum(len(text or "") // 4 for text in texts)
    content = {
        "id": f"cmpl-{mock.statuses[200]}",
        "created": int(time.time()),
        "model": body.get("model", "mock"),
        "object": "chat.completion" if "messages" in body else "text_completion",
        "choices": choices,
        "usage": {"prompt_tokens": asked, "completion_tokens": words, "total_tokens": asked + words},
    }
    return answer(200, content)


def application(mock: Mock) -> web.Application:
    """The server's routes."""

    async def chat(request: web.Request) -> web.Response:
        body = await read(request)
        messages = body.get("messages") or []
        if not messages:  # a probe for rate limits, say
            return refuse(400)
        content = messages[-1].get("content")
        prompt = content if isinstance(content, str) else json.dumps(content)
        status, texts, reason = await mock.serve(prompt, orjson.dumps(messages), body)
        if status != 200:
            return refuse(status, {"Retry-After": mock.retry_after} if status == 429 else None)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": reason,
            }
            for index, text in enumerate(texts)
        ]
        return completion(mock, body, prompt, texts, choices)

    async def complete(request: web.Request) -> web.Response:
        body = await read(request)
        given = body.get("prompt") or ""
        prompt = str(given[0]) if isinstance(given, list) else str(given)
        status, texts, reason = await mock.serve(prompt, prompt.encode(), body)
        if status != 200:
            return refuse(status, {"Retry-After": mock.retry_after} if status == 429 else None)
        choices = [
            {"index": index, "text": text or "", "logprobs": None, "finish_reason": reason}
            for index, text in enumerate(texts)
        ]
        return completion(mock, body, prompt, texts, choices)

    async def embed(request: web.Request) -> web.Response:
        body = await read(request)
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": index, "embedding": [byte / 255 for byte in hashlib.sha512(t).digest()]}
            for index, t in enumerate(str(text).encode() for text in texts)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return answer(200, {"object": "list", "model": body.get("model"), "data": data, "usage": usage})

    async def models(_: web.Request) -> web.Response:
        listed = {"id": "mock", "object": "model", "created": 0, "owned_by": "mock", "max_model_len": 32768}
        return answer(200, {"object": "list", "data": [listed]})

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def stats(_: web.Request) -> web.Response:
        return answer(200, mock.stats())

    async def reset(_: web.Request) -> web.Response:
        mock.reset()
        return answer(200, {"ok": True})

    app = web.Application(client_max_size=64 << 20)
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat),
            web.post("/v1/completions", complete),
            web.post("/v1/embeddings", embed),
            web.get("/v1/models", models),
            web.get("/health", health),
            web.get("/stats", stats),
            web.post("/reset", reset),
        ]
    )
    return app


async def serve(settings: dict[str, str]) -> None:
    """Serve until killed."""
    runner = web.AppRunner(application(Mock(settings)), access_log=None)
    await runner.setup()
    port, shared = int(settings.get("PORT", 8399)), settings.get("SHARE_PORT") == "1"
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096, reuse_port=shared).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        from uvloop import run  # about twice as many requests a second
    except ImportError:
        from asyncio import run
    run(serve(dict(os.environ)))
