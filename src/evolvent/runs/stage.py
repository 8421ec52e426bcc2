"""A stage that works record by record: its models opened on the store, its rows written in input order and counted."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from evolvent.calls.log import spent_in
from evolvent.calls.store import CallStore
from evolvent.calls.stored import RecordInWork, StoredChat, record_in_work
from evolvent.costs.budget import Budget, Spent, cost
from evolvent.costs.estimates import Estimate
from evolvent.costs.prices import Price, Prices, read_prices
from evolvent.errors import BudgetReachedError, EvolventError, RunError
from evolvent.files import CALLS
from evolvent.models.opening import open_chat
from evolvent.models.protocols import ChatModel
from evolvent.models.uri import parse_uri
from evolvent.records import Record
from evolvent.runs.execution import in_order, run_sync
from evolvent.runs.folder import Account, Run, RunFolder, as_json
from evolvent.runs.inputs import StageInput
from evolvent.runs.manifest import OUTPUTS, StageEntry, differences, read_manifest
from evolvent.runs.parts import Output, Placed
from evolvent.runs.progress import shown
from evolvent.runs.rehearsal import Rates, StandIn, Work, rehearse
from evolvent.runs.tally import Tally

# When the first so many records all failed, what is wrong is not the records.
ALL_FAILED = 20


Tool = AbstractAsyncContextManager[object]


class Calling(TypedDict, total=False):
    """How a stage makes its model calls; nothing here changes what it writes.

    Attributes:
        concurrency: requests to a server at once, or records at once for a model in this process; None finds the
            level that suits it.
        max_requests_per_minute: to each server's model, tries that fail included.
        max_tokens_per_minute: to and from each server's model.
        price: what models cost: ``"IN,OUT"`` for a million tokens, ``"MODEL=IN,OUT"``, a YAML file, or several.
        budget: the most that the run folder's calls may cost; the stage stops in good order before it costs more.
        dry_run: call nothing and write nothing: say what the stage would take (``Run.estimate``).
        retry_failed: take the failed records of a finished stage again, and nothing else.
        fresh: make the stage anew although the folder holds it with other settings.
        progress: show progress on standard error.
    """

    concurrency: int | None
    max_requests_per_minute: float | None
    max_tokens_per_minute: float | None
    price: Prices
    budget: float | None
    dry_run: bool
    retry_failed: bool
    fresh: bool
    progress: bool


def check_calling(calling: Mapping[str, Any]) -> None:
    """Check the names of the options of calls: Python takes any name where they are gathered.

    Raises:
        TypeError: there is no such option.
    """
    for name in calling:
        if name not in Calling.__annotations__:
            raise TypeError(f"there is no option {name!r}")


def run_stage(
    stage: str,
    out: str | Path,
    *,
    settings: dict[str, Any],
    source: StageInput,
    models: Sequence[str],
    work: Callable[[Mapping[str, ChatModel]], Work],
    group: Callable[[Record], str | None],
    counts: Mapping[str, int],
    extra_body: Mapping[str, object] | None,
    reply_tokens: int | None = None,
    tools: Sequence[Tool] = (),
    derive: Callable[[Path], Mapping[str, Any]] = lambda _: {},
    stand_in: StandIn = lambda _, text: text,
    **calling: Unpack[Calling],
) -> Run:
    """Work through a stage's records, in a run folder that can be stopped at any instant and gone on with.

    Args:
        stage: the stage's name.
        out: the run folder.
        settings: every setting that changes the output.
        source: the stage's input.
        models: URIs of the models it calls, as the user wrote them.
        work: given the models by their URIs as records hold them, the work for one record.
        group: what a row is counted under (its round, its teacher); None leaves it uncounted.
        counts: what was counted before.
        extra_body: extra request fields, for ``openai:`` models.
        reply_tokens: how long a dry run assumes a reply to be; None for a rewrite of the instruction.
        tools: what the work uses besides models (a sandbox): entered before it begins, left when it ends.
        derive: makes further files of the finished one, before the stage counts as done; returns further counts.
        stand_in: for a dry run, makes of a prompt and the stand-in for its reply one that the work can read.
        calling: see ``Calling``.

    Raises:
        InputError: a bad option, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used at all.
        BudgetReachedError: the budget is spent.
        RunError: the folder cannot be written, or every record failed.
    """
    check_calling(calling)
    if calling.get("dry_run"):
        return _dry_run(stage, Path(out), settings, source, models, work, reply_tokens, tools, stand_in, calling)
    with RunFolder(Path(out)) as folder:
        fresh, retry_failed = calling.get("fresh", False), calling.get("retry_failed", False)
        done = folder.begin(stage, settings, source.source, fresh=fresh, retry_failed=retry_failed)
        if done:
            return done
        prices, budget = priced(folder, stage, models, calling)
        opened = open_models(models, extra_body, calling)
        source.keep(folder.path)
        return run_sync(
            _run(folder, stage, source, opened, work, group, dict(counts), prices, budget, tools, derive, calling)
        )


def _dry_run(
    stage: str,
    out: Path,
    settings: dict[str, Any],
    source: StageInput,
    models: Sequence[str],
    work: Callable[[Mapping[str, ChatModel]], Work],
    reply_tokens: int | None,
    tools: Sequence[Tool],
    stand_in: StandIn,
    calling: Calling,
) -> Run:
    """What a stage would take; the folder is read, if there is one, and not written."""
    spent, entries = spent_in(out), read_manifest(out)
    uris = [str(parse_uri(uri)) for uri in models]
    rates = Rates(
        calling.get("max_requests_per_minute"), calling.get("max_tokens_per_minute"), calling.get("concurrency")
    )

    async def rehearsal() -> Estimate:
        async with contextlib.AsyncExitStack() as opened:
            for tool in tools:
                await opened.enter_async_context(tool)
            return await rehearse(
                work,
                uris,
                source,
                source.rows,
                stage=stage,
                prices=known_prices(calling, models, spent, entries),
                spent=spent,
                reply_tokens=reply_tokens,
                rates=rates,
                stand_in=stand_in,
            )

    return estimated(run_sync(rehearsal()), out, entries.get(stage), settings, source)


def estimated(
    estimate: Estimate, out: Path, entry: StageEntry | None, settings: dict[str, Any], source: StageInput
) -> Run:
    """What a dry run returns: the estimate, and how the stage would stand to what the folder holds."""
    if entry is not None:
        found = tuple(differences(entry, as_json(settings, estimate.stage), source.source))
        estimate = replace(estimate, differences=found, finished=entry.state == "done" and not found)
    return Run(out, estimate.stage, out / OUTPUTS[estimate.stage], {}, estimate=estimate)


def priced(
    folder: RunFolder, stage: str, models: Sequence[str], calling: Calling
) -> tuple[dict[str, Price], Budget | None]:
    """The prices of a stage's models, and its budget if it has one."""
    spent = spent_in(folder.path)
    prices = known_prices(calling, models, spent, folder.stages)
    limit = calling.get("budget")
    return prices, None if limit is None else Budget(limit, prices, spent, stage=stage, models=models)


