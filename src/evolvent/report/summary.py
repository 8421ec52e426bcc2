"""What a run holds, as plain tables: its stages' counts, what they used, its scores, and example trajectories."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evolvent.costs.prices import money
from evolvent.files import CALLS
from evolvent.models.short_names import short_names
from evolvent.records import Record
from evolvent.report.contents import Contents, ScoreFigures, StageContents, Within, described
from evolvent.report.tables import Table
from evolvent.runs.progress import time_words
from evolvent.runs.yields import in_words
from evolvent.words import number_of

COUNTED = ("failures", "notes", "without a score")


def summary(found: Contents) -> list[Table]:
    """The tables of what a run folder holds."""
    tables = [_overview(found.stages)] if found.stages else []
    for name, stage in found.stages.items():
        if stage.counts.get("groups"):
            tables.append(_fates(name, stage))
        if stage.counts.get("funnel"):
            steps = [(what, f"{n:,}") for what, n in stage.counts["funnel"].items()]
            tables.append(Table(f"{name}: what came through", ("", "count"), steps))
        for counted in COUNTED:
            reasons = stage.counts.get(counted)
            if reasons:
                rows = [(f"{n:,}", why) for why, n in reasons.items()]
                tables.append(Table(f"{name}: {counted}", ("rows", "reason"), rows))
    if any(stage.paid for stage in found.stages.values()):
        tables.append(_paid(found.stages))
    if any("servers" in account for stage in found.stages.values() for account in stage.paid.values()):
        tables.append(_servers(found.stages))
    if any(stage.used for stage in found.stages.values()):
        tables.append(_used(found.stages))
    if found.evaluated:
        from evolvent.report.evaluation import evaluation_tables

        tables += evaluation_tables(found.evaluated)
    for title, scores in (("scores", found.scores), ("breadth of the evolver's replies", found.breadth)):
        if scores:
            tables.append(_scores(title, scores))
    tables += map(_trajectory, found.examples)
    if found.ranked is not None:
        from evolvent.report.ranking import ranking_tables

        tables += ranking_tables(found.ranked)
    return tables + ([_within(found.within)] if found.within else [])


def conclusions(found: Contents) -> Iterator[str]:
    """What stands below the tables, a line each: what a ranking says, and what is to be seen elsewhere."""
    if found.ranked is not None:
        from evolvent.report.ranking import verdicts

        yield from verdicts(found.ranked)
    elif found.planned:
        yield "a ranking was planned here, and has not come to its end: start the same command again to go on"
    noted = [*found.noted.items(), *(one for within in found.within for one in within.noted.items())]
    yield from (f"{name.replace(':', ' ')}: how it was made stands in {note}" for name, note in noted)
    if found.store:
        yield f"{CALLS} is kept as {found.store}"


def yields(found: Contents) -> list[str]:
    """The yield of each stage, a line each."""
    return [in_words(name, stage.yields) for name, stage in found.stages.items() if stage.yields is not None]


def _within(folders: Sequence[Within]) -> Table:
    rows = []
    for one in folders:
        held = [*(f"{name} {state}" for name, state in one.stages.items()), *one.noted]
        rows.append((one.path.name, ", ".join(held).replace(":", " ")))
    shown = next((one.path for one in folders if one.stages), None)
    note = () if shown is None else (f"evolvent show {shown} shows the first of them, and so each run folder",)
    return Table("folders in it with stages of their own", ("folder", "stages"), rows, note)


def _overview(stages: Mapping[str, StageContents]) -> Table:
    rows, notes = [], []
    for name, stage in stages.items():
        unfinished = stage.state in ("running", "interrupted")
        if stage.state == "interrupted":
            notes.append(f"{name} was interrupted: start the same command again to go on")
        elif stage.state == "stale":
            notes.append(f"{name} is stale: what it was made of was made anew; its own command brings it up to date")
        if stage.damaged:
            notes.append(
                f"{stage.file.name} is not as {name} wrote it: it is damaged, or was changed since; the command of "
                f"{name} with --fresh makes it anew (equal calls are not paid again), or copy it back"
            )
        elif stage.state == "shard":
            notes.append(f"{name}: this shard is made; evolvent merge, in the folder of all shards, joins them")
        elif not stage.there and not unfinished:
            notes.append(f"{stage.file.name} is gone: the command of {name} makes it again from the stored calls")
        notes += _changes(name, stage)
        absent = "not yet" if unfinished else "parts" if stage.state == "shard" else "gone"
        file = ("damaged" if stage.damaged else stage.file.name) if stage.there else absent
        time = time_words(stage.seconds) if stage.seconds else ""  # noted when a command ends, unless it was killed
        counts = _so_far(stage) if unfinished else described(stage.counts)
        rows.append((name.partition(":")[0], stage.state, time, counts, file))
    return Table("stages", ("stage", "state", "time", "counts", "file"), rows, tuple(notes))


def _changes(name: str, stage: StageContents) -> Iterator[str]:
    """Where a server named several models behind one address, a line each."""
    for uri, served in stage.served.items():
        if len(served) > 1:
            marks = Counter(model for model, _ in served)
            by = ", ".join(f"{model} ({n} system_fingerprints)" if n > 1 else str(model) for model, n in marks.items())
            what = "the servers differ" if "servers" in stage.paid.get(uri, {}) else "the server changed"
            yield f"{name}: {what} under {uri}: replies are by {by}"


def _so_far(stage: StageContents) -> str:
    """What an unfinished stage has done: the records of its finished parts, and the calls that it paid for."""
    total = "" if stage.of is None else f" of {stage.of:,}"
    calls = sum(account["calls"] for account in stage.paid.values())
    return f"{stage.written:,}{total} records written" + (f", {number_of(calls, 'calls')} stored" if calls else "")


def _fates(name: str, stage: StageContents) -> Table:
    groups: dict[str, dict[str, int]] = stage.counts["groups"]
    names, notes = short_names(groups)
    fates = sorted({fate for group in groups.values() for fate in group}, key=lambda fate: (fate != "ok", fate))
    rows = [(fate, *(f"{group.get(fate, 0):,}" for group in groups.values())) for fate in fates]
    return Table(f"{name}: what became of the rows", ("", *(names[group] for group in groups)), rows, notes)


def _paid(stages: Mapping[str, StageContents]) -> Table:
    """What each stage has paid for in this folder, rows that were thrown away included."""
    accounts = [(name, uri, account) for name, stage in stages.items() for uri, account in stage.paid.items()]
    columns = {
        "calls": [_count(account, "calls") for *_, account in accounts],
        **_tokens(accounts),
        "cost": ["" if account.get("cost") is None else money(account["cost"]) for *_, account in accounts],
    }
    return _account("paid for in this folder", accounts, columns)


def _servers(stages: Mapping[str, StageContents]) -> Table:
    """Which of a model's servers gave how many of the stored replies."""
    split = [
        (name, uri, server, f"{count:,}")
        for name, stage in stages.items()
        for uri, account in stage.paid.items()
        for server, count in account.get("servers", {}).items()
    ]
    names, notes = short_names(uri for _, uri, *_ in split)
    rows = [(name, names[uri], *answered) for name, uri, *answered in split]
    return Table("replies by server", ("stage", "model", "server", "replies"), rows, notes)


def _used(stages: Mapping[str, StageContents]) -> Table:
    """What the rows were made of, whether paid for by their stage or found in the store."""
    accounts = [(name, uri, account) for name, stage in stages.items() for uri, account in stage.used.items()]
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


def _scores(title: str, scores: Mapping[str, ScoreFigures]) -> Table:
    rows = [
        (name, *("" if figure is None else f"{figure:.4g}" for figure in figures), f"{n:,}", f"{absent:,}")
        for name, (n, absent, *figures) in scores.items()
    ]
    return Table(title, ("score", "mean", "10 %", "median", "90 %", "n", "null"), rows)


def _trajectory(records: Sequence[Record]) -> Table:
    rows = []
    for record in records:
        fate = record.status if record.status == "ok" else f"{record.status}: {record.reason}"
        by = (record.operator or record.method or "") if record.round else "seed"
        rows.append((str(record.round), by, fate, record.question))
    first = records[0]
    return Table(f"seed {first.seed_index}, id {first.seed_id}", ("round", "operator", "status", "instruction"), rows)
