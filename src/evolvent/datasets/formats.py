"""The formats of instruction data: which columns each has, how a row is recognised and what it says.

A format reads a row into a Content and names the columns it used; every other column is the user's own and is kept.
What messages cannot say (tool calls, loss weights, an alpaca history) is kept, too: the columns of such a row stand, as
JSON text, in its ``_original``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from evolvent.datasets.conversations import (
    BadRow,
    first_exchange,
    kind_of,
    read_turns,
    single_exchange,
    turns_in_text,
)
from evolvent.datasets.rows import json_default
from evolvent.errors import InputError
from evolvent.records import COLUMNS, Message

Row = dict[str, Any]


class Content(NamedTuple):
    """What a row says: the texts of a Record."""

    instruction: str
    input: str
    output: str
    messages: list[Message] | None


class Reading(NamedTuple):
    """A row as a format reads it: the content, the columns it came from, and whether it says all that they hold."""

    content: Content
    used: frozenset[str]
    exact: bool = True


class Format(NamedTuple):
    """A format: the columns it may have (``--map`` can name them), how to tell it, how to read it."""

    columns: tuple[str, ...]
    needs: str
    matches: Callable[[frozenset[str]], bool]
    read: Callable[[Row], Reading]


# What people write into the input of an instruction that needs none: the whole cell, in any case, without the signs
# around it and the blanks in it.
NO_INPUT = frozenset(
    {
        *("noinput", "noinputs", "noinputneeded", "noinputrequired", "noinputnecessary", "noinputprovided"),
        *("noinputgiven", "noinputisneeded", "noinputisrequired", "noadditionalinput", "notapplicable"),
        *("n/a", "none", "noneneeded", "nonerequired", "null", "nan"),
    }
)
LONGEST = 40  # characters of such a cell
_SIGNS = re.compile(r"[\s<>()\[\]{}`'\"\\*.,;:!_-]+")

ALPACA_COLUMNS = frozenset({"instruction", "input", "output", "system", "history"})


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise BadRow(f'column "{column}" is {kind_of(value)}, not text (mixed types)')


def says_none(input: object) -> bool:
    """Whether an input only says that there is none: ``<noinput>``, ``N/A``, ``No input required.`` …"""
    return isinstance(input, str) and 0 < len(input) <= LONGEST and _SIGNS.sub("", input).casefold() in NO_INPUT


def _pairs(history: object) -> list[Message]:
    """The turns of an alpaca history: a list of [question, answer]."""
    if isinstance(history, str) and history.startswith("["):
        try:
            history = orjson.loads(history)
        except orjson.JSONDecodeError as error:
            raise BadRow(f'column "history" is not a JSON list: {error}') from None
    turns: list[Message] = []
    for pair in history if isinstance(history, list | tuple) else [history]:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise BadRow('column "history" is not a list of [question, answer] pairs')
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return turns


def _alpaca(row: Row) -> Reading:
    instruction, input, output = _text(row, "instruction"), _text(row, "input"), _text(row, "output")
    if says_none(input):
        input = ""
    system, history = _text(row, "system"), row.get("history")
    if isinstance(history, str) and not history.lstrip().startswith("["):  # a user's own: the subject, say
        content = _alpaca({**row, "history": None}).content
        return Reading(content, ALPACA_COLUMNS - {"history"})
    if history:
        turns = _pairs(row["history"]) + single_exchange(instruction, input, output)
        if system:
            turns.insert(0, {"role": "system", "content": system})
        return Reading(Content(*_exchange(turns, "history"), turns), ALPACA_COLUMNS, exact=False)
    messages = single_exchange(instruction, input, output, system) if system else None
    return Reading(Content(instruction, input, output, messages), ALPACA_COLUMNS)


def _exchange(turns: list[Message], column: str) -> tuple[str, str, str]:
    instruction, output = first_exchange(turns, column)
    return instruction, "", output


def _messages(row: Row) -> Reading:
    turns, exact = read_turns(row.get("messages"), "messages")
    return Reading(Content(*_exchange(turns, "messages"), turns), frozenset({"messages"}), exact)


def _sharegpt(row: Row) -> Reading:
    column = "conversations" if row.get("conversations") is not None else "conversation"
    turns, exact = read_turns(row.get(column), column)
    system = _text(row, "system")
    if system:
        turns.insert(0, {"role": "system", "content": system})
    return Reading(Content(*_exchange(turns, column), turns), frozenset({column, "system"}), exact)


def _prompt_completion(row: Row) -> Reading:
    used = frozenset({"prompt", "completion"})
    prompt, completion = turns_in_text(row.get("prompt")), row.get("completion")
    if isinstance(prompt, str | None) and isinstance(completion, str | None):
        return Reading(Content(prompt or "", "", completion or "", None), used)
    if not isinstance(prompt, list | tuple):
        raise BadRow(
            f'column "prompt" is {kind_of(prompt)} and "completion" {kind_of(completion)}: both text, or lists'
        )
    turns, exact = read_turns(prompt, "prompt")
    if completion and completion != "[]":  # as CSV files hold an empty list
        answer, whole = read_turns(completion, "completion")
        turns, exact = turns + answer, exact and whole
    return Reading(Content(*_exchange(turns, "prompt"), turns), used, exact)


def _preference(row: Row) -> Reading:
    """The chosen answer of a preference pair; the rejected one stays a column of the user's."""
    column = next((c for c in ("prompt", "conversations", "messages", "instruction") if row.get(c) is not None), "")
    chosen = turns_in_text(row.get("chosen"))
    if isinstance(chosen, str) and not column:
        raise BadRow('column "chosen" is text without a prompt: the question and the answer cannot be told apart')
    if column == "instruction":
        without, used, _ = _alpaca({**row, "output": chosen})
        return Reading(without, used - {"output"} | {"chosen"}, not row.get("history"))
    prompt, used = turns_in_text(row.get(column)), frozenset({column, "chosen"} if column else {"chosen"})
    if isinstance(prompt, str) and isinstance(chosen, str):
        return Reading(Content(prompt, "", chosen, None), used)
    exact = whole = True
    asked: list[Message] = []
    if isinstance(prompt, str):
        asked = [{"role": "user", "content": prompt}]
    elif column:
        asked, exact = read_turns(prompt, column)
    answer: list[Message] = []
    if isinstance(chosen, str):
        answer = [{"role": "assistant", "content": chosen}]
    else:
        answer, whole = read_turns(chosen, "chosen")
    # TRL's implicit prompt: the chosen column begins with the whole question.
    turns = answer if answer[: len(asked)] == asked else asked + answer
    return Reading(Content(*_exchange(turns, column or "chosen"), turns), used, exact and whole)


