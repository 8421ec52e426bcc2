"""The options of merge."""

from dataclasses import dataclass

from evolvent.options import Interface, argument, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """How shards are joined."""

    fresh: bool = option("Replace what the folder holds of a stage with other settings, or of another input.", False)
    mix_versions: bool = option("Join shards although package versions differ between them.", False)


MERGE = Interface(
    "evolvent.merge_run", "merge", {"run": argument("The run folder that holds the shards.", "RUN")}, (Merging,)
)
