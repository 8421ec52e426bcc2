"""Shards: a stage's parts made by several workers, each in a run folder of its own below ``shards/``."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from evolvent.errors import InputError
from evolvent.files import is_as_noted
from evolvent.options import Calling
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import StageEntry, as_json, read_manifest
from evolvent.runs.part_files import part_name
from evolvent.runs.parts import note_of_part, parts_folder, parts_of
from evolvent.runs.run import Run
from evolvent.shard import SHARDS, Shard
from evolvent.stages import file_of
from evolvent.storage_errors import explained

if TYPE_CHECKING:
    from evolvent.runs.stage import Stage

log = logging.getLogger(__name__)


def shard_folder(out: Path, shard: Shard) -> Path:
    """The run folder of a shard."""
    return out / SHARDS / shard.folder


def shards_in(out: Path) -> list[Shard]:
    """The shards that have a folder in a run folder, whatever it holds.

    Raises:
        InputError: what has the name of such a folder is none.
    """
    found = []
    with explained(out, "read"):
        for place in (out / SHARDS).glob("*-of-*"):
            shard = Shard.named(place.name)
            if shard is not None and not place.is_dir():
                raise InputError(f"{place} has the name of a shard's folder, and is none", fix="Move it away.")
            found += [shard] if shard is not None else []
    return sorted(found, key=lambda one: (one.of, one.number))


def made_in(out: Path) -> dict[str, dict[Shard, StageEntry]]:
    """By stage what its shards in a run folder have noted; errors as of ``shards_in`` and ``noted_by``."""
    found: dict[str, dict[Shard, StageEntry]] = {}
    for shard in shards_in(out):
        for stage, entry in noted_by(out, shard).items():
            found.setdefault(stage, {})[shard] = entry
    return found


def noted_by(out: Path, shard: Shard) -> dict[str, StageEntry]:
    """What a shard has noted, by stage.

    Raises:
        InputError: its manifest cannot be read.
    """
    folder = shard_folder(out, shard)
    try:
        return read_manifest(folder)
    except InputError as error:
        raise InputError(error.message, fix=f"Restore it; or move {folder} away, and make that shard again.") from error


def first_again(what: str, out: Path) -> InputError:
    """What to say where shards of stages that follow each other are to be made with --fresh."""
    return InputError(
        f"{what} has several stages: with --shard and --fresh it would make the first one again each time",
        fix=f"Leave --fresh out. To make all anew use another --out, or remove {out / SHARDS} and what was merged.",
    )


def ready_for_shards(stage: "Stage", out: Path, of: int, calling: Calling) -> Run | None:
    """Check that a stage can be made in shards, before the first call of one.

    Args:
        stage: the stage.
        out: the run folder.
        of: how many shards there are to be.
        calling: how calls are made.

    Returns:
        The run, where the folder holds the stage as a whole: there is nothing to make; else None.

    Raises:
        InputError: it cannot be made in shards, or the folder holds it with other settings, of another input, or in
            shards that are cut otherwise.
    """
    if stage.window is None:
        raise InputError(
            f"{stage.name} works on its whole input, so it has no shards", fix="Leave out --shard, or --engine."
        )
    given = "--retry-failed" if calling.retry_failed else "--retry-empty" if calling.retry_empty else ""
    if given:
        raise InputError(f"a shard takes no {given}", fix="Merge the shards; then ask again for what failed.")
    if not calling.fresh and (done := whole_in(out, stage.name, read_manifest(out).get(stage.name), _mark(stage))):
        return done
    _check_cut(stage, out, of)
    return None


def reopen_shard(stage: str, folder: RunFolder, shard: Shard) -> None:
    """Take a shard that is made for one that is not, where parts of it are gone, damaged or cut otherwise.

    Args:
        stage: the stage's name.
        folder: the shard's run folder, held open.
        shard: the shard.
    """
    entry, parts = folder.stages.get(stage), parts_folder(folder.output(stage))
    if entry is None or entry.state != "shard":
        return
    cut = parts_of(entry.whole["records"], entry.whole["window"])
    files = (parts / part_name(number) for number in range(len(cut)) if shard.takes(number))
    if not all(note_of_part(file, entry.mark, cut) for file in files):
        entry.state = "running"


def check_no_shards(stage: "Stage", out: Path) -> None:
    """Check that a stage which is to be made as a whole is not being made in shards: its calls would be paid twice.

    Raises:
        InputError: it is.
    """
    mark = _mark(stage)
    made = [shard for shard, entry in made_in(out).get(stage.name, {}).items() if entry.mark == mark]
    if made:
        raise InputError(
            f"{out / SHARDS} holds {len(made)} of {made[0].of} shards of {stage.name}",
            fix="Make the others and merge them; or remove that folder, and all calls are made here.",
        )


def whole_in(out: Path, stage: str, entry: StageEntry | None, mark: str) -> Run | None:
    """The run of a stage that a run folder holds as a whole.

    Args:
        out: the run folder.
        stage: the stage's name.
        entry: what the folder has noted of it.
        mark: that of its shards.

    Returns:
        The run; None if the stage is not done, or its file is not there as it was written.

    Raises:
        InputError: it is done with other settings, or of another input.
    """
    output = out / file_of(stage)
    if entry is None or entry.state != "done" or not is_as_noted(output, entry.output):
        return None
    if entry.mark != mark:
        raise InputError(
            f"{out} holds {stage} with other settings, or of another input, than its shards",
            fix="Use another --out, or --fresh to put the shards in its place.",
        )
    return Run(out, stage, output, entry.counts, already_done=True)


def _check_cut(stage: "Stage", out: Path, of: int) -> None:
    """Check that no shards of a stage are there that are cut otherwise: all of them could not be joined.

    Of the same cut only the first is looked at: each of thousands of workers does so.

    Raises:
        InputError: there are some.
    """
    there = shards_in(out)
    same_cut, others = ([one for one in there if (one.of == of) is same] for same in (True, False))
    for shard in (*others, *same_cut[:1]):
        entry = noted_by(out, shard).get(stage.name)
        if entry is not None and shard.of != of:
            raise InputError(
                f"{out / SHARDS / shard.folder} holds a shard of {stage.name} that is one of {shard.of}, not of {of}",
                fix=f"Cut it into {shard.of}, or remove the shards of the other cut.",
            )
        if entry is not None and entry.mark != _mark(stage):
            words = "%s: shard %s has other settings, or another input; only shards of one kind can be merged"
            log.warning(f"warning: {words}", stage.name, shard)


def _mark(stage: "Stage") -> str:
    return StageEntry(as_json(stage.settings, stage.name), stage.source.about).mark
