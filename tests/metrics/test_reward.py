"""The reward metric: which conversation is judged, what is null and why, what the store keeps."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.store import CallStore
from evolvent.call_store.stored import StoredModels
from evolvent.files import CALLS
from evolvent.metrics.all_metrics import METRICS
from evolvent.metrics.metric import Window
from evolvent.metrics.reward import answered, from_json, to_json
from evolvent.models.models import Need
from evolvent.models.protocols import Reward
from evolvent.records import Message, Record, Score

NAME = "hf:judge-of-length"


class OfLength:
    """A reward model: an answer's length below 10; it cannot read an x, has no memory for a y, and falls for a z."""

    uri = NAME
    identity = "of length"
    context = 100

    def __init__(self) -> None:
        self.read: list[list[Message]] = []

    def rewards(self, conversations: Sequence[Sequence[Message]], **_: object) -> list[Reward | str]:
        self.read += [list(turns) for turns in conversations]
        return [self._reward(turns[-1]["content"]) for turns in conversations]

    def _reward(self, answer: str) -> Reward | str:
        if answer == "x":
            return "longer than the reward model's context of 100 tokens"
        if answer == "y":
            return "out of memory: the conversation has 50 tokens"
        return Reward(math.nan if answer == "z" else 10.0 - len(answer), len(answer.split()))


def pair(output: str, instruction: str = "Mend a sock", **more: Any) -> Record:
    return Record(f"s{output}", "s", 0, instruction, output=output, **more)


def scored(
    records: Sequence[Record], model: OfLength, folder: Path
) -> tuple[list[Mapping[str, Score]], list[str | None]]:
    """The metric's values for records, and why it has none for some."""

    async def compute() -> tuple[list[Mapping[str, Score]], list[str | None]]:
        with closing(CallStore(folder / CALLS)) as store:
            window = Window(records, StoredModels({Need("reward", NAME): model}, store, "score"), {"reward": NAME})
            window.begin()
            return list(await METRICS["reward"].compute(window, None)), window.reasons

    return asyncio.run(compute())


def test_the_answer_is_judged_after_system_turn_and_question() -> None:
    turns: list[Message] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Mend a sock"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And then?"},
        {"role": "assistant", "content": "No."},
    ]
    record = pair("Yes.", messages=turns)
    assert answered(record) == turns[:3]
    assert answered(replace(record, messages=None, input="a red one"))[0] == {
        "role": "user",
        "content": "Mend a sock\na red one",
    }


def test_rewards_and_why_there_are_none(tmp_path: Path) -> None:
    model = OfLength()
    records = [pair(text) for text in ("With wool.", "", " \n", "x", "y", "z", "no")] + [pair("With wool.", " ")]
    values, reasons = scored(records, model, tmp_path)
    assert values[0] == {"reward": 0.0, "reward_tokens": 2}
    assert values[1:5] == [{}] * 4 and values[7] == {}
    assert values[5] == {"reward": None, "reward_tokens": 1}  # score says: no finite value for reward
    assert reasons == [
        None,
        "empty output",
        "empty output",
        "longer than the reward model's context of 100 tokens",
        "out of memory: the conversation has 50 tokens",
        None,
        None,
        "empty instruction",
    ]
    assert len(model.read) == 5  # what is empty is not asked about


def test_what_the_store_keeps_is_not_computed_again(tmp_path: Path) -> None:
    records = [pair("With wool."), pair("x"), pair("z"), pair("")]
    first = scored(records, OfLength(), tmp_path)
    again = OfLength()
    assert scored(records, again, tmp_path) == first and not again.read
    scored([pair("y")], again, tmp_path)
    scored([pair("y")], again, tmp_path)
    assert len(again.read) == 2  # another machine, or this one when it is idle, may have the memory
    other = OfLength()
    other.identity = "of length, in bfloat16"
    scored(records, other, tmp_path)
    assert len(other.read) == 3


def test_rewards_as_they_are_stored() -> None:
    for reward in (Reward(-1.25, 7), "longer than the reward model's context of 100 tokens"):
        assert from_json(to_json(reward) or "") == reward
    assert to_json("out of memory: the conversation has 50 tokens") is None
    none = from_json(to_json(Reward(math.nan, 1)) or "")
    assert isinstance(none, Reward) and math.isnan(none.value)
    for damaged in ("{}", "[]", "5", '{"value": "a", "tokens": 3}', '{"value": 1.0}', "{"):
        with pytest.raises((ValueError, TypeError, LookupError)):
            from_json(damaged)
