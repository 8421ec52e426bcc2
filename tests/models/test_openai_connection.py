"""Open files: as many as there are to be requests at once, or a clear word."""

import asyncio
import errno
import gc
import resource
import warnings
from typing import Any

import pytest

from evolvent.errors import InputError, RunError
from evolvent.models.openai import OpenAIChat
from tests.models.openai_server import ASK, GREEDY, OK, completion, says, serving


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
    assert low._gate._level._highest == 256 - 128
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


def test_a_second_loop_needs_no_close_before() -> None:
    """asyncio.run twice over one model: connections, locks and times of the first loop are of no use in the second."""
    chat = OpenAIChat("m", uri="openai:m", base_url="http://h/v1", api_key=None, concurrency=1)

    async def call() -> str:
        async with serving(OK) as (server, _):
            chat._url = f"{server.base_url}/chat/completions"
            return (await asyncio.gather(*(chat.chat(ASK, GREEDY) for _ in range(5))))[0].text

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the session that was left open
        for _ in range(3):
            assert asyncio.run(call()) == "hello"
        chat._session = None
        gc.collect()


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
