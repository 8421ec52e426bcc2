"""The store between a method and its model: keys, failures, equal calls in flight, attempts, the account."""

import asyncio
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from evolvent.call_store.ask import ask, why_cut, why_unusable
from evolvent.call_store.key import call_seed
from evolvent.call_store.replies import reply_from_json, reply_to_json
from evolvent.call_store.store import CallStore
from evolvent.call_store.stored import StoredChat, StoredLocal
from evolvent.call_store.used import Failures, RecordInWork, Used, lasting_failures, record_in_work
from evolvent.costs.budget import Budget
from evolvent.costs.prices import Price
from evolvent.errors import BudgetReachedError, CallError, ModelUnavailableError
from evolvent.metrics.losses import PairLosses, losses_from_json, losses_to_json
from evolvent.models.protocols import ChatModel, Reply, Sampling, TokenLogprob, Usage
from evolvent.records import Message
from tests.processes import LONG_S
from tests.scripted import Scripted

HELLO = [Message(role="user", content="hello")]
GREEDY = Sampling(0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CallStore]:
    opened = CallStore(tmp_path / "calls.sqlite")
    yield opened
    opened.close()


class Held(Scripted):
    """Answers, or fails, when it is told to."""

    def __init__(self, reply: Callable[[str, Sampling], str | Reply]) -> None:
        super().__init__(reply)
        self.go = asyncio.Event()

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        answer = asyncio.ensure_future(super().chat(messages, sampling))
        await self.go.wait()
        return await answer


def counting() -> Scripted:
    return Scripted(lambda *_: "hi")


def refuse(*_: object) -> str:
    raise CallError("server said no", fix="Ask it.", raw="<html>")


def rows(store: CallStore, what: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store.path)) as other:
        return other.execute(f"SELECT {what} FROM calls ORDER BY rowid").fetchall()


def calls_made(store: CallStore, *asked: tuple[Sequence[Message], Sampling, str]) -> int:
    """How many calls reach the models when these are asked one after the other: messages, sampling, identity."""
    models = [counting() for _ in asked]

    async def all_() -> None:
        for model, (messages, sampling, identity) in zip(models, asked, strict=True):
            model.identity = identity
            await StoredChat(model, store, "evolve").chat(messages, sampling)

    asyncio.run(all_())
    return sum(len(model.asked) for model in models)


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        (Sampling(0.7, seed=1), Sampling(0.7, seed=1), 1),
        (Sampling(0.7, seed=1), Sampling(0.8, seed=1), 2),
        (Sampling(0.7, seed=1), Sampling(0.7, seed=2), 2),
        (Sampling(0.7, seed=1), Sampling(0.7, seed=None), 2),
        (Sampling(0.7, 0.9, seed=1), Sampling(0.7, 0.8, seed=1), 2),
        (Sampling(0.7), Sampling(0.7, top_logprobs=1), 2),
        (Sampling(0.0), Sampling(0.0, stop=("\n",)), 2),
        (Sampling(0.0, 0.9, seed=1), Sampling(0.0, 0.8, seed=2), 1),
        (Sampling(0), Sampling(0.0), 1),
        (Sampling(1, 1, seed=1), Sampling(1.0, 1.0, seed=1), 1),
        (Sampling(0.0), Sampling(0.7), 2),
        (Sampling(0.0), Sampling(0.0, top_logprobs=1), 2),
        (Sampling(0.0, top_logprobs=2), Sampling(0.0, top_logprobs=1), 2),
    ],
)
def test_the_sampling_that_decides_a_reply_is_in_the_key(
    store: CallStore, first: Sampling, second: Sampling, calls: int
) -> None:
    assert calls_made(store, (HELLO, first, "m"), (HELLO, second, "m")) == calls


