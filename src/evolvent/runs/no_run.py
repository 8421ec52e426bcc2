"""A folder that is no run folder: what it is, as far as that can be seen, and what to do."""

from pathlib import Path

from evolvent.errors import InputError
from evolvent.files import CALLS
from evolvent.runs.shards import shard_folder, shards_in

# Shards that are named in a message.
NAMED = 5


def no_run(folder: Path, fix: str = "Make one: evolvent demo, or evolvent evolve SEEDS …") -> InputError:
    """That a folder holds no stage of a run: it holds shards of one, calls of a preview, or nothing of evolvent's.

    Args:
        folder: the folder.
        fix: what to do about a folder that holds nothing of evolvent's.
    """
    if shards := shards_in(folder):
        names = ", ".join(map(str, shards[:NAMED])) + (" …" if len(shards) > NAMED else "")
        return InputError(
            f"{folder} holds shards that are not merged ({names}), and no stage of its own",
            fix=f"When all are made, join them: evolvent merge {folder}. Each is a run folder itself: "
            f"{shard_folder(folder, shards[0])}",
        )
    if (folder / CALLS).is_file():
        return InputError(
            f"{folder} holds calls, of a preview or a pilot, and no stage yet",
            fix=f"Start the same command without --preview or --pilot: what is stored is not paid again. To see the "
            f"calls: evolvent calls {folder}",
        )
    return InputError(f"{folder} is not a run folder", fix=fix)
