"""The reward of an evolved instruction, as the answer to the prompt that it was evolved with.

Source: arXiv 2412.11231, App. (table 14). Its published code makes that prompt of the evolved instruction itself: the
source instruction is lost there. Here it is the parent's, in the operator's prompt without the input, as paper 1's code
asks the evolver.
"""

from dataclasses import dataclass
from pathlib import Path

from evolvent.metrics.metric import Metric, Values, Whole, Window
from evolvent.metrics.reward import values_of
from evolvent.near_duplicates import SpooledTexts
from evolvent.prompts import EVOLUTION, load_prompt
from evolvent.records import Column, Message, Record, conversation
from evolvent.runs.earlier_files import with_earlier_files
from evolvent.runs.record_files import read_records

NAMES = ("constraints", "deepening", "concretizing", "reasoning", "breadth")
OPERATORS = {name: load_prompt(name, [EVOLUTION]) for name in NAMES}


@dataclass(slots=True)
class Parents:
    """The instructions that the rows of a set were evolved from, by record id."""

    places: dict[str, int]
    texts: SpooledTexts

    def instruction(self, id: str) -> str | None:
        """The instruction of a parent; None if it was not found."""
        return self.texts[self.places[id]] if id in self.places else None


async def prepare(whole: Whole) -> Parents:
    """Find the parents: rows of the same set, or of the files that it was made of."""
    wanted = {record.parent_id for record in whole.records if record.parent_id}
    found = Parents({}, SpooledTexts())
    for file in with_earlier_files(Path(whole.records.about["source"])):
        if wanted <= found.places.keys():
            break
        for record in read_records(file):
            if record.id in wanted and record.id not in found.places:
                found.places[record.id] = len(found.texts)
                found.texts.append(record.instruction)
    return found


def evolved(record: Record, parents: Parents) -> list[Message] | str:
    """A record's evolution as the conversation that a reward model reads, or why there is none."""
    if record.parent_id is None:
        return "not evolved"
    if record.operator not in OPERATORS:
        return f"paper 1 has no prompt for {record.operator or record.method}"
    if not record.instruction.strip():
        return "empty instruction"
    instruction = parents.instruction(record.parent_id)
    if instruction is None:
        return "what it was evolved from is not there"
    prompt = OPERATORS[record.operator].render(instruction=instruction, input="")
    return [*conversation(prompt), Message(role="assistant", content=record.instruction)]


async def _compute(window: Window, parents: Parents) -> list[Values]:
    return await values_of(window, "evolution_reward", [evolved(record, parents) for record in window.records])


EVOLUTION_REWARD = Metric(
    "evolution_reward",
    ("reward",),
    (
        Column("evolution_reward", "double", "reward", "higher"),
        Column("evolution_reward_tokens", "int64", "tokens"),
    ),
    _compute,
    prepare=prepare,
    versions=tuple(prompt.version for prompt in OPERATORS.values()),
)
