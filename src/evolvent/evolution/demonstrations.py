"""Demonstrations: tasks of our own, and what an operator makes of each, shown to an evolver as turns of a conversation.

They lie in ``prompts/small/demonstrations.yaml``, or in the file of that name in a folder of the user's own.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evolvent.errors import InputError
from evolvent.evolution.task_kinds import TaskKind
from evolvent.evolution.templates import SHIPPED
from evolvent.parse_errors import yaml_error

FILE = "small/demonstrations.yaml"

# Where the words end that a demonstration begins with, and that the model is given to begin with.
BAR = "|"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A task, and what an operator makes of it.

    Attributes:
        instruction, input: the task.
        lead: the words that the reply begins with; empty in breadth.
        reply: the whole reply.
    """

    instruction: str
    input: str
    lead: str
    reply: str


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """An operator's demonstrations by the kind of their task, and a hash of them all."""

    of_kind: Mapping[TaskKind, tuple[Demonstration, ...]]
    version: str

    def draw(self, kind: TaskKind, seed: int, count: int) -> tuple[list[Demonstration], str]:
        """Draw demonstrations of one kind, and the words that the next reply is to begin with.

        None that is drawn begins with these words itself: its sentence would be copied.
        """
        of_kind = self.of_kind[kind]
        chance = random.Random(seed)
        lead = chance.choice(sorted({one.lead for one in of_kind}))
        others = [one for one in of_kind if one.lead != lead] or of_kind
        return chance.sample(others, min(count, len(others))), lead

    def leads(self, kind: TaskKind) -> set[str]:
        """The words that replies of one kind begin with."""
        return {one.lead for one in self.of_kind[kind]}


def load_demonstrations(operator: str, folder: Path | None = None) -> Demonstrations:
    """Load what is shown for an operator.

    Args:
        operator: its name.
        folder: the user's own templates; the shipped demonstrations are taken where it has none.

    Raises:
        InputError: the file cannot be read, or holds none for this operator.
    """
    own = folder / FILE if folder else None
    file = own if own and own.is_file() else SHIPPED / FILE
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        tasks: dict[TaskKind, list[dict[str, Any]]] = yaml.safe_load(text)
        of_kind = {kind: tuple(_demonstration(task, operator) for task in tasks[kind]) for kind in _KINDS}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else yaml_error(error, text)
        raise InputError(
            f"the demonstrations in {file} cannot be used for {operator}: {why}",
            fix="Under text, math and code stand tasks, each with its instruction and with a text for each operator.",
        ) from error
    for kind, found in of_kind.items():
        if not found:
            raise InputError(f"{file} holds no demonstration under {kind}", fix="Give it one at least.")
    return Demonstrations(of_kind, hashlib.sha256(repr(sorted(of_kind.items())).encode()).hexdigest()[:8])


_KINDS: tuple[TaskKind, ...] = ("text", "math", "code")


def _demonstration(task: dict[str, Any], operator: str) -> Demonstration:
    lead, bar, rest = task[operator].partition(BAR)
    lead = lead.strip() if bar else ""
    reply = f"{lead} {rest.strip()}" if bar else task[operator].strip()
    return Demonstration(task["instruction"], task.get("input", ""), lead, reply)
