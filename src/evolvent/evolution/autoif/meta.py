"""``meta["autoif"]``: what AutoIF notes of a record, beside the user's own columns."""

from typing import Any

import orjson

from evolvent.evolution.autoif.rules import METHOD
from evolvent.records import Record


def noted(record: Record) -> dict[str, Any]:
    """What AutoIF noted of a record; nothing for one that it has not worked on."""
    found = orjson.loads(record.meta or "{}").get(METHOD)
    return found if isinstance(found, dict) else {}


def noting(record: Record, **notes: Any) -> str:
    """The record's meta with these notes, and no others of AutoIF's."""
    return orjson.dumps({**orjson.loads(record.meta or "{}"), METHOD: notes}).decode()
