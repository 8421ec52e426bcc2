"""Conditions on columns, ``COLUMN<NUMBER``: parsed, compared, never evaluated as code."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evolvent.errors import InputError

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}

_CONDITION = re.compile(r"\s*([^<>=]*[^<>=\s])\s*(<=|>=|==|<|>)\s*(\S+)\s*")

# A number as files write it; Python would also take "1_000", "nan" and digits of other scripts.
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """A column, a comparison and a number."""

    column: str
    sign: str
    number: float

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether it holds for a row; a missing value or one that is no number never does."""
        value = number(row.get(self.column))
        return value is not None and COMPARISONS[self.sign](value, self.number)

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.number!r}"


def number(value: object) -> float | None:
    """The number that a cell holds, also as text: every cell of a CSV file is text. None if it holds none."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def parse_condition(text: str) -> Condition:
    """Parse ``COLUMN<NUMBER`` (also <=, >, >=, ==).

    Raises:
        InputError: it is not of that form.
    """
    match = _CONDITION.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        limit = float(match[3])
        if limit != limit:
            raise ValueError
    except ValueError:
        raise InputError(
            f"--where {text!r} is not COLUMN<NUMBER", fix='Example: --where "ifd<1". Signs: < <= > >= ==.'
        ) from None
    return Condition(match[1], match[2], limit)
