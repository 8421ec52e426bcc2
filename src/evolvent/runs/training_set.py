"""What of a run folder is trained on: the rows that it selected, or AutoIF's preference pairs."""

from pathlib import Path

from evolvent.errors import InputError
from evolvent.files import MANIFEST, locate
from evolvent.runs.inputs import Data
from evolvent.runs.manifest import read_manifest
from evolvent.runs.run import Run
from evolvent.stages import file_of, row_of

# What AutoIF writes its preference pairs to; its answers are the respond stage's.
PAIRS, OF_PAIRS = "dpo.jsonl", "respond"


def training_set(data: Data, *, pairs: bool = False) -> Data:
    """Data as it was given; of a run folder the file in it that is trained on.

    Args:
        data: what a user names.
        pairs: whether preference pairs are wanted.

    Raises:
        InputError: a run folder that holds no such file, several and none of the usual name, or one that is stale.
    """
    folder = data.path if isinstance(data, Run) else locate(data, "read")[0] if isinstance(data, str | Path) else None
    if folder is None or not (folder / MANIFEST).is_file():
        return data
    entries = read_manifest(folder)
    if pairs:
        made = {PAIRS: entries.get(OF_PAIRS)} if (folder / PAIRS).exists() else {}
        what, command = "preference pairs", "evolvent evolve --method autoif --model URI --out {folder}"
    else:
        made = {file_of(name): entry for name, entry in entries.items() if name.partition(":")[0] == "select"}
        usual = file_of("select")
        if usual in made or (folder / usual).exists():
            made = {usual: made.get(usual)}
        what, command = "selection", row_of("select").command
    again = command.format(folder=folder)
    if len(made) != 1:
        several = f"several selections: {', '.join(made)}" if made else f"no {what}"
        raise InputError(f"{folder} holds {several}", fix="Name one of the files." if made else f"Make one: {again}")
    [(name, entry)] = made.items()
    if not (folder / name).is_file():
        raise InputError(f"{folder / name} is gone", fix=f"Make it again: {again}")
    if entry is not None and entry.state != "done":
        raise InputError(f"{folder / name} is stale: what it was made of was made anew", fix=f"Make it again: {again}")
    return folder / name
