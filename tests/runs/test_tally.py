"""Counts: of rows, of failures by their words, of what models were used for; counts of parts add up."""

from dataclasses import asdict
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.protocols import Reply, Usage
from evolvent.records import Record
from evolvent.runs.stage import notes_of
from evolvent.runs.tally import FAILURES, OTHER_FAILURES, Tally, Used


def row(status: Any = "ok", reason: str | None = None, finish_reason: str | None = "stop") -> Record:
    return Record("s", "s", 0, "Mend a sock", status=status, reason=reason, finish_reason=finish_reason)


rows = st.builds(
    row,
    st.sampled_from(["ok", "eliminated", "failed"]),
    st.sampled_from([None, "equal", "server said no"]),
    st.sampled_from([None, "stop", "length"]),
)
used = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.builds(Used, *[st.integers(0, 9)] * 3, st.booleans(), st.integers(0, 3), st.integers(0, 3)),
)
counted = st.lists(st.tuples(rows, st.sampled_from(["round 1", "round 2"]), used), max_size=20)


def tally_of(found: list[tuple[Record, str, dict[str, Used]]]) -> Tally:
    tally = Tally()
    for record, group, taken in found:
        tally.count(record, group)
        tally.use(taken)
    return tally


@given(counted, st.integers(0, 20))
def test_the_counts_of_two_parts_add_up(found: list[tuple[Record, str, dict[str, Used]]], cut: int) -> None:
    whole, before = tally_of(found), asdict(tally_of(found))
    added = Tally()
    for part in (found[:cut], found[cut:]):
        added.add(tally_of(part))
    assert added == whole
    assert Tally.from_json(orjson.loads(orjson.dumps(whole))) == whole
    assert asdict(tally_of(found)) == before  # what is added is not changed by it
    assert whole.rows == len(found)


def test_what_became_of_rows() -> None:
    tally = Tally()
    for one in [
        row(),
        row(finish_reason="length"),
        row(reason="judge gave no verdict"),
        row("eliminated", "equal"),
        row("failed", "server said no"),
        row("failed", "server said no"),
        row("failed"),
    ]:
        tally.count(one, "round 1", notes_of(one))
    assert tally.summary() == {
        "ok": 3,
        "eliminated": 1,
        "failed": 3,
        "groups": {"round 1": {"eliminated: equal": 1, "failed": 3, "ok": 3}},
        "notes": {"cut at the token limit": 1, "judge gave no verdict": 1},
        "failures": {"server said no": 2, "no reason given": 1},
    }


def test_the_summary_names_the_five_commonest_failures() -> None:
    tally = Tally()
    for n in range(8):
        for _ in range(n + 1):
            tally.count(row("failed", f"words {n}"), "round 1")
    assert tally.summary()["failures"] == {f"words {n}": n + 1 for n in (7, 6, 5, 4, 3)}


def test_different_words_of_failures_are_bounded_and_none_is_lost() -> None:
    parts = [Tally(), Tally()]
    for n in range(2 * FAILURES + 50):
        parts[n % 2].count(row("failed", f"words {n}"), "round 1")
    whole = Tally()
    for part in parts:
        whole.add(part)
        assert len(part.failures) == FAILURES + 1
    assert len(whole.failures) == FAILURES + 1
    assert whole.failures.total() == whole.status["failed"] == 2 * FAILURES + 50
    assert whole.failures[OTHER_FAILURES] == FAILURES + 50


def test_what_replies_took() -> None:
    taken = Used()
    taken.count(Reply("a", "stop", Usage(3, 2)))
    assert taken == Used(1, 3, 2)
    taken.count(Reply("b", "length", Usage(1, 1, True), cut_max_tokens=7))
    assert taken == Used(2, 4, 3, True, 0, 1)
    tally = Tally()
    tally.use({"m": taken})
    tally.use({"m": Used(1, 1, 1, False, 2)})
    assert tally.used_json() == {
        "m": {
            "calls": 3,
            "prompt_tokens": 5,
            "completion_tokens": 4,
            "estimated": True,
            "unusable": 2,
            "cut_max_tokens": 1,
            "empty": 0,
            "thrown_away": 0,
        }
    }
