"""Faults in what a model says: one bad reply costs one record, never its neighbours, and every row is accounted for."""

from pathlib import Path

import pytest

from tests.faults.draw import Draw
from tests.faults.server import CONTENT, THOUGHTS
from tests.faults.way import FILES, ROUNDS, Way, assert_all_accounted_for, manifest, rows_of, seed_of

GROUPS = {
    "no text": ["null content", "no content", "empty text", "blank text"],
    "cut": ["cut at the token limit"],
    "ended otherwise": ["content filter", "refusal", "tool call only", "reasoning only", "unclosed <think>"],
    "odd but good": ["half a character", "no usage"],
    "no completion": ["no choices", "choices of another shape", "a list"],
    "refused": ["too long", "flagged"],
    "everything": [*CONTENT],
}
# What the rows' statuses may be besides ok, and what the reasons say (any of these).
FATES = {
    "no text": {"eliminated": ["empty"]},
    "cut": {"eliminated": ["truncated"]},
    "ended otherwise": {"eliminated": ["empty", "filtered", "refused", "only reasoning", "cut inside its reasoning"]},
    "odd but good": {"eliminated": ["unchanged"]},
    "no completion": {"failed": ["no chat completion", "no choices"]},
    "refused": {"failed": ["maximum context length", "flagged by moderation"]},
}


def test_every_fault_has_its_group() -> None:
    grouped = [name for group, names in GROUPS.items() if group != "everything" for name in names]
    assert sorted([*grouped, "10 MB of text"]) == sorted(CONTENT)


@pytest.mark.parametrize("group", GROUPS)
def test_evolve(way: Way, evolved: Path, group: str) -> None:
    check(way, "evolve", group, evolved)


@pytest.mark.parametrize("group", ["ended otherwise", "everything"])
def test_respond(way: Way, answered: Path, group: str) -> None:
    check(way, "respond", group, answered)


def check(way: Way, stage: str, group: str, whole: Path) -> None:
    rate = 0.3 if group != "everything" else 0.15  # 10 MB each time it draws that one
    way.server.draw = Draw(GROUPS[group], rate=rate)
    ended = way.command(stage)
    assert ended.status == 0, ended.errors
    assert "Traceback" not in ended.errors
    assert way.server.draw.drawn, "nothing was disturbed"
    rows = assert_all_accounted_for(way.folder / "run", stage, ended.output)
    assert_neighbours_untouched(way, rows, whole)
    for status, reasons in FATES.get(group, {}).items():
        words = [row["reason"] for row in rows if row["status"] == status]
        assert all(any(reason in word for reason in reasons) for word in words), words
    if group == "refused" or group == "no completion":
        failures = manifest(way.folder / "run")["stages"][stage]["counts"]["failures"]
        assert sum(failures.values()) == len([row for row in rows if row["status"] == "failed"]) > 0


def test_ten_megabytes_of_text(way: Way, evolved: Path) -> None:
    way.server.draw = Draw(["10 MB of text"], rate=0.04)
    ended = way.command("evolve")
    assert ended.status == 0, ended.errors
    rows = assert_all_accounted_for(way.folder / "run", "evolve", ended.output)
    assert max(len(row["instruction"]) for row in rows) > 10_000_000
    assert_neighbours_untouched(way, rows, evolved)


def test_thoughts_are_no_part_of_a_reply(way: Way, evolved: Path) -> None:
    way.server.draw = Draw([*THOUGHTS], rate=1)
    ended = way.command("evolve")
    assert ended.status == 0, ended.errors
    assert set(way.server.draw.met) == set(THOUGHTS)
    # The rows, not the bytes: the file also sums up the tokens, and thoughts are paid for.
    assert rows_of(way.folder / "run" / FILES["evolve"]) == rows_of(evolved)


def test_failed_records_are_taken_again(way: Way, evolved: Path) -> None:
    """``--retry-failed`` asks for those that failed and for what comes after them, and for nothing else."""
    way.server.draw = Draw(["too long", "no choices"], rate=0.2)
    assert way.command("evolve").status == 0
    failed = [row for row in rows_of(way.folder / "run" / FILES["evolve"]) if row["status"] == "failed"]
    assert failed
    way.server.draw = Draw()
    again = way.command("evolve", "run", "--retry-failed")
    assert again.status == 0, again.errors
    assert (way.folder / "run" / FILES["evolve"]).read_bytes() == evolved.read_bytes()
    assert len(failed) <= way.server.draw.total <= ROUNDS * len({row["seed_id"] for row in failed})


def assert_neighbours_untouched(way: Way, rows: list[dict[str, object]], whole: Path) -> None:
    """Check that the seeds which met no fault came out as in an undisturbed run."""
    hit = {seed_of(body) for _, body in way.server.draw.drawn}
    untouched = [row for row in rows if row["seed_index"] not in hit]
    assert untouched, "every seed met a fault: nothing is left to compare"
    assert untouched == [row for row in rows_of(whole) if row["seed_index"] not in hit]
