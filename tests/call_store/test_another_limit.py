"""A reply that ended by itself is the same reply under another max_tokens: it is not asked for again."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evolvent.call_store.key import call_key
from evolvent.call_store.log import calls
from evolvent.call_store.schema import LAYOUT
from evolvent.call_store.store import Call, CallStore, open_read_only
from evolvent.call_store.stored import StoredChat, holds_under
from evolvent.call_store.used import Failures, lasting_failures
from evolvent.errors import CallError
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.records import Message
from tests.scripted import Scripted

HELLO = [Message(role="user", content="hello")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CallStore]:
    opened = CallStore(tmp_path / "calls.sqlite")
    yield opened
    opened.close()


def ending(reason: str, tokens: int, *, estimated: bool = False, cut: int | None = None) -> Reply:
    return Reply("hi", reason, Usage(3, tokens, estimated), cut_max_tokens=cut)


def asked(store: CallStore, reply: Reply, *limits: int) -> int:
    """How many calls are made where one request is asked with these limits, one after the other."""
    model = Scripted(lambda *_: reply)

    async def ask() -> None:
        for limit in limits:
            assert await StoredChat(model, store, "evolve").chat(HELLO, Sampling(0.0, max_tokens=limit)) == reply

    asyncio.run(ask())
    return len(model.asked)


@pytest.mark.parametrize(
    ("reply", "limit", "other", "same"),
    [
        (ending("stop", 5), 10, 20, True),
        (ending("loop", 5), 10, 20, True),
        (ending("stop", 5, estimated=True), 10, 20, True),
        (ending("length", 10), 10, 20, False),
        (ending("content_filter", 5), 10, 20, False),
        (ending("unknown", 5), 10, 20, False),
        (ending("stop", 5), 10, 5, True),
        (ending("stop", 5), 10, 4, False),
        (ending("stop", 5, estimated=True), 10, 8, False),
        (ending("length", 5), 5, 5, False),
        (ending("stop", 5, cut=9), 10, 20, True),
        (ending("stop", 5, cut=9), 10, 8, False),
    ],
)
def test_a_reply_holds_under_another_limit(
    store: CallStore, reply: Reply, limit: int, other: int, *, same: bool
) -> None:
    assert holds_under(reply, limit, other) is same
    if limit != other:
        assert asked(store, reply, limit, other) == (1 if same else 2)


def test_only_what_was_cut_is_asked_again_and_each_limit_is_looked_at(store: CallStore) -> None:
    assert asked(store, ending("length", 10), 10, 20, 10, 20) == 2
    assert asked(store, ending("stop", 30), 40) == 1
    assert asked(store, ending("stop", 30), 50, 30, 60) == 0
    assert store.limits == [10, 20, 40]


def test_nothing_is_stored_twice_for_it(store: CallStore) -> None:
    asked(store, ending("stop", 5), 10, 20)
    assert len(store) == 1
    assert store.spent()[0].calls == 1


def test_a_failure_that_lasts_stays_one(store: CallStore) -> None:
    """A search that is made again decides as it did, whatever another limit has brought since."""

    def refuse(*_: object) -> str:
        raise CallError("no")

    async def make() -> None:
        token = lasting_failures.set(Failures(decided=True))
        try:
            with pytest.raises(CallError, match="no"):
                await StoredChat(Scripted(refuse), store, "evolve").chat(HELLO, Sampling(0.0, max_tokens=20))
        finally:
            lasting_failures.reset(token)

    asyncio.run(make())
    asked(store, ending("stop", 5), 10)
    asyncio.run(make())


def test_a_reply_that_is_asked_for_again_is_not_taken_from_another_limit(store: CallStore) -> None:
    asked(store, ending("stop", 5), 10)
    model, sampling = Scripted(lambda *_: "new"), Sampling(0.0, max_tokens=20)
    stored = StoredChat(model, store, "evolve")
    assert stored.stored(HELLO, sampling) == ending("stop", 5)
    stored.forget(HELLO, sampling)
    assert asyncio.run(stored.chat(HELLO, sampling)).text == "new"


@pytest.mark.parametrize("layout", [1, 2])
def test_a_store_of_before_is_gone_on_with(tmp_path: Path, layout: int) -> None:
    path = tmp_path / "calls.sqlite"
    with closing(CallStore(path)) as store:
        asked(store, ending("stop", 5), 10)
        losses = Call(call_key(1), "score", "r", "m", '{"layout":"chat"}', "[]")
        damaged = Call(call_key(2), "score", "r", "m", '{"max_tokens":x', "[]")
        asyncio.run(store.put([losses, damaged]))
    with closing(sqlite3.connect(path)) as old:
        old.executescript("DROP TABLE limits")
        if layout == 1:
            old.executescript("ALTER TABLE calls DROP COLUMN checksum")
        old.executescript(f"PRAGMA user_version = {layout}")
    assert len(list(calls(tmp_path))) == 3
    with closing(CallStore(path)) as store:
        assert store.limits == [10]
        assert asked(store, ending("stop", 5), 20) == 0
    with closing(open_read_only(path)) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (LAYOUT,)
