"""A stage that works record by record: its models opened on the store, its rows written in input order and counted."""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from evolvent.errors import EvolventError, InputError, RunError
from evolvent.models.opening import open_chat
from evolvent.models.protocols import ChatModel
from evolvent.models.uri import parse_uri
from evolvent.records import Record
from evolvent.runs.execution import in_order
from evolvent.runs.folder import CALLS, Run, RunFolder
from evolvent.runs.progress import shown
from evolvent.runs.store import CallStore
from evolvent.runs.stored import StoredChat, current_record
from evolvent.runs.tables import RecordWriter

Work = Callable[[Record], Awaitable[Sequence[Record]]]


def open_models(uris: Iterable[str], extra_body: Mapping[str, object] | None) -> dict[str, ChatModel]:
    """Open each model once, by the URI it was named with.

    Args:
        uris: the models' URIs as the user wrote them.
        extra_body: extra request fields, for those that are ``openai:``.
    """
    models: dict[str, ChatModel] = {}
    for uri in dict.fromkeys(uris):
        models[uri] = open_chat(uri, extra_body=extra_body if parse_uri(uri).scheme == "openai" else None)
    return models


async def run_records(
    folder: RunFolder,
    stage: str,
    models: Mapping[str, ChatModel],
    work: Callable[[Mapping[str, ChatModel]], Work],
    records: Iterable[Record],
    total: int,
    *,
    group: Callable[[Record], str | None],
    counts: Mapping[str, int],
    concurrency: int | None,
    show: bool,
) -> Run:
    """Work through all records, write what they become, and finish the stage.

    Args:
        folder: the open run folder, with the stage begun.
        stage: the stage's name.
        models: the open models by URI; closed here.
        work: given the models as seen through the call store, the work for one record.
        records: the stage's input, in order.
        total: how many there are.
        group: what a row is counted under (its round, its teacher); None leaves it uncounted.
        counts: what was counted before.
        concurrency: how many records at once; None for what suits the models.
        show: whether to show progress.

    Raises:
        RunError: the folder cannot be written, or every record failed.
        ModelUnavailableError: a model cannot be used at all.
    """
    if concurrency is not None and concurrency < 1:
        raise InputError(f"concurrency is {concurrency}", fix="Give 1 or more.")
    store = CallStore(folder.path / CALLS)
    stored = {uri: StoredChat(model, store, stage) for uri, model in models.items()}
    tallies = {model.uri: model.tally for model in stored.values()}
    tally = RowTally(group)
    at_once = concurrency or max(model.concurrency for model in models.values())
    do = work(stored)

    async def one(record: Record) -> Sequence[Record]:
        current_record.set(record.id)
        return await do(record)

    try:
        folder.check_models(stage, {model.uri: model.identity for model in models.values()})
        with RecordWriter(folder.output(stage)) as writer, shown(stage, total, show=show) as advance:
            async with contextlib.aclosing(in_order(records, one, at_once)) as results:
                async for rows in results:
                    for row in rows:
                        writer.write(row)
                        tally.count(row)
                    statuses = [row.status for row in rows]
                    advance(failed=statuses.count("failed"), eliminated=statuses.count("eliminated"))
            if tally.failed and tally.failed == sum(tally.by_status.values()):
                raise RunError(
                    f"every record of {stage} failed; the first: {next(iter(tally.failures))}",
                    fix="Nothing was written. Mend the cause and start the same command again.",
                )
    except BaseException:
        with contextlib.suppress(EvolventError):
            folder.interrupt(stage, tallies)
        raise
    finally:
        for model in models.values():
            await model.close()
        store.close()
    return folder.finish(stage, {**counts, **tally.summary()}, tallies)


class RowTally:
    """Counts a stage's rows: by status, by group and reason, and the commonest failures in the server's words."""

    def __init__(self, group: Callable[[Record], str | None]) -> None:
        self._group = group
        self.by_status: Counter[str] = Counter()
        self.by_group: dict[str, Counter[str]] = {}
        self.failures: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    @property
    def failed(self) -> int:
        return self.by_status["failed"]

    def count(self, row: Record) -> None:
        """Count one row, unless its group is None."""
        group = self._group(row)
        if group is None:
            return
        self.by_status[row.status] += 1
        fate = f"eliminated: {row.reason}" if row.status == "eliminated" else row.status
        self.by_group.setdefault(group, Counter())[fate] += 1
        if row.finish_reason == "length":
            self.notes["cut at the token limit"] += 1
        if row.status == "ok" and row.reason:
            self.notes[row.reason] += 1
        if row.status == "failed" and (len(self.failures) < 100 or row.reason in self.failures):
            self.failures[row.reason or "no reason given"] += 1

    def summary(self) -> dict[str, Any]:
        """The counts as the manifest holds them."""
        found: dict[str, Any] = {status: self.by_status[status] for status in ("ok", "eliminated", "failed")}
        found["groups"] = {group: dict(sorted(fates.items())) for group, fates in self.by_group.items()}
        if self.notes:
            found["notes"] = dict(self.notes)
        if self.failures:
            found["failures"] = dict(self.failures.most_common(5))
        return found
