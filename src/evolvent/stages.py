"""The table of stages: what each reads, what it writes, and the command that makes it.

The stages are a graph: a stage's output is out of date when a file that it read was made anew, and only then. An entry
of a run's manifest is named after its row; where a folder may hold several of a kind the file's name follows a colon
(``select:train.jsonl``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evolvent.errors import InputError


@dataclass(frozen=True, slots=True)
class StageRow:
    """A row of the table.

    Attributes:
        reads: the stages of which it may read the file in its own run folder, the usual one first.
        writes: the file that it writes into the run folder; with a slash at its end, a folder.
        command: the command that makes it; ``{folder}`` stands for the run folder.
    """

    reads: tuple[str, ...]
    writes: str
    command: str


STAGES: dict[str, StageRow] = {
    "optimize-method": StageRow(
        (), "method.yaml", "evolvent optimize-method SEEDS --evolver URI --optimizer URI --out METHOD.yaml"
    ),
    "self-instruct": StageRow((), "instructions.parquet", "evolvent evolve --method autoif --model URI --out {folder}"),
    "evolve": StageRow(("self-instruct",), "evolved.parquet", "evolvent evolve SEEDS --model URI --out {folder}"),
    "respond": StageRow(("evolve",), "responses.parquet", "evolvent respond {folder} --teacher URI --out {folder}"),
    "score": StageRow(("respond",), "scored.parquet", "evolvent score {folder} --base-model URI --out {folder}"),
    "select": StageRow(("score",), "selected.jsonl", "evolvent select {folder} --by SCORE --top SHARE --out FILE"),
    "train": StageRow(("select",), "student/", "evolvent train {folder} --base-model URI --out {folder}/student"),
    "evaluate": StageRow((), "evaluated.parquet", "evolvent evaluate MODEL --tasks A,B --out {folder}"),
    "keywords": StageRow(("evolve",), "keywords.parquet", "evolvent keywords {folder} --model URI"),
}


def row_of(stage: str) -> StageRow:
    """The row of a stage, or of a manifest's entry.

    Raises:
        InputError: there is no such stage.
    """
    row = STAGES.get(stage.partition(":")[0])
    if row is None:
        raise InputError(f"there is no stage {stage!r}", fix=f"Stages: {', '.join(STAGES)}.")
    return row


def file_of(stage: str) -> str:
    """The file, or the folder, that a stage or a manifest's entry writes in a run folder."""
    return stage.partition(":")[2] or row_of(stage).writes


def read_by(stage: str) -> str:
    """The stage whose file a stage reads when its DATA is a run folder."""
    return row_of(stage).reads[0]


def holds_records(stage: str) -> bool:
    """Whether a stage's file is one of records, written part by part by the runner."""
    return row_of(stage).writes.endswith(".parquet")


def in_order(stages: Iterable[str]) -> list[str]:
    """Entries in the order of the table."""
    places = {name: place for place, name in enumerate(STAGES)}
    return sorted(stages, key=lambda stage: places.get(stage.partition(":")[0], len(places)))


def readers_of(stage: str, inputs: Mapping[str, str | None]) -> set[str]:
    """The entries whose output rests on a stage's file, directly or by way of others.

    Args:
        stage: the stage.
        inputs: for each entry of a run folder the stage of the same folder whose file it read; None for other data.
    """
    found: set[str] = set()
    reached = [stage]
    while reached:
        made = reached.pop()
        further = {entry for entry, read in inputs.items() if read == made} - found - {stage}
        found |= further
        reached += sorted(further)
    return found
