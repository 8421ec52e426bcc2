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


def shards_in(out: Path) -> list[Shard]:
    """The shards that have a folder in a run folder."""
    found = [Shard.named(place.name) for place in (out / SHARDS).glob("*-of-*")]
    return sorted((one for one in found if one is not None), key=lambda one: (one.of, one.number))


def check_sharded(stage: Stage, calling: Calling) -> None:
    """Check that a stage can be made in shards.

    Raises:
        InputError: it cannot.
    """
    if stage.window is None or stage.derive is not nothing_more:
        raise InputError(
            f"{stage.name} works on its whole input, so it has no shards", fix="Leave out --shard, or --engine."
        )
    given = "--retry-failed" if calling.retry_failed else "--retry-empty" if calling.retry_empty else ""
    if given:
        raise InputError(f"a shard takes no {given}", fix="Merge the shards; then ask again for what failed.")
