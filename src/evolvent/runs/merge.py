"""The shards of a stage joined to the file that one machine would have written."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evolvent.call_store.merge import merge_calls
from evolvent.call_store.served import Name
from evolvent.costs.budget import Spent
from evolvent.costs.prices import Price
from evolvent.errors import InputError, RunError
from evolvent.files import CALLS
from evolvent.records import Column
from evolvent.runs.failing import all_failed, in_vain
from evolvent.runs.folder import Account, RunFolder
from evolvent.runs.lock import in_use
from evolvent.runs.manifest import DECIDING, StageEntry, account
from evolvent.runs.options import Merging
from evolvent.runs.part_files import PART_NAME
from evolvent.runs.parts import Output, drop_parts, has_parts, parts_folder
from evolvent.runs.record_files import score_columns
from evolvent.runs.run import Run
from evolvent.runs.shards import shard_folder, whole_in
from evolvent.runs.tally import Tally
from evolvent.shard import SHARDS, Shard
from evolvent.stages import file_of
from evolvent.storage_errors import explained

log = logging.getLogger(__name__)

# So many shards are named in a message.
NAMED = 10


def merge_stage(
    stage: str,
    folder: RunFolder,
    made: Mapping[Shard, StageEntry],
    given: Merging,
    derive: Callable[[Path], Mapping[str, Any]],
) -> Run:
    """Join the shards of one stage.

    Args:
        stage: its name.
        folder: the run folder, held open.
        made: what the stage's shards in it have noted.
        given: what is to be done about what the folder holds, and about other versions.
        derive: makes what is made of the stage's file (see ``Stage``).

    Returns:
        The run; one that was joined before counts as done already.

    Raises:
        InputError: the shards do not belong together, or the folder holds something else.
        RunError: shards are missing or not finished, a part is damaged, every record failed, the disk is full, or the
            folder went away.
    """
    output = folder.output(stage)
    if (done := _joined_before(stage, folder, made, given)) is not None:
        return done
    versions = _check_together(stage, folder.path, made, mix=given.mix_versions)
    _check_input(stage, folder, made)
    spent = merge_calls(folder.path / CALLS, _stores(folder.path, made), stage, folder.check_there)
    first = next(iter(made.values()))
    tally = _join(stage, folder, made, first)
    folder.check_there()
    derived = derive(output)
    of_stage = {name: one.output.get("digest") for name, one in folder.stages.items()}
    reads = [name for name, digest in of_stage.items() if digest == first.input["digest"]]
    entry = StageEntry(
        first.settings,
        {**first.input, **({"stage": reads[0]} if reads else {})},  # a shard made elsewhere does not know this folder
        models=first.models,
        served=_served(made.values()),
        counts={**first.whole["before"], **tally.summary(), **derived},
        paid=_paid(spent, stage, made.values()),
        used=tally.used_json(),
        started=min(one.started for one in made.values()),
        wall_s=round(sum(one.wall_s for one in made.values()), 3),
        versions=versions,
        joined=_joined(made),
    )
    return folder.finish_merged(stage, entry)


def made_anew(folder: RunFolder, made: Mapping[Shard, StageEntry]) -> str | None:
    """The file of the run folder that all shards of a stage have read, if it was made anew since.

    Args:
        folder: the run folder.
        made: what the stage's shards in it have noted.
    """
    read = next(iter(made.values())).input
    there = folder.stages.get(read.get("stage", ""))
    if there is None:
        return None
    stale = all(one.state == "stale" for one in made.values()) or there.output.get("digest") != read["digest"]
    return there.output["name"] if stale else None


def _joined_before(stage: str, folder: RunFolder, made: Mapping[Shard, StageEntry], given: Merging) -> Run | None:
    """The run of a stage that the folder holds as a whole; None if its shards are to be joined.

    What was joined of these very shards holds, whatever was made of it since; so does what was made here by itself.

    Raises:
        InputError: the folder holds another whole, or one that is half made.
    """
    there, output = folder.stages.get(stage), folder.output(stage)
    if there is None or given.fresh:
        return None
    same = _joined(made).items() <= there.joined.items()  # folders of some may have been removed since
    done = whole_in(folder.path, stage, there, there.mark if same else next(iter(made.values())).mark)
    if done is not None and (same or not there.joined):
        folder.check_there()
        drop_parts(output)  # a kill may have left them there, although all is done
        return done
    if there.state == "running" and has_parts(output):
        raise InputError(
            f"{folder.path} holds {stage} half made, or being made again, by itself",
            fix="Start the command that began it once more to go on with it, or put the shards in its place: --fresh.",
        )
    return None


def _joined(made: Mapping[Shard, StageEntry]) -> dict[str, str]:
    """Which shards a stage is joined of, as its entry notes them."""
    return {str(shard): entry.finished for shard, entry in made.items()}


def _check_together(stage: str, out: Path, made: Mapping[Shard, StageEntry], *, mix: bool) -> dict[str, str]:
    """Check that all shards of a stage are there, finished, and of one whole.

    Returns:
        The versions that they were made with.

    Raises:
        InputError: they are not of one whole.
        RunError: some are missing, or not finished.
    """
    sizes = sorted({shard.of for shard in made})
    if len(sizes) > 1:
        raise InputError(
            f"{stage} in {out} was cut into {' and into '.join(map(str, sizes))} shards",
            fix=f"Remove those of one cut from {out / SHARDS}.",
        )
    first = next(iter(made))
    for shard, entry in made.items():
        for what in ("settings", "models"):
            here, others = getattr(entry, what), getattr(made[first], what)
            if what == "models" and not here:  # it has no part to make
                continue
            for name in sorted({*here, *others}):
                if here.get(name) != others.get(name):
                    words = f"{name} is {here.get(name)!r} in shard {shard}, {others.get(name)!r} in {first}"
                    raise InputError(f"{stage} in {out}: {words}", fix="Make one of the two anew, with --fresh.")
        if entry.mark != made[first].mark:
            raise InputError(
                f"{stage} in {out}: shards {shard} and {first} are of different inputs",
                fix="Make one of the two anew, with --fresh.",
            )
    versions = _versions(stage, out, made, mix=mix)
    finished = {shard.number for shard, entry in made.items() if entry.state == "shard"}
    if lacking := [number for number in range(1, sizes[0] + 1) if number not in finished]:
        running = any(in_use(shard_folder(out, Shard(number, sizes[0]))) for number in lacking)
        raise RunError(
            f"{stage} in {out}: {len(lacking)} of {sizes[0]} shards are missing or not finished: {_listed(lacking)}",
            fix="Some are being made at this moment."
            if running
            else f"Make them: the same command with --shard {lacking[0]}/{sizes[0]}; what is done is kept.",
        )
    return versions


def _versions(stage: str, out: Path, made: Mapping[Shard, StageEntry], *, mix: bool) -> dict[str, str]:
    """The versions that shards were made with; of several each, as where a stage was gone on with by --mix-versions.

    A shard that was gone on with so is an agreement to just those versions.

    Raises:
        InputError: they differ, and nobody has agreed to it.
    """
    first = next(iter(made))
    found = dict(made[first].versions)
    for package in DECIDING:
        each = {shard: entry.versions.get(package, "none").split(" and ") for shard, entry in made.items()}
        every = list(dict.fromkeys(version for one in each.values() for version in one))
        if not mix and not any({*every} == {*one} for one in each.values()):
            other = next(shard for shard, one in each.items() if {*one} != {*each[first]})
            here, there = (" and ".join(each[shard]) for shard in (other, first))
            raise InputError(
                f"{stage} in {out}: shard {other} was made with {package} {here}, {first} with {there}",
                fix="Install one version everywhere, and make what was made with the other anew, with --fresh. Numbers "
                "may differ between versions; --mix-versions joins them all the same.",
            )
        if every != ["none"]:
            found[package] = " and ".join(every)
    return found


def _check_input(stage: str, folder: RunFolder, made: Mapping[Shard, StageEntry]) -> None:
    """Check that the file of the run folder that shards have read is still the same.

    Raises:
        InputError: it was made anew since.
    """
    if (read := made_anew(folder, made)) is not None:
        raise InputError(
            f"{stage} in {folder.path}: its shards are of a {read} that was made anew since",
            fix="Make them anew: the same commands with --fresh; stored calls are used.",
        )


def _stores(out: Path, made: Mapping[Shard, StageEntry]) -> dict[str, Path]:
    """The call stores of shards by the names of their folders; that one is gone which has paid for calls is said."""
    found = {}
    for shard, entry in made.items():
        store = shard_folder(out, shard) / CALLS
        if store.is_file():
            found[shard.folder] = store
        elif entry.paid:
            log.warning("warning: %s is gone: what needs one of its calls makes, and pays, it again", store)
    return found


def _join(stage: str, folder: RunFolder, made: Mapping[Shard, StageEntry], first: StageEntry) -> Tally:
    """Join the parts of all shards to the stage's file; returns what became of its rows.

    Raises:
        RunError: a part is missing or damaged, every record failed, the disk is full, or the folder went away.
    """
    _gather(stage, folder, made)
    output, whole = folder.output(stage), first.whole
    columns = _columns(parts_folder(output))
    parts = Output(output, whole["records"], columns=columns, of=first.mark, window=whole["window"])
    if missing := parts.missing():
        lacking = sorted({part % len(made) + 1 for part in missing})
        raise RunError(
            f"{stage}: parts are missing or damaged, of shards {_listed(lacking)}",
            fix="Make these anew: the same command with --shard K/N; stored calls are used.",
        )
    if (words := in_vain(parts.tally())) is not None:
        raise RunError(
            all_failed(stage, folder.path, parts.tally().rows, words).message,
            fix=f"Mend the cause, remove {folder.path / SHARDS}, and make the shards again.",
        )
    return parts.finish(folder.check_there)


def _gather(stage: str, folder: RunFolder, made: Mapping[Shard, StageEntry]) -> None:
    """Put the parts of all shards beside one another: linked where the file system can, else copied."""
    target = parts_folder(folder.output(stage))
    with explained(target):
        folder.check_there()
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for shard in made:
            for part in parts_folder(shard_folder(folder.path, shard) / file_of(stage)).glob("*.parquet"):
                if PART_NAME.fullmatch(part.name) and part.is_file() and shard.takes(int(part.stem)):
                    folder.check_there()
                    with suppress(OSError):
                        os.link(part, target / part.name)
                        continue
                    shutil.copyfile(part, target / part.name)


def _columns(parts: Path) -> list[Column]:
    """The score columns of parts; none if there is no part that can be read."""
    for part in sorted(parts.iterdir()):
        with suppress(InputError):
            return list(score_columns(part).values())
    return []


def _paid(spent: Iterable[Spent], stage: str, entries: Iterable[StageEntry]) -> Account:
    """What a stage has paid for, all shards together, by model; its cost, if all that had a price had the same."""
    accounts = [(uri, one) for entry in entries for uri, one in entry.paid.items()]
    found: Account = {}
    for use in (one for one in spent if one.stage == stage):
        of_model = [one for uri, one in accounts if uri == use.model]
        given = {tuple(one["price"]) for one in of_model if one["price"] is not None}
        found[use.model] = account(use, Price(*given.pop()) if len(given) == 1 else None)
        if servers := sum((Counter(one.get("servers", {})) for one in of_model), Counter[str]()):
            found[use.model]["servers"] = dict(servers)
    return found


def _served(entries: Iterable[StageEntry]) -> dict[str, list[Name]]:
    """What the servers of all shards said that they answer with, each once."""
    found: dict[str, list[Name]] = {}
    for entry in entries:
        for uri, names in entry.served.items():
            known = found.setdefault(uri, [])
            known += [name for name in names if name not in known]
    return found


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return ", ".join(map(str, numbers[:NAMED])) + more
