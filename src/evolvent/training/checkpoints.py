"""A training's checkpoints: TRL's folders, of which the last whole one is gone on from."""

import json
import shutil
from pathlib import Path

FOLDER = "checkpoints"
# What TRL writes last.
LAST = "trainer_state.json"


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder."""
    return max(filter(_is_whole, folder.glob("checkpoint-*")), key=_step, default=None)


def remove_torn(folder: Path) -> None:
    """Remove the checkpoints that a kill cut short: one process does."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not _is_whole(checkpoint):
            shutil.rmtree(checkpoint)


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _is_whole(checkpoint: Path) -> bool:
    try:
        return int(json.loads((checkpoint / LAST).read_text())["global_step"]) == _step(checkpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return False
