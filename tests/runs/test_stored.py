"""The store between a method and its model: keys, equal calls in flight, attempts, tallies."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolvent.errors import CallError
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.records import Message
from evolvent.runs.store import CallStore
from evolvent.runs.stored import StoredChat, ask, current_record, reply_from_json
from tests.scripted import Scripted

HELLO = [Message(role="user", content="hello")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CallStore]:
    opened = CallStore(tmp_path / "calls.sqlite")
    yield opened
    opened.close()


def counting() -> Scripted:
    return Scripted(lambda *_: "hi")


def ask_twice(store: CallStore, first: Sampling, second: Sampling) -> int:
    """How many calls reach the model when it is asked with both samplings, one after the other."""
    model = counting()

    async def both() -> None:
        stored = StoredChat(model, store, "evolve")
        await stored.chat(HELLO, first)
        await stored.chat(HELLO, second)

    asyncio.run(both())
    return len(model.asked)


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        (Sampling(0.7, seed=1), Sampling(0.7, seed=1), 1),
        (Sampling(0.7, seed=1), Sampling(0.7, seed=2), 2),
        (Sampling(0.7, 0.9, seed=1), Sampling(0.7, 0.8, seed=1), 2),
        (Sampling(0.7, max_tokens=5), Sampling(0.7, max_tokens=6), 2),
        (Sampling(0.0, 0.9, seed=1), Sampling(0.0, 0.8, seed=2), 1),
        (Sampling(0.0, max_tokens=5), Sampling(0.0, max_tokens=6), 2),
        (Sampling(0.0), Sampling(0.0, top_logprobs=1), 2),
    ],
)
def test_what_decides_a_reply_is_in_the_key(store: CallStore, first: Sampling, second: Sampling, calls: int) -> None:
    assert ask_twice(store, first, second) == calls


@pytest.mark.parametrize("change", ["identity", "system", "messages"])
def test_another_model_or_conversation_is_another_call(store: CallStore, change: str) -> None:
    model, other = counting(), counting()
    messages = list(HELLO)
    if change == "identity":
        other.identity = '{"base_url":"elsewhere"}'
    elif change == "system":
        messages = [Message(role="system", content="Be brief."), *HELLO]
    else:
        messages = [Message(role="user", content="hello ")]

    async def both() -> None:
        await StoredChat(model, store, "evolve").chat(HELLO, Sampling(0.0))
        await StoredChat(other, store, "evolve").chat(messages, Sampling(0.0))

    asyncio.run(both())
    assert len(other.asked) == 1


def test_the_stage_and_the_record_are_written_beside_the_call_but_not_in_its_key(store: CallStore) -> None:
    model = counting()

    async def both() -> None:
        current_record.set("rec1")
        await StoredChat(model, store, "evolve").chat(HELLO, Sampling(0.0))
        current_record.set("rec2")
        await StoredChat(model, store, "respond").chat(HELLO, Sampling(0.0))

    asyncio.run(both())
    assert len(model.asked) == 1
    assert store._reader.execute("SELECT stage, record, model FROM calls").fetchall() == [
        ("evolve", "rec1", "scripted")
    ]


def test_equal_calls_in_flight_are_made_once(store: CallStore) -> None:
    class Slow(Scripted):
        async def chat(self, messages, sampling):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.02)
            return await super().chat(messages, sampling)

    model = Slow(lambda *_: "hi")
    stored = StoredChat(model, store, "evolve")

    async def many() -> list[Reply]:
        return await asyncio.gather(*(stored.chat(HELLO, Sampling(0.0)) for _ in range(20)))

    assert {reply.text for reply in asyncio.run(many())} == {"hi"}
    assert len(model.asked) == 1
    assert (stored.tally.made, stored.tally.reused) == (1, 19)


def test_a_failed_call_is_not_stored(store: CallStore) -> None:
    def refuse(*_: object) -> str:
        raise CallError("no")

    stored = StoredChat(Scripted(refuse), store, "evolve")
    with pytest.raises(CallError):
        asyncio.run(stored.chat(HELLO, Sampling(0.0)))
    assert len(store) == 0


def test_a_reply_comes_back_from_the_store_as_it_was(store: CallStore) -> None:
    reply = Reply(
        "hé", "stop", Usage(3, 4, True), "no", "why", (TokenLogprob("h", -0.5, (("h", -0.5), ("a", -2.0))),), 7
    )
    stored = StoredChat(Scripted(lambda *_: reply), store, "evolve")
    asyncio.run(stored.chat(HELLO, Sampling(0.0)))
    (text,) = store._reader.execute("SELECT reply FROM calls").fetchone()
    assert reply_from_json(text) == reply
    assert asyncio.run(stored.chat(HELLO, Sampling(0.0))) == reply


def test_attempts_draw_other_seeds_and_each_is_stored(store: CallStore) -> None:
    replies = iter(["", "", "fine"])
    model = Scripted(lambda *_: next(replies))
    stored = StoredChat(model, store, "evolve")

    def again() -> Reply:
        return asyncio.run(ask(stored, HELLO, Sampling(0.7), run_seed=0, record_id="r", stage="evolve"))

    assert again().text == "fine"
    assert len({sampling.seed for _, sampling in model.asked}) == 3
    assert again().text == "fine"
    assert len(model.asked) == 3
