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
        value = number(cell) if isinstance(self.value, float) else text(cell)
        return value is not None and COMPARISONS[self.sign](value, self.value)

    def __str__(self) -> str:
        value = repr(self.value) if isinstance(self.value, float) else self.value
        plain = isinstance(self.value, float) or (value and value == value.strip() and _read(value) == value)
        return f"{self.column}{self.sign}" + (value if plain else f'"{value}"')


def number(value: object) -> float | None:
    """The number that a cell holds, also as text: every cell of a CSV file is text. None if it holds none."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(value: object) -> str | None:
    """The text that a cell holds, true and false by their names in JSON. None if it holds none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def parse_conditions(conditions: Iterable[str]) -> tuple[Condition, ...]:
    """Parse conditions; errors as for ``parse_condition``."""
    return tuple(parse_condition(condition) for condition in conditions)


def parse_condition(condition: str) -> Condition:
    """Parse ``COLUMN<NUMBER`` (also <=, >, >=, ==, !=) or ``COLUMN==TEXT`` (also !=); what is in quotes is a text.

    Raises:
        InputError: it is of neither form.
    """
    match = _CONDITION.fullmatch(condition)
    if match is not None:
        column, sign, written = match.groups()
        value = _read(written)
        if value == value and (isinstance(value, float) or sign in EQUALITY):
            return Condition(column, sign, value)
    raise InputError(
        f"where {condition!r} is neither COLUMN<NUMBER nor COLUMN==TEXT",
        fix='Examples: "ifd<1", "teacher==hf:NAME", \'label=="1"\'. Signs: < <= > >= == != (of texts == and !=).',
    )


def _read(value: str) -> float | str:
    """What a condition compares with: a text if it stands in quotes or is no number."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    try:
        return value if "_" in value else float(value)  # Python reads 1_000 as a number
    except ValueError:
        return value
