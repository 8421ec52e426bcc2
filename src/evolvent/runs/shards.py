"""Shards: a stage's parts made by several workers, each in a run folder of its own."""

from pathlib import Path

from evolvent.errors import InputError
from evolvent.options import Calling
from evolvent.runs.stage import Stage, nothing_more
from evolvent.shard import Shard

# The folder of all shards, in a run folder.
SHARDS = "shards"


def shard_folder(out: Path, shard: Shard) -> Path:
    """The run folder of a shard."""
    return out / SHARDS / shard.folder


def check_sharded(stage: Stage, calling: Calling) -> None:
    """Check that a stage can be made in shards.

    Raises:
        InputError: it cannot.
    """
    if stage.window is None or stage.derive is not nothing_more:
        raise InputError(
            f"{stage.name} works on its whole input, so it has no shards", fix="Leave out --shard, or --engine."
        )
    if calling.retry_failed:
        raise InputError("a shard takes no --retry-failed", fix="Merge the shards; then take what failed again.")
