"""A stage that is one computation, not one for each record: its calls depend on one another's replies.

Like any stage it can be stopped at any instant and gone on with: every call is stored, so the same computation, begun
again, comes to where it was without a call. What it writes it writes itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from evolvent.calls.log import spent_in
from evolvent.costs.budget import Budget
from evolvent.costs.estimates import Estimate
from evolvent.costs.prices import Price
from evolvent.errors import InputError
from evolvent.models.protocols import ChatModel
from evolvent.runs.execution import run_sync
from evolvent.runs.folder import Run, RunFolder
from evolvent.runs.inputs import StageInput
from evolvent.runs.manifest import read_manifest
from evolvent.runs.stage import (
    Calling,
    at_once,
    at_work,
    check_calling,
    estimated,
    open_models,
    paid,
    priced,
)
from evolvent.runs.tally import Used


class Ended(NamedTuple):
    """What a computation came to: what it counted, and what its result took from each model, by URI."""

    counts: Mapping[str, int]
    used: Mapping[str, Used]


# Given the models by their URIs as records hold them, the stage's file, and how many records to have in work at once.
Computation = Callable[[Mapping[str, ChatModel], Path, int], Awaitable[Ended]]


def run_whole(
    stage: str,
    out: str | Path,
    *,
    settings: dict[str, Any],
    source: StageInput,
    models: Sequence[str],
    compute: Computation,
    plan: Sequence[str],
    extra_body: Mapping[str, object] | None,
    **calling: Unpack[Calling],
) -> Run:
    """Run a stage that is one computation, in a run folder.

    Args:
        stage: the stage's name.
        out: the run folder.
        settings: every setting that changes the output.
        source: the stage's input.
        models: URIs of the models it calls, as the user wrote them.
        compute: the computation; it writes the stage's file.
        plan: for a dry run, the calls that it makes at the most, in words, a line each.
        extra_body: extra request fields, for ``openai:`` models.
        calling: see ``Calling``.

    Raises:
        InputError: a bad option, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used at all.
        BudgetReachedError: the budget is spent.
        RunError: the folder cannot be written, or the computation cannot go on.
    """
    check_calling(calling)
    if calling.get("retry_failed"):
        raise InputError(
            f"{stage} takes no --retry-failed: its calls depend on one another", fix="Use --fresh to make it anew."
        )
    if calling.get("dry_run"):
        return _dry_run(stage, Path(out), settings, source, plan)
    with RunFolder(Path(out)) as folder:
        done = folder.begin(stage, settings, source.source, fresh=calling.get("fresh", False))
        if done:
            return done
        prices, budget = priced(folder, stage, models, calling)
        opened = open_models(models, extra_body, calling)
        source.keep(folder.path)
        return run_sync(_run(folder, stage, opened, compute, prices, budget, calling))


def _dry_run(stage: str, out: Path, settings: dict[str, Any], source: StageInput, plan: Sequence[str]) -> Run:
    """What the computation would call; the folder is read, if there is one, and not written."""
    stored = sum(use.calls for use in spent_in(out) if use.stage == stage)
    found = Estimate(stage, source.rows, 0, (), (), None, stored, said=tuple(plan))
    return estimated(found, out, read_manifest(out).get(stage), settings, source)


async def _run(
    folder: RunFolder,
    stage: str,
    models: Mapping[str, ChatModel],
    compute: Computation,
    prices: Mapping[str, Price],
    budget: Budget | None,
    calling: Calling,
) -> Run:
    async with at_work(folder, stage, models, prices, budget) as (store, stored):
        ended = await compute(stored, folder.output(stage), at_once(models, calling))
        used = {uri: asdict(one) for uri, one in ended.used.items()}
        return await asyncio.to_thread(folder.finish, stage, dict(ended.counts), used, paid(store, stage, prices))