@pytest.mark.parametrize(
    "other",
    [
        ([Message(role="system", content="Be brief."), *HELLO], "m"),
        ([Message(role="user", content="hello ")], "m"),
        ([Message(role="user", content="hell"), Message(role="user", content="o")], "m"),
        ([Message(role="system", content="hello")], "m"),
        ([*HELLO, Message(role="assistant", content="")], "m"),
        (HELLO, "n"),
        (HELLO, ""),
        (HELLO, 'm\n{"max_tokens":2048'),
    ],
)
def test_another_conversation_or_model_is_another_call(store: CallStore, other: tuple[list[Message], str]) -> None:
    assert calls_made(store, (HELLO, GREEDY, "m"), (other[0], GREEDY, other[1])) == 2


def test_the_order_of_a_messages_keys_does_not_count(store: CallStore) -> None:
    turned = [Message(content="hello", role="user")]
    assert list(turned[0]) != list(HELLO[0])
    assert calls_made(store, (HELLO, GREEDY, "m"), (turned, GREEDY, "m")) == 1


def test_stage_record_and_uri_are_written_beside_the_call_and_are_not_in_its_key(store: CallStore) -> None:
    model, other = counting(), Scripted(lambda *_: "hi", uri="same weights, other name")
    other.identity = model.identity

    async def both() -> None:
        record_in_work.set(RecordInWork("rec1"))
        await StoredChat(model, store, "evolve").chat(HELLO, GREEDY)
        record_in_work.set(RecordInWork("rec2"))
        await StoredChat(other, store, "respond").chat(HELLO, GREEDY)

    asyncio.run(both())
    assert (len(model.asked), len(other.asked)) == (1, 0)
    assert rows(store, "stage, record, model") == [("evolve", "rec1", "scripted")]
    ((request,),) = rows(store, "request")
    assert orjson.loads(str(request)) == {"messages": HELLO, "temperature": 0.0, "max_tokens": 2048}


def test_the_keys_of_a_release_stay(store: CallStore) -> None:
    """Golden: another key would pay again for every call that users have stored."""
    asyncio.run(StoredChat(counting(), store, "evolve").chat(HELLO, Sampling(0.7, 0.95, 99, 5)))
    assert rows(store, "hex(key)") == [("3B2C2EFBC99DD86D0C142ECAD4335D76",)]


def test_a_failed_call_raises_and_is_kept_with_the_servers_words_and_made_again(store: CallStore) -> None:
    model = Scripted(refuse)
    stored = StoredChat(model, store, "evolve")
    for _ in range(2):
        with pytest.raises(CallError, match="server said no"):
            asyncio.run(stored.chat(HELLO, GREEDY))
    assert (len(model.asked), len(store), store.spent()) == (2, 0, [])
    ((reply, error),) = rows(store, "reply, error")
    assert (reply, orjson.loads(str(error))) == (None, {"error": "server said no", "fix": "Ask it.", "raw": "<html>"})
    model.reply = lambda *_: "at last"
    assert asyncio.run(stored.chat(HELLO, GREEDY)).text == "at last"
    assert rows(store, "error") == [(None,)]


def test_a_failed_call_of_work_that_chooses_by_it_is_not_made_again(store: CallStore) -> None:
    model = Scripted(refuse)
    stored = StoredChat(model, store, "optimize-method")

    async def asked(failures: Failures | None) -> list[str]:
        lasting_failures.set(failures)
        return [await one() for _ in range(2)]

    async def one() -> str:
        try:
            return (await stored.chat(HELLO, GREEDY)).text
        except CallError as error:
            assert error.raw == "<html>"
            return str(error)

    said = "server said no\nAsk it."
    assert asyncio.run(asked(Failures())) == [said] * 2
    assert len(model.asked) == 1
    model.reply = lambda *_: "hi"
    assert asyncio.run(asked(Failures(decided=True))) == [said] * 2
    with store._connection:  # as it was stored before fixes were
        store._connection.execute("UPDATE calls SET error = json_remove(error, '$.fix')")
    assert asyncio.run(asked(Failures(decided=True))) == ["server said no"] * 2
    assert len(model.asked) == 1
    assert asyncio.run(asked(Failures())) == ["hi"] * 2
    assert len(model.asked) == 2
    assert asyncio.run(asked(Failures(decided=True))) == ["hi"] * 2
    assert len(model.asked) == 2


