"""The options of a whole recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evolvent.options import (
    Interface,
    argument,
    dry_run,
    engine,
    fresh,
    gpus_per_shard,
    mix_versions,
    option,
    pairs,
    progress,
    ray_address,
    retry_empty,
    retry_failed,
    shard,
    shards,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a whole recipe is run."""

    set: Mapping[str, Any] | None = option(
        "Replace or add a value: evolve.rounds=2.", None, metavar="KEY=VALUE", repeatable=True, parse=pairs
    )
    fresh: bool = fresh("all stages")
    retry_failed: bool = retry_failed()
    retry_empty: bool = retry_empty()
    dry_run: bool = dry_run()
    mix_versions: bool = mix_versions()
    shard: str | None = shard()
    engine: str = engine()
    shards: int | None = shards()
    ray_address: str | None = ray_address()
    gpus_per_shard: float = gpus_per_shard()
    progress: bool | Callable[..., Any] = progress()


RUN = Interface(
    "evolvent.recipe", "run", {"recipe": argument("A YAML recipe.", "RECIPE.yaml", more="Or its content.")}, (Recipe,)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm:
    """How a recipe is submitted to Slurm."""

    shards: int = option("How many shards each stage is cut into.", metavar="N", least=1)
    sbatch: str = option("Options of sbatch for all jobs: '--partition gpu --time 4:00:00'.", "", metavar="OPTIONS")


SLURM = Interface("evolvent.slurm_script", "slurm", {"recipe": argument("A YAML recipe.", "RECIPE.yaml")}, (Slurm,))
