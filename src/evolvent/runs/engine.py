"""Who makes a stage: this process, or the workers of a Ray cluster."""

from pathlib import Path

from evolvent.models.models import Models
from evolvent.options import Calling
from evolvent.runs import local
from evolvent.runs.run import Run
from evolvent.runs.stage import Stage


def run(stage: Stage, out: str | Path, models: Models, calling: Calling) -> Run:
    """Execute a stage in a run folder, by the engine that was asked for; arguments and errors as for ``local.run``."""
    if calling.engine == "local" or calling.dry_run:
        return local.run(stage, out, models, calling)
    from evolvent.runs.ray import run_on_ray

    return run_on_ray(stage, Path(out), calling)
