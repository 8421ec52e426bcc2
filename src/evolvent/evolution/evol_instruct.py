"""Evol-Instruct (WizardLM, arXiv 2304.12244; as used by arXiv 2412.11231, App. A.1): operators take their turns.

Each round rewrites the instruction with one operator: four go in depth (constraints, deepening, concretizing,
reasoning), one in breadth. Operators come in a fixed order, not at random, so that two evolvers evolve a seed alike.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import InputError
from evolvent.evolution import EVOL_INSTRUCT
from evolvent.evolution.demonstrated import BREADTH, demonstrated_operator
from evolvent.evolution.elimination import LEAKS
from evolvent.evolution.salvage import salvage
from evolvent.evolution.templates import NO_OPERATORS, load_prompt
from evolvent.evolution.trajectory import Profile, Rewriting
from evolvent.models.protocols import Reply
from evolvent.prompts import Prompt
from evolvent.records import Message, Record, conversation

METHOD = EVOL_INSTRUCT
IN_DEPTH = ("constraints", "deepening", "concretizing", "reasoning")


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of Evol-Instruct (a ``Rewriting``): its prompt, with the slots ``instruction`` and ``input``."""

    template: Prompt
    method: str = METHOD
    scaffold: Collection[str] = LEAKS
    stop: tuple[str, ...] = ()
    reply_tokens: int | None = None
    hottest: float | None = None

    @property
    def operator(self) -> str:
        return self.template.name

    @property
    def version(self) -> str:
        return self.template.version

    @property
    def breadth(self) -> bool:
        return self.operator == BREADTH

    def turns(self, parent: Record, profile: Profile, seed: int) -> list[Message]:  # noqa: ARG002
        shown = "" if profile == "paper" else parent.input
        return conversation(self.template.render(instruction=parent.instruction, input=shown))

    def read(self, reply: Reply, parent: Record, profile: Profile) -> str:
        return reply.text.strip() if profile == "paper" else salvage(reply.text, parent, breadth=self.breadth)

    def own(self, evolved: str, parent: Record) -> str | None:  # noqa: ARG002
        return None

    def input_after(self, parent: Record, profile: Profile) -> str:
        """A prompt new in breadth stands alone, unless paper 1's code is followed."""
        return "" if self.breadth and profile == "default" else parent.input

    def meta(self, seed: Record, reply: Reply) -> str | None:  # noqa: ARG002
        return seed.meta


def choose_operators(
    names: str | Sequence[str] | None,
    *,
    breadth: bool = True,
    templates: str | Path | None = None,
    profile: Profile = "default",
) -> tuple[Rewriting, ...]:
    """The operators in their order.

    Args:
        names: their names in the order wanted; None for the four in depth, and the one in breadth if ``breadth``.
        breadth: whether in-breadth is among them when none are named.
        templates: folder with the user's own templates.
        profile: ``small`` has operators of another form.

    Raises:
        InputError: an unknown operator, one named twice, or a template that cannot be filled in.
    """
    known = f"Operators: {', '.join([*IN_DEPTH, BREADTH])}."
    templates = Path(templates) if templates else None
    if templates is not None and not templates.is_dir():
        raise InputError(f"--templates {templates} is not a folder")
    if names is None:
        names = [*IN_DEPTH, *([BREADTH] if breadth else [])]
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise InputError("no operator is named", fix=known)
    if BREADTH in names and not breadth:
        raise InputError("--operators names breadth and --no-breadth leaves it out", fix="Drop one of the two.")
    if len(set(names)) < len(names):
        raise InputError(f"an operator is named twice: {', '.join(names)}")
    reserved = NO_OPERATORS & set(names)
    if reserved:
        raise InputError(f"{', '.join(reserved)} is no operator", fix=known)
    if profile == "small":
        return tuple(demonstrated_operator(name, templates) for name in names)
    prompts = [load_prompt(name, templates) for name in names]
    for prompt in prompts:
        for shown in ("", "an input"):
            prompt.render(instruction="an instruction", input=shown)  # a wrong slot shows now, not at some later row
    return tuple(map(Operator, prompts))
