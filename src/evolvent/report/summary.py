"""What a run holds, as plain tables: its stages' counts, what they used, its scores, and example trajectories."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from evolvent.call_store.store import spent_in
from evolvent.costs.budget import Spent
from evolvent.costs.prices import money
from evolvent.errors import InputError
from evolvent.files import is_as_noted
from evolvent.report.tables import Table, short_names
from evolvent.runs.folder import in_use
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.parts import records_kept
from evolvent.runs.progress import time_words
from evolvent.runs.record_files import read_numbers, read_records, score_columns
from evolvent.stages import file_of


def summary(folder: Path, stage: str | None = None) -> list[Table]:
    """The tables of a run folder.

    Args:
        folder: the run folder.
        stage: that stage's tables only.

    Raises:
        InputError: it is not a run folder.
    """
    every = read_manifest(folder)
    if not every:
        raise InputError(f"{folder} is not a run folder", fix="Make one: evolvent demo, or evolvent evolve SEEDS …")
    stages = {name: entry for name, entry in every.items() if stage in (None, name)}
    for name, entry in stages.items():
        if entry.state == "running":
            entry.paid = _paid_so_far(entry, [use for use in spent_in(folder) if use.stage == name])
    tables = [_overview(folder, stages)]
    for name, entry in stages.items():
        if entry.counts.get("groups"):
            tables.append(_fates(name, entry))
        if entry.counts.get("funnel"):
            steps = [(what, f"{n:,}") for what, n in entry.counts["funnel"].items()]
            tables.append(Table(f"{name}: what came through", ("", "count"), steps))
        for counted in ("failures", "notes", "without a score"):
            reasons = entry.counts.get(counted)
            if reasons:
                tables.append(
                    Table(f"{name}: {counted}", ("rows", "reason"), [(f"{n:,}", why) for why, n in reasons.items()])
                )
    if any(entry.paid for entry in stages.values()):
        tables.append(_paid(stages))
    if any(entry.used for entry in stages.values()):
        tables.append(_used(stages))
    scored = folder / file_of("score")
    if "score" in stages and _is_its_own(scored, stages["score"]):
        tables.append(_scores(scored))
    return tables


def _overview(folder: Path, stages: dict[str, StageEntry]) -> Table:
    rows, notes = [], []
    busy = in_use(folder)
    for name, entry in stages.items():
        output = folder / file_of(name)
        state: str = entry.state
        counts = described(entry.counts)
        if entry.state == "running":
            state = "running" if busy else "interrupted"
            counts = _so_far(output, entry)
            if not busy:
                notes.append(f"{name} was interrupted: start the same command again to go on")
        elif entry.state == "stale":
            notes.append(f"{name} is stale: what it was made of was made anew; its own command brings it up to date")
        for uri, served in entry.served.items():
            if len(served) > 1:
                marks = Counter(model for model, _ in served)
                by = ", ".join(
                    f"{model} ({n} system_fingerprints)" if n > 1 else str(model) for model, n in marks.items()
                )
                notes.append(f"{name}: the server changed under {uri}: replies are by {by}")
        file = file_of(name) if _is_its_own(output, entry) else "not yet"
        time = time_words(entry.wall_s) if entry.wall_s else ""  # noted when a command ends, unless it was killed
        rows.append((name.partition(":")[0], state, time, counts, file))
    return Table("stages", ("stage", "state", "time", "counts", "file"), rows, tuple(notes))


def _is_its_own(output: Path, entry: StageEntry) -> bool:
    """Whether an entry's file is there. While a stage is made anew its old file is, and is not its own."""
    return output.exists() and (entry.state != "running" or is_as_noted(output, entry.output))


def _so_far(output: Path, entry: StageEntry) -> str:
    """What an unfinished stage has done: the records of its finished parts, and the calls that it paid for."""
    records = records_kept(output)
    # of a run's file it is not known here which rows the stage takes
    total = f" of {entry.input['rows']:,}" if "format" in entry.input else ""
    calls = sum(account["calls"] for account in entry.paid.values())
    return f"{records:,}{total} records written" + (f", {calls:,} calls stored" if calls else "")


def _paid_so_far(entry: StageEntry, spent: Sequence[Spent]) -> dict[str, dict[str, Any]]:
    """What an unfinished stage has paid for: the store knows more than the manifest, but no prices."""
    return {
        use.model: noted
        if (noted := entry.paid.get(use.model, {})).get("calls") == use.calls
        else {name: getattr(use, name) for name in ("calls", "prompt_tokens", "completion_tokens", "estimated")}
        for use in spent
    }


