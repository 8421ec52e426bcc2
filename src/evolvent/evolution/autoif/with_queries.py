"""Step 6: a verified instruction with the queries that it is asked with, as the rows of evolved.parquet."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson

from evolvent.errors import CallError
from evolvent.evolution.autoif.queries import combined, drawn
from evolvent.evolution.autoif.rules import METHOD
from evolvent.evolution.autoif.verification import Verification, verified
from evolvent.records import Record


async def with_queries(
    record: Record, *, verification: Verification, queries: Sequence[str], profile: str
) -> list[Record]:
    """One instruction with its fate (round 0), and if it is verified, a row for each query that is drawn for it."""
    try:
        checked = await verified(record, verification)
    except CallError as error:
        return [replace(record, status="failed", reason=str(error))]
    noted = {
        "functions": [{"code": code, "share": share} for code, share in checked.functions],
        "cases": [asdict(case) for case in checked.cases],
        "back_translations": list(checked.back_translations),
        "counts": checked.counts,
    }
    instruction = replace(
        record,
        status="eliminated" if checked.reason else "ok",
        reason=checked.reason,
        meta=with_meta(record, **noted),
    )
    if checked.reason:
        return [instruction]
    chosen = drawn(record.id, queries, verification.rules.queries, verification.seed)
    evolver = verification.model.uri
    return [instruction, *(_with(record, number, query, profile, evolver) for number, query in enumerate(chosen, 1))]


def with_meta(record: Record, **noted: Any) -> str:
    """The record's meta with what AutoIF notes in it."""
    return orjson.dumps({**(orjson.loads(record.meta) if record.meta else {}), "autoif": noted}).decode()


def _with(record: Record, number: int, query: str, profile: str, evolver: str) -> Record:
    """The instruction with one query; paper 1 keeps the two apart, as instruction and input."""
    apart = profile == "paper1"
    return replace(
        record,
        id=f"{record.id}/r1/{number}",
        parent_id=record.id,
        round=1,
        method=METHOD,
        operator=None,
        prompt_version=None,
        evolver=evolver,
        instruction=record.instruction if apart else combined(query, record.instruction),
        input=query if apart else "",
        output="",
        messages=None,
        meta=with_meta(record, instruction=record.instruction, query=query),
    )