def test_in_work_that_was_decided_on_a_call_that_is_not_stored_is_made(store: CallStore) -> None:
    async def one() -> str:
        lasting_failures.set(Failures(decided=True))
        return (await StoredChat(counting(), store, "optimize-method").chat(HELLO, GREEDY)).text

    assert asyncio.run(one()) == "hi"


def test_a_model_that_cannot_be_used_is_no_failed_call(store: CallStore) -> None:
    def absent(*_: object) -> str:
        raise ModelUnavailableError("no such model")

    with pytest.raises(ModelUnavailableError):
        asyncio.run(StoredChat(Scripted(absent), store, "evolve").chat(HELLO, GREEDY))
    assert rows(store, "key") == []


def test_a_reply_is_given_out_only_when_it_is_stored(store: CallStore) -> None:
    model = counting()

    async def one() -> list[tuple[object, ...]]:
        await StoredChat(model, store, "evolve").chat(HELLO, GREEDY)
        return rows(store, "stage")

    assert asyncio.run(one()) == [("evolve",)]


def test_equal_calls_in_flight_are_made_once_and_counted_for_each_record(store: CallStore) -> None:
    async def many() -> tuple[set[str], list[dict[str, Used]], int]:
        model = Held(lambda *_: Reply("hi", "stop", Usage(2, 1)))
        stored = StoredChat(model, store, "evolve")
        records = [RecordInWork(str(n)) for n in range(20)]

        async def one(record: RecordInWork) -> str:
            record_in_work.set(record)
            return (await stored.chat(HELLO, GREEDY)).text

        tasks = [asyncio.ensure_future(one(record)) for record in records]
        await asyncio.sleep(0)
        model.go.set()
        texts = set(await asyncio.gather(*tasks))
        return texts, [record.used for record in records], len(model.asked)

    texts, used, asked = asyncio.run(many())
    assert (texts, asked) == ({"hi"}, 1)
    assert used == [{"scripted": Used(1, 2, 1)}] * 20
    assert [spent.calls for spent in store.spent()] == [1]


