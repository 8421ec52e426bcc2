"""Raw replies behind rows that are not usable, out of the run's call store: the last that was asked for of each.

A call is stored under the record that was worked on: evolutions under their seed, answers under what they answer. Which
of a seed's calls an evolution is of tells the seed of the draw; at temperature 0, where calls have none, their order
does if each round had one.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from evolvent.call_store.key import call_seed
from evolvent.call_store.store import open_read_only
from evolvent.errors import EvolventError
from evolvent.evolution.trajectory import ATTEMPTS, STAGE, stage_of
from evolvent.files import CALLS
from evolvent.report.page.source import Source

Reply = Callable[[Mapping[str, Any]], str | None]
# Of AutoIF a row is the work of many calls: there `evolvent calls` shows them.
OF_MANY = "autoif"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands in the store, and the seed that its reply was drawn with, if it was drawn."""

    row: int
    model: str
    seed: int | None


@contextmanager
def replies(run: Source, stage: str, records: Iterable[str]) -> Iterator[Reply]:
    """The raw reply of each row of a stage; None where there is no store, or nothing in it is surely of the row.

    Args:
        run: the run.
        stage: ``evolve``, ``respond`` or ``evaluate``.
        records: what rows were made of that will be asked for (``worked_on``).
    """
    settings = run.entries[stage].settings if stage in run.entries else {}
    if not (run.folder / CALLS).is_file() or settings.get("method") == OF_MANY:
        yield lambda _: None
        return
    with ExitStack() as opened:
        try:
            store = opened.enter_context(closing(open_read_only(run.folder / CALLS)))
            places = _places(store, stage, records)
        except (EvolventError, sqlite3.Error):  # of another version, or damaged: the page does without
            places = {}

        def reply(row: Mapping[str, Any]) -> str | None:
            model = row["evolver"] if stage == STAGE else row["teacher"]
            of_model = [place for place in places.get(worked_on(stage, row), ()) if place.model == model]
            place = _of_round(of_model, row, settings) if stage == STAGE else of_model[-1] if of_model else None
            return None if place is None else _text(store, place)

        yield reply


def worked_on(stage: str, row: Mapping[str, Any]) -> str:
    """The record that the calls of a row are stored under."""
    if stage == "evaluate":
        return str(row["id"])
    return str(row["seed_id"] if stage == STAGE else row["id"].rpartition("/")[0])


def _places(store: sqlite3.Connection, stage: str, records: Iterable[str]) -> Mapping[str, list[Place]]:
    """By record, its calls in order. The store has no index of records: it is read once, without its texts."""
    store.execute("CREATE TEMP TABLE wanted (record TEXT PRIMARY KEY) WITHOUT ROWID")
    store.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", ((record,) for record in records))
    query = (
        "SELECT record, calls.rowid, model, json_extract(CASE json_valid(request) WHEN 1 THEN request END, '$.seed') "
        "FROM calls WHERE stage = ? AND record IN wanted ORDER BY calls.rowid"
    )
    found: dict[str, list[Place]] = {}
    for record, *place in store.execute(query, (stage,)):
        found.setdefault(record, []).append(Place(*place))
    return found


def _of_round(places: list[Place], row: Mapping[str, Any], settings: Mapping[str, Any]) -> Place | None:
    """The last call of an evolution among its seed's."""
    drawn = {place.seed: place for place in places if place.seed is not None}
    for draw in range(settings.get("retry_eliminated") or 0, -1, -1):
        for attempt in range(ATTEMPTS - 1, -1, -1):
            seed = call_seed(settings.get("seed", 0), row["id"], stage_of(draw), attempt=attempt)
            if seed in drawn:
                return drawn[seed]
    greedy = [place for place in places if place.seed is None]
    return greedy[row["round"] - 1] if len(greedy) == settings.get("rounds") else None


def _text(store: sqlite3.Connection, place: Place) -> str | None:
    """What came back: the text; where there is none a refusal or reasoning; of what could not be read its raw body."""
    try:
        reply, error = store.execute("SELECT reply, error FROM calls WHERE rowid = ?", (place.row,)).fetchone()
        content = orjson.loads(reply or error)
    except (sqlite3.Error, orjson.JSONDecodeError, TypeError):
        return None
    found = (content.get(name) for name in ("text", "refusal", "reasoning", "raw"))
    return next((text for text in found if isinstance(text, str) and text.strip()), None)
