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

_CONDITION = re.compile(r"\s*([^<>=\s]+)\s*(<=|>=|==|<|>)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A column, a comparison and a number."""

    column: str
    sign: str
    number: float

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether it holds for a row; a missing value or one that is no number never does."""
        value = row.get(self.column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return COMPARISONS[self.sign](value, self.number)

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.number!r}"


def parse_condition(text: str) -> Condition:
    """Parse ``COLUMN<NUMBER`` (also <=, >, >=, ==).

    Raises:
        InputError: it is not of that form.
    """
    match = _CONDITION.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        number = float(match[3])
        if number != number:
            raise ValueError
    except ValueError:
        raise InputError(
            f"--where {text!r} is not COLUMN<NUMBER", fix='Example: --where "ifd<1". Signs: < <= > >= ==.'
        ) from None
    return Condition(match[1], match[2], number)
