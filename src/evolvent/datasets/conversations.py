"""Conversations as files hold them: role and content, or from and value; texts, or lists of text parts.

What a turn may carry besides its text (tool calls, a loss weight, a name) does not fit a Message. Such turns are read,
and reported as not exact, so that the caller keeps the original beside them.
"""

import re
from typing import Any

import orjson

from evolvent.records import Message

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
# Roles that become another one: their name is lost in a Message.
RENAMED_ROLES = frozenset({"developer", "function_call", "function"})
TEXT_PART_KEYS = frozenset({"type", "text", "value"})
TURNS_IN_TEXT = re.compile(rf'\s*\[\s*\{{\s*"(role|from)"\s*:\s*"({"|".join(ROLES)})"')


class BadRow(ValueError):
    """One row cannot be used; the message says what is wrong with it, the caller knows where it stands."""


def kind_of(value: object) -> str:
    """What a value is, in the words of a file rather than of Python."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and value != value:
        return "NaN (a missing value)"
    names = ((str, "text"), (int | float, "a number"), (list | tuple, "a list"), (dict, "an object"))
    return next((name for kind, name in names if isinstance(value, kind)), f"a {type(value).__name__}")


def turns_in_text(value: object) -> object:
    """The list of turns where a value is one as JSON text, as CSV files hold it; any other value as it is."""
    if not isinstance(value, str) or not TURNS_IN_TEXT.match(value):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def read_turns(value: object, column: str) -> tuple[list[Message], bool]:
    """Read a conversation.

    Args:
        value: a list of turns, one turn, or either of them as JSON text (as CSV files hold them).
        column: its column's name, for messages.

    Returns:
        The turns, and whether they say all that ``value`` says (False for tool calls, loss weights and the like).

    Raises:
        BadRow: it is no conversation, or holds what is not text.
    """
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise BadRow(f'column "{column}" is text and not a JSON list of turns: {error}') from None
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list | tuple):
        raise BadRow(f'column "{column}" is {kind_of(value)}, not a list of turns')
    if not value:
        raise BadRow(f'column "{column}" is an empty list')
    exact = True
    turns: list[Message] = []
    for position, turn in enumerate(value):
        where = f"{column}[{position}]"
        if not isinstance(turn, dict):
            raise BadRow(f"{where} is {kind_of(turn)}, not a turn with role and content (or from and value)")
        role_key, content_key = ("role", "content") if "role" in turn else ("from", "value")
        name, content = turn.get(role_key), turn.get(content_key)
        role = ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            known = ", ".join(ROLES)
            raise BadRow(f"{where} has the role {name!r}; known roles: {known}" if name else f"{where} has no role")
        # Tabular files fill missing keys with null: only what has a value is lost.
        if len(turn) > 2 and any(v is not None for k, v in turn.items() if k not in (role_key, content_key)):
            exact = False
        if name in RENAMED_ROLES:
            exact = False
        if not isinstance(content, str):
            content, whole = _text_of(content, turn, f"{where}.{content_key}")
            exact = exact and whole
        turns.append({"role": role, "content": content})
    return turns, exact


def _text_of(content: object, turn: dict[str, Any], where: str) -> tuple[str, bool]:
    """The text of a turn whose content is not a text, and whether it is all there is."""
    if content is None:
        if turn.get("tool_calls") or turn.get("function_call"):
            return "", False
        raise BadRow(f"{where} is missing")
    if not isinstance(content, list | tuple):
        raise BadRow(f"{where} is {kind_of(content)}, not text")
    texts: list[str] = []
    exact = len(content) == 1
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict) or part.get("type", "text") != "text":
            what = part.get("type") if isinstance(part, dict) else kind_of(part)
            raise BadRow(f"{where} holds a part that is not text ({what})")
        text = part.get("text") if part.get("text") is not None else part.get("value")
        if not isinstance(text, str):
            raise BadRow(f"{where} holds a text part without text")
        exact = exact and TEXT_PART_KEYS.issuperset(part)
        texts.append(text)
    return "".join(texts), exact


def first_exchange(turns: list[Message], column: str) -> tuple[str, str]:
    """The first user turn and the first assistant turn after it ("" if there is none).

    Raises:
        BadRow: there is no user turn.
    """
    asked: str | None = None
    for turn in turns:
        if asked is None and turn["role"] == "user":
            asked = turn["content"]
        elif asked is not None and turn["role"] == "assistant":
            return asked, turn["content"]
    if asked is None:
        raise BadRow(f'column "{column}" has no user turn')
    return asked, ""


def is_single_turn(turns: list[Message]) -> bool:
    """Whether it is one question with at most one answer, after at most one system turn."""
    roles = [turn["role"] for turn in turns]
    return roles[1 if roles[0] == "system" else 0 :] in (["user"], ["user", "assistant"])


def single_exchange(instruction: str, input: str, output: str, system: str = "") -> list[Message]:
    """The conversation that an instruction with its input and output makes; no assistant turn without an output."""
    question = f"{instruction}\n{input}" if input else instruction
    turns: list[Message] = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": question})
    if output:
        turns.append({"role": "assistant", "content": output})
    return turns
