"""The reward of an answer, as a reward model gives it.

Source: arXiv 2412.11231, App. (table 14), and arXiv 2411.07133. ``compare`` adjusts the mean for length.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from evolvent.call_store.key import call_key
from evolvent.metrics.losses import OUT_OF_MEMORY, finite
from evolvent.metrics.metric import Metric, Values, Window
from evolvent.models.protocols import Reward
from evolvent.records import Column, Message, Record


async def rewards(window: Window, judged: Sequence[list[Message] | str]) -> list[Reward | str]:
    """The reward of each record's conversation, or why there is none; kept in the call store by model and conversation.

    Args:
        window: the records, and the reward model.
        judged: a conversation for each, whose last turn is judged, or why there is none.
    """
    stored = window.models.model("reward", window.supplied["reward"])
    conversations = [turns for turns in judged if not isinstance(turns, str)]
    ids = [record.id for record, turns in zip(window.records, judged, strict=True) if not isinstance(turns, str)]

    def compute(cancelled: threading.Event) -> list[Reward | str]:
        given: list[Reward | str] = stored.model.rewards(conversations, stop=cancelled)
        return given

    keys = [call_key(stored.model.identity, turns) for turns in conversations]
    given = iter(await stored.window(keys, ids, "{}", compute, to_json, from_json))
    return [turns if isinstance(turns, str) else next(given) for turns in judged]


async def values_of(window: Window, name: str, judged: Sequence[list[Message] | str]) -> list[Values]:
    """The two columns of a reward for each record: what it is, and how long the text that it is of.

    Args:
        window, judged: see ``rewards``.
        name: the first column; the second's adds ``_tokens``.
    """
    values: list[Values] = []
    for place, reward in enumerate(await rewards(window, judged)):
        if isinstance(reward, str):
            window.reasons[place] = reward
            values.append({})
        else:
            values.append({name: finite(reward.value), f"{name}_tokens": reward.tokens})
    return values


def answered(record: Record) -> list[Message]:
    """A record as the conversation that a reward model reads: its system turn, question and answer."""
    system = [turn for turn in record.messages or [] if turn["role"] == "system"][:1]
    return [
        *system,
        Message(role="user", content=record.question),
        Message(role="assistant", content=record.output),
    ]


def to_json(reward: Reward | str) -> str | None:
    """A reward, or why there is none, as it is stored; None for what is not to be stored."""
    if isinstance(reward, str) and reward.startswith(OUT_OF_MEMORY):
        return None
    content: dict[str, Any] = {"reason": reward} if isinstance(reward, str) else asdict(reward)
    return orjson.dumps(content).decode()


def from_json(text: str) -> Reward | str:
    """The reward that was stored as ``text``.

    Raises:
        ValueError, TypeError, LookupError: the text is damaged.
    """
    content: dict[str, Any] = orjson.loads(text)
    if "reason" in content:
        return str(content["reason"])
    # JSON holds no infinite reward, and none that is not a number.
    return Reward(math.nan if content["value"] is None else content["value"] + 0.0, content["tokens"] + 0)


async def _compute(window: Window, _: object) -> list[Values]:
    judged = [nothing_to_judge(record) or answered(record) for record in window.records]
    return await values_of(window, "reward", judged)


def nothing_to_judge(record: Record) -> str | None:
    """Why there is no answer to be judged, or no question; None where there are both."""
    if not record.output.strip():
        return "empty output"
    return None if record.question.strip() else "empty instruction"


REWARD = Metric(
    "reward",
    ("reward",),
    (Column("reward", "double", "reward", "higher"), Column("reward_tokens", "int64", "tokens")),
    _compute,
)