def test_equal_calls_in_flight_fail_together_when_the_one_that_is_made_fails(store: CallStore) -> None:
    async def many() -> tuple[list[str], int]:
        model = Held(refuse)
        stored = StoredChat(model, store, "evolve")
        tasks = [asyncio.ensure_future(stored.chat(HELLO, GREEDY)) for _ in range(5)]
        await asyncio.sleep(0)
        model.go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        return [type(outcome).__name__ for outcome in outcomes], len(model.asked)

    assert asyncio.run(many()) == (["CallError"] * 5, 1)


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_a_cancelled_caller_takes_nothing_from_the_others(store: CallStore, cancelled: int) -> None:
    """Be it the one whose call is made: then one of the others makes it."""

    async def three() -> tuple[list[str], int]:
        model = Held(lambda *_: "hi")
        stored = StoredChat(model, store, "evolve")
        tasks = [asyncio.ensure_future(stored.chat(HELLO, GREEDY)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[cancelled].cancel()
        await asyncio.sleep(0)
        model.go.set()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LONG_S)
        return [getattr(outcome, "text", "cancelled") for outcome in outcomes], len(model.asked)

    texts, asked = asyncio.run(three())
    assert texts == ["cancelled" if n == cancelled else "hi" for n in range(3)]
    assert asked == (2 if cancelled == 0 else 1)


def test_a_stored_reply_is_counted_for_the_record_and_not_paid_again(store: CallStore) -> None:
    stored = StoredChat(Scripted(lambda *_: Reply("hi", "stop", Usage(3, 4, True), cut_max_tokens=9)), store, "evolve")
    records = [RecordInWork("a"), RecordInWork("b")]

    async def both() -> None:
        for record in records:
            record_in_work.set(record)
            await stored.chat(HELLO, GREEDY)

    asyncio.run(both())
    assert [record.used for record in records] == [{"scripted": Used(1, 3, 4, True, 0, 1)}] * 2
    (spent,) = store.spent()
    assert spent[:6] == ("evolve", "scripted", 1, 3, 4, True)


REPLIES = [
    Reply("hé", "stop", Usage(3, 4, True), "no", "why", (TokenLogprob("h", -0.5, (("h", -0.5), ("a", -2.0))),), 7),
    Reply("", "content_filter"),
    Reply("\0 \u2028 \U0001f600", "length", logprobs=()),
]


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_comes_back_from_the_store_as_it_was(store: CallStore, reply: Reply) -> None:
    model = Scripted(lambda *_: reply)
    stored = StoredChat(model, store, "evolve")
    assert [asyncio.run(stored.chat(HELLO, GREEDY)) for _ in range(2)] == [reply, reply]
    assert len(model.asked) == 1
    assert reply_from_json(reply_to_json(reply)) == reply


REPLY = Reply("hi", "stop", Usage(5, 3), logprobs=(TokenLogprob("hi", -0.5, (("hi", -0.5),)),))

# What a flipped bit, or another program, makes of a stored reply.
DAMAGED = {
    "another letter": "replace(reply, '\"hi\"', '\"ho\"')",
    "another number": "replace(reply, '\"prompt_tokens\":5', '\"prompt_tokens\":4')",
    "no JSON": "substr(reply, 2)",
    "a field less": "json_remove(reply, '$.text')",
    "a field more": "json_insert(reply, '$.texu', '')",
    "no usage": "json_remove(reply, '$.usage')",
    "a number as text": "json_set(reply, '$.text', 1)",
    "a text as number": "json_set(reply, '$.usage.prompt_tokens', 'x')",
    "a list as logprobs": "json_set(reply, '$.logprobs', json('[1]'))",
    "a list": "'[]'",
    "a number": "7",
    "bytes": "x'00ff'",
    "no UTF-8": "CAST(x'7b22ff' AS TEXT)",
    "empty": "''",
}


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_reply_is_named_and_asked_again(
    store: CallStore, caplog: pytest.LogCaptureFixture, how: str, checked: bool
) -> None:
    """A store of an older layout has no checksums: there a reply whose JSON is good is taken."""
    model = Scripted(lambda *_: REPLY)
    stored = StoredChat(model, store, "evolve")

    async def one() -> Reply:
        record_in_work.set(RecordInWork("seed/r1"))
        return await stored.chat(HELLO, GREEDY)

    assert asyncio.run(one()) == REPLY
    with store._connection as connection:
        connection.execute(f"UPDATE calls SET reply = {DAMAGED[how]}" + ", checksum = NULL" * (not checked))
    if not checked and how in ("another letter", "another number"):
        assert asyncio.run(one()) != REPLY
        return
    assert asyncio.run(one()) == REPLY
    assert len(model.asked) == 2
    assert [line.removeprefix(f"warning: {store.path}: ") for line in caplog.messages] == [
        f"a stored call is damaged (stage evolve, record seed/r1, model {model.uri}): it is made again"
    ]
    assert asyncio.run(one()) == REPLY
    assert len(model.asked) == 2


@pytest.mark.parametrize("words", ["'x'", "'{}'", "'[]'", "7", "json_set(error, '$.error', 1)"])
def test_a_damaged_failure_is_named_and_the_call_made_again(
    store: CallStore, caplog: pytest.LogCaptureFixture, words: str
) -> None:
    model = Scripted(refuse)
    stored = StoredChat(model, store, "optimize-method")

    async def one() -> Reply:
        lasting_failures.set(Failures(decided=True))
        return await stored.chat(HELLO, GREEDY)

    with pytest.raises(CallError):
        asyncio.run(one())
    with store._connection as connection:
        connection.execute(f"UPDATE calls SET error = {words}")
    model.reply = lambda *_: "hi"
    assert asyncio.run(one()).text == "hi"
    assert "a stored call is damaged (stage optimize-method, " in caplog.text


@pytest.mark.parametrize("damage", ["'x'", "replace(reply, '1', '2')", "'{\"direct_sum\":1}'", "'[]'"])
def test_a_damaged_result_of_a_window_is_computed_again_and_the_others_stay(
    store: CallStore, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    class Base:
        uri = "base"

    scorer = StoredLocal(Base(), store, "score")
    computed: list[float] = []

    async def one(value: float) -> list[PairLosses | str]:
        def compute(_: object) -> list[PairLosses]:
            computed.append(value)
            return [PairLosses(value, 1, value, 1, math.nan, 1, 2, 1, 1)] * 2

        return await scorer.window([b"1", b"2"], ["a", "b"], "{}", compute, losses_to_json, losses_from_json)

    first = asyncio.run(one(1.5))
    assert str(asyncio.run(one(9.5))) == str(first)  # what is no number stays none
    with store._connection as connection:
        connection.execute(f"UPDATE calls SET reply = {damage} WHERE key = ?", (b"2",))
    again = asyncio.run(one(3.5))
    assert (again[0].instruction_sum, again[1].instruction_sum) == (1.5, 3.5)  # type: ignore[union-attr]
    assert "(stage score, record b, model base)" in caplog.text
    assert str(asyncio.run(one(9.5))) == str(again)
    assert computed == [1.5, 3.5]


def asked(stored: ChatModel, sampling: Sampling, **options: object) -> Reply:
    return asyncio.run(
        ask(stored, HELLO, sampling, run_seed=3, record_id="r", stage="evolve", **options)  # type: ignore[arg-type]
    )


def test_attempts_draw_other_seeds_and_each_is_stored(store: CallStore) -> None:
    replies = iter(["", " \n", "fine"])
    model = Scripted(lambda *_: next(replies))
    stored = StoredChat(model, store, "evolve")
    assert [asked(stored, Sampling(0.7, 0.9, 55)).text for _ in range(2)] == ["fine", "fine"]
    assert [sampling for _, sampling in model.asked] == [
        Sampling(0.7, 0.9, 55, call_seed(3, "r", "evolve", attempt=attempt)) for attempt in range(3)
    ]
    assert len(store) == 3


@pytest.mark.parametrize(
    ("replies", "temperature", "calls", "unusable"),
    [
        (["!"], 0.7, 1, 0),
        (["", "?", "!"], 0.7, 3, 2),
        (["", "?", "nor this"], 0.7, 3, 2),  # nobody asks for another after the last
        ([""], 0.0, 1, 0),
        (["!"], 0.0, 1, 0),
    ],
)
def test_replies_that_were_asked_again_are_counted(
    store: CallStore, replies: list[str], temperature: float, calls: int, unusable: int
) -> None:
    script, record = iter(replies), RecordInWork("r")

    async def one() -> str:
        record_in_work.set(record)
        stored = StoredChat(Scripted(lambda *_: next(script)), store, "evolve")
        usable = lambda reply: reply.text == "!"  # noqa: E731
        how = Sampling(temperature)
        reply = await ask(stored, HELLO, how, run_seed=0, record_id="r", stage="evolve", usable=usable)
        return reply.text

    assert asyncio.run(one()) == replies[-1]
    (used,) = record.used.values()
    assert (used.calls, used.unusable) == (calls, unusable)


@pytest.mark.parametrize(("temperature", "asked_for", "text"), [(0.7, 2, "whole"), (0.0, 1, "hal")])
def test_a_reply_that_a_filter_has_cut_is_asked_again(
    store: CallStore, temperature: float, asked_for: int, text: str
) -> None:
    script = iter([Reply("hal", "content_filter"), Reply("whole", "stop")])
    model = Scripted(lambda *_: next(script))
    assert asked(StoredChat(model, store, "evolve"), Sampling(temperature)).text == text
    assert len(model.asked) == asked_for


def test_the_last_reply_is_returned_when_none_is_usable(store: CallStore) -> None:
    model = Scripted(lambda *_: "")
    assert asked(StoredChat(model, store, "evolve"), Sampling(0.7)).text == ""
    assert len(model.asked) == 3
    greedy = Scripted(lambda *_: "")
    asked(greedy, GREEDY)
    assert len(greedy.asked) == 1  # another seed changes nothing


def budgeted(store: CallStore, model: Scripted, limit: float) -> tuple[StoredChat, Budget]:
    """The model at a price of 1 a token, and a budget."""
    model.uri = "embedded"
    budget = Budget(limit, {"embedded": Price(1e6, 1e6)}, [], stage="evolve", models=["embedded"])
    return StoredChat(model, store, "evolve", budget), budget


def test_the_budget_is_asked_before_a_call_and_told_what_it_used(store: CallStore) -> None:
    model = Scripted(lambda prompt, _: Reply(prompt, "stop", Usage(2, 1)))
    stored, budget = budgeted(store, model, 6)

    def one(text: str) -> str:
        return asyncio.run(stored.chat([Message(role="user", content=text)], GREEDY)).text

    assert [one(text) for text in "aba"] == ["a", "b", "a"]  # the third from the store: free
    assert (budget.spent, budget.in_flight, len(model.asked)) == (6, 0, 2)
    with pytest.raises(BudgetReachedError):
        one("c")
    assert (one("b"), len(model.asked), budget.in_flight) == ("b", 2, 0)


@pytest.mark.parametrize(
    "error", [CallError("no"), ModelUnavailableError("no such model"), KeyError("a fault of ours")]
)
def test_a_call_that_fails_gives_its_share_of_the_budget_back(store: CallStore, error: Exception) -> None:
    def fail(*_: object) -> str:
        raise error

    stored, budget = budgeted(store, Scripted(fail), 6)
    with pytest.raises(type(error)):
        asyncio.run(stored.chat(HELLO, GREEDY))
    assert (budget.in_flight, budget.spent) == (0, 0)


def test_closing_closes_the_model(store: CallStore) -> None:
    model = counting()
    asyncio.run(StoredChat(model, store, "evolve").close())
    assert model.closed


@pytest.mark.parametrize(
    ("reply", "unusable", "cut"),
    [
        (Reply("Seven loaves", "stop"), None, None),
        (Reply("Seven", "length"), None, "truncated"),
        (Reply("", "length"), "truncated", "truncated"),
        (Reply("Seven, seven, seven", "loop"), None, "loop"),
        (Reply("", "loop", reasoning="Seven, seven, seven"), "loop", "loop"),
        (Reply("", "length", reasoning="Seven"), "cut inside its reasoning", "cut inside its reasoning"),
        (Reply(" ", "stop", reasoning="Seven"), "only reasoning", "only reasoning"),
        (Reply("Seven", "length", reasoning="Seven"), None, "truncated"),
        (Reply("Seven", "content_filter"), "filtered", "filtered"),
        (Reply(" \n", "stop"), "empty", "empty"),
        (Reply("\ufeff\u200b\0\x1b", "stop"), "empty", "empty"),
        (Reply("\u200b7", "stop"), None, None),
        (Reply("", "stop", refusal="No."), "refused", "refused"),
        (Reply("Seven", "stop", refusal="No."), None, None),
    ],
)
def test_why_a_reply_cannot_be_used(reply: Reply, unusable: str | None, cut: str | None) -> None:
    assert (why_unusable(reply), why_cut(reply)) == (unusable, cut)
