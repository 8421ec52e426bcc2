"""Merge: the shards of a stage joined to the file that one machine would have written."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from evolvent.call_store.merge import merge_calls
from evolvent.call_store.served import Name
from evolvent.call_store.store import spent_in
from evolvent.costs.budget import Spent
from evolvent.costs.prices import Price
from evolvent.errors import InputError, RunError
from evolvent.files import CALLS, is_as_noted
from evolvent.options import implements
from evolvent.records import Column
from evolvent.runs.folder import Account, RunFolder
from evolvent.runs.lock import in_use
from evolvent.runs.manifest import DECIDING, StageEntry, account
from evolvent.runs.options import MERGE, Merging
from evolvent.runs.part_files import PART_NAME
from evolvent.runs.parts import Output, drop_parts, has_parts, parts_folder
from evolvent.runs.record_files import score_columns
from evolvent.runs.run import Run
from evolvent.runs.shards import made_in, otherwise, shard_folder
from evolvent.shard import SHARDS, Shard
from evolvent.stages import file_of, in_order
from evolvent.storage_errors import explained

# So many shards are named in a message.
NAMED = 10


@implements(MERGE)
def merge(run: str | Path, *, given: Merging) -> list[Run]:
    """Join the shards of a run folder's stages: the files are, byte for byte, those of one machine.

    All shards of a stage must be there and belong together: made of the same input, with the same settings, models and
    versions of packages. Their calls go into the run folder's store; the shards' own folders stay as they are.

    Args:
        run: the run folder, in which ``shards/`` holds a folder for each shard.

    Returns:
        The run of each stage that was joined; those that were joined before count as done already.

    Raises:
        InputError: there are no shards, or they do not belong together.
        RunError: shards are missing or not finished, a part is damaged, or the disk is full.
    """
    out = Path(run)
    made = made_in(out)
    if not made:
        raise InputError(
            f"{out} holds no shards: {out / SHARDS} has no folder of one",
            fix="Make them with --shard 1/N … N/N, and this folder as --out.",
        )
    with RunFolder(out) as folder:
        return [_merged(stage, folder, made[stage], given.fresh) for stage in in_order(made)]


def merge_stage(stage: str, out: Path, *, fresh: bool) -> Run:
    """Join the shards of one stage; errors as for ``merge``."""
    with RunFolder(out) as folder:
        return _merged(stage, folder, made_in(out)[stage], fresh)


def _merged(stage: str, folder: RunFolder, made: Mapping[Shard, StageEntry], fresh: bool) -> Run:
    """Join one stage's shards in their run folder."""
    first, there = next(iter(made.values())), folder.stages.get(stage)
    output = folder.output(stage)
    if there is not None and there.state == "done" and is_as_noted(output, there.output):
        if there.finished > max(one.finished for one in made.values()):  # joined, or made otherwise, since
            drop_parts(output)  # a kill may have left them there, although all is done
            return Run(folder.path, stage, output, there.counts, already_done=True)
        if there.mark != first.mark and not fresh:
            raise otherwise(stage, folder.path)
    if there is not None and there.state == "running" and has_parts(output) and not fresh:
        raise InputError(
            f"{folder.path} holds {stage} half made, or being made again, by itself",
            fix="Start the command that began it once more to go on with it, or put the shards in its place: --fresh.",
        )
    _check_together(stage, folder.path, made)
    read = folder.stages.get(first.input.get("stage", ""))
    if read is not None and read.output.get("digest") != first.input["digest"]:
        raise InputError(
            f"{stage} in {folder.path}: its shards are of a {read.output.get('name')} that was made anew since",
            fix="Make them anew: the same commands with --fresh; stored calls are used.",
        )
    stores = {shard.folder: shard_folder(folder.path, shard) / CALLS for shard in made}
    merge_calls(folder.path / CALLS, {name: store for name, store in stores.items() if store.is_file()}, stage)
    _gather(stage, folder.path, made)
    whole = first.whole
    columns = _columns(parts_folder(output))
    parts = Output(output, whole["records"], columns=columns, of=first.mark, window=whole["window"])
    if missing := parts.missing():
        lacking = sorted({part % len(made) + 1 for part in missing})
        raise RunError(
            f"{stage}: parts are missing or damaged, of shards {_listed(lacking)}",
            fix="Make these anew: the same command with --shard K/N and --fresh; stored calls are used.",
        )
    tally = parts.finish()
    of_stage = {name: one.output.get("digest") for name, one in folder.stages.items()}
    reads = [name for name, digest in of_stage.items() if digest == first.input["digest"]]
    entry = StageEntry(
        first.settings,
        {**first.input, **({"stage": reads[0]} if reads else {})},  # a shard made elsewhere does not know this folder
        models=first.models,
        served=_served(made.values()),
        counts={**whole["before"], **tally.summary()},
        paid=_paid(spent_in(folder.path), stage, made.values()),
        used=tally.used_json(),
        started=min(one.started for one in made.values()),
        wall_s=round(sum(one.wall_s for one in made.values()), 3),
        versions=first.versions,
    )
    return folder.finish_merged(stage, entry)


def _check_together(stage: str, out: Path, made: Mapping[Shard, StageEntry]) -> None:
    """Check that all shards of a stage are there, finished, and of one whole.

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
        for package in DECIDING:
            here, others = entry.versions.get(package), made[first].versions.get(package)
            if here != others:
                raise InputError(
                    f"{stage} in {out}: shard {shard} was made with {package} {here}, {first} with {others}",
                    fix="Install one version everywhere, and make what was made with the other anew, with --fresh.",
                )
    finished = {shard.number for shard, entry in made.items() if entry.state == "shard"}
    if lacking := [number for number in range(1, sizes[0] + 1) if number not in finished]:
        running = any(in_use(shard_folder(out, Shard(number, sizes[0]))) for number in lacking)
        raise RunError(
            f"{stage} in {out}: {len(lacking)} of {sizes[0]} shards are missing or not finished: {_listed(lacking)}",
            fix="Some are being made at this moment."
            if running
            else f"Make them: the same command with --shard {lacking[0]}/{sizes[0]}; what is done is kept.",
        )


def _gather(stage: str, out: Path, made: Mapping[Shard, StageEntry]) -> None:
    """Put the parts of all shards beside one another: linked where the file system can, else copied."""
    target = parts_folder(out / file_of(stage))
    with explained(target):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for shard in made:
            for part in parts_folder(shard_folder(out, shard) / file_of(stage)).glob("*.parquet"):
                if PART_NAME.fullmatch(part.name) and shard.takes(int(part.stem)):
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
