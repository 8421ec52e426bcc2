"""Values of options that are typed as one text: names, pairs, mappings, JSON. Each takes the option's name as typed."""

import json
from collections.abc import Sequence

from evolvent.errors import InputError


def names(text: str, option: str) -> list[str]:
    """``A,B``: names with commas between them.

    Raises:
        InputError: a name is missing.
    """
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise InputError(f"{option} {text!r} lacks a name", fix=f"Write names with commas between them: {option} A,B")
    return found


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE``, as often as it was typed.

    Raises:
        InputError: a text is no such pair.
    """
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise InputError(f"{option} {text!r} is not KEY=VALUE")
        found[key.strip()] = value  # as it is written: a CSV file may well have a column " answer"
    return found


def mapping(text: str, option: str) -> dict[str, str] | None:
    """``KEY=VALUE,KEY=VALUE``.

    Raises:
        InputError: a part of it is no such pair.
    """
    return pairs(text.split(","), option) if text else None


def as_json(text: str, option: str) -> dict[str, object] | None:
    """A JSON object.

    Raises:
        InputError: it is none.
    """
    if not text:
        return None
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InputError(f"{option} is not a JSON object", fix=f"Example: {option} '{{\"top_k\": 20}}'")
    return body
