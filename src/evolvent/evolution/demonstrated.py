"""The operators of Evol-Instruct in the form that small models can follow: the profile ``small``.

A small model that is told to rewrite an instruction answers it, or copies the prompt. It does better when it is shown
how, in earlier turns of the conversation, and has little to write. So an operator in depth asks for one sentence, gives
its first words, and adds it to the instruction, which thereby stays whole (the *append* form); breadth asks for a whole
new task.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from evolvent.evolution import EVOL_INSTRUCT
from evolvent.evolution.demonstrations import Demonstration, Demonstrations, load_demonstrations
from evolvent.evolution.elimination import LEAKS
from evolvent.evolution.task_kinds import task_kind
from evolvent.evolution.templates import load_prompt
from evolvent.evolution.trajectory import Profile
from evolvent.models.protocols import Reply
from evolvent.prompts import Prompt
from evolvent.records import Message, Record, conversation

BREADTH = "breadth"

# Demonstrations a prompt, drawn anew for each record so that none comes back in many rows.
SHOWN = 4

# A sentence, or a task, in tokens; what goes on longer is no such thing.
REPLY_TOKENS = 160

# Of a 0.5B model's sentences that the rules let pass, three in four were usable at 0.4 and every second one at 0.7.
HOTTEST = 0.4


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """An operator that shows how (a ``Rewriting``).

    Attributes:
        operator: its name.
        system: the system prompt.
        question: the prompt of a turn, with the slots ``instruction``, ``input`` and, in depth, ``lead``.
        demonstrations: what is drawn from.
    """

    operator: str
    system: Prompt
    question: Prompt
    demonstrations: Demonstrations
    method: str = EVOL_INSTRUCT
    scaffold: Collection[str] = LEAKS
    stop: tuple[str, ...] = ("\n",)
    reply_tokens: int | None = REPLY_TOKENS
    hottest: float | None = HOTTEST

    @property
    def version(self) -> str:
        return f"{self.system.version}-{self.question.version}-{self.demonstrations.version}"

    @property
    def breadth(self) -> bool:
        return self.operator == BREADTH

    def turns(self, parent: Record, profile: Profile, seed: int) -> list[Message]:  # noqa: ARG002
        shown, lead = self.demonstrations.draw(task_kind(parent.instruction, parent.input), seed, SHOWN)

        def question(task: Demonstration | Record, lead: str) -> str:
            return self.question.render(instruction=task.instruction, input=task.input, lead=lead)

        demonstrated = [(question(one, one.lead), one.reply) for one in shown]
        return conversation(question(parent, lead), self.system.render(), shown=demonstrated)

    def read(self, reply: Reply, parent: Record, profile: Profile) -> str | None:  # noqa: ARG002
        """The new task; in depth the parent's instruction and the sentence behind it.

        The sentence may stand behind the instruction, too: larger models write both. Alone it must begin as it was
        told to, or it is no sentence to be added but an answer.
        """
        text = reply.text.strip().removeprefix("Task:").strip()
        if self.breadth or not text:
            return text
        if _behind(text, parent) is not None:
            return text
        leads = self.demonstrations.leads(task_kind(parent.instruction, parent.input))
        if not text.casefold().startswith(tuple(lead.casefold() for lead in leads)):
            return None
        return added(parent.instruction, text)

    def own(self, evolved: str, parent: Record) -> str | None:
        """In depth the sentence that was added, without the words that it was to begin with."""
        if self.breadth:
            return None
        sentence = _behind(evolved, parent) or evolved
        leads = self.demonstrations.leads(task_kind(parent.instruction, parent.input))
        begun = max((lead for lead in leads if sentence.casefold().startswith(lead.casefold())), key=len, default="")
        return sentence[len(begun) :].strip()

    def input_after(self, parent: Record, profile: Profile) -> str:  # noqa: ARG002
        return "" if self.breadth else parent.input

    def meta(self, seed: Record, reply: Reply) -> str | None:  # noqa: ARG002
        return seed.meta


def _behind(text: str, parent: Record) -> str | None:
    """What stands behind the parent's instruction in a text that begins with all of it; None if it does not."""
    text, before = text.strip(), parent.instruction.strip().removesuffix(":")
    behind = text[len(before) :]
    if not text.startswith(before) or (behind[:1].isalnum() and before[-1:].isalnum()):
        return None
    return behind.lstrip(".: \n")


# What a sentence ends with, inside quotes and brackets too.
_ENDS = tuple(".!?;…。！？")


def added(instruction: str, sentence: str) -> str:
    """An instruction and a sentence behind it; a full stop between them where there is none."""
    instruction = instruction.rstrip()
    if "\n" in instruction:
        return f"{instruction}\n{sentence}"
    instruction = instruction.removesuffix(":")  # its input follows elsewhere
    ended = instruction.rstrip("\"'”’»)]").endswith(_ENDS)
    return f"{instruction}{'' if ended else '.'} {sentence}"


def demonstrated_operator(name: str, templates: Path | None = None) -> Demonstrated:
    """An operator in this form.

    Args:
        name: the operator's name.
        templates: folder with the user's own templates and demonstrations, in its folder ``small``.

    Raises:
        InputError: an unknown operator, or files that cannot be used.
    """
    form = "in_breadth" if name == BREADTH else "in_depth"
    operator = Demonstrated(
        name,
        load_prompt(f"small/{form}_system", templates),
        load_prompt(f"small/{form}", templates),
        load_demonstrations(name, templates),
    )
    operator.question.render(instruction="an instruction", input="an input", lead="a lead")  # a wrong slot shows now
    return operator
