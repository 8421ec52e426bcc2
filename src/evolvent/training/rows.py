"""DATA as what is trained on: conversations that end with an answer, or two answers of which one is better.

Only roles and texts go to the trainer. Our own columns, and the user's, do not.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import orjson

from evolvent.datasets.conversations import BadRow, read_turns
from evolvent.datasets.render import conversation
from evolvent.errors import InputError
from evolvent.files import MANIFEST, locate
from evolvent.options import Reading
from evolvent.records import Message, Record
from evolvent.runs.inputs import Data, StageInput, Wanted, stage_input
from evolvent.runs.manifest import read_manifest
from evolvent.runs.run import Run
from evolvent.stages import file_of, read_by, row_of

# What AutoIF writes its preference pairs to.
PAIRS = "dpo.jsonl"


@dataclass(frozen=True, slots=True)
class Example:
    """A row to train on.

    Attributes:
        messages: a conversation that ends with an assistant's turn.
        rejected: a worse last turn; None where there is none.
    """

    messages: list[Message]
    rejected: str | None = None


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
            found = _example(record, self.method)
            if isinstance(found, str):
                self.left_out[found] += 1
                continue
            if record.meta and '"_original"' in record.meta:
                self.notes["with tool calls, weights or the like, of which only roles and texts are trained"] += 1
            yield found


def open_examples(data: Data, method: str, reading: Reading) -> Examples:
    """The rows of DATA: of a run folder those that ``select`` kept, or for DPO the pairs of AutoIF.

    Raises:
        InputError: the data cannot be read, or the folder lacks the file.
    """
    if isinstance(data, Run):
        data = data.path
    if isinstance(data, str | Path) and (locate(data, "read")[0] / MANIFEST).is_file():
        data = _file_in(locate(data, "read")[0], method)
    source = stage_input(
        data,
        before=read_by("train"),
        wanted=Wanted(),
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    examples = Examples(source, method)
    if method == "dpo" and source.rows and not any(_rejected(record) is not None for record in islice(source, 1000)):
        raise InputError(
            f"{source.about['source']} holds no preference pairs: DPO learns from a chosen and a rejected answer",
            fix=f"Name data with the columns chosen and rejected; evolvent evolve --method autoif writes {PAIRS}.",
        )
    return examples


def _file_in(folder: Path, method: str) -> Path:
    """The file of a run folder that is trained on."""
    name = PAIRS if method == "dpo" else file_of("select")
    if not (folder / name).is_file():
        made = "evolvent evolve --method autoif …" if method == "dpo" else row_of("select").command
        raise InputError(
            f"{folder} has no {name}", fix=f"Make it with: {made.format(folder=folder)}\nOr name the file itself."
        )
    entry = read_manifest(folder).get("respond" if method == "dpo" else f"select:{name}")
    if entry is not None and entry.state != "done":
        raise InputError(f"{folder / name} is stale: what it was made of was made anew since", fix="Make it anew, too.")
    return folder / name


def _example(record: Record, method: str) -> Example | str:
    """A record as an example, or why it is none."""
    messages = conversation(record)
    while messages and not (messages[-1]["role"] == "assistant" and messages[-1]["content"].strip()):
        messages = messages[:-1]  # a question at the end, an empty answer
    if not messages:
        return "without an answer"
    if method == "sft":
        return Example(messages)
    rejected = _rejected(record)
    if rejected is None:
        return "without a rejected answer"
    if rejected.strip() == messages[-1]["content"].strip():
        return "with two answers that are the same"
    return Example(messages, rejected)


def _rejected(record: Record) -> str | None:
    """The rejected answer of a preference pair: the text, or the last assistant turn; None if there is none."""
    value = orjson.loads(record.meta).get("rejected") if record.meta and "rejected" in record.meta else None
    if not isinstance(value, str) or value.lstrip().startswith(("[{", "{")):
        try:
            turns = read_turns(value, "rejected")[0] if value else []
        except BadRow:
            turns = []
        if turns or not isinstance(value, str):
            value = turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else None
    return value if isinstance(value, str) and value.strip() else None
