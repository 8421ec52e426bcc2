"""Ways to make an instruction more complex, as a method's replies list them; each different one once.

They are counted on disk, not in memory: a million evolutions may list four million different ways.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import RunError
from evolvent.evolution.auto_evol_instruct.applied import META, METHOD, METHODS_LIST
from evolvent.records import Record, content_digest
from evolvent.runs.inputs import StageInput
from evolvent.storage_errors import sqlite_words

# Of the pages of a database of ways that are kept in memory.
CACHE_KIB = 16_000

_ITEM = re.compile(
    r"(?P<indent> *)[*_]{0,2}(?:(?P<number>\(?\d{1,3}[.):]+(?!\d)|\(?[A-Za-z]\))|[-*+•–—](?= ))[*_]{0,2} *"
    r"(?P<text>\S.*)"
)


class ListedWays:
    """The different ways that evolutions list, each once: a stage's input.

    Args:
        evolutions: the evolutions, as a stage's input.
    """

    def __init__(self, evolutions: StageInput) -> None:
        self._evolutions = evolutions
        with counting():
            self._ways, read, without = _count(evolutions)
            times, rows = self._ways.execute("SELECT coalesce(sum(times), 0), count(*) FROM way").fetchone()
        self.rows: int = rows
        self.counts = {"evolutions": read, "without a list": without, "ways": times, "different ways": rows}
        self.about = evolutions.about

    def __reduce__(self) -> tuple[Any, ...]:
        return ListedWays, (self._evolutions,)

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:  # noqa: ARG002
        """The ways in order, as (position, record)."""
        query = "SELECT number - 1, text, times FROM way WHERE number > ? ORDER BY number"
        with counting():
            for index, text, times in self._ways.execute(query, (start,)):
                yield index, _way(index, text, times)

    def reach(self, record: int) -> tuple[int, int]:
        """Each has a number."""
        return record, record

    def __iter__(self) -> Iterator[Record]:
        return (record for _, record in self.records())

    def begins_with(self, noted: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """That cannot be said: a way may be listed again."""
        return False

    def unchanged(self) -> None:
        """Check that the evolutions are still those that were counted."""
        self._evolutions.unchanged()

    def keep(self, folder: Path) -> None:
        """Nothing is kept: the ways are in the evolutions."""


def _count(evolutions: StageInput) -> tuple[sqlite3.Connection, int, int]:
    """The different ways in a database, how many evolutions were read, and how many of them list none."""
    read = without = 0
    different = on_disk("CREATE TABLE way (number INTEGER PRIMARY KEY, key TEXT UNIQUE, text TEXT, times INTEGER)")
    for record in evolutions:
        if record.method != METHOD:
            continue
        read += 1
        meta = orjson.loads(record.meta) if record.meta else {}
        listed = ways(meta.get(META, {}).get(METHODS_LIST, ""))
        without += not listed
        different.executemany(
            "INSERT INTO way (key, text, times) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
            ((same_way(way), way) for way in listed),
        )
    return different, read, without


def _way(index: int, way: str, times: int) -> Record:
    id = content_digest(way, "", "", None)
    return Record(id, id, index, way, meta=orjson.dumps({"times": times}).decode())


def times_of(way: Record) -> int:
    """How many of the run's lists have this way."""
    return int(orjson.loads(way.meta or "{}")["times"])


def ways(methods_list: str) -> list[str]:
    """The ways of a list, in its order.

    A numbered or bulleted line begins a way; which of the two, and how deep, the first such line says. What follows it
    is part of it: lines without a marker, deeper items, items with a marker of the other kind. After a blank line only
    what is indented deeper still is. Lines before the first item and after the last are the model's talk. A list
    without any marker has a way in each line. Blank lines, and lines of marks alone, are none.

    Args:
        methods_list: the text of the list.

    Returns:
        The ways on one line each, without markers and bold.
    """
    lines = [line.expandtabs(4).rstrip() for line in methods_list.splitlines()]
    first = next((item for line in lines if (item := _ITEM.fullmatch(line))), None)
    if first is None:
        return [way for line in lines if (way := _plain(line))]
    depth, numbered = len(first["indent"]), bool(first["number"])
    found: list[list[str]] = []
    blank = False
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and len(item["indent"]) <= depth and bool(item["number"]) == numbered:
            found += [[text] for text in _on_one_line(item)]
        elif found and line and (not blank or len(line) - len(line.lstrip()) > depth):
            found[-1].append(item["text"] if item else line)
        blank = not line
    return [way for parts in found if (way := _plain(" ".join(parts)))]


def same_way(way: str) -> str:
    """The key under which two ways are one: letter case, blanks and final punctuation make no difference."""
    return " ".join(way.casefold().split()).rstrip(" .,;:!?…")


def _on_one_line(item: re.Match[str]) -> list[str]:
    """The ways of one line: several where the numbers go on within it ("1. Add a limit. 2. Ask why.")."""
    found, rest = [], str(item["text"])
    number = re.search(r"\d+", item["number"] or "")
    while number:
        next = int(number[0]) + 1
        following = re.search(rf"(?:(?<=[.,;!?]) *{next}[.)]| \(?{next}\)) +(?=\S)", rest)
        if following is None:
            break
        found.append(rest[: following.start()].rstrip(" ,;"))
        rest, number = rest[following.end() :], re.search(r"\d+", following[0])
    return [*found, rest]


def _plain(text: str) -> str:
    """A text on one line without bold, code marks and quotes around it; empty if no letter is in it."""
    text = " ".join(re.sub(r"\*\*|__|`", "", text).split()).strip('*_"“”')
    return text.strip() if any(map(str.isalpha, text)) else ""


def on_disk(table: str) -> sqlite3.Connection:
    """A database of one table. It has no name: sqlite keeps it in a temporary file that goes with the connection."""
    database = sqlite3.connect("", check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    database.execute(table)
    return database


@contextmanager
def counting() -> Iterator[None]:
    """Explain what may be wrong where ways are counted in a temporary file."""
    try:
        yield
    except sqlite3.Error as error:
        raise RunError(
            f"ways cannot be counted: {sqlite_words(error)}", fix="Make room for temporary files (TMPDIR)."
        ) from None
