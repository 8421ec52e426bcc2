"""The pilot of the evolve stage: a sample of the seeds evolved with each profile, before one is chosen."""

from dataclasses import replace

from evolvent.evolution.evolve import evolve_stage, read_seeds
from evolvent.evolution.options import (
    PILOT,
    TRIED,
    AutoEvolInstructOptions,
    EvolInstructOptions,
    Evolve,
    Piloting,
)
from evolvent.models.models import Models, opened
from evolvent.options import Calling, Reading, implements
from evolvent.runs.inputs import Data, StageInput
from evolvent.runs.pilot import try_ways
from evolvent.runs.sampled import Pilot


@implements(PILOT)
def pilot(
    seeds: Data | None = None,
    *,
    given: Evolve,
    by: EvolInstructOptions | AutoEvolInstructOptions,
    reading: Reading,
    calling: Calling,
    piloting: Piloting,
    models: Models | None = None,
) -> Pilot:
    """Evolve a sample of the seeds with each profile but ``paper``: what comes of it, and what all seeds would take.

    The calls are stored in the run folder: ``evolve`` with the same arguments and the profile of your choice makes none
    of them again.

    Returns:
        The pilot: for each profile its counts, its rows, tokens per second, and what the whole run is expected to take.

    Raises:
        InputError: wrong options, or unreadable seeds.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the folder cannot be written.
    """
    with opened(models) as shared:
        return try_profiles(read_seeds(seeds, given, reading), given, by, calling, piloting.pilot, shared)


def try_profiles(
    source: StageInput,
    given: Evolve,
    by: EvolInstructOptions | AutoEvolInstructOptions,
    calling: Calling,
    size: int,
    models: Models,
) -> Pilot:
    """Evolve ``size`` of the seeds with each profile; see ``pilot``."""
    stages = {profile: evolve_stage(source, given, replace(by, profile=profile), calling) for profile in TRIED}
    return try_ways(stages, given.out, size, models, calling)
