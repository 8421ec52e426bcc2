"""Looking into a run's call store, also while a run writes it."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.key import call_key
from evolvent.call_store.log import StoredCall, calls, count_calls, export, why_none
from evolvent.call_store.options import Wanted
from evolvent.call_store.replies import reply_to_json
from evolvent.call_store.store import Call, CallStore, spent_in
from evolvent.costs.budget import Spent
from evolvent.errors import InputError
from evolvent.models.protocols import Reply, Usage
from evolvent.report.printing import print_calls

REQUEST = {"messages": [{"role": "user", "content": "Mend a sock"}], "temperature": 0.7}
# stage, record, model, words of an error
MADE = [
    ("evolve", "s1/r1", "m", None),
    ("evolve", "s1/r2", "m", "HTTP 500: no room"),
    ("evolve", "s11/r1", "m", None),
    ("respond", "s1/r1/abc", "t", None),
    ("respond", "s11/r1/abc", "t", "HTTP 400: too long"),
    ("respond", "s1", "m", None),
    ("score", "", "base", None),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with closing(CallStore(tmp_path / "calls.sqlite")) as store:
        asyncio.run(store.put(made(n, *call) for n, call in enumerate(MADE)))
    return tmp_path


def made(n: int, stage: str, record: str, model: str, error: str | None) -> Call:
    reply = None if error else reply_to_json(Reply(f"reply {n}", "stop", Usage(3, 2)))
    words = json.dumps({"error": error, "raw": "<html>"}) if error else None
    usage = None if error or stage == "score" else Usage(3, 2)
    return Call(call_key(-n), stage, record, model, json.dumps(REQUEST), reply, words, usage, 0.12345, 1e9 + n)


def numbers(found: Iterator[StoredCall]) -> list[int]:
    """Which of the calls were found, in their order."""
    return [int(call.at[17:19]) - 40 for call in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"stage": "respond"}, [3, 4, 5]),
        ({"model": "t"}, [3, 4]),
        ({"model": "no"}, []),
        ({"failed": True}, [1, 4]),
        ({"error": "HTTP 5"}, [1]),
        ({"error": "HTTP"}, [1, 4]),
        ({"error": "%"}, []),
        ({"record": "s1"}, [0, 1, 3, 5]),
        ({"record": "s1/r1"}, [0, 3, 5]),
        ({"record": "s1/r1/abc"}, [0, 3, 5]),
        ({"record": "s11"}, [2, 4]),
        ({"record": "s"}, []),
        ({"record": "s%"}, []),
        ({"record": "s1", "stage": "evolve"}, [0, 1]),
        ({"record": "s1", "failed": True, "model": "m"}, [1]),
        ({"stage": "respond", "error": "HTTP 5"}, []),
    ],
)
def test_all_that_is_wanted_must_hold(run: Path, wanted: dict[str, Any], found: list[int]) -> None:
    assert numbers(calls(run, **wanted)) == found
    assert numbers(calls(str(run), **wanted)) == found
    assert numbers(calls(run, **wanted, limit=2)) == found[:2]
    assert count_calls(run, **wanted) == len(found)


def test_only_what_is_wanted_is_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    loads = json.loads
    monkeypatch.setattr("evolvent.call_store.log.orjson.loads", lambda text: read.append(text) or loads(text))
    assert len(list(calls(run, limit=1))) == 1
    assert len(read) == 2  # a request and its reply


def test_an_unknown_stage_is_refused_with_the_stages_there_are(run: Path) -> None:
    for look in (calls, count_calls):
        with pytest.raises(InputError, match=r"there is no stage 'evolv'\nStages: .*\bevolve, respond, score\b"):
            look(run, stage="evolv")  # at once, not at the first call that is read


def test_what_no_call_was_made_for_is_said_with_what_there_is(run: Path) -> None:
    assert why_none(run, Wanted(model="x")) == ["no call was made for the model x; there are calls for: m, t, base"]
    assert why_none(run, Wanted(record="s9")) == [
        "no call was made for the record s9; there are calls for: s1/r1, s1/r2, s11/r1, s1/r1/abc, s11/r1/abc, …"
    ]
    assert len(why_none(run, Wanted(record="s9", model="x"))) == 2
    assert why_none(run, Wanted(record="s1", model="t")) == why_none(run, Wanted()) == []


def test_a_call_is_shown_as_it_was(run: Path) -> None:
    answered, failed = list(calls(run))[:2]
    assert answered.reply is not None
    assert (answered.reply["text"], answered.reply["usage"]["completion_tokens"]) == ("reply 0", 2)
    assert (answered.stage, answered.record, answered.model, answered.error) == ("evolve", "s1/r1", "m", None)
    assert (answered.request, answered.seconds) == (REQUEST, 0.123)
    assert answered.at == "2001-09-09T01:46:40.000+00:00"
    assert (failed.reply, failed.error) == (None, {"error": "HTTP 500: no room", "raw": "<html>"})


@pytest.mark.parametrize(
    "damage",
    [
        "request = NULL",
        "request = substr(request, 2)",
        "reply = substr(reply, 2)",
        "reply = '[1]'",
        "reply = CAST(x'7bff' AS TEXT)",
        "error = 'x', reply = NULL",
        "error = '{}', reply = NULL",
        "at = 'x', seconds = 'y'",
        "at = 1e300",
        "stage = x'ff', record = CAST(x'ff' AS TEXT), model = 7",
    ],
)
def test_a_damaged_call_is_shown_as_its_raw_text(
    run: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(CallStore(run / "calls.sqlite")) as store, store._connection as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'calls'")
    with closing(sqlite3.connect(run / "calls.sqlite")) as other, other:
        other.execute(f"UPDATE calls SET {damage} WHERE rowid = 1")
    found = list(calls(run))
    assert len(found) == len(MADE)
    column, _, value = damage.partition(" = ")
    shown = getattr(found[0], column)
    assert shown == "" if column == "at" else isinstance(shown, str) or value == "'{}', reply = NULL"
    print_calls(found, len(found), [])
    assert ("damaged" in capsys.readouterr().out) == (column in ("request", "reply"))
    assert export(calls(run), tmp_path / "out.jsonl") == len(MADE)


def test_what_was_made_again_comes_last(run: Path) -> None:
    with closing(CallStore(run / "calls.sqlite")) as store:
        asyncio.run(store.put([made(1, "evolve", "s1/r2", "m", None)]))
    assert numbers(calls(run)) == [0, 2, 3, 4, 5, 6, 1]


def test_export(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "failed.jsonl"
    assert export(calls(run, failed=True), out) == 2
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["record"], row["error"]["error"]) for row in rows] == [
        ("s1/r2", "HTTP 500: no room"),
        ("s11/r1/abc", "HTTP 400: too long"),
    ]
    assert set(rows[0]) == {"stage", "record", "model", "request", "reply", "error", "at", "seconds"}
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InputError):
        export(calls(run), out / "calls.jsonl")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_what_was_spent(run: Path, tmp_path: Path) -> None:
    assert spent_in(run) == [
        Spent("evolve", "m", 2, 6, 4, False, 0.2469),
        Spent("respond", "m", 1, 3, 2, False, 0.12345),
        Spent("respond", "t", 1, 3, 2, False, 0.12345),
    ]
    assert spent_in(tmp_path / "none") == []


def test_a_folder_without_calls_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no calls\.sqlite\nName a run folder"):
        calls(tmp_path)


def test_a_store_of_another_version_is_named(run: Path) -> None:
    with closing(CallStore(run / "calls.sqlite")) as store:
        store._connection.execute("PRAGMA user_version = 9")
    with pytest.raises(InputError, match="made by another version"):
        calls(run)


def test_looking_while_another_process_writes(tmp_path: Path) -> None:
    """What was acknowledged is seen, and the writer is not held up by a reader that is not at its end."""
    script = """
import asyncio, sys
from pathlib import Path
from evolvent.call_store.key import call_key
from evolvent.call_store.options import Wanted
from evolvent.call_store.store import Call, CallStore
store = CallStore(Path(sys.argv[1]) / "calls.sqlite")
for n, line in enumerate(sys.stdin):
    asyncio.run(store.put([Call(call_key(n), "evolve", str(n), "m", "{}", "{}")]))
    print(n, flush=True)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None

        def write_one() -> None:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
            writer.stdout.readline()

        readers = []
        for n in range(5):
            write_one()
            assert [call.record for call in calls(tmp_path)] == [str(m) for m in range(n + 1)]
            readers.append(calls(tmp_path))
            next(readers[-1])  # stays open in the middle
        for n, reader in enumerate(readers):
            assert [call.record for call in reader] == [str(m) for m in range(1, n + 1)]
        writer.stdin.close()
    assert writer.returncode == 0