def known_prices(
    calling: Calling, models: Sequence[str], spent: Sequence[Spent], entries: Mapping[str, StageEntry]
) -> dict[str, Price]:
    """The prices of a stage's models, and of those that the folder holds calls of: given now, or noted before."""
    prices = read_prices(calling.get("price"), models, others=[use.model for use in spent])
    for entry in entries.values():
        for uri, account in entry.paid.items():
            if uri not in prices and account.get("price"):
                prices[uri] = Price(*account["price"])
    return prices


def open_models(uris: Iterable[str], extra_body: Mapping[str, object] | None, calling: Calling) -> dict[str, ChatModel]:
    """Open each model once.

    Args:
        uris: the models' URIs as the user wrote them.
        extra_body: extra request fields, for those that are ``openai:``.
        calling: how calls are made.

    Returns:
        The models by their URIs as records hold them.
    """
    models: dict[str, ChatModel] = {}
    for uri in uris:
        name = str(parse_uri(uri))
        if name not in models:
            server = is_server(uri)
            models[name] = open_chat(
                uri,
                extra_body=extra_body if server else None,
                concurrency=calling.get("concurrency"),
                requests_per_minute=calling.get("max_requests_per_minute") if server else None,
                tokens_per_minute=calling.get("max_tokens_per_minute") if server else None,
            )
    return models


def is_server(uri: str) -> bool:
    """Whether a model runs behind a server, and not in this process."""
    return parse_uri(uri).scheme == "openai"


async def _run(
    folder: RunFolder,
    stage: str,
    source: StageInput,
    models: Mapping[str, ChatModel],
    work: Callable[[Mapping[str, ChatModel]], Work],
    group: Callable[[Record], str | None],
    counts: dict[str, Any],
    prices: Mapping[str, Price],
    budget: Budget | None,
    tools: Sequence[Tool],
    derive: Callable[[Path], Mapping[str, Any]],
    calling: Calling,
) -> Run:
    def unchanged() -> None:
        source.unchanged()
        folder.check_there()

    async with at_work(folder, stage, models, prices, budget, tools) as (store, stored):
        do = work(stored)
        output = Output(folder.output(stage), source.rows, unchanged)
        await _work_through(stage, source, output, do, group, at_once(models, calling), calling)
        # In threads: what is long for many rows would keep Ctrl-C waiting.
        tally = await asyncio.to_thread(output.finish)
        found = counts | tally.summary() | dict(await asyncio.to_thread(derive, folder.output(stage)))
        spent = paid(store, stage, prices)
        return await asyncio.to_thread(folder.finish, stage, found, tally.used_json(), spent)


