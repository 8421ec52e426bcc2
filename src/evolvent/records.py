"""Record: the one row that every stage reads and writes, its ids, its lineage and its Arrow schema.

A seed is a record of round 0. An evolution is a record of round 1 or later, with the same ``seed_id`` and a
``parent_id`` that names the last surviving ancestor. A response is a copy of the record it answers, with ``teacher``
and ``output`` set.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["ok", "eliminated", "failed"]
Score = float | int | str | None

# Finish reasons of texts that are not whole, in words for the user.
CUT = {"length": "cut at the token limit", "loop": "ended in a loop"}


class Message(TypedDict):
    """One turn of a conversation; ``role`` is system, user, assistant or tool."""

    role: str
    content: str


def conversation(prompt: str, system: str | None = None, *, shown: Iterable[tuple[str, str]] = ()) -> list[Message]:
    """A conversation that ends with a prompt: after a system prompt, if there is one, and after what is shown.

    Args:
        prompt: the last turn, the user's.
        system: the system prompt.
        shown: demonstrations, each a prompt with its reply.
    """
    turns = [Message(role="system", content=system)] if system else []
    for asked, answered in shown:
        turns += [Message(role="user", content=asked), Message(role="assistant", content=answered)]
    return [*turns, Message(role="user", content=prompt)]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of scores.

    Attributes:
        name: its name.
        kind: its Arrow type.
        unit: what it is counted in.
        better: which values are kept: the ``lower`` or the ``higher`` ones; None where neither is better.
    """

    name: str
    kind: Literal["double", "int64", "string"] = "double"
    unit: str = ""
    better: Literal["lower", "higher"] | None = None


@dataclass(slots=True)
class Record:
    """One instruction with its response, its lineage and its fate.

    Attributes:
        id: a seed's is a hash of its content; an evolution's ``SEED_ID/rN``; a response's adds a hash of the teacher.
        seed_id: the seed's id (its own for a seed).
        seed_index: position of the seed in the input, skipped rows counted.
        instruction: the instruction; a conversation's first user turn.
        input: the input that goes with the instruction, empty if there is none.
        output: the response; a conversation's first assistant turn.
        messages: the whole conversation if the seed was one, system turn included.
        parent_id: the last surviving ancestor; None for a seed.
        round: 0 for a seed, 1 for the first evolution (the paper code's ``round_num`` 0).
        method: the evolution method; None for a seed.
        operator: the method's operator.
        prompt_version: version of the prompt template that made it.
        evolver: URI of the model that evolved it.
        teacher: URI of the model that answered it.
        finish_reason: why the last generation ended, in the server's words.
        status: ok, eliminated (a rule applies) or failed (no usable reply).
        reason: the rule, or the server's words.
        scores: score columns by name; None where a score does not exist.
        meta: JSON object text with the user's other columns; None if there are none.
    """

    id: str
    seed_id: str
    seed_index: int
    instruction: str
    input: str = ""
    output: str = ""
    messages: list[Message] | None = None
    parent_id: str | None = None
    round: int = 0
    method: str | None = None
    operator: str | None = None
    prompt_version: str | None = None
    evolver: str | None = None
    teacher: str | None = None
    finish_reason: str | None = None
    status: Status = "ok"
    reason: str | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    meta: str | None = None

    @property
    def size(self) -> int:
        """Characters of its texts: what bounds how many records are in memory."""
        turns = sum(len(turn["content"]) for turn in self.messages or ())
        return len(self.instruction) + len(self.input) + len(self.output) + len(self.meta or "") + turns

    @property
    def question(self) -> str:
        """The text a teacher is asked: the instruction, and on the next line its input if there is one."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


COLUMNS = tuple(f.name for f in fields(Record) if f.name != "scores")
_VALUES = attrgetter(*COLUMNS)


def content_digest(instruction: str, input: str, output: str, messages: list[Message] | None) -> str:
    """Hash of what a seed says, 16 hex digits: of its turns if it is a conversation, else of its three texts."""
    content = [[m["role"], m["content"]] for m in messages] if messages else [instruction, input, output]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()[:16]


def schema(columns: Sequence[Column] = ()) -> "pa.Schema":
    """The Arrow schema of a record file.

    Args:
        columns: its score columns, behind a record's own.
    """
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    turn = pa.struct([("role", text), ("content", text)])
    kinds = {"seed_index": number, "round": pa.int32(), "messages": pa.list_(turn)}
    required = {"id", "seed_id", "seed_index", "instruction", "input", "output", "round", "status"}
    own = [pa.field(name, kinds.get(name, text), name not in required) for name in COLUMNS]
    return pa.schema([*own, *(pa.field(column.name, pa.type_for_alias(column.kind)) for column in columns)])


def to_row(record: Record) -> dict[str, Any]:
    """The record as a flat row: the columns of the schema, then its scores."""
    return {**dict(zip(COLUMNS, _VALUES(record), strict=True)), **record.scores}


def from_row(row: dict[str, Any]) -> Record:
    """A record from a flat row; columns that are not a record's own are its scores."""
    own = {name: row[name] for name in COLUMNS}
    return Record(**own, scores={name: value for name, value in row.items() if name not in own})
