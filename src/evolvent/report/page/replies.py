"""Raw replies behind rows that are not usable, out of the run's call store: the last that was asked for of each.

A call is stored under the record that was worked on: evolutions under their seed, answers under what they answer. Which
of these calls a row is of tells the seed of the draw; at temperature 0, where calls have none, of evolutions their
order does if each round had one. Where a stage was made anew with other settings one draw has several calls: the row is
of that which was asked with the settings of now.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from evolvent.call_store.key import call_seed, request_key
from evolvent.call_store.store import open_read_only
from evolvent.errors import EvolventError
from evolvent.evolution.trajectory import ATTEMPTS, STAGE, stage_of
from evolvent.files import CALLS
from evolvent.report.page.source import Source
from evolvent.runs.manifest import StageEntry

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
    entry = run.entries.get(stage)
    if entry is None or not (run.folder / CALLS).is_file() or entry.settings.get("method") == OF_MANY:
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
            if not of_model:
                return None
            found, by_order = _of_draw(of_model, stage, row, entry.settings)
            found = _asked_with(store, found, entry)
            if by_order:
                found = found[row["round"] - 1 : row["round"]] if len(found) == entry.settings.get("rounds") else []
            return _text(store, found[0]) if len(found) == 1 else None

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


def _of_draw(
    places: Sequence[Place], stage: str, row: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[Sequence[Place], bool]:
    """The calls that the last draw of a row may be of; several where it was drawn with other settings, too.

    And whether they are those of all rounds, which their order tells apart.
    """
    if stage == "evaluate":
        return places[-1:], False
    draws = [stage_of(draw) for draw in range(settings.get("retry_eliminated") or 0, -1, -1)]
    for name in draws if stage == STAGE else [stage]:
        for attempt in range(ATTEMPTS - 1, -1, -1):
            seed = call_seed(settings.get("seed", 0), row["id"], name, attempt=attempt)
            if settings.get("temperature", 1) and (drawn := [place for place in places if place.seed == seed]):
                return drawn, False
    return [place for place in places if place.seed is None], stage == STAGE


def _asked_with(store: sqlite3.Connection, places: Sequence[Place], entry: StageEntry) -> Sequence[Place]:
    """Those of several calls that were asked with the settings of a stage; none where they cannot be read."""
    if len(places) < 2:
        return places
    identity = entry.models.get(places[0].model, "").encode()
    try:
        query = "SELECT key, request FROM calls WHERE rowid = ?"
        found = [(place, *store.execute(query, (place.row,)).fetchone()) for place in places]
        asked = [(place, key, request, orjson.loads(request)) for place, key, request in found]
    except (sqlite3.Error, orjson.JSONDecodeError, TypeError):
        return []
    asked = [one for one in asked if one[1] == request_key(identity, one[2].encode())] or asked
    asked = [one for one in asked if _has_system(one[3], entry.settings.get("system"))] or asked
    for name in ("temperature", "top_p", "max_tokens"):
        asked = [one for one in asked if one[3].get(name) == entry.settings.get(name)] or asked
    return [one[0] for one in asked]


def _has_system(request: Mapping[str, Any], system: str | None) -> bool:
    """Whether a request has the system prompt of a stage, which may stand behind a conversation's own."""
    first = request["messages"][0]
    own = first["content"] if first["role"] == "system" else ""
    return own == (system or "") or bool(system and own.endswith(f"\n\n{system}"))


def _text(store: sqlite3.Connection, place: Place) -> str | None:
    """What came back: the text; where there is none a refusal or reasoning; of what could not be read its raw body."""
    try:
        reply, error = store.execute("SELECT reply, error FROM calls WHERE rowid = ?", (place.row,)).fetchone()
        content = orjson.loads(reply or error)
    except (sqlite3.Error, orjson.JSONDecodeError, TypeError):
        return None
    found = (content.get(name) for name in ("text", "refusal", "reasoning", "raw"))
    return next((text for text in found if isinstance(text, str) and text.strip()), None)