def _record(row: Row) -> Reading:
    """A row of a run's file, whose conversation may be the seed's: its instruction, input and output count."""
    if row.get("status") != "ok":
        raise BadRow(f"the row is {row.get('status')}: {row.get('reason')}")
    turns, exact = (None, True) if row.get("messages") is None else read_turns(row["messages"], "messages")
    content = Content(_text(row, "instruction"), _text(row, "input"), _text(row, "output"), turns)
    return Reading(content, frozenset({"instruction", "input", "output", "messages"}), exact)


def _turns(row: Row) -> Reading:
    """Questions that follow one another, unanswered, as MT-Bench has them."""
    turns = row.get("turns")
    if not isinstance(turns, list | tuple) or not turns or not all(isinstance(text, str) for text in turns):
        raise BadRow('column "turns" is not a list of texts')
    messages: list[Message] = [{"role": "user", "content": text} for text in turns]
    return Reading(Content(messages[0]["content"], "", "", messages), frozenset({"turns"}))


# In the order in which they are tried: what says more comes first.
FORMATS: dict[str, Format] = {
    "record": Format(
        ("instruction", "input", "output", "messages"),
        "the columns of a run's file",
        lambda names: set(COLUMNS) - {"input", "output", "messages", "meta"} <= names,
        _record,
    ),
    "preference": Format(
        ("prompt", "chosen", "rejected", "conversations", "messages", "instruction", "input", "system", "history"),
        "chosen and rejected",
        lambda names: {"chosen", "rejected"} <= names,
        _preference,
    ),
    "messages": Format(("messages",), "messages", lambda names: "messages" in names, _messages),
    "sharegpt": Format(
        ("conversations", "system"),
        "conversations (or conversation)",
        lambda names: not names.isdisjoint({"conversations", "conversation"}),
        _sharegpt,
    ),
    "alpaca": Format(
        ("instruction", "input", "output", "system", "history"),
        "instruction",
        lambda names: "instruction" in names,
        _alpaca,
    ),
    "prompt_completion": Format(
        ("prompt", "completion"), "prompt", lambda names: "prompt" in names, _prompt_completion
    ),
    "turns": Format(("turns",), "turns", lambda names: "turns" in names, _turns),
}


def check_format(name: str, known: Mapping[str, object]) -> None:
    """Check that a format exists.

    Raises:
        InputError: it does not; the message lists those that do.
    """
    if name not in known:
        raise InputError(f"There is no format {name!r}", fix=f"Formats: {', '.join(known)}.")


def read_row(row: Row, format: str) -> tuple[Content, Row]:
    """Read a row: what it says, and the user's other columns.

    Args:
        row: the row, its columns already mapped.
        format: a key of FORMATS.

    Raises:
        BadRow: it cannot be read in this format.
        TypeError: it holds what JSON cannot.
    """
    spec = FORMATS[format]
    content, used, exact = spec.read(row)
    extras = {name: value for name, value in row.items() if name not in used}
    if not exact:
        original = {name: row[name] for name in used if row.get(name) is not None}
        extras["_original"] = orjson.dumps(original, default=json_default, option=orjson.OPT_SORT_KEYS).decode()
    return content, extras
