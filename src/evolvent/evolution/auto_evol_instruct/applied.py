"""An evolving method applied to an instruction (arXiv 2406.00770; in paper 1 the initial method only)."""

from collections.abc import Collection
from dataclasses import dataclass

import orjson

from evolvent.evolution import AUTO_EVOL_INSTRUCT
from evolvent.evolution.auto_evol_instruct.demonstrated import REPLY_TOKENS, STOP, demonstrations, turns
from evolvent.evolution.auto_evol_instruct.method import Method, headings
from evolvent.evolution.auto_evol_instruct.parsing import (
    final_instruction,
    methods_list,
    paper_instruction,
    without_last_step,
)
from evolvent.evolution.trajectory import Profile
from evolvent.models.protocols import Reply
from evolvent.records import CUT, Message, Record, conversation

METHOD = AUTO_EVOL_INSTRUCT

# The key in a record's meta, and what stands under it.
META = "auto_evol_instruct"
METHODS_LIST, WITHOUT_LAST_STEP = "methods_list", "without_last_step"


@dataclass(frozen=True, slots=True)
class Applied:
    """An evolving method as the one way to rewrite an instruction (a ``Rewriting``); ``shown_how`` to small models."""

    evolving: Method
    method: str = METHOD
    operator: str | None = None
    breadth: bool = False
    stop: tuple[str, ...] = ()
    reply_tokens: int | None = None
    hottest: float | None = None
    shown_how: bool = False

    @property
    def version(self) -> str:
        return f"{self.evolving.version}-{demonstrations()[1]}" if self.shown_how else self.evolving.version

    @property
    def scaffold(self) -> Collection[str]:
        """The method's headings between hashes, the slot's too."""
        marked = {f"#{heading}#".casefold() for heading in headings(self.evolving.text)}
        return frozenset({"rewritten instruction", "#instruction#", "#input#", *marked})

    def turns(self, parent: Record, profile: Profile, seed: int) -> list[Message]:
        if self.shown_how:
            return turns(self.evolving, parent, seed)
        return conversation(self.evolving.render(parent, show_input=profile != "paper"))

    def read(self, reply: Reply, parent: Record, profile: Profile) -> str | None:
        if profile == "paper":
            return paper_instruction(reply.text, self.evolving)
        found = final_instruction(reply.text, self.evolving, parent.instruction)
        if found is None and reply.finish_reason not in CUT:
            return without_last_step(reply.text, self.evolving, parent.instruction)
        return found

    def own(self, evolved: str, parent: Record) -> str | None:  # noqa: ARG002
        return None

    def input_after(self, parent: Record, profile: Profile) -> str:  # noqa: ARG002
        return parent.input

    def meta(self, seed: Record, reply: Reply) -> str | None:
        """The seed's meta, and in it the list of ways that a reply holds: never one that the seed brought along."""
        methods = methods_list(reply.text, self.evolving)
        notes: dict[str, object] = {} if methods is None else {METHODS_LIST: methods}
        if final_instruction(reply.text, self.evolving) is None and without_last_step(reply.text, self.evolving):
            notes[WITHOUT_LAST_STEP] = True
        if not notes and META not in (seed.meta or ""):
            return seed.meta
        columns = orjson.loads(seed.meta or "{}")
        columns.pop(META, None)
        if notes:
            columns[META] = notes
        return orjson.dumps(columns).decode() if columns else None


def shown_how(method: Method) -> Applied:
    """A method in the form that small models can follow."""
    return Applied(method, stop=STOP, reply_tokens=REPLY_TOKENS, shown_how=True)
