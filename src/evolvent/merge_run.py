"""merge: the shards of a run folder's stages joined, each stage to the file that one machine would have written."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.evolution.autoif.rules import METHOD as AUTOIF
from evolvent.metrics.absent import check_scored
from evolvent.metrics.score import BY
from evolvent.metrics.score import STAGE as SCORE
from evolvent.object_storage.bring import bring_shards
from evolvent.object_storage.urls import url_of
from evolvent.options import implements
from evolvent.runs.folder import RunFolder
from evolvent.runs.merge import made_anew, merge_stage
from evolvent.runs.options import MERGE, Merging
from evolvent.runs.run import Run
from evolvent.runs.shards import made_in, shards_in
from evolvent.runs.stage import nothing_more
from evolvent.shard import SHARDS
from evolvent.stages import in_order

log = logging.getLogger(__name__)


@implements(MERGE)
def merge(run: str | Path, *, given: Merging) -> list[Run]:
    """Join the shards of a run folder's stages: the files are, byte for byte, those of one machine.

    All shards of a stage must be there and belong together: made of the same input, with the same settings, models and
    versions of packages. Their calls go into the run folder's store; the shards' own folders stay as they are.

    Args:
        run: the run folder, in which ``shards/`` holds a folder for each shard.

    Returns:
        The run of each stage that was joined; those that were joined before count as done already. Left out, with a
        warning, are shards of what an earlier stage was before it was joined now.

    Raises:
        InputError: there are no shards, or they do not belong together.
        RunError: shards are missing or not finished, a part is damaged, or the disk is full; NoScoresError, if no row
            has a value of a metric: the file is written.
    """
    out = Path(run)
    if (url := url_of(out)) is not None:
        bring_shards(url)
    made = made_in(out)
    if not made:
        why = "none that has begun" if shards_in(out) else "no folder of one"
        raise InputError(
            f"{out} holds no shards: {out / SHARDS} has {why}",
            fix="Make them with --shard 1/N … N/N, and this folder as --out.",
        )
    settings = {stage: next(iter(made[stage].values())).settings for stage in in_order(made)}
    with RunFolder(out) as folder:
        done = dict[str, Run]()
        for stage, noted in settings.items():
            if any(not run.already_done for run in done.values()) and (read := made_anew(folder, made[stage])):
                log.warning("warning: %s: its shards are of an earlier %s; make them again", stage, read)
            else:
                done[stage] = merge_stage(stage, folder, made[stage], given, _derive(stage, noted))
    if SCORE in done:
        _check_scored(done[SCORE], settings[SCORE])
    return list(done.values())


def _derive(stage: str, settings: Mapping[str, Any]) -> Callable[[Path], Mapping[str, Any]]:
    """What makes the further files of a stage's file, as the stage itself has it (see ``Stage``)."""
    if settings.get("method") != AUTOIF:
        return nothing_more
    from evolvent.evolution.autoif.autoif import derive_of  # the others need no sandbox

    return derive_of(stage, settings)


def _check_scored(run: Run, settings: Mapping[str, Any]) -> None:
    """Check what ``score`` checks at its end, which no shard can: that each metric has a value in some row.

    Raises:
        NoScoresError: one has none.
    """
    names = {name.partition("@")[0]: name for key, made in settings.items() if key.startswith(BY) for name in made}
    check_scored(run, names, names)
