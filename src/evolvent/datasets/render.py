"""A record as a row of a training format: texts in the format's columns, ours in ``meta``, the user's where they were.

``read_row`` (formats.py) is the other direction.
"""

import orjson

from evolvent.datasets.conversations import (
    SHAREGPT_ROLES,
    BadRow,
    first_exchange,
    is_single_turn,
    single_exchange,
)
from evolvent.datasets.formats import Row, read_row
from evolvent.records import Message, Record

OUTPUT_FORMATS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "alpaca": ("instruction", "input", "output", "system"),
    "sharegpt": ("conversations",),
    "prompt_completion": ("prompt", "completion"),
}


# The user's columns that the format needs itself, or that would make it look like another format.
_OTHERS = frozenset({"messages", "chosen"})
_TAKEN = {
    "messages": _OTHERS,
    "sharegpt": _OTHERS | {"conversations", "conversation", "system"},
    "alpaca": _OTHERS | {"instruction", "input", "output", "system", "history", "conversations", "conversation"},
    "prompt_completion": _OTHERS | {"prompt", "completion", "instruction", "conversations", "conversation"},
}


def lineage(record: Record) -> Row:
    """Our own columns for ``meta``: none for a plain seed, all of them for what a stage has touched."""
    touched = record.round or record.evolver or record.teacher or record.scores or record.status != "ok"
    if not touched:
        return {}
    return {
        "id": record.id,
        "seed_id": record.seed_id,
        "seed_index": record.seed_index,
        "parent_id": record.parent_id,
        "round": record.round,
        "method": record.method,
        "operator": record.operator,
        "prompt_version": record.prompt_version,
        "evolver": record.evolver,
        "teacher": record.teacher,
        "finish_reason": record.finish_reason,
        "status": record.status,
        "reason": record.reason,
        "scores": record.scores,
    }


def conversation(record: Record) -> list[Message]:
    """The conversation a record stands for.

    ``messages`` as it is, while it still says what instruction, input and output say. When a stage changed those, the
    leading system turn stays and one exchange follows: the later turns of the seed answer something else.
    """
    system = ""
    if record.messages:
        try:
            if first_exchange(record.messages, "messages") == (record.question, record.output):
                return record.messages
        except BadRow:
            pass  # no user turn: the exchange below is what the record says
        if record.messages[0]["role"] == "system":
            system = record.messages[0]["content"]
    return single_exchange(record.instruction, record.input, record.output, system)


def _original_columns(original: str, record: Record, format: str) -> Row | None:
    """The seed's own columns, if they are of this format and still say what the record says."""
    try:
        columns: Row = orjson.loads(original)
        content, _ = read_row(columns, format)
    except (BadRow, orjson.JSONDecodeError):
        return None
    now = (record.instruction, record.input, record.output, record.messages)
    return columns if content == now else None


def render(record: Record, format: str, *, restore: bool = True, history: bool = True) -> Row | None:
    """A record as a row.

    Args:
        record: the record.
        format: a key of OUTPUT_FORMATS.
        restore: write the seed's own columns (tool calls, loss weights) where nothing has changed them; otherwise, and
            where something has, they stay in ``meta`` as JSON text. Not for files whose columns have one type.
        history: write how the record came about into ``meta``.

    Returns:
        The format's columns, then the user's, then ``meta``; None if the record has more turns than the format holds.
    """
    users: Row = orjson.loads(record.meta) if record.meta else {}
    ours = lineage(record) if history else {}
    row = None
    original = users.get("_original")
    if isinstance(original, str):
        del users["_original"]
        row = _original_columns(original, record, format) if restore else None
        if row is None:
            ours["_original"] = original
    if row is None:
        turns = conversation(record)
        if format != "alpaca":
            row = _in_turns(turns, format)
        elif not is_single_turn(turns):
            return None
        else:
            row = {"instruction": record.instruction, "input": record.input, "output": record.output}
            if turns[0]["role"] == "system" and turns[0]["content"]:
                row["system"] = turns[0]["content"]
    taken = sorted(users.keys() & _TAKEN[format])
    if "meta" in users and (ours or taken):
        taken = [*taken, "meta"]
    if taken:
        ours["_columns"] = {name: users.pop(name) for name in taken}
    row.update(users)
    if ours or "meta" in row:
        row["meta"] = ours or row.pop("meta")  # last
    return row


def _in_turns(turns: list[Message], format: str) -> Row:
    if format == "sharegpt":
        return {
            "conversations": [{"from": SHAREGPT_ROLES[turn["role"]], "value": turn["content"]} for turn in turns],
        }
    if format == "prompt_completion":
        answered = turns[-1]["role"] == "assistant"
        return {"prompt": turns[:-1] if answered else turns, "completion": turns[-1:] if answered else []}
    return {"messages": turns}
