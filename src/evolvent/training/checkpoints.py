"""A training's checkpoints: TRL's folders, of which the last whole one is gone on from."""

import json
import shutil
from pathlib import Path

FOLDER = "checkpoints"
# What TRL writes last.
LAST = "trainer_state.json"


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder; those after it that a kill cut short are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    for checkpoint in found:
        if _is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _is_whole(checkpoint: Path) -> bool:
    try:
        return int(json.loads((checkpoint / LAST).read_text())["global_step"]) == _step(checkpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return False