@contextlib.asynccontextmanager
async def at_work(
    folder: RunFolder,
    stage: str,
    models: Mapping[str, ChatModel],
    prices: Mapping[str, Price],
    budget: Budget | None,
    tools: Sequence[Tool] = (),
) -> AsyncIterator[tuple[CallStore, dict[str, ChatModel]]]:
    """A stage that is begun, while it works; what it has paid for is noted if it is stopped.

    Yields:
        The folder's call store, and the models as seen through it, by their URIs as records hold them.
    """
    async with contextlib.AsyncExitStack() as opened:
        for model in models.values():
            opened.push_async_callback(model.close)
        store = CallStore(folder.path / CALLS)
        opened.callback(store.close)
        for tool in tools:
            await opened.enter_async_context(tool)
        try:
            folder.start(stage, {uri: model.identity for uri, model in models.items()})
            yield store, {uri: StoredChat(model, store, stage, budget) for uri, model in models.items()}
        except BaseException as error:
            with contextlib.suppress(EvolventError):
                await store.put([])  # what is being written counts, too
                folder.interrupt(stage, paid(store, stage, prices))
            if budget is not None and isinstance(error, BudgetReachedError):
                raise budget.reached() from None  # with the figures of the calls that have ended since
            raise


async def _work_through(
    stage: str,
    source: StageInput,
    output: Output,
    do: Work,
    group: Callable[[Record], str | None],
    at_once: int,
    calling: Calling,
) -> None:
    """Work through the records that no finished part holds."""
    failing = Failing(stage, any_before=output.tally().rows > output.tally().status["failed"])

    async def one(place: Placed) -> tuple[Placed, Sequence[Record], RecordInWork]:
        in_work = RecordInWork(place.record.id)
        record_in_work.set(in_work)
        rows = await do(place.record)
        failing.check([row for row in rows if group(row) is not None])
        return place, rows, in_work

    def count(tally: Tally, row: Record) -> None:
        under = group(row)
        if under is not None:
            tally.count(row, under)

    with shown(stage, source.rows, done=output.records_done, show=calling.get("progress", False)) as advance:
        async with contextlib.aclosing(in_order(output.missing(source.records), one, at_once)) as results:
            async for place, rows, in_work in results:
                if output.is_complete_before(place):
                    await asyncio.to_thread(output.keep)  # replies are read meanwhile
                output.add(place, rows, count)
                output.use(in_work.used)
                statuses = [row.status for row in rows if group(row) is not None]
                advance(**{status: statuses.count(status) for status in ("ok", "failed", "eliminated")})
    whole = output.tally()
    if whole.rows and whole.rows == whole.status["failed"]:
        raise _all_failed(stage, whole.rows, next(iter(whole.failures)))


class Failing:
    """Stops a stage of which everything fails: the first records of all, or of one teacher.

    Args:
        stage: its name.
        any_before: whether earlier commands had any success.
    """

    def __init__(self, stage: str, *, any_before: bool) -> None:
        self._stage = stage
        self._failed: Counter[str | None] = Counter()
        self._worked: set[str | None] = set()
        self._any_before = any_before

    def check(self, rows: Sequence[Record]) -> None:
        """Note what became of one record.

        Raises:
            RunError: the first ``ALL_FAILED`` records to end, of all or of one teacher, have failed.
        """
        if self._any_before:
            return
        for teacher in {row.teacher for row in rows}:
            words = [row.reason for row in rows if row.teacher == teacher and row.status == "failed"]
            if len(words) < sum(row.teacher == teacher for row in rows):
                self._worked.add(teacher)
            elif teacher not in self._worked:
                self._failed[teacher] += 1
                if self._failed[teacher] == ALL_FAILED:
                    which = f"{self._stage} by {teacher}" if teacher else self._stage
                    raise _all_failed(which, ALL_FAILED, f"{words[0]}")


def at_once(models: Mapping[str, ChatModel], calling: Calling) -> int:
    """How many records to have in work: more than calls in flight, where a record may wait out a server's limit."""
    chosen = calling.get("concurrency")
    return max(model.concurrency if chosen is None or is_server(uri) else chosen for uri, model in models.items())


def _all_failed(which: str, records: int, words: str) -> RunError:
    return RunError(
        f"every record of {which} failed, {records:,} so far; the first: {words}",
        fix="Mend the cause and start the same command again.",
    )


def paid(store: CallStore, stage: str, prices: Mapping[str, Price]) -> Account:
    """What a stage has paid for in the folder, by model: calls, tokens, and where there is a price, it and the cost."""
    return {
        use.model: {
            "calls": use.calls,
            "prompt_tokens": use.prompt_tokens,
            "completion_tokens": use.completion_tokens,
            "estimated": use.estimated,
            "cost": cost([use], prices),
            "price": [prices[use.model].prompt, prices[use.model].completion] if use.model in prices else None,
        }
        for use in store.spent()
        if use.stage == stage
    }
