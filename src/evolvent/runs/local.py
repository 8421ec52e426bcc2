"""The runner: executes any stage, in a run folder that can be stopped at any instant and gone on with.

The unit is a part of the output (``parts``): what a part holds is decided by the stage and the part's number alone, so
that ``make_parts`` may make any of them, in this process or another one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from evolvent.call_store.served import replies_by_server
from evolvent.call_store.store import CallStore, spent_in
from evolvent.call_store.stored import StoredModels
from evolvent.call_store.used import RecordInWork, record_in_work
from evolvent.concurrency import in_order, in_thread
from evolvent.costs.budget import Budget, Spent
from evolvent.costs.prices import Price
from evolvent.errors import BudgetReachedError, EvolventError, InputError
from evolvent.files import CALLS, check_not_read
from evolvent.models.models import Models, Need, is_server
from evolvent.options import Calling
from evolvent.records import Record
from evolvent.runs.dry_run import dry_run
from evolvent.runs.failing import ALL_FAILED, Failing, all_failed, in_vain, why_in_vain
from evolvent.runs.folder import Account, RunFolder
from evolvent.runs.manifest import account, known_prices
from evolvent.runs.parts import Output, Placed, parts_of
from evolvent.runs.progress import Progress, plain_lines, told
from evolvent.runs.run import Run
from evolvent.runs.shards import check_no_shards, ready_for_shards, reopen_shard, shard_folder
from evolvent.runs.stage import Make, MakeWhole, Stage, WholeWork, Work
from evolvent.runs.tally import Tally
from evolvent.shard import Shard
from evolvent.stages import file_of

log = logging.getLogger(__name__)

# Characters of the records of a window, where it has several, and of all that are in work or wait for those before
# them: bounds to memory, whatever a record holds.
LONG = 1 << 24
MOST_HELD = 1 << 24

# A window, the rows that each of its records became, and what they took from their models.
Made = tuple[list[Placed], Sequence[Sequence[Record]], RecordInWork]


def run(stage: Stage, out: str | Path, models: Models, calling: Calling) -> Run:
    """Execute a stage in a run folder: from its beginning, from where it was stopped, or not at all if it is done.

    Args:
        stage: the stage.
        out: the run folder.
        models: opens what the stage needs; what it opens stays open for the stages that follow.
        calling: how calls are made, and what to do about what the folder holds.

    Raises:
        InputError: a bad option, data that is the file to be written, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used at all.
        BudgetReachedError: the budget is spent.
        RunError: the folder cannot be written, or every record failed.
    """
    if calling.retry_failed and stage.window is None:
        raise InputError(
            f"{stage.name} takes no --retry-failed: its calls depend on one another", fix="Use --fresh to make it anew."
        )
    check_not_read(Path(out) / file_of(stage.name), stage.source.about.get("source"))
    if calling.dry_run:
        return dry_run(stage, Path(out), calling)
    shard = Shard.parse(calling.shard) if calling.shard else None
    if shard is not None and (done := ready_for_shards(stage, Path(out), shard.of, calling)) is not None:
        return done
    with RunFolder(shard_folder(Path(out), shard) if shard else Path(out)) as folder:
        if shard is not None and not calling.fresh:
            reopen_shard(stage.name, folder, shard)
        done = begin(stage, folder, calling)
        if done:
            return done
        if shard is None and not (calling.fresh or stage.name in folder.stages):
            check_no_shards(stage, folder.path)
        _warn_of_lost_calls(folder, spent_in(folder.path))
        prices, budget = spending(stage, folder, calling)
        parts = parts_of(stage.source.rows, stage.window or 1)
        records = sum(len(part) for number, part in enumerate(parts) if shard is None or shard.takes(number))
        progress = Progress(stage.name, records, calls_each=stage.calls_each, samples=calling.show)
        with told(progress, calling.progress or (plain_lines(rate=False) if calling.show else False)):
            if not records and shard is not None:
                folder.start(stage.name, {})
                return folder.finish_shard(stage.name, Tally().summary(), _whole(stage), {})
            opened = open_needs(stage, models, progress)
            stage.source.keep(Path(out))  # where other shards find it, too
            done = models.run(_run(stage, folder, opened, prices, budget, calling, progress, shard))
        made = {name: getattr(progress, name) for name in ("before", "calls", "prompt_tokens", "completion_tokens")}
        return replace(done, made={"records": progress.done - progress.before, **made} if progress.begun else {})


def begin(stage: Stage, folder: RunFolder, calling: Calling) -> Run | None:
    """Find out what there is to do of a stage; see ``RunFolder.begin``."""
    return folder.begin(
        stage.name,
        stage.settings,
        stage.source.about,
        fresh=calling.fresh,
        retry_failed=calling.retry_failed,
        retry_empty=calling.retry_empty and stage.window is not None,  # another is to be made anew as a whole
        mix_versions=calling.mix_versions,
        adds_to=stage.adds_to,
        grows=stage.grows,
        begins_with=stage.source.begins_with,
    )


def spending(stage: Stage, folder: RunFolder, calling: Calling) -> tuple[Mapping[str, Price], Budget | None]:
    """The prices of a stage's models, and what limits their calls, if anything does.

    Raises:
        InputError: a price fits no model, or a budget lacks one.
    """
    spent, called = spent_in(folder.path), [need.uri for need in stage.needs if need.capability == "chat"]
    prices = known_prices(calling.price, called, spent, folder.stages)
    if calling.budget is None:
        return prices, None
    return prices, Budget(calling.budget, prices, spent, stage=stage.name, models=called)


async def _run(
    stage: Stage,
    folder: RunFolder,
    opened: Mapping[Need, Any],
    prices: Mapping[str, Price],
    budget: Budget | None,
    calling: Calling,
    progress: Progress,
    shard: Shard | None,
) -> Run:
    with contextlib.closing(CallStore(folder.path / CALLS, folder.check_there)) as store:
        try:
            folder.start(stage.name, {need.name: model.identity for need, model in opened.items()})
            stored = StoredModels(
                opened,
                store,
                stage.name,
                budget,
                folder.stages[stage.name].served,
                folder.write,
                retry_empty=calling.retry_empty,
                called=progress.called,
            )
            await stage.trial(stored)
            if stage.window is None:
                async with cast(WholeWork, stage.work).open(stored) as whole:
                    counts, used = await _make_whole(stage, whole, folder)
            else:
                async with cast(Work, stage.work).open(stored) as make:
                    output = await _make_rows(stage, make, folder, stored.at_once, progress, shard)
                if shard is not None:
                    spent = paid(store, stage, folder, prices)
                    return folder.finish_shard(stage.name, output.tally().summary(), _whole(stage), spent)
                counts, used = await _finished(stage, output, folder)
            spent = paid(store, stage, folder, prices)
            return await asyncio.to_thread(folder.finish, stage.name, counts, used, spent)
        except BaseException as error:
            with contextlib.suppress(EvolventError):
                await store.put([])  # what is being written counts, too
                folder.interrupt(stage.name, paid(store, stage, folder, prices))
            if budget is not None and isinstance(error, BudgetReachedError):
                raise budget.reached() from None  # with the figures of the calls that have ended since
            raise


async def _make_whole(stage: Stage, make: MakeWhole, folder: RunFolder) -> tuple[dict[str, Any], Account]:
    ended = await make(stage.source, folder.output(stage.name))
    return {**stage.counts, **ended.counts}, {uri: asdict(used) for uri, used in ended.used.items()}


async def _make_rows(
    stage: Stage, make: Make, folder: RunFolder, at_once: int, progress: Progress, shard: Shard | None
) -> Output:
    """Make the parts of a stage that are missing; of a shard those that it makes."""

    def unchanged() -> None:
        stage.source.unchanged()
        folder.check_there()

    path = folder.output(stage.name)
    mark = folder.stages[stage.name].mark
    # In threads: what is long for many rows would keep Ctrl-C waiting.
    columns, window = stage.columns, stage.window or 1
    output = await in_thread(partial(Output, path, stage.source.rows, unchanged, columns, mark, window))
    progress.begin(output.records_done, output.tally().status)
    try:
        await make_parts(stage, make, output, output.missing(shard), at_once, progress.advance)
    finally:
        output.drop()
    return output


def _whole(stage: Stage) -> dict[str, Any]:
    """What merging the shards of a stage needs to know of the whole (see ``StageEntry``)."""
    return {"records": stage.source.rows, "window": stage.window, "before": dict(stage.counts)}


async def _finished(stage: Stage, output: Output, folder: RunFolder) -> tuple[dict[str, Any], Account]:
    """Join the parts of a stage, and make what is made of its file."""
    tally = await asyncio.to_thread(output.finish, folder.check_there)
    derived = await asyncio.to_thread(stage.derive, output.path)
    return {**stage.counts, **tally.summary(), **derived}, tally.used_json()


async def make_parts(
    stage: Stage,
    make: Make,
    output: Output,
    parts: Sequence[int],
    at_once: int,
    advance: Callable[..., None],
) -> None:
    """Make parts of a stage's output. What a part holds, the stage and its number decide.

    Args:
        stage: the stage.
        make: its work, opened.
        output: the finished parts; the new ones are put beside them.
        parts: the numbers of those to make, rising.
        at_once: records to have in work.
        advance: told of each record, and of what became of its rows.

    Raises:
        RunError: the first ``ALL_FAILED`` records of all, or of one teacher, have failed or come back empty, or all
            records have; or the disk is full.
    """
    assert stage.window is not None
    before = output.tally()
    failing = Failing(stage.name, output.path.parent, any_before=before.rows > 0 and why_in_vain(before) is None)

    def weight(window: list[Placed], made: Made | None) -> int:
        rows = [row for rows in made[1] for row in rows] if made else []
        return sum(place.record.size for place in window) + sum(row.size for row in rows)

    async def one(window: list[Placed]) -> Made:
        made, in_work = await work_through(stage, make, [place.record for place in window])
        for rows in made:
            failing.check([row for row in rows if stage.group(row) is not None], in_work.used)
        return window, made, in_work

    windows = windows_of(output.places(parts, stage.source), stage.window)
    working = in_order(windows, one, max(1, at_once // stage.window), weight, MOST_HELD)
    async with contextlib.aclosing(working) as results:
        async for window, made, in_work in results:
            if output.is_complete_before(window[0]):
                await in_thread(output.keep)  # replies are read meanwhile
            for place, rows in zip(window, made, strict=True):
                output.add(place, rows, partial(count, stage))
                if output.is_full:
                    await in_thread(output.write)
                advance(**fates_of(stage, rows), rows=rows)
            output.use(in_work.used)
    whole = output.tally()
    few = len(parts) < len(output.parts) and whole.rows < ALL_FAILED  # a shard's; the others may have worked
    if not few and (words := in_vain(whole)) is not None:  # not kept: the same command makes them again
        raise all_failed(stage.name, output.path.parent, whole.rows, words)
    await in_thread(output.keep)


async def work_through(
    stage: Stage, make: Make, records: Sequence[Record], *, shown: bool = False
) -> tuple[Sequence[Sequence[Record]], RecordInWork]:
    """The rows that each record of a window becomes, and what they took from their models; if ``shown``, every call."""
    in_work = RecordInWork(records[0].id, asked=[] if shown else None)
    record_in_work.set(in_work)
    made = await make(records)
    for row in (row for rows in made for row in rows):
        if stage.group(row) is not None and row.status != "ok":
            in_work.throw_away(row.id)
    return made, in_work


def count(stage: Stage, tally: Tally, row: Record) -> None:
    """Count a row of a stage, if it is one that counts."""
    group = stage.group(row)
    if group is not None:
        tally.count(row, group, stage.notes(row))


def fates_of(stage: Stage, rows: Sequence[Record]) -> dict[str, int]:
    """What became of a record's rows."""
    statuses = [row.status for row in rows if stage.group(row) is not None]
    return {status: statuses.count(status) for status in ("ok", "failed", "eliminated")}


