"""A pilot: a sample of a stage's records, worked through in several ways before one is chosen for all of them.

And a preview: the first of its records, worked through in one way to be looked at. Their calls are stored under the
stage's name: they count, and the run that follows finds them. Nothing else is left in the folder, whose manifest stays
as it was.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing, closing
from itertools import islice
from pathlib import Path
from typing import cast

from evolvent.call_store.store import CallStore
from evolvent.call_store.stored import StoredModels
from evolvent.call_store.used import Asked, RecordInWork
from evolvent.concurrency import in_order
from evolvent.costs.prices import Price
from evolvent.errors import BudgetReachedError, InputError
from evolvent.files import CALLS, check_not_read
from evolvent.models.models import Models
from evolvent.options import Calling
from evolvent.records import Record
from evolvent.runs.dry_run import sample
from evolvent.runs.failing import all_failed, why_in_vain
from evolvent.runs.folder import RunFolder
from evolvent.runs.local import (
    begin,
    count,
    fates_of,
    open_needs,
    spending,
    work_through,
)
from evolvent.runs.progress import Progress, told
from evolvent.runs.run import Run
from evolvent.runs.sampled import Expected, Pilot, Preview, Trial
from evolvent.runs.stage import Stage, Work
from evolvent.runs.tally import Tally
from evolvent.stages import file_of


def try_ways(ways: Mapping[str, Stage], out: Path, size: int, models: Models, calling: Calling) -> Pilot:
    """Work through a sample in several ways.

    Args:
        ways: the same stage with the same input, in each of the ways.
        out: the run folder.
        size: how many records to draw.
        models: opens what the stages need.
        calling: how calls are made.

    Raises:
        InputError, ModelUnavailableError, BudgetReachedError, RunError: as any stage.
    """
    stage = next(iter(ways.values()))
    with RunFolder(out) as folder:
        records = list(sample(stage.source, stage.source.rows, size))
        trials = {}
        for name, way in ways.items():
            tally, trials[name] = try_way(f"pilot, {name}", way, records, folder, models, calling)
            if words := why_in_vain(tally):
                raise all_failed(f"the pilot with {name}", out, tally.rows, words)
    return Pilot(out, stage.source.rows, len(records), trials)


def preview(stage: Stage, out: Path, size: int, models: Models, calling: Calling) -> Run:
    """Work through the first records of a stage and keep what was asked for them; the stage is not begun.

    Args:
        stage: the stage.
        out: the run folder.
        size: how many records.
        models: opens what the stage needs.
        calling: how calls are made.

    Returns:
        A run with a ``preview``, and its counts.

    Raises:
        InputError: also where the run itself would be refused: nothing is paid for that it cannot use.
        ModelUnavailableError, BudgetReachedError, RunError: as any stage.
    """
    for name, is_given, why in (
        ("--dry-run", calling.dry_run, "calls nothing"),
        ("--retry-failed", calling.retry_failed, "takes what failed"),
        ("--shard", bool(calling.shard), "makes those of a shard"),
        (f"--engine {calling.engine}", calling.engine == "ray", "makes all, shard by shard"),
    ):
        if is_given:
            raise InputError(f"--preview makes the first records, and {name} {why}", fix="Leave one of the two out.")
    check_not_read(out / file_of(stage.name), stage.source.about.get("source"))
    with RunFolder(out) as folder:
        begin(stage, folder, calling)
        records = list(islice(stage.source, size))
        _, trial = try_way(f"preview of {stage.name}", stage, records, folder, models, calling)
        made = Preview(stage.source.rows, len(records), trial)
        return Run(out, stage.name, folder.output(stage.name), trial.counts, preview=made)


def try_way(
    title: str, way: Stage, records: Sequence[Record], folder: RunFolder, models: Models, calling: Calling
) -> tuple[Tally, Trial]:
    """Work through some of a stage's records; only their calls are kept, in the folder's store."""
    prices, budget = spending(way, folder, calling)
    progress = Progress(title, len(records), calls_each=way.calls_each)
    with told(progress, calling.progress), closing(CallStore(folder.path / CALLS, folder.check_there)) as store:
        opened = open_needs(way, models, progress)
        stored = StoredModels(opened, store, way.name, budget, retry_empty=calling.retry_empty, called=progress.called)
        try:
            tally, rows, asked = models.run(_work(way, records, stored, progress))
        except BudgetReachedError as error:
            raise (budget.reached() if budget else error) from None
    return tally, _trial(tally, rows, asked, way.source.rows / max(1, len(records)), prices, progress)


async def _work(
    way: Stage, records: Sequence[Record], stored: StoredModels, progress: Progress
) -> tuple[Tally, list[Record], list[Asked]]:
    tally, kept, asked = Tally(), list[Record](), list[Asked]()
    await way.trial(stored)
    progress.begin()
    async with cast(Work, way.work).open(stored) as make:

        async def one(record: Record) -> tuple[Sequence[Record], RecordInWork]:
            [rows], in_work = await work_through(way, make, [record], shown=True)
            return rows, in_work

        async with aclosing(in_order(records, one, stored.at_once)) as results:
            async for rows, in_work in results:
                for row in rows:
                    count(way, tally, row)
                tally.use(in_work.used)
                kept += rows
                asked += in_work.asked or ()
                fates = fates_of(way, rows)
                progress.advance(ok=fates["ok"], failed=fates["failed"], eliminated=fates["eliminated"])
    return tally, kept, asked


def _trial(
    tally: Tally,
    rows: Sequence[Record],
    asked: Sequence[Asked],
    scale: float,
    prices: Mapping[str, Price],
    progress: Progress,
) -> Trial:
    speed = progress.tokens_per_second if progress.completion_tokens else None
    used = tally.used
    out = round(scale * sum(one.completion_tokens for one in used.values()))
    priced = all(uri in prices for uri in used)
    costs = [prices[uri].of(one.prompt_tokens, one.completion_tokens) for uri, one in used.items()] if priced else []
    expected = Expected(
        calls=round(scale * sum(one.calls for one in used.values())),
        prompt_tokens=round(scale * sum(one.prompt_tokens for one in used.values())),
        completion_tokens=out,
        cost=scale * sum(costs) if priced else None,
        seconds=out / speed if speed else None,
    )
    return Trial(tally.summary(), tuple(rows), tuple(asked), used, speed, expected)
