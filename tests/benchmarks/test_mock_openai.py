"""The benchmarks' server: what it draws, and what it counts. Figures rest on both."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from benchmarks.mock_openai import Mock, application

Client = TestClient


def with_mock(use: Callable[[Client], Coroutine[Any, Any, Any]], **settings: object) -> Any:
    async def run() -> Any:
        server = TestServer(application(Mock({name: str(value) for name, value in settings.items()})))
        async with TestClient(server) as client:
            return await use(client)

    return asyncio.run(run())


async def ask(client: Client, row: int, wording: str = "Explain to") -> tuple[int, str | None, str | None]:
    """The status, the reply and Retry-After."""
    messages = [{"role": "user", "content": f"{wording} learner {row:07d} why."}]
    async with client.post("/v1/chat/completions", json={"messages": messages}) as response:
        body = await response.json()
        reply = body["choices"][0]["message"]["content"] if response.status == 200 else None
        return response.status, reply, response.headers.get("Retry-After")


async def stats(client: Client) -> dict[str, Any]:
    async with client.get("/stats") as response:
        return dict(await response.json())


def test_faults_are_drawn_by_prompt_not_by_order() -> None:
    async def statuses(client: Client, rows: list[int]) -> dict[int, int]:
        return {row: (await ask(client, row))[0] for row in rows}

    forwards = with_mock(lambda client: statuses(client, list(range(300))), P429=0.2, P500=0.1)
    backwards = with_mock(lambda client: statuses(client, list(range(300))[::-1]), P429=0.2, P500=0.1)
    assert forwards == backwards
    counts = Counter(forwards.values())
    assert 35 < counts[429] < 90
    assert 12 < counts[500] < 55
    other = with_mock(lambda client: statuses(client, list(range(300))), P429=0.2, P500=0.1, SEED=1)
    assert other != forwards


def test_a_prompt_that_failed_is_drawn_anew() -> None:
    async def use(client: Client) -> list[tuple[int, str | None, str | None]]:
        return [await ask(client, 1) for _ in range(60)]

    answers = with_mock(use, P429=0.5, RETRY_AFTER=7)
    assert {status for status, _, _ in answers} == {200, 429}
    assert {after for status, _, after in answers if status == 429} == {"7"}
    assert len({reply for status, reply, _ in answers if status == 200}) == 1


def test_null_replies_are_counted() -> None:
    async def use(client: Client) -> tuple[int, int]:
        replies = [(await ask(client, row))[1] for row in range(100)]
        return replies.count(None), (await stats(client))["null_ok"]

    nulls, counted = with_mock(use, PNULL=0.3)
    assert nulls == counted
    assert 10 < nulls < 50


def test_rows_answered_again_are_counted_whatever_the_prompt() -> None:
    async def use(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
        for row, wording in ((1, "Explain to"), (2, "Explain to"), (1, "Explain to"), (2, "Tell")):
            await ask(client, row, wording)
        before = await stats(client)
        await client.post("/reset")
        return before, await stats(client)

    before, after = with_mock(use)
    counted = {name: before[name] for name in ("requests", "unique_ok", "repeated_ok", "rows_ok", "rows_repeated")}
    assert counted == {"requests": 4, "unique_ok": 3, "repeated_ok": 1, "rows_ok": 2, "rows_repeated": 2}
    assert 0 < before["first_request_monotonic"] < before["last_reply_monotonic"]
    assert after["requests"] == after["rows_ok"] == after["first_request_monotonic"] == 0


def test_replies_have_the_asked_length_and_name_their_row() -> None:
    async def use(client: Client) -> str | None:
        return (await ask(client, 42))[1]

    reply = with_mock(use, MAX_TOKENS_OUT=100)
    assert "learner 0000042" in reply
    assert 90 <= len(reply.split()) <= 100
