"""slurm: a script that submits a recipe's shards to Slurm; it schedules, nothing of ours runs in between."""

import shlex
import sys
from pathlib import Path

import jinja2

from evolvent.options import implements
from evolvent.recipe import stages_with_shards
from evolvent.recipe_options import SLURM, Slurm

TEMPLATE = Path(__file__).with_name("slurm_script.sh.j2")


@implements(SLURM)
def slurm(recipe: str, *, given: Slurm) -> str:
    """Write a script that submits a recipe to Slurm: an array of jobs a stage, a job that merges it, and the rest.

    Returns:
        The script, for bash. It is to be run where the recipe is, in this environment, on a disk that all nodes share.

    Raises:
        InputError: the recipe is wrong.
    """
    command = f"{shlex.quote(sys.executable)} -m evolvent"
    whole = f"{command} run {shlex.quote(recipe)}"
    stages = [
        {"name": key.replace(":", "-"), "merge": shlex.quote(f"{command} merge {shlex.quote(out)}")}
        for key, out in stages_with_shards(recipe)
    ]
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), trim_blocks=True, keep_trailing_newline=True)
    script: str = template.render(
        recipe=repr(Path(recipe).name),  # on one line, whatever it is
        shards=given.shards,
        folder=shlex.quote(str(Path.cwd())),
        options=shlex.join(shlex.split(given.sbatch)),
        stages=stages,
        shard=shlex.quote(f"{whole} --shard $SLURM_ARRAY_TASK_ID/{given.shards}"),
        whole=shlex.quote(whole),
    )
    return script