def open_needs(stage: Stage, models: Models, progress: Progress) -> dict[Need, Any]:
    """The models that a stage needs, opened; that a local one is being loaded is told."""
    opened = {}
    for need in stage.needs:
        if not is_server(need.uri) and need not in models:
            progress.load(need.name)
        opened[need] = models.open(need)
    return opened


def windows_of(places: Iterable[Placed], size: int) -> Iterator[list[Placed]]:
    """The records of each part in lists of ``size``; shorter where they are long, and at the end of a part."""
    for _, group in groupby(places, key=lambda place: place.part):
        window, held = list[Placed](), 0
        for place in group:
            window.append(place)
            held += place.record.size
            if len(window) == size or held > LONG:
                yield window
                window, held = [], 0
        if window:
            yield window


def _warn_of_lost_calls(folder: RunFolder, spent: Sequence[Spent]) -> None:
    """Say that the store holds fewer calls than the manifest has noted: it, or its log, was removed."""
    held = {(use.stage, use.model): use.calls for use in spent}
    lost = sum(
        max(0, account["calls"] - held.get((name, uri), 0))
        for name, entry in folder.stages.items()
        for uri, account in entry.paid.items()
    )
    if lost:
        log.warning(
            "warning: %s no longer holds %s calls that were paid for: what needs one makes, and pays, it again",
            *(folder.path / CALLS, f"{lost:,}"),
        )


def paid(store: CallStore, stage: Stage, folder: RunFolder, prices: Mapping[str, Price]) -> Account:
    """What a stage has paid for in the folder, by model: calls, tokens, and where there is a price, it and the cost.

    Where one of its models has, or had, several servers, also what each of them gave: for that the calls are read.
    """
    before = folder.stages[stage.name].paid.values() if stage.name in folder.stages else ()
    several = any(need.servers for need in stage.needs) or any("servers" in account for account in before)
    by_server = replies_by_server(store.path, stage.name) if several else {}
    found: Account = {}
    for use in store.spent():
        if use.stage != stage.name:
            continue
        found[use.model] = account(use, prices.get(use.model))
        if use.model in by_server:
            found[use.model]["servers"] = by_server[use.model]
    return found
