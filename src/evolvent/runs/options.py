"""The options of merge."""

from dataclasses import dataclass

from evolvent.options import Interface, argument, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """How shards are joined."""

    fresh: bool = option("Put the shards in the place of whatever the folder holds of their stages.", False)
    mix_versions: bool = option("Join shards although package versions differ between them.", False)


MERGE = Interface(
    "evolvent.merge_run", "merge", {"run": argument("The run folder that holds the shards.", "RUN")}, (Merging,)
)
