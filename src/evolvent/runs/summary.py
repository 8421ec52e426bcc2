"""What a run holds, as plain tables: its stages' counts, what they used, its scores, and example trajectories."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.runs.folder import in_use
from evolvent.runs.manifest import OUTPUTS, StageEntry, read_manifest
from evolvent.runs.prices import money
from evolvent.runs.tables import read_numbers, read_records

SCORES = ("instruction_ppl", "response_ppl", "conditional_ppl", "ifd", "ic_ifd", "ifd_ppl")


@dataclass(frozen=True, slots=True)
class Table:
    """A table to print: a title, column names, and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def summary(folder: Path) -> list[Table]:
    """The tables of a run folder.

    Raises:
        InputError: it is not a run folder.
    """
    stages = read_manifest(folder)
    if not stages:
        raise InputError(f"{folder} is not a run folder", fix="Make one: evolvent demo, or evolvent evolve SEEDS …")
    tables = [_overview(stages, in_use(folder))]
    for name, entry in stages.items():
        if entry.counts.get("groups"):
            tables.append(_fates(name, entry))
        for counted in ("failures", "notes", "without a score"):
            reasons = entry.counts.get(counted)
            if reasons:
                tables.append(
                    Table(f"{name}: {counted}", ("rows", "reason"), [(f"{n:,}", why) for why, n in reasons.items()])
                )
    if any(entry.used or entry.paid for entry in stages.values()):
        tables.append(_calls(stages))
    scored = folder / OUTPUTS["score"]
    if scored.is_file():
        tables.append(_scores(scored))
    return tables


def _overview(stages: dict[str, StageEntry], in_use: bool) -> Table:
    rows = []
    for name, entry in stages.items():
        state = "interrupted" if entry.state == "running" and not in_use else entry.state
        rows.append((name, state, f"{entry.wall_s:.1f} s", described(entry.counts), OUTPUTS[name]))
    return Table("stages", ("stage", "state", "time", "counts", "file"), rows)


def _fates(name: str, entry: StageEntry) -> Table:
    groups: dict[str, dict[str, int]] = entry.counts["groups"]
    fates = sorted({fate for group in groups.values() for fate in group}, key=lambda fate: (fate != "ok", fate))
    rows = [(group, *(f"{groups[group].get(fate, 0):,}" for fate in fates)) for group in groups]
    return Table(f"{name}: what became of the rows", ("", *fates), rows)


def _calls(stages: dict[str, StageEntry]) -> Table:
    """What each stage has paid for, and what its rows were made of: more, where calls were found in the store."""
    rows = []
    for name, entry in stages.items():
        for uri in entry.used | entry.paid:
            paid, used = entry.paid.get(uri, {}), entry.used.get(uri, {})
            amount = paid.get("cost")
            rows.append(
                (
                    name,
                    uri,
                    *_tokens(paid),
                    "" if amount is None else money(amount),
                    *_tokens(used),
                    f"{used.get('unusable', 0):,}",
                    f"{used.get('cut_max_tokens', 0):,}",
                )
            )
    made = ("stage", "model", "calls made", "tokens in", "tokens out", "cost")
    columns = (*made, "replies in the file", "tokens in", "tokens out", "asked again", "max-tokens lowered to fit")
    return Table("model calls", columns, rows)


def _tokens(account: dict[str, Any]) -> tuple[str, str, str]:
    about = "about " if account.get("estimated") else ""
    prompt, completion = account.get("prompt_tokens", 0), account.get("completion_tokens", 0)
    return f"{account.get('calls', 0):,}", f"{about}{prompt:,}", f"{about}{completion:,}"


def _scores(path: Path) -> Table:
    import numpy as np
    import pyarrow.parquet as pq

    names = [name for name in SCORES if name in pq.read_schema(path).names]
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
    path = folder / OUTPUTS["evolve"]
    if not path.is_file():
        return
    for index, (_, group) in enumerate(groupby(read_records(path), key=lambda record: record.seed_id)):
        if index == count:
            return
        rows: list[tuple[str, ...]] = []
        for record in group:
            fate = record.status if record.status == "ok" else f"{record.status}: {record.reason}"
            rows.append((str(record.round), record.operator or "seed", fate, record.question))
            seed = record.seed_index
        yield Table(f"seed {seed}", ("round", "operator", "status", "instruction"), rows)


def described(counts: dict[str, Any]) -> str:
    """Counts as one line of text."""
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if isinstance(n, int) and n)
