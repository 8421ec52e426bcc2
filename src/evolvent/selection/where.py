"""Conditions on columns, ``COLUMN<NUMBER`` or ``COLUMN==TEXT``: parsed, compared, never evaluated as code."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evolvent.errors import InputError

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
# Those that compare texts, too.
EQUALITY = ("==", "!=")

_CONDITION = re.compile(r"\s*([^<>=\s](?:[^<>=]*?[^<>=\s])??)\s*(<=|>=|==|!=|<|>)\s*([^\s=](?:.*\S)?)\s*", re.DOTALL)

# A number as files write it; Python would also take "1_000", "nan" and digits of other scripts.
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """A column, a comparison, and a number or a text."""

    column: str
    sign: str
    value: float | str

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether it holds for a row; a missing value never does, nor one that is no number (no text)."""
        cell = row.get(self.column)
        value = number(cell) if isinstance(self.value, float) else cell if isinstance(cell, str) else None
        return value is not None and COMPARISONS[self.sign](value, self.value)

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.value if isinstance(self.value, str) else repr(self.value)}"


def number(value: object) -> float | None:
    """The number that a cell holds, also as text: every cell of a CSV file is text. None if it holds none."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def parse_conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """Parse conditions; errors as for ``parse_condition``."""
    return tuple(parse_condition(text) for text in texts)


def parse_condition(text: str) -> Condition:
    """Parse ``COLUMN<NUMBER`` (also <=, >, >=, ==, !=) or ``COLUMN==TEXT`` (also !=).

    Raises:
        InputError: it is of neither form.
    """
    match = _CONDITION.fullmatch(text)
    if match is not None:
        column, sign, value = match.groups()
        try:
            limit: float | str = float(value)
        except ValueError:
            limit = value
        if limit == limit and (isinstance(limit, float) or sign in EQUALITY):
            return Condition(column, sign, limit)
    raise InputError(
        f"where {text!r} is neither COLUMN<NUMBER nor COLUMN==TEXT",
        fix='Examples: "ifd<1", "teacher==hf:NAME". Signs: < <= > >= == != (of texts == and !=).',
    )
