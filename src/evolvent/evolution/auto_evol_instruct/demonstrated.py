"""An evolving method in the form that small models can follow: the profile ``small``.

A small model loses the steps of a long prompt. It is asked with the method once, for an instruction of ours, and shown
the reply under the method's headings; further instructions follow as turns of their own, the last of them the seed's.
"""

import hashlib
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from evolvent.evolution.auto_evol_instruct.method import INPUT, Method, headings
from evolvent.evolution.templates import SHIPPED
from evolvent.records import Message, Record, conversation

FILE = "small/rewritings.yaml"

# Demonstrations a prompt, and how long a reply in all its steps may be.
SHOWN = 3
REPLY_TOKENS = 400

QUESTION = "#Instruction#:\n"

# What comes after the last step would be a further instruction.
STOP = (f"\n{QUESTION.strip()}",)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An instruction, and what each step makes of it."""

    instruction: str
    input: str
    ways: tuple[str, ...]
    plan: str
    rewritten: str

    def under(self, method: Method) -> str:
        """The reply in a method's form: the steps' texts under its headings."""
        names = headings(method.text)
        parts = []
        for number, name in enumerate(names, 1):
            text = self.plan
            if name == method.methods_heading:
                text = "\n".join(f"{place}. {way}" for place, way in enumerate(self.ways, 1))
            elif number == len(names) or "rewritten" in name.casefold():
                text = self.rewritten
            parts.append(f"Step {number} #{name}#:\n{text}")
        return "\n".join(parts)


@lru_cache(maxsize=1)
def demonstrations() -> tuple[tuple[Demonstration, ...], str]:
    """What is drawn from, and a hash of it."""
    text = (SHIPPED / FILE).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    shown = tuple(
        Demonstration(row["instruction"], row.get("input", ""), tuple(row["ways"]), row["plan"], row["rewritten"])
        for row in rows
    )
    return shown, hashlib.sha256(text.encode()).hexdigest()[:8]


def turns(method: Method, parent: Record, seed: int) -> list[Message]:
    """What a small model is asked: the method with a demonstration, further ones, and the parent."""
    shown: list[tuple[str, str]] = []
    for one in random.Random(seed).sample(demonstrations()[0], SHOWN):
        task = Record("", "", 0, one.instruction, one.input)
        shown.append((_question(task) if shown else method.render(task, show_input=True), one.under(method)))
    return conversation(_question(parent), shown=shown)


def _question(record: Record) -> str:
    return QUESTION + record.instruction + (INPUT + record.input if record.input else "")
