"""What a run holds, as tables: states, fates, failures, calls, scores, trajectories."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.key import call_key
from evolvent.call_store.store import Call, CallStore
from evolvent.errors import InputError
from evolvent.models.protocols import Usage
from evolvent.records import Column, Record
from evolvent.report.contents import contents, described
from evolvent.report.summary import summary as tables_of
from evolvent.report.tables import Table
from evolvent.runs.folder import RunFolder
from evolvent.runs.parts import PART, Output, Placed, parts_folder

M = "openai:m"
USED = {M: {"calls": 5, "prompt_tokens": 50, "completion_tokens": 1234, "estimated": True, "unusable": 2}}
PAID = {M: {"calls": 3, "prompt_tokens": 30, "completion_tokens": 20, "estimated": False, "cost": 1.5}}


def summary(folder: Path, stage: str | None = None) -> list[Table]:
    return tables_of(contents(folder, stage))


def trajectories(folder: Path, count: int) -> list[Table]:
    return [one for one in tables_of(contents(folder, None, count)) if one.title.startswith("seed ")]


def begin(run: RunFolder, stage: str) -> None:
    run.begin(stage, {}, {"digest": "a"}, fresh=False)
    run.start(stage, {M: "weights"})


def finish(folder: Path, stage: str, records: list[Record], fields: Any = ()) -> None:
    with RunFolder(folder) as run:
        begin(run, stage)
        output = Output(run.output(stage), len(records), columns=fields)
        for n, record in enumerate(records):
            output.add(Placed(0, n, record), [record], lambda tally, row: tally.count(row, f"round {row.round}"))
        run.finish(stage, {"seeds": 2, **output.finish().summary()}, USED, PAID)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = [
        Record("a", "a", 0, "Mend a sock", "wool"),
        Record("a/r1", "a", 0, "Mend a red sock", round=1, operator="deepening"),
        Record("a/r2", "a", 0, "", round=2, operator="breadth", status="failed", reason="server said no"),
        Record("b", "b", 3, "Mend a bike"),
        Record("b/r1", "b", 3, "", round=1, operator="breadth", status="eliminated", reason="empty"),
    ]
    finish(tmp_path, "evolve", records)
    return tmp_path


def table(tables: list[Table], title: str) -> Table:
    (found,) = [one for one in tables if one.title == title]
    return found


def test_stages_and_what_became_of_their_rows(run: Path) -> None:
    tables = summary(run)
    ((name, state, _, counts, file),) = table(tables, "stages").rows
    assert (name, state, file) == ("evolve", "done", "evolved.parquet")
    assert counts == "2 seeds, 3 ok, 1 eliminated, 1 failed"
    fates = table(tables, "evolve: what became of the rows")
    assert fates.columns == ("", "round 0", "round 1", "round 2")
    assert fates.rows == [("ok", "2", "1", "0"), ("eliminated: empty", "0", "1", "0"), ("failed", "0", "0", "1")]
    assert table(tables, "evolve: failures").rows == [("1", "server said no")]


def test_calls_that_were_paid_and_those_behind_the_rows(run: Path) -> None:
    paid = table(summary(run), "paid for in this folder")
    assert paid.columns == ("stage", "model", "calls", "tokens in", "tokens out", "cost")
    assert paid.rows == [("evolve", "m", "3", "30", "20", "1.50")]
    assert paid.notes == (f"m: {M}",)
    used = table(summary(run), "behind the rows")
    assert used.columns == ("stage", "model", "replies", "tokens in", "tokens out", "asked again")
    assert used.rows == [("evolve", "m", "5", "~50", "~1,234", "2")]
    assert used.notes == (
        "asked again: replies that could not be used, so that another was asked for",
        "~: estimated by length, where a server gave no count",
        f"m: {M}",
    )


def test_a_column_of_zeros_is_left_out(run: Path) -> None:
    with RunFolder(run) as folder:
        begin(folder, "respond")
        Output(folder.output("respond"), 0).finish()
        folder.finish("respond", {}, {M: {"calls": 2, "prompt_tokens": 4}}, {M: {"calls": 2, "cost": 0.0}})
    paid, used = summary(run, "respond")[-2:]
    assert (paid.columns, paid.rows) == (("stage", "model", "calls"), [("respond", "m", "2")])
    assert (used.columns, used.rows) == (("stage", "model", "replies", "tokens in"), [("respond", "m", "2", "4")])


def test_the_tables_of_one_stage(run: Path) -> None:
    finish(run, "score", [Record("s", "a", 0, "x", scores={"ifd": 1.0})], [Column("ifd")])
    assert [row[0] for row in table(summary(run, "evolve"), "stages").rows] == ["evolve"]
    assert {one.title for one in summary(run)} - {one.title for one in summary(run, "evolve")} == {
        "score: what became of the rows",
        "scores",
    }
    assert "evolve: failures" not in {one.title for one in summary(run, "score")}


def test_scores(run: Path) -> None:
    values = [1.0, 2.0, 3.0, None]
    records = [Record(f"s{n}", "a", 0, "x", scores={"ifd": value}) for n, value in enumerate(values)]
    finish(run, "score", records, [Column("ifd")])
    assert table(summary(run), "scores").rows == [("ifd", "2", "1.2", "2", "2.8", "3", "1")]


def test_a_column_without_any_score(run: Path) -> None:
    finish(run, "score", [Record("s", "a", 0, "x", scores={"ifd": None})], [Column("ifd")])
    assert table(summary(run), "scores").rows == [("ifd", "", "", "", "", "0", "1")]


def test_a_stage_under_way_and_one_that_was_interrupted(run: Path) -> None:
    with RunFolder(run) as folder:
        begin(folder, "respond")
        stages = table(summary(run), "stages")
        assert [row[1] for row in stages.rows] == ["done", "running"]
        assert stages.notes == ()
        output = Output(folder.output("respond"), PART + 1)
        for n in range(PART + 1):
            output.add(
                Placed(n // PART, n, Record(f"{n}", "a", 0, "x")), [Record(f"{n}", "a", 0, "x")], lambda *_: None
            )
    # a part that is joined and removed while it is looked for
    (parts_folder(run / "responses.parquet") / "000001.parquet").symlink_to(run / "gone")
    stages = table(summary(run), "stages")
    assert [row[1] for row in stages.rows] == ["done", "interrupted"]
    assert stages.rows[1][3:] == ("2,048 records written", "not yet")
    assert stages.notes == ("respond was interrupted: start the same command again to go on",)


def test_an_unfinished_stage_says_of_how_many_and_what_the_store_knows(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.begin("evolve", {}, {"digest": "a", "format": "alpaca", "rows": 3_000}, fresh=False)
        folder.start("evolve", {M: "weights"})
        with closing(CallStore(tmp_path / "calls.sqlite")) as store:
            calls = [Call(call_key(n), "evolve", "r", M, "{}", "{}", usage=Usage(7, 2)) for n in range(4)]
            asyncio.run(store.put(calls))
        stages, paid = summary(tmp_path)
    assert stages.rows[0][3] == "0 of 3,000 records written, 4 calls stored"
    assert paid.rows == [("evolve", "m", "4", "28", "8")]  # without a cost: no command has noted a price yet


def test_trajectories(run: Path) -> None:
    first, second = trajectories(run, 5)
    assert (first.title, second.title) == ("seed 0, id a", "seed 3, id b")
    assert first.rows == [
        ("0", "seed", "ok", "Mend a sock\nwool"),
        ("1", "deepening", "ok", "Mend a red sock"),
        ("2", "breadth", "failed: server said no", ""),
    ]
    assert [one.title for one in trajectories(run, 1)] == ["seed 0, id a"]
    assert trajectories(run, 0) == []


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        summary(tmp_path)


def test_counts_as_a_line() -> None:
    assert described({"ok": 1200, "failed": 0, "groups": {"a": 1}, "pairs": 3}) == "1,200 ok, 3 pairs"


def test_the_files_of_a_copied_folder_are_those_that_its_stages_wrote(
    run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    finish(run, "score", [Record("s", "a", 0, "x", scores={"ifd": 1.0})], [Column("ifd")])
    copy = shutil.copytree(run, tmp_path_factory.mktemp("elsewhere") / "copy", copy_function=shutil.copyfile)
    assert summary(copy) == summary(run)


def test_while_scores_are_made_anew_the_old_ones_are_not_shown(run: Path) -> None:
    finish(run, "score", [Record("s", "a", 0, "x", scores={"ifd": 1.0})], [Column("ifd")])
    assert summary(run)[-1].title == "scores"
    with RunFolder(run) as folder:
        folder.begin("score", {"other": 1}, {"digest": "a"}, fresh=True)
        folder.start("score", {})
    assert "scores" not in [table.title for table in summary(run)]
    (stages, *_) = summary(run)
    assert next(row for row in stages.rows if row[0] == "score")[-1] == "not yet"
