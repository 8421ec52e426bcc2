"""The command that evolves: after a pilot, where one is wanted, with the profile that the user chooses."""

import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evolvent.errors import InputError
from evolvent.evolution.autoif.options import AutoIFOptions
from evolvent.evolution.options import (
    EVOLVE,
    TRIED,
    AutoEvolInstructOptions,
    EvolInstructOptions,
    Evolve,
)
from evolvent.options import Calling, Interface, Reading, implements, option

if TYPE_CHECKING:
    from evolvent.runs.run import Run
    from evolvent.runs.sampled import Pilot

# Before a run of more seeds than this a pilot of so many is made.
MANY, SIZE = 200, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeIt:
    """Whether a pilot comes before the run."""

    pilot: int | None = option(
        "First evolve so many of the seeds with each profile, show what comes of it and what a run would take, and ask "
        f"which to go on with; {SIZE} before a run of more than {MANY} seeds on a terminal.",
        None,
        metavar="N",
        least=1,
    )
    no_pilot: bool = option("Make no pilot, however many seeds there are.", False)


@implements(
    Interface(
        __name__, "evolve", EVOLVE.arguments, (*EVOLVE.groups, BeforeIt), choice=EVOLVE.choice, methods=EVOLVE.methods
    )
)
def evolve(
    seeds: str | None = None,
    *,
    given: Evolve,
    by: EvolInstructOptions | AutoEvolInstructOptions | AutoIFOptions,
    reading: Reading,
    calling: Calling,
    before_it: BeforeIt,
) -> "Run | Pilot":
    """Evolve seeds as ``evolvent.evolve`` does, after a pilot where one is wanted.

    Returns:
        The run; the pilot, if the user goes on with no profile or cannot be asked.

    Raises:
        As ``evolvent.evolve``.
    """
    from evolvent.evolution import evolve as stage
    from evolvent.evolution.pilot import try_profiles
    from evolvent.models.models import Models
    from evolvent.report.pilot import print_pilot
    from evolvent.runs.engine import run
    from evolvent.runs.manifest import read_manifest
    from evolvent.runs.progress import say

    entry = read_manifest(given.out).get("evolve")
    begun = entry is not None and not entry.came_to_nothing
    if before_it.pilot:
        _check_pilot(given, by, calling, before_it, begun=begun)
    free = by.profile == "default" and not (
        begun or before_it.no_pilot or calling.dry_run or given.preview or calling.shard
    )
    if isinstance(by, AutoIFOptions) or not (before_it.pilot or (free and _on_a_terminal())):
        return stage.evolve.plain(seeds, given=given, by=by, reading=reading, calling=calling)
    source = stage.read_seeds(seeds, given, reading)
    size = before_it.pilot or (SIZE if source.rows > MANY else 0)
    with Models() as models:
        if size:
            if not before_it.pilot:
                say(f"{source.rows:,} seeds: a pilot of {size} comes first; --no-pilot leaves it out")
            found = try_profiles(source, given, by, calling, size, models)
            print_pilot(found)
            profile = _chosen(found)
            if profile is None:
                return found
            by = replace(by, profile=profile)
        return run(stage.evolve_stage(source, given, by, calling), given.out, models, calling)


def _check_pilot(
    given: Evolve,
    by: EvolInstructOptions | AutoEvolInstructOptions | AutoIFOptions,
    calling: Calling,
    before_it: BeforeIt,
    *,
    begun: bool,
) -> None:
    """Check that a pilot that was asked for makes sense."""
    if isinstance(by, AutoIFOptions):
        raise InputError(f"{given.method} has no profiles that a pilot compares", fix="Leave --pilot out.")
    for name, is_given in (
        ("--no-pilot", before_it.no_pilot),
        ("--dry-run", calling.dry_run),
        ("--preview", bool(given.preview)),
        ("--retry-failed", calling.retry_failed),
        (f"--profile {by.profile}", by.profile != "default"),
    ):
        if is_given:
            what = f"--pilot evolves a sample with each profile ({', '.join(TRIED)})"
            raise InputError(f"{what}, which {name} leaves out", fix="Leave one of the two out.")
    if begun and not calling.fresh:
        raise InputError(
            f"run folder {given.out} holds evolve already: a pilot comes before it",
            fix="Leave --pilot out, use another --out, or --fresh to make evolve anew.",
        )


def _on_a_terminal() -> bool:
    """Whether somebody can be asked: a job in the background would be stopped at the question."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # it is not the terminal of this process
        return False


def _chosen(found: "Pilot") -> str | None:
    """The profile that the user goes on with; None if nobody can be asked, or if it is none."""
    if not _on_a_terminal():
        return None
    names = ", ".join(f"{name} (Enter)" if name == found.best else name for name in found.trials)
    sys.stdout.flush()
    sys.stderr.write(f"\ngo on with which profile? {names}; anything else stops: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    answer = line.strip() or (found.best if line else "")  # no line: standard input was closed
    return answer if answer in found.trials else None
