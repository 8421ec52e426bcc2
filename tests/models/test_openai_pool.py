"""Several servers of one model: which one is asked, what is left out and comes back; the first in simulated time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import orjson
import pytest

from evolvent.errors import CallError, InputError, ModelUnavailableError, RunError
from evolvent.models.openai import OpenAIChat
from evolvent.models.openai.errors import Fault, Transient
from evolvent.models.openai.pace import Gate, Pace
from evolvent.models.openai.pool import Server
from tests.models.openai_server import ASK, GREEDY, OK, Step, completion, error, hurry, says, serving
from tests.models.virtual_time import run_virtually

URLS = ("http://a/v1", "http://b/v1", "http://c/v1")
ANSWER = orjson.dumps(completion())
Served = Callable[[str, float], Awaitable[None]]


class Simulated:
    """A model with several servers in simulated time, asked for a number of replies at once.

    Args:
        serve: answers one try, given the server's address and the time, or raises.
        servers: how many there are.
        options: those of the model.
    """

    def __init__(self, serve: Served, servers: int = 2, **options: Any) -> None:
        first, *others = URLS[:servers]
        self.model = OpenAIChat("m", uri="openai:m", base_url=first, more_base_urls=others, api_key=None, **options)
        self.tries: list[tuple[str, float]] = []
        self.answered: list[tuple[str | None, float]] = []
        self._serve = serve
        self.model._post = self._post  # type: ignore[method-assign]
        self.model._pool.compare = self._list_nothing  # type: ignore[method-assign]

    async def _list_nothing(self) -> None:
        pass

    async def _post(self, server: Server, _: bytes) -> tuple[int, Mapping[str, str], bytes]:
        url, now = server.endpoint.base_url, asyncio.get_running_loop().time()
        self.tries.append((url, now))
        await self._serve(url, now)
        return 200, {}, ANSWER

    async def ask(self, calls: int) -> None:
        async def one() -> None:
            reply = await self.model.chat(ASK, GREEDY)
            self.answered.append((reply.server, asyncio.get_running_loop().time()))

        await asyncio.gather(*(one() for _ in range(calls)))


def away(since: float, until: float, *, url: str = URLS[0], latency_s: float = 1.0) -> Served:
    """Servers of one latency, of which one is killed and started again."""

    async def serve(asked: str, now: float) -> None:
        if asked == url and since <= now < until:
            raise Transient("ConnectionRefusedError", Fault.UNREACHABLE)
        await asyncio.sleep(latency_s)
        if asked == url and now < since <= now + latency_s:
            raise Transient("ServerDisconnectedError", Fault.AWAY)

    return serve


def test_a_slow_server_gets_less_and_the_run_takes_little_more_than_the_ideal() -> None:
    async def serve(url: str, _: float) -> None:
        await asyncio.sleep(10 if url == URLS[1] else 1)

    both, alone = (Simulated(serve, servers, concurrency=8) for servers in (2, 1))
    run_virtually(both.ask(880))
    run_virtually(alone.ask(880))
    assert alone.answered[-1][1] == pytest.approx(110)
    assert both.answered[-1][1] <= 100 + 10  # the ideal, and the slow one's last reply
    assert Counter(url for url, _ in both.answered)[URLS[1]] == pytest.approx(80, abs=8)


def test_the_next_try_goes_where_the_share_of_the_level_in_flight_is_least() -> None:
    async def main() -> tuple[int, int]:
        small, great = Pace(2), Pace(8)
        gate = Gate([small, great])
        for _ in range(5):
            await gate.enter(0)
        return small.in_flight, great.in_flight

    assert run_virtually(main()) == (1, 4)


def test_each_server_has_caps_of_its_own() -> None:
    async def serve(url: str, _: float) -> None:
        pass

    model = Simulated(serve, 3, concurrency=4, requests_per_minute=60)
    run_virtually(model.ask(90))
    assert model.answered[-1][1] == pytest.approx(30, abs=2)
    assert model.model.concurrency == 3 * 3 * 4


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_server_that_is_killed_and_started_again_costs_no_call(
    concurrency: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = Simulated(away(20.5, 60.0), concurrency=concurrency)
    calls = 100 * concurrency
    run_virtually(model.ask(calls))
    assert len(model.answered) == calls
    wasted = len(model.tries) - calls
    probes = [now for url, now in model.tries if url == URLS[0] and 20.5 < now < 60]
    assert 39 / 5 - 1 <= len(probes) <= 30  # every few seconds, one at a time
    assert wasted == concurrency + len(probes)
    late = [url for url, now in model.tries if now > 66]
    assert set(late) == set(URLS[:2])
    words = [message.partition(": ")[2] for message in caplog.messages]
    assert words == [
        f"{URLS[0]} is left out until it answers: {words[0].rpartition(': ')[2]}",
        f"{URLS[0]} answers again",
    ]


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.LATE, Fault.LIMITED, Fault.AWAY, Fault.UNREACHABLE])
def test_a_server_that_only_fails_is_left_out_and_does_not_draw_the_calls_to_it(fault: Fault) -> None:
    """It answers at once, so it would always be the least loaded."""

    async def serve(url: str, _: float) -> None:
        if url == URLS[0]:
            raise Transient("HTTP 500", fault)
        await asyncio.sleep(1)

    model = Simulated(serve, concurrency=4)
    run_virtually(model.ask(400))
    assert {url for url, _ in model.answered} == {URLS[1]}
    assert model.answered[-1][1] < 110
    assert sum(url == URLS[0] for url, _ in model.tries) < 80


def test_a_server_whose_daily_limit_is_reached_stops_nothing() -> None:
    async def serve(url: str, _: float) -> None:
        if url == URLS[0]:
            raise Transient("HTTP 429", Fault.LIMITED, after=86_400.0)
        await asyncio.sleep(1)

    model = Simulated(serve, concurrency=2)
    run_virtually(model.ask(40))
    assert len(model.answered) == 40
    assert [url for url, _ in model.tries].count(URLS[0]) == 1


@pytest.mark.parametrize("fault", [Fault.LATE, Fault.AWAY])
def test_a_call_that_no_server_survives_fails_in_the_end(fault: Fault) -> None:
    """Each server starts anew behind it, and answers the others."""

    async def serve(_: str, now: float) -> None:
        await asyncio.sleep(1)
        if crashing:
            raise Transient("it crashed", fault)

    async def main() -> float:
        await model.ask(1)
        crashing.append(True)
        with pytest.raises(CallError):
            await model.ask(1)
        return asyncio.get_running_loop().time()

    crashing, model = list[bool](), Simulated(serve, 3, concurrency=1)
    assert run_virtually(main()) < 1000


def test_stray_faults_leave_no_server_out(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(url: str, now: float) -> None:
        number = len(model.tries)
        await asyncio.sleep(1)
        if number % 10 == 0:
            raise Transient("HTTP 500", Fault.BROKEN)

    model = Simulated(serve, concurrency=8)
    run_virtually(model.ask(200))
    assert len(model.answered) == 200
    assert not caplog.messages


def test_one_try_at_a_time_shows_whether_a_server_is_back() -> None:
    """Also while it hangs: what it was sent before has to end first."""

    async def serve(url: str, now: float) -> None:
        if url == URLS[0]:
            await asyncio.sleep(10)
            raise Transient("no reply", Fault.LATE)
        await asyncio.sleep(1)

    model = Simulated(serve, concurrency=8)
    run_virtually(model.ask(800))
    hung = sorted(now for url, now in model.tries if url == URLS[0])
    assert hung[:8] == [0] * 8
    assert all(later - earlier >= 10 for earlier, later in pairwise(hung[8:]))


def test_all_servers_dead_are_as_one_dead_server() -> None:
    async def serve(url: str, now: float) -> None:
        raise Transient("ConnectionRefusedError", Fault.UNREACHABLE)

    model = Simulated(serve, 3)
    with pytest.raises(ModelUnavailableError, match="no server answers at http://a/v1 and http://b/v1 and http://c/v1"):
        run_virtually(model.ask(20))


def test_servers_that_all_die_in_mid_run_stop_it_as_one_would() -> None:
    async def serve(_: str, now: float) -> None:
        if now >= 20:
            raise Transient("ConnectionRefusedError", Fault.UNREACHABLE)
        await asyncio.sleep(1)

    ends = []
    for servers in (1, 2):
        model = Simulated(serve, servers, concurrency=1)

        async def main(model: Simulated = model) -> float:
            with pytest.raises(RunError, match="stopped answering"):
                await model.ask(60)
            return asyncio.get_running_loop().time()

        ends.append(run_virtually(main()))
        assert len(model.answered) == 20 * servers
    assert all(140 <= end <= 155 for end in ends)


def test_a_run_waits_for_the_first_of_its_servers_to_come_back() -> None:
    async def serve(url: str, now: float) -> None:
        if 5 <= now < 50 or (url == URLS[0] and now >= 5):
            raise Transient("ConnectionRefusedError", Fault.UNREACHABLE)
        await asyncio.sleep(1)

    model = Simulated(serve, concurrency=2)
    run_virtually(model.ask(60))
    assert len(model.answered) == 60
    assert 50 <= model.answered[-1][1] < 85


def test_the_identity_and_the_name_are_those_of_the_first_server() -> None:
    def made(*urls: str) -> OpenAIChat:
        return OpenAIChat("m", uri="openai:m", base_url=urls[0], more_base_urls=urls[1:], api_key=None)

    assert made(*URLS).identity == made(URLS[0]).identity == made(URLS[0], URLS[2], URLS[1]).identity
    assert made(URLS[1], URLS[0]).identity != made(URLS[0]).identity
    with pytest.raises(InputError, match="not an http address"):
        made(URLS[0], "b/v1")


@asynccontextmanager
async def two(
    first: Step, second: Step, models: tuple[tuple[str, ...], ...] = ((), ()), listing_status: int = 500
) -> AsyncIterator[OpenAIChat]:
    """A model with two real servers, by their scripts and the models that they list."""
    async with serving(first, models=models[0]) as (one, _), serving(second, models=models[1]) as (other, _):
        model = OpenAIChat(
            "tiny", uri="openai:tiny", base_url=one.base_url, more_base_urls=[other.base_url], api_key=None
        )
        other.listing_status = listing_status
        model.urls = [one.base_url, other.base_url]  # type: ignore[attr-defined]
        yield model
        await model.close()


@pytest.mark.parametrize(
    ("models", "wrong"),
    [
        ((("tiny",), ("other",)), 1),
        ((("other", "more"), ("tiny", "more")), 0),
        ((("one.gguf",), ("two.gguf",)), 0),
        ((("one.gguf",), ("one.gguf",)), None),
        ((("tiny", "more"), ("tiny",)), None),
        (((), ("other",)), None),
    ],
)
def test_a_server_of_another_model_is_named_before_the_first_call(
    models: tuple[tuple[str, ...], ...], wrong: int | None
) -> None:
    async def main() -> None:
        async with two(OK, OK, models) as model:
            if wrong is None:
                assert (await model.chat(ASK, GREEDY)).text == "hello"
                return
            for _ in range(2):
                with pytest.raises(ModelUnavailableError) as caught:
                    await model.chat(ASK, GREEDY)
                url = model.urls[wrong]  # type: ignore[attr-defined]
                assert f"{url} does not serve it: it lists {', '.join(models[wrong])}" in caught.value.message

    asyncio.run(main())


@pytest.mark.parametrize(("calls", "listing_status"), [(40, 500), (2, 404)])
def test_a_server_that_knows_no_such_model_stops_the_run_and_is_named(
    calls: int, listing_status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)

    async def main() -> None:
        async with two(OK, error(404, "no such model"), listing_status=listing_status) as model:
            found = await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(calls)), return_exceptions=True)
            stopped = [one for one in found if isinstance(one, InputError | RunError)]
            assert stopped
            url = model.urls[1]  # type: ignore[attr-defined]
            assert all(f"{url} says HTTP 404: no such model" in str(one) for one in stopped)

    asyncio.run(main())


def test_replies_name_their_server_only_where_there_are_several() -> None:
    async def main() -> None:
        async with two(OK, says(completion({"content": "hello from b"}))) as model:
            replies = await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(4)))
            urls = model.urls  # type: ignore[attr-defined]
            assert sorted({(one.server, one.text) for one in replies}) == sorted(
                [(urls[0], "hello"), (urls[1], "hello from b")]
            )
        async with serving(OK) as (_, single):
            assert (await single.chat(ASK, GREEDY)).server is None

    asyncio.run(main())
