"""What of a record is trained on: a conversation whose answers carry loss, or a pair of answers to one."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import orjson

from evolvent.datasets.conversations import BadRow, read_turns, turns_in_text
from evolvent.datasets.render import conversation
from evolvent.records import Message, Record

# Texts that tokenizers take for a token of their own, wherever they stand.
CONTROL = re.compile(r"<\|[^|<>\s]+\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]")

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation: a system turn or none, then questions and answers in turn, an answer at its end.

    Attributes:
        turns: its turns.
        rejected: of a preference pair, the worse answer to what the last turn answers.
        unanswered: whether turns that nobody answered were left out at its end.
        round: the round of evolution that it is of; 0 where that is not known, or it is a seed.
        evolver: the model that evolved it, where one is known.
    """

    turns: list[Message]
    rejected: str | None = None
    unanswered: bool = False
    round: int = 0
    evolver: str | None = None

    @property
    def texts(self) -> Iterator[str]:
        """Its texts."""
        yield from (turn["content"] for turn in self.turns)
        if self.rejected is not None:
            yield self.rejected

    def control(self) -> set[str]:
        """What in its texts tokenizers may take for a token."""
        return {found for text in self.texts for found in CONTROL.findall(text)}

    def conversations(self) -> list[list[Message]]:
        """What a model reads of it: the conversation; of a pair, both."""
        if self.rejected is None:
            return [self.turns]
        return [self.turns, [*self.turns[:-1], Message(role="assistant", content=self.rejected)]]


def control_words(found: Collection[str]) -> str:
    """What is said of examples whose texts tokenizers may take for a token."""
    return f"text that tokenizers may take for a token: {', '.join(sorted(found)[:SHOWN])}"


def example_of(record: Record, *, preference: bool) -> Example | str:
    """The example that a record is, or why it is none.

    Args:
        record: the record.
        preference: whether it is the better answer of a pair, whose other one is in the column ``rejected``.
    """
    whole = turns = conversation(record)
    while turns and turns[-1]["role"] != "assistant":
        turns = turns[:-1]  # what nobody answered carries no loss
    first = 1 if turns and turns[0]["role"] == "system" else 0
    roles = [turn["role"] for turn in turns[first:]]
    if not roles:
        return "without an answer"
    if "tool" in roles:
        return "with turns of tools"
    if roles != ["user", "assistant"] * (len(roles) // 2):
        return "whose turns are not questions and answers in turn"
    if not all(turn["content"].strip() for turn in turns if turn["role"] == "assistant"):
        return "with an empty answer"
    if not preference:
        return Example(turns, None, turns != whole, *_came_from(record))
    rejected = _rejected(record, turns[:-1])
    if rejected is None or not rejected.strip():
        return "without a rejected answer"
    if rejected == turns[-1]["content"]:
        return "whose two answers are the same"
    return Example(turns, rejected, False, *_came_from(record))


def _came_from(record: Record) -> tuple[int, str | None]:
    """The round of a record and its evolver: its own, or what a training set of select says of its row."""
    noted = orjson.loads(record.meta or "{}").get("meta") if not record.round else None
    if not isinstance(noted, dict) or "seed_id" not in noted:
        return record.round, record.evolver
    round, evolver = noted.get("round"), noted.get("evolver")
    return round if isinstance(round, int) else 0, evolver if isinstance(evolver, str) else None


def _rejected(record: Record, asked: list[Message]) -> str | None:
    """The rejected answer: a text, a turn, or a whole conversation that begins as the chosen one does."""
    value = turns_in_text(orjson.loads(record.meta or "{}").get("rejected"))
    if isinstance(value, str):
        return value
    try:
        turns, _ = read_turns(value, "rejected")
    except BadRow:
        return None
    if turns[: len(asked)] == asked:
        turns = turns[len(asked) :]
    return turns[0]["content"] if [turn["role"] for turn in turns] == ["assistant"] else None
