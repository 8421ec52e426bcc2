"""What a command found as one JSON document (``--json``): the attributes of what its function returns are the keys."""

import json
import math
import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

_NOT_ASCII = re.compile(r"[^\x20-\x7e\n]")


def json_document(found: object) -> bytes:
    """A value of dataclasses as strict JSON, in UTF-8: no NaN and no infinity, which are null.

    What steers a terminal is escaped, and half a character (a lone surrogate) is U+FFFD: there is no UTF-8 of it.
    """
    text = json.dumps(plain(found), ensure_ascii=False, allow_nan=False, indent=1)
    return f"{_NOT_ASCII.sub(lambda one: _escaped(one[0]), text)}\n".encode()


def plain(value: Any) -> Any:
    """A value in JSON's own types."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, str | Path):
        return str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return list(map(plain, value))
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _escaped(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return character if character.isprintable() else json.dumps(character)[1:-1]
