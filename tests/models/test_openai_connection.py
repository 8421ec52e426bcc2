"""The way to a server: open files, proxies, connections and bodies that misbehave, the list of models."""

import asyncio
import base64
import contextlib
import errno
import gzip
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evolvent.errors import CallError, InputError, ModelUnavailableError, RunError
from evolvent.models.openai import OpenAIChat, connection, patience
from evolvent.models.protocols import Reply
from tests.models.openai_server import ASK, GREEDY, KEY, OK, Body, ask, completion, error, hurry, says, serving


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Limits of this process that the test may set, and not this process's own."""
    held = {"files": (256, 4096)}

    def set_to(_: int, pair: tuple[int, int]) -> None:
        held["files"] = pair

    monkeypatch.setattr(resource, "getrlimit", lambda _: held["files"])
    monkeypatch.setattr(resource, "setrlimit", set_to)
    return held


def model(concurrency: int | None) -> OpenAIChat:
    return OpenAIChat("m", uri="openai:m", base_url="http://h/v1", api_key=None, concurrency=concurrency)


def test_soft_limit_is_raised_as_far_as_it_may(limits: dict[str, tuple[int, int]]) -> None:
    model(1000)
    assert limits["files"] == (4096, 4096)


def test_unlimited_stays_so(limits: dict[str, tuple[int, int]]) -> None:
    limits["files"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    model(1000)
    assert limits["files"][0] == resource.RLIM_INFINITY


def test_enough_is_left_alone(limits: dict[str, tuple[int, int]]) -> None:
    limits["files"] = (100_000, 200_000)
    model(None)
    assert limits["files"] == (100_000, 200_000)


def test_hard_limit_that_is_too_low_is_an_input_error_that_says_what_fits(
    limits: dict[str, tuple[int, int]],
) -> None:
    with pytest.raises(InputError, match="5,000 requests at once need 1,032 more open files") as caught:
        model(5000)
    assert "Lower --concurrency to 3,968 or less" in caught.value.fix


def test_hard_limit_lowers_the_highest_level_where_no_number_was_asked_for(
    limits: dict[str, tuple[int, int]],
) -> None:
    limits["files"] = (256, 256)
    low = model(None)
    assert low.concurrency == 2 * (256 - 128)
    assert low._gate._paces[0]._level._highest == 256 - 128
    limits["files"] = (100, 100)
    assert model(None).concurrency == 2


def test_open_files_that_run_out_in_mid_run_are_no_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def call() -> None:
        async with serving(says(completion(), Connection="close")) as (_, model):
            await model.chat(ASK, GREEDY)
            monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", full)
            with pytest.raises(RunError, match="Too many open files"):
                await model.chat(ASK, GREEDY)

    asyncio.run(call())


def test_a_full_table_of_open_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def call() -> None:
        async with serving(OK) as (_, model):
            monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", full)
            with pytest.raises(InputError, match="Too many open files") as caught:
                await model.chat(ASK, GREEDY)
            assert "ulimit -n" in caught.value.fix

    asyncio.run(call())


Seen = list[tuple[str, str, str | None, str | None]]


BASIC = f"Basic {base64.b64encode(b'ann:sesame').decode()}"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxies and no ~/.netrc of this machine, and quick waits."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    hurry(monkeypatch)


@asynccontextmanager
async def proxying() -> AsyncIterator[tuple[str, Seen]]:
    """A proxy that answers completions itself and opens no tunnel: its host:port, and what it was sent."""
    seen: Seen = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        seen.append(
            (request.method, request.raw_path, headers.get("Proxy-Authorization"), headers.get("Authorization"))
        )
        return web.Response(status=407) if request.method == "CONNECT" else web.json_response(completion())

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


async def call(base_url: str, key: str | None = "sk-1") -> None:
    model = OpenAIChat("m", uri="openai:m", base_url=base_url, api_key=key)
    try:
        await model.chat(ASK, GREEDY)
    finally:
        await model.close()


@pytest.mark.parametrize(
    ("written", "authorization"),
    [("http://ann:sesame@{}", BASIC), ("http://{}", None), ("ann:sesame@{}", BASIC), ("{}", None)],
)
def test_a_proxy_is_used_with_its_password_alone(
    written: str, authorization: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def calls() -> Seen:
        async with proxying() as (address, seen):
            monkeypatch.setenv("http_proxy", written.format(address))
            await call("http://models.invalid/v1")
            return seen

    expected = ("POST", "http://models.invalid/v1/chat/completions", authorization, "Bearer sk-1")
    assert asyncio.run(calls()) == [expected]


@pytest.mark.parametrize(("written", "authorization"), [("http://ann:sesame@{}", BASIC), ("http://{}", None)])
def test_a_tunnel_is_asked_for_without_the_servers_key(
    written: str, authorization: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def calls() -> Seen:
        async with proxying() as (address, seen):
            monkeypatch.setenv("https_proxy", written.format(address))
            with pytest.raises(ModelUnavailableError, match="407") as caught:
                await call("https://models.invalid/v1")
            assert "sesame" not in str(caught.value)
            return seen

    assert set(asyncio.run(calls())) == {("CONNECT", "models.invalid:443", authorization, None)}


@pytest.mark.parametrize("proxy", ["http://ann:sesame@h:port", "http://ann:ses/ame@h", "http://ann:sesame@"])
def test_a_proxys_password_is_in_no_error(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ModelUnavailableError) as caught:
        asyncio.run(call("http://models.invalid/v1"))
    assert "ses" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "no_proxy"), [("http_proxy", "127.0.0.1"), ("http_proxy", "*"), ("https_proxy", ""), ("", "")]
)
def test_no_proxy_where_the_environment_names_none_for_this_server(
    name: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def calls() -> Seen:
        async with proxying() as (address, seen), serving(OK) as (server, _):
            monkeypatch.setenv("no_proxy", no_proxy)
            if name:
                monkeypatch.setenv(name, f"http://{address}")
            await call(server.base_url)
            assert len(server.bodies) == 1
            return seen

    assert asyncio.run(calls()) == []


@pytest.mark.parametrize(("key", "authorization"), [("sk-1", "Bearer sk-1"), (None, None)])
def test_netrc_is_not_read(
    key: str | None, authorization: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine models.invalid login ann password sesame\nmachine 127.0.0.1 login ann password sesame\n")
    monkeypatch.setenv("NETRC", str(netrc))

    async def calls() -> Seen:
        async with proxying() as (address, seen):
            monkeypatch.setenv("http_proxy", f"http://{address}")
            await call("http://models.invalid/v1", key)
            return seen

    assert asyncio.run(calls()) == [("POST", "http://models.invalid/v1/chat/completions", None, authorization)]


def test_an_endless_reply_is_cut_off_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_BODY", 1 << 20)
    sent = 0

    async def endless(request: web.Request, asked: Body) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 26:
                await response.write(b" " * 65_536)
                sent += 65_536
        return response

    reply, server = ask(endless, OK)
    assert isinstance(reply, Reply)
    assert sent < 1 << 25
    assert len(server.bodies) == 2


def test_a_small_reply_that_unpacks_to_an_endless_one_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_BODY", 1 << 20)
    packed = gzip.compress(b" " * (1 << 24))

    async def bomb(request: web.Request, asked: Body) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    failure, _ = ask(bomb)
    assert isinstance(failure, CallError)
    assert "more than 1,048,576 bytes" in str(failure)


def test_ten_megabytes_are_read_whole() -> None:
    reply, _ = ask(says(completion({"content": "x" * 10_000_000})))
    assert isinstance(reply, Reply)
    assert len(reply.text) == 10_000_000


def test_second_copy_of_a_reply_answers_no_other_call() -> None:
    """A copy that comes while the connection lies in the pool would be read as the answer to the next request."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ength" in line)
            asked = json.loads(await reader.readexactly(length))["messages"][0]["content"]
            body = json.dumps(completion({"content": asked})).encode()
            reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            writer.write(reply)
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(reply)
            copied.set()
        writer.close()

    async def calls() -> None:
        server = await asyncio.start_server(twice, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        model = OpenAIChat("m", uri="openai:m", base_url=f"http://127.0.0.1:{port}/v1", api_key=None)
        try:
            for n in range(3):
                copied.clear()
                reply = await model.chat([{"role": "user", "content": f"number {n}"}], GREEDY)
                assert reply.text == f"number {n}"
                await copied.wait()
                for _ in range(10):  # the loop reads what has come
                    await asyncio.sleep(0)
        finally:
            await model.close()
            server.close()

    copied = asyncio.Event()
    asyncio.run(calls())


def test_a_handshake_that_breaks_is_a_connection_that_did_not_come_about() -> None:
    """Asked for TLS, a server that speaks plain HTTP breaks off: so does one that is overloaded, now and then."""

    async def call() -> None:
        met = 0

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            await reader.read(100)
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        model = OpenAIChat("m", uri="openai:m", base_url=address, api_key=None)
        try:
            with pytest.raises(ModelUnavailableError, match=r"no server answers at .*SSL"):
                await model.chat(ASK, GREEDY)
        finally:
            await model.close()
            server.close()
        assert met == patience.MAX_FAULTS

    asyncio.run(call())


@pytest.mark.parametrize(
    ("status", "models", "words"),
    [(401, (), "was not accepted"), (404, (), "ends in /v1"), (404, ("small", "large"), "small, large")],
)
def test_one_call_is_enough_where_the_list_of_models_says_the_same(
    status: int, models: tuple[str, ...], words: str
) -> None:
    async def call() -> None:
        async with serving(error(status, "no"), models=models, api_key=KEY) as (server, model):
            server.listing_status = status
            with pytest.raises(ModelUnavailableError) as caught:
                await model.chat(ASK, GREEDY)
            assert words in caught.value.fix
            assert len(server.bodies) == 2

    asyncio.run(call())


def test_unknown_model_lists_the_servers_models_once_for_all_calls() -> None:
    async def calls() -> None:
        async with serving(error(404, "no such model"), models=("small", "large")) as (server, model):
            failures = await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(20)), return_exceptions=True)
            assert all(isinstance(f, ModelUnavailableError) and "small, large" in f.fix for f in failures)
            assert server.listings == 1
            sent = len(server.bodies)
            with pytest.raises(ModelUnavailableError):
                await model.chat(ASK, GREEDY)
            assert len(server.bodies) == sent

    asyncio.run(calls())
