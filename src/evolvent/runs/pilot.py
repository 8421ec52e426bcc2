"""A pilot: a sample of a stage's records, worked through in several ways before one is chosen for all of them.

Its calls are stored under the stage's name: they count, and the run that follows finds them. Nothing else is left in
the folder, whose manifest stays as it was.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from evolvent.call_store.store import CallStore, spent_in
from evolvent.call_store.stored import StoredModels
from evolvent.call_store.used import RecordInWork, Used
from evolvent.concurrency import in_order
from evolvent.costs.budget import Budget
from evolvent.costs.prices import Price
from evolvent.errors import BudgetReachedError
from evolvent.files import CALLS
from evolvent.models.models import Models
from evolvent.options import Calling
from evolvent.records import Record
from evolvent.runs.dry_run import sample
from evolvent.runs.folder import RunFolder
from evolvent.runs.local import all_failed, count, fates_of, open_needs, why_in_vain, work_through
from evolvent.runs.manifest import known_prices
from evolvent.runs.progress import Progress, told
from evolvent.runs.stage import Stage, Work
from evolvent.runs.tally import Tally


@dataclass(frozen=True, slots=True)
class Expected:
    """What all records are expected to take in one way, as far as the sample tells.

    Attributes:
        calls, prompt_tokens, completion_tokens: of all models together, replies that are asked for again included.
        cost: in the prices' currency; None if a model has no price.
        seconds: at the speed of the sample; None where that was not measured.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of the sample in one way.

    Attributes:
        counts: what became of its rows, as a run counts them.
        rows: the rows, with those of the records themselves.
        used: what they took from each model, by URI, replies that were stored before included.
        tokens_per_second: tokens out a second; None if all replies were stored before.
        expected: what all records are expected to take.
    """

    counts: dict[str, Any]
    rows: tuple[Record, ...]
    used: dict[str, Used]
    tokens_per_second: float | None
    expected: Expected

    @property
    def share(self) -> float:
        """The usable rows of all that were made."""
        made = sum(self.counts[status] for status in ("ok", "eliminated", "failed"))
        return float(self.counts["ok"] / made) if made else 0.0

    @property
    def tokens_per_usable(self) -> float | None:
        """Tokens out for each usable row; None if there is none."""
        tokens = sum(used.completion_tokens for used in self.used.values())
        return tokens / self.counts["ok"] if self.counts["ok"] else None


@dataclass(frozen=True, slots=True)
class Pilot:
    """What came of a pilot.

    Attributes:
        path: the run folder.
        records: how many records the whole run has.
        sampled: how many of them were tried.
        trials: what came of them in each way, by its name.
    """

    path: Path
    records: int
    sampled: int
    trials: dict[str, Trial]

    @property
    def best(self) -> str:
        """The way with the highest yield; the first of several."""
        return max(self.trials, key=lambda name: self.trials[name].share)


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
        spent, called = spent_in(folder.path), [need.uri for need in stage.needs]
        prices = known_prices(calling.price, called, spent, folder.stages)
        budget = None
        if calling.budget is not None:
            budget = Budget(calling.budget, prices, spent, stage=stage.name, models=called)
        trials = {}
        for name, way in ways.items():
            progress = Progress(f"pilot, {name}", len(records), calls_each=way.calls_each)
            with told(progress, calling.progress):
                opened = open_needs(way, models, progress)
                with closing(CallStore(folder.path / CALLS)) as store:
                    stored = StoredModels(
                        opened,
                        store,
                        way.name,
                        budget,
                        retry_empty=calling.retry_empty,
                        called=progress.called,
                    )
                    try:
                        tally, rows = models.run(_work(way, records, stored, progress))
                    except BudgetReachedError as error:
                        raise (budget.reached() if budget else error) from None
            if words := why_in_vain(tally):
                raise all_failed(f"the pilot with {name}", out, tally.rows, words)
            trials[name] = _trial(tally, rows, stage.source.rows / max(1, len(records)), prices, progress)
    return Pilot(out, stage.source.rows, len(records), trials)


async def _work(
    way: Stage, records: Sequence[Record], stored: StoredModels, progress: Progress
) -> tuple[Tally, list[Record]]:
    tally, kept = Tally(), list[Record]()
    await way.trial(stored)
    progress.begin()
    async with cast(Work, way.work).open(stored) as make:

        async def one(record: Record) -> tuple[Sequence[Record], RecordInWork]:
            [rows], in_work = await work_through(way, make, [record])
            return rows, in_work

        async with aclosing(in_order(records, one, stored.at_once)) as results:
            async for rows, in_work in results:
                for row in rows:
                    count(way, tally, row)
                tally.use(in_work.used)
                kept += rows
                fates = fates_of(way, rows)
                progress.advance(ok=fates["ok"], failed=fates["failed"], eliminated=fates["eliminated"])
    return tally, kept


def _trial(
    tally: Tally, rows: Sequence[Record], scale: float, prices: Mapping[str, Price], progress: Progress
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
    return Trial(tally.summary(), tuple(rows), used, speed, expected)
