"""AutoIF's prompts in the form that small models can follow: the profile ``small``.

A small model that is told to put a function and cases into JSON writes JSON that nobody can read. So it is shown how in
earlier turns, and each call asks for one thing: new instructions, the function in a fence, the cases in lines, the
instruction behind a function.
"""

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evolvent.errors import InputError
from evolvent.evolution.autoif.functions import FENCE, Case, Sample
from evolvent.evolution.autoif.salvage import defines_evaluate
from evolvent.evolution.templates import SHIPPED
from evolvent.parse_errors import yaml_error
from evolvent.records import Message, conversation

SMALL = "small"
FILE = "small/functions.yaml"

# Demonstrations a call, and instructions of each turn of self-instruct.
SHOWN = 4
TURNS, EACH = 3, 5

FOLLOWS, BREAKS = "follows", "breaks"

WRITE = (
    "You write Python functions. Each is named evaluate, takes an answer and returns True if it follows the "
    "instruction."
)
TEST = (
    "You write answers that test an instruction, one a line: two that follow it, then two that break it. A line break "
    r"within an answer is written as \n."
)
READ_OUT = "You read Python functions and say in one sentence what instruction they check."
INVENT = (
    "You write instructions about the form of an answer that a Python function can check, such as its length, letters, "
    "words, lines or signs. They are not about its content or style. One a line, all different."
)

# What ends a reply.
END_OF_CODE, END_OF_LIST, END_OF_LINE = (f"\n{FENCE}",), ("\n\n",), ("\n",)

COPIED = "the function of a demonstration"

_CASE = re.compile(rf"({FOLLOWS}|{BREAKS}): *(\S.*)")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An instruction, a function that checks it, and answers that follow it or break it."""

    instruction: str
    code: str
    follows: tuple[str, ...]
    breaks: tuple[str, ...]

    @property
    def fenced(self) -> str:
        return f"{FENCE}python\n{self.code.strip()}\n{FENCE}"

    @property
    def cases(self) -> str:
        lines = [*((FOLLOWS, answer) for answer in self.follows), *((BREAKS, answer) for answer in self.breaks)]
        return "\n".join(f"{verdict}: {_on_one_line(answer)}" for verdict, answer in lines)


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """What is drawn from, and a hash of it all and of what is said with it."""

    shown: tuple[Demonstration, ...]
    version: str

    def of_functions(self, instruction: str, seed: int) -> list[Message]:
        """The turns that ask for a function."""
        return conversation(instruction, WRITE, shown=[(one.instruction, one.fenced) for one in self._drawn(seed)])

    def of_cases(self, instruction: str, seed: int) -> list[Message]:
        """The turns that ask for cases."""
        return conversation(instruction, TEST, shown=[(one.instruction, one.cases) for one in self._drawn(seed)])

    def of_back_translation(self, code: str, seed: int) -> list[Message]:
        """The turns that ask for the instruction behind a function."""
        fenced = f"{FENCE}python\n{code}\n{FENCE}"
        return conversation(fenced, READ_OUT, shown=[(one.fenced, one.instruction) for one in self._drawn(seed)])

    def copied(self, code: str, instruction: str) -> bool:
        """Whether a function is the one that was shown for another instruction, blanks aside."""
        plain = "".join(code.split())
        return any(plain == "".join(one.code.split()) and one.instruction != instruction for one in self.shown)

    def _drawn(self, seed: int) -> list[Demonstration]:
        return random.Random(seed).sample(self.shown, min(SHOWN, len(self.shown)))


def of_self_instruct(examples: Sequence[str], count: int, seed: int) -> list[Message]:
    """The turns that ask for new instructions: seed instructions are the replies of the earlier ones."""
    drawn = random.Random(seed).sample(list(examples), min(TURNS * EACH, len(examples)))
    parts = [drawn[start : start + EACH] for start in range(0, len(drawn), EACH)]
    shown = [(_asks_for(len(part)), "\n".join(f"- {' '.join(one.split())}" for one in part)) for part in parts]
    return conversation(_asks_for(count), INVENT, shown=shown)


def read_function(reply: str) -> Sample | str:
    """The function in a reply, without cases, or why there is none: in a fence, or the whole reply."""
    opening = reply.find(FENCE)
    code = reply
    if opening >= 0:
        code = reply[opening:].partition("\n")[2].partition(f"\n{FENCE}")[0]
    if not code.strip():
        return "no function"
    return Sample(code.strip(), ()) if defines_evaluate(code) else "no function evaluate that Python can read"


def read_cases(reply: str) -> tuple[tuple[Case, ...], int]:
    """The cases in a reply, each a line ``follows: ANSWER`` or ``breaks: ANSWER``, and how many lines are no case."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    found = [match for line in lines if (match := _CASE.fullmatch(line))]
    cases = tuple(Case(match[2].replace(r"\n", "\n"), match[1] == FOLLOWS) for match in found)
    return cases, len(lines) - len(cases)


def load_demonstrations(folder: str | Path | None = None) -> Demonstrations:
    """Load what the profile small shows.

    Args:
        folder: the user's own templates; the shipped demonstrations are taken where it has none.

    Raises:
        InputError: the file cannot be read, or its demonstrations lack something.
    """
    own = Path(folder) / FILE if folder else None
    file = own if own and own.is_file() else SHIPPED / FILE
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        rows: list[dict[str, Any]] = yaml.safe_load(text)
        shown = tuple(
            Demonstration(row["instruction"], row["code"], tuple(row[FOLLOWS]), tuple(row[BREAKS])) for row in rows
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else yaml_error(error, text)
        raise InputError(
            f"the demonstrations in {file} cannot be used: {why}",
            fix="Each has an instruction, the code of its function, and lists of answers, follows and breaks.",
        ) from error
    said = repr((shown, WRITE, TEST, READ_OUT, INVENT))
    return Demonstrations(shown, hashlib.sha256(said.encode()).hexdigest()[:8])


def _asks_for(count: int) -> str:
    return f"Write {count} instructions."


def _on_one_line(answer: str) -> str:
    return answer.replace("\n", r"\n")