def _fates(stage: str, entry: StageEntry) -> Table:
    groups: dict[str, dict[str, int]] = entry.counts["groups"]
    names, notes = short_names(groups)
    fates = sorted({fate for group in groups.values() for fate in group}, key=lambda fate: (fate != "ok", fate))
    rows = [(fate, *(f"{group.get(fate, 0):,}" for group in groups.values())) for fate in fates]
    return Table(f"{stage}: what became of the rows", ("", *(names[group] for group in groups)), rows, notes)


def _paid(stages: dict[str, StageEntry]) -> Table:
    """What each stage has paid for in this folder, rows that were thrown away included."""
    accounts = [(stage, uri, account) for stage, entry in stages.items() for uri, account in entry.paid.items()]
    columns = {
        "calls": [_count(account, "calls") for *_, account in accounts],
        **_tokens(accounts),
        "cost": ["" if account.get("cost") is None else money(account["cost"]) for *_, account in accounts],
    }
    return _account("paid for in this folder", accounts, columns)


def _used(stages: dict[str, StageEntry]) -> Table:
    """What the rows were made of, whether paid for by their stage or found in the store."""
    accounts = [(stage, uri, account) for stage, entry in stages.items() for uri, account in entry.used.items()]
    columns = {
        "replies": [_count(account, "calls") for *_, account in accounts],
        **_tokens(accounts),
        "asked again": [_count(account, "unusable") for *_, account in accounts],
        "limit lowered": [_count(account, "cut_max_tokens") for *_, account in accounts],
        "empty": [_count(account, "empty") for *_, account in accounts],
    }
    table = _account("behind the rows", accounts, columns)
    explained = {
        "asked again": "asked again: replies that could not be used, so that another was asked for",
        "limit lowered": "limit lowered: replies whose max-tokens was lowered to fit the model's context",
        "empty": "empty: replies that stayed without text; the stage's command with --retry-empty asks for them again",
    }
    notes = tuple(note for column, note in explained.items() if column in table.columns)
    return Table(table.title, table.columns, table.rows, notes + table.notes)


_Accounts = Sequence[tuple[str, str, dict[str, Any]]]


def _account(title: str, accounts: _Accounts, columns: dict[str, list[str]]) -> Table:
    """A row for each stage and model; columns without any amount are left out."""
    names, notes = short_names(uri for _, uri, _ in accounts)
    shown = {name: cells for name, cells in columns.items() if any(cell not in ("", "0", "0.00") for cell in cells)}
    rows = [(stage, names[uri], *cells) for (stage, uri, _), *cells in zip(accounts, *shown.values(), strict=True)]
    if any(account.get("estimated") for *_, account in accounts):
        notes = ("~: estimated by length, where a server gave no count", *notes)
    return Table(title, ("stage", "model", *shown), rows, notes)


def _tokens(accounts: _Accounts) -> dict[str, list[str]]:
    return {
        name: [("~" if account.get("estimated") else "") + _count(account, key) for *_, account in accounts]
        for name, key in (("tokens in", "prompt_tokens"), ("tokens out", "completion_tokens"))
    }


def _count(account: dict[str, Any], key: str) -> str:
    return f"{account.get(key, 0):,}"


def _scores(path: Path) -> Table:
    import numpy as np

    names = [name for name, column in score_columns(path).items() if column.kind == "double"]
    rows = []
    for name, values, absent in read_numbers(path, names):
        missing = f"{absent:,}"
        if len(values):
            low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
            rows.append((name, *(f"{x:.4g}" for x in (values.mean(), low, middle, high)), missing))
        else:
            rows.append((name, "", "", "", "", missing))
    return Table("scores", ("score", "mean", "10 %", "median", "90 %", "null"), rows)


def trajectories(folder: Path, count: int) -> Iterator[Table]:
    """The first ``count`` trajectories of a run, one table each."""
    path = folder / file_of("evolve")
    if not path.is_file():
        return
    for index, (_, group) in enumerate(groupby(read_records(path), key=lambda record: record.seed_id)):
        if index == count:
            return
        rows: list[tuple[str, ...]] = []
        for record in group:
            fate = record.status if record.status == "ok" else f"{record.status}: {record.reason}"
            by = (record.operator or record.method or "") if record.round else "seed"
            rows.append((str(record.round), by, fate, record.question))
            title = f"seed {record.seed_index}, id {record.seed_id}"
        yield Table(title, ("round", "operator", "status", "instruction"), rows)


def described(counts: dict[str, Any]) -> str:
    """Counts as one line of text."""
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if isinstance(n, int) and n)
