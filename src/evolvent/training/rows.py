"""DATA as what is trained on, with what is left out of it counted while it is read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from evolvent.datasets.training_examples import Example, example_of
from evolvent.errors import InputError
from evolvent.options import Reading
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.training_set import PAIRS, training_set


@dataclass(slots=True)
class Examples:
    """The rows of DATA to train on; ``left_out`` counts the others by reason while they are read."""

    source: StageInput
    method: str
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Example]:
        self.left_out.clear()
        self.notes.clear()
        for record in self.source:
            found = example_of(record, preference=self.method == "dpo")
            if isinstance(found, str):
                self.left_out[found] += 1
                continue
            if found.unanswered:
                self.notes["with turns at the end that nobody answered, which are not trained"] += 1
            if self.method == "sft" and self.source.about.get("format") == "preference":
                self.notes["of preference pairs, of which only chosen is trained: --method dpo learns from both"] += 1
            if record.meta and '"_original"' in record.meta:
                self.notes["with tool calls, weights or the like, of which only roles and texts are trained"] += 1
            yield found


def open_examples(data: Data, method: str, reading: Reading) -> Examples:
    """The rows of DATA: of a run folder those that ``select`` kept, or for DPO the pairs of AutoIF.

    Raises:
        InputError: the data cannot be read, or the folder lacks the file.
    """
    pairs = method == "dpo"
    source = stage_input(
        training_set(data, pairs=pairs),
        before=None,
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    if pairs and source.about.get("format") != "preference":
        raise InputError(
            f"{source.about['source']} holds no preference pairs: DPO learns from a chosen and a rejected answer",
            fix=f"Name data with the columns chosen and rejected; evolvent evolve --method autoif writes {PAIRS}.",
        )
    return Examples(source, method)
