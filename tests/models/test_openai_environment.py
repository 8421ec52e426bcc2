"""Proxies of the environment are used; passwords that lie about elsewhere are not."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from evolvent.errors import ModelUnavailableError
from evolvent.models.openai import OpenAIChat, retries
from tests.models.openai_server import ASK, GREEDY, OK, completion, serving

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
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(retries, "LONGEST_WAIT_S", 0.01)


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
