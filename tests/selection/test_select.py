import hashlib
import json
import os
import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.datasets.load import load
from evolvent.datasets.write import write
from evolvent.errors import InputError
from evolvent.options import checked, read_text
from evolvent.records import Column, Record, schema
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import Output, Placed
from evolvent.runs.record_files import record_table
from evolvent.selection.choose import Criteria, check_columns, choose, parse_top
from evolvent.selection.options import SELECT
from evolvent.selection.select import LOWER_IS_KEPT, select
from evolvent.selection.where import parse_condition


def rows(path: Path, count: int = 20) -> Path:
    """Rows with a score that goes up and down, every fifth without one."""
    with path.open("w") as file:
        for n in range(count):
            quality = None if n % 5 == 4 else (n * 7) % count
            row = {"instruction": f"Question {n}?", "output": f"Answer {n}.", "quality": quality, "length": n}
            file.write(json.dumps(row) + "\n")
    return path


def chosen(path: Path) -> list[str]:
    return [json.loads(line)["messages"][0]["content"] for line in path.read_text().splitlines()]


@given(st.integers(0, 10**6), st.integers(1, 10000))
def test_top_is_the_integer_part_computed_exactly(n: int, hundredths: int) -> None:
    assert parse_top(f"{hundredths / 100:.2f}%")(n) == n * hundredths // 10000


def test_29_percent_of_100_is_29() -> None:
    assert int(100 * 0.29) == 28  # what floats would give
    assert parse_top("29%")(100) == 29
    assert parse_top("10")(3) == 3
    assert parse_top("0.29")(100) == parse_top(0.29)(100) == 29


def test_a_share_is_written_alike_wherever_one_is_taken() -> None:
    for top, dedup in (("25%", "80%"), (0.25, 0.8), ("0.25", "0.8")):
        options = SELECT.options()
        share = checked(options["dedup"], read_text(options["dedup"], dedup))
        assert (share, parse_top(checked(options["top"], top))(100)) == (0.8, 25)
    with pytest.raises(InputError, match="dedup 'most' is no share"):
        read_text(SELECT.options()["dedup"], "most")


@pytest.mark.parametrize("text", ["", "0%", "0", "-5%", "25 percent", "1.5", "nan%", "ten"])
def test_bad_tops(text: str) -> None:
    with pytest.raises(InputError, match=r"top .* is neither a share"):
        parse_top(text)
    with pytest.raises(InputError, match="top '101%' is more than all rows"):
        parse_top("101%")


def test_the_best_in_the_order_of_the_data(tmp_path: Path) -> None:
    done = select(rows(tmp_path / "in.jsonl"), by="quality", top="25%", out=tmp_path / "out.jsonl")
    scores = {n: (n * 7) % 20 for n in range(20) if n % 5 != 4}
    best = sorted(scores, key=lambda n: -scores[n])[: len(scores) // 4]
    assert chosen(tmp_path / "out.jsonl") == [f"Question {n}?" for n in sorted(best)]
    assert done.counts == {"rows": 20, "without quality": 4, "competing": 16, "selected": 4}
    note = json.loads(done.note.read_text())
    assert note["how"]["by"] == "quality"
    assert note["last_score"] == min(scores[n] for n in best)


def test_ascending_and_where(tmp_path: Path) -> None:
    done = select(
        rows(tmp_path / "in.jsonl"),
        by="quality",
        top="2",
        ascending=True,
        where=["length>=10"],
        out=tmp_path / "o.jsonl",
    )
    scores = {n: (n * 7) % 20 for n in range(10, 20) if n % 5 != 4}
    assert set(chosen(tmp_path / "o.jsonl")) == {f"Question {n}?" for n in sorted(scores, key=scores.__getitem__)[:2]}
    assert done.counts["where not met"] == 8


def test_ties_are_broken_by_id(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"q{n}", "output": "a", "s": 1}) + "\n" for n in range(9)))
    first = sorted(load(path), key=lambda record: record.id)[:3]
    select(path, by="s", top="3", out=tmp_path / "o.jsonl")
    assert set(chosen(tmp_path / "o.jsonl")) == {record.instruction for record in first}


record = st.builds(
    lambda value, id, instruction, teacher, status: Record(
        id, instruction, 0, instruction, teacher=teacher, status=status, scores={"s": value}
    ),
    st.sampled_from([None, -0.0, 0.0, 1, 2.5, 2.5, float("inf")]),
    st.text("ab/-é2", min_size=1, max_size=5),
    st.sampled_from("xyz"),
    st.sampled_from([None, "t", "u"]),
    st.sampled_from(["ok", "ok", "ok", "failed"]),
)


@given(
    records=st.lists(record, max_size=30, unique_by=lambda record: record.id),
    top=st.sampled_from(["1%", "40%", "100%", "3", "1000"]),
    ascending=st.booleans(),
    best_per=st.sampled_from([None, "instruction", "seed_id"]),
    where=st.sampled_from([(), ("teacher!=u",), ("teacher==t", "s>0")]),
)
def test_what_is_chosen_is_what_sorting_rows_gives(
    records: list[Record], top: str, ascending: bool, best_per: str | None, where: tuple[str, ...]
) -> None:
    conditions = tuple(map(parse_condition, where))
    chosen = choose(records, Criteria("s", parse_top(top), ascending, conditions, best_per))
    rows = [r for r in records if r.status == "ok" and r.scores["s"] not in (None, float("inf"))]
    rows = [r for r in rows if all(at.holds({"teacher": r.teacher, **r.scores}) for at in conditions)]
    rows.sort(key=lambda r: ((1 if ascending else -1) * r.scores["s"], r.id))  # type: ignore[operator]
    if best_per:
        rows = [r for n, r in enumerate(rows) if r.instruction not in {other.instruction for other in rows[:n]}]
    best = rows[: parse_top(top)(len(rows))]
    assert [r for r, kept in zip(records, chosen.kept, strict=True) if kept] == sorted(best, key=records.index)
    assert chosen.edge == (best[-1].scores["s"] if best else None)
    assert (chosen.counts["competing"], chosen.counts["selected"]) == (len(rows), len(best))
    assert sum(n for why, n in chosen.counts.items() if why not in ("rows", "selected")) == len(records)


def test_memory_is_some_bytes_for_each_row_that_competes() -> None:
    def peak(rows: int, best_per: str | None) -> int:
        tracemalloc.start()
        records = (Record(f"{n:016x}", f"{n // 2}", n, "q" * 1000, scores={"s": n % 10}) for n in range(rows))
        chosen = choose(records, Criteria("s", parse_top("50%"), best_per=best_per))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert chosen.counts["selected"] == rows // (4 if best_per else 2)
        return top

    for best_per in (None, "seed_id"):
        assert peak(40_000, best_per) - peak(20_000, best_per) < 20_000 * 130


def test_the_best_of_each_instruction_with_its_input(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    made = [("a", "", 1), ("b", "", 9), ("a", "", 3), ("a", "2", 2), ("b", "", 4), ("a", "", 3), ("b", "", "none")]
    lines = [{"instruction": q, "input": i, "output": f"{n}", "s": s} for n, (q, i, s) in enumerate(made)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ids = {record.output: record.id for record in load(path)}
    done = select(path, by="s", top="100%", best_per="instruction", to="alpaca", out=out)
    kept = [json.loads(line)["output"] for line in out.read_text().splitlines()]
    assert kept == sorted(["1", min("25", key=ids.__getitem__), "3"])
    counts = {"rows": 7, "without s": 1, "not the best of its instruction": 3, "competing": 3, "selected": 3}
    assert done.counts == counts
    assert json.loads(done.note.read_text())["how"]["best_per"] == "instruction"
    assert select(path, by="s", top="50%", best_per="instruction", out=out).counts["selected"] == 1
    with pytest.raises(InputError, match=r"best_per 'prompt' is not known\nOne of: instruction, seed_id\."):
        select(path, by="s", top="50%", best_per="prompt", out=out)


def test_rows_of_one_teacher(tmp_path: Path) -> None:
    records = [
        Record(f"{n}", "s", 0, f"q{n}", output="a", teacher=teacher, scores={"s": n, "base_model": "embedded-base"})
        for n, teacher in enumerate(["hf:a", "hf:b", "hf:a", "hf:a"])
    ]
    score_columns = [("s", pa.float64()), ("base_model", pa.string())]
    kinds = pa.schema([*schema(), *(pa.field(*column) for column in score_columns)])
    pq.write_table(record_table(records, kinds), tmp_path / "scored.parquet")
    out = tmp_path / "o.jsonl"
    where = ["teacher==hf:a", "base_model!=other", "s<3"]
    done = select(tmp_path / "scored.parquet", by="s", top="100%", where=where, out=out)
    assert chosen(out) == ["q0", "q2"]
    assert done.counts["where not met"] == 2
    assert select(tmp_path / "scored.parquet", by="s", top="9", where="teacher!=hf:a", out=out).counts["selected"] == 1
    there = "Columns of numbers: round, s, seed_index; of text: base_model, teacher"
    with pytest.raises(InputError, match=rf"^no column techer; s holds no text .*\n{there}\."):
        select(tmp_path / "scored.parquet", by="s", top="1", where=["techer==hf:a", "s==x"], out=out)


def test_a_column_of_the_users_stands_where_the_record_says_nothing(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    path.write_text("".join(f'{{"instruction": "q{n}", "teacher": "t{n % 2}", "s": 1}}\n' for n in range(4)))
    select(path, by="s", top="100%", where="teacher==t1", out=out)
    assert chosen(out) == ["q1", "q3"]


def test_a_score_that_is_null_everywhere_is_said_with_the_reason(tmp_path: Path) -> None:
    records = [
        Record(f"{n}", f"{n}", n, "Mend", output="wool", scores={"judge_score": None, "ifd": 1.0, "score_reason": why})
        for n, why in enumerate(["one token; judge_score: the call failed"] * 2 + ["judge_score: no number"])
    ]
    criteria = Criteria("judge_score", parse_top("50%"))
    with pytest.raises(InputError, match="judge_score is null in every row of r; in 2 because: the call failed"):
        check_columns(records, criteria, "r")
    check_columns(records, replace(criteria, by="ifd"), "r")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top": "1%"}, "nothing is selected"),
        ({"by": "nope"}, "no column nope"),
        ({"where": ["nope<1"]}, "no column nope"),
        ({"where": ["length>99"]}, "nothing is selected"),
    ],
)
def test_nothing_selected_is_an_error_and_writes_nothing(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    chosen_options = {"by": "quality", "top": "50%", **options}
    with pytest.raises(InputError, match=words):
        select(rows(tmp_path / "in.jsonl"), out=tmp_path / "out.jsonl", **chosen_options)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_column_of_text_is_no_column_to_go_by(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    row = {"instruction": "q", "output": "a", "topic": "home", "good": True, "s": 1, "none": None}
    path.write_text(json.dumps(row) + "\n")
    columns = r"\nColumns of numbers: s, seed_index; of text: good, topic\.$"
    with pytest.raises(
        InputError, match=rf"^topic holds no number \(in the first row that has it: 'home'\).*{columns}"
    ):
        select(path, by="topic", top="1", out=tmp_path / "o.jsonl")
    with pytest.raises(InputError, match=rf"^no column nope; good holds no number .*'True'\) in .*{columns}"):
        select(path, by="nope", where="good>0", top="1", out=tmp_path / "o.jsonl")
    with pytest.raises(InputError, match="none is null in every row of"):
        select(path, by="none", top="1", out=tmp_path / "o.jsonl")


def run_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A run's file of pairs: what is not given is as in any answered evolution."""
    made = []
    for n, row in enumerate(rows):
        scores = {"s": row.pop("s", float(n))}
        own = {"instruction": f"Question {n}?", "output": f"Answer {n}.", "round": 1, "teacher": "t"} | row
        made.append(Record(f"id{n}", f"id{n}", n, scores=scores, **own))
    pq.write_table(record_table(made, schema([Column("s")])), path)
    return path


@pytest.mark.parametrize("reason", ["length", "loop"])
def test_answers_that_were_cut_are_left_out_and_counted(tmp_path: Path, reason: str) -> None:
    users = {"finish_reason": None, "meta": '{"finish_reason":"length"}'}
    data = run_rows(tmp_path / "scored.parquet", [{"finish_reason": why} for why in ("stop", reason)] + [users])
    done = select(data, by="s", top="100%", out=tmp_path / "o.jsonl")
    assert chosen(tmp_path / "o.jsonl") == ["Question 0?", "Question 2?"]
    assert done.counts["cut (--keep-cut keeps them)"] == 1
    assert select(data, by="s", top="100%", keep_cut=True, out=tmp_path / "o.jsonl").counts["selected"] == 3
    lines = [{**row, "scores": None, "finish_reason": row["finish_reason"]} for row in pq.read_table(data).to_pylist()]
    (tmp_path / "scored.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    copied = select(tmp_path / "scored.jsonl", by="s", top="100%", out=tmp_path / "o.jsonl")
    assert copied.counts["cut (--keep-cut keeps them)"] == 1  # a run's rows as another tool wrote them


def test_a_users_columns_with_our_names_are_the_users(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    row = {
        "instruction": "q",
        "output": "a",
        "finish_reason": "length",
        "status": "failed",
        "reason": "none",
        "meta": 1,
    }
    row |= {"seed_id": "mine", "id": 7, "method": "hand", "evolver": 3, "teacher": ["x"], "scores": {"ifd": 1}}
    path.write_text("".join(json.dumps({**row, "round": n, "ifd": n / 9, "seed_index": -n}) + "\n" for n in range(4)))
    done = select(
        path, by="ifd", where=["round>=2", "method==hand", "status==failed"], top="2", out=tmp_path / "o.jsonl"
    )
    assert done.counts == {"rows": 4, "where not met": 2, "competing": 2, "selected": 2}
    again = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [(row["round"], row["finish_reason"], row["status"], row["id"]) for row in again] == [
        (2, "length", "failed", 7),
        (3, "length", "failed", 7),
    ]
    assert select(path, by="seed_index", top="1", out=tmp_path / "p.jsonl").counts["selected"] == 1
    assert json.loads((tmp_path / "p.jsonl").read_text())["round"] == 0


def test_refusals_and_other_languages_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    english, german = (
        "Write a short description of autumn and the wind.",
        "Schreibe ein kurzes Gedicht über den Herbst.",
    )
    rows = [
        {"instruction": english, "output": "Golden leaves are falling on the quiet street tonight."},
        {"instruction": english, "output": "I'm sorry, but I can't help you with that."},
        {"instruction": german, "output": "Golden leaves are falling on the quiet street tonight."},
        {"instruction": english, "output": "Goldene Blätter fallen heute leise auf die stille Straße."},
        {"instruction": f"{english} Do it in German.", "output": "Goldene Blätter fallen leise auf die stille Straße."},
        {"instruction": "2 + 2?", "output": "4"},
    ]
    data = run_rows(tmp_path / "scored.parquet", rows)
    done = select(data, by="s", top="100%", drop_refusals=True, language="en", out=tmp_path / "o.jsonl", to="alpaca")
    assert done.counts["refusals"] == 1
    assert done.counts["in another language"] == 2
    assert done.counts["kept though no language can be told"] == 1
    kept = [json.loads(line)["output"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert kept == [rows[n]["output"] for n in (0, 4, 5)]
    with pytest.raises(InputError, match=r"language 'english' is none that can be told\nCodes .* de, .*en, "):
        select(data, by="s", top="100%", language="english", out=tmp_path / "o.jsonl")


def test_of_near_duplicates_the_best_stays(tmp_path: Path) -> None:
    pytest.importorskip("rensa")
    asked = "Explain how a sailing boat can move against the wind, step by step, with a drawing."
    rows = [
        {"instruction": asked, "s": 1.0},
        {"instruction": asked.upper().replace(",", " -"), "s": 3.0},
        {"instruction": "Name three rivers of Portugal.", "s": 2.0},
        {"instruction": asked.replace("drawing", "sketch"), "s": 0.5},
    ]
    data = run_rows(tmp_path / "scored.parquet", rows)
    done = select(data, by="s", top="100%", dedup=0.8, out=tmp_path / "o.jsonl")
    assert chosen(tmp_path / "o.jsonl") == [rows[1]["instruction"], rows[2]["instruction"]]
    assert done.counts["near-duplicates of a better one"] == 2
    assert select(data, by="s", top="100%", dedup=1, out=tmp_path / "o.jsonl").counts["selected"] == 3


THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def test_contaminated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = [{"instruction": THIRTEEN if n == 7 else f"q{n}", "output": "a", "s": n} for n in range(8)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "test.txt").write_text(f"intro\n{THIRTEEN}\n")
    done = select(path, by="s", top="1", out=tmp_path / "o.jsonl", decontaminate=[tmp_path / "test.txt"])
    assert chosen(tmp_path / "o.jsonl") == ["q6"]
    assert done.counts["contaminated"] == 1


def test_a_test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = rows(tmp_path / "in.jsonl")
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read"):
        select(data, by="quality", top="1", out=tmp_path / "o.jsonl", decontaminate=tmp_path / "none.jsonl")


def test_the_same_selection_again_is_left_alone_and_another_is_made(tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    first = select(path, by="quality", top="25%", out=out)
    again = select(path, by="quality", top="25%", out=out)
    assert (first.already_done, again.already_done) == (False, True)
    assert again.counts == first.counts
    assert select(path, by="quality", top="50%", out=out).counts["selected"] == 8
    path.write_text(path.read_text() + '{"instruction": "q", "output": "a", "quality": 99, "length": 1}\n')
    assert not select(path, by="quality", top="50%", out=out).already_done
    out.unlink()
    assert not select(path, by="quality", top="50%", out=out).already_done


def test_a_file_that_was_changed_by_hand_is_made_anew(tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    select(path, by="quality", top="25%", out=out)
    made = out.read_bytes()
    out.write_bytes(made + b'{"messages": []}\n')
    assert not select(path, by="quality", top="25%", out=out).already_done
    assert out.read_bytes() == made
    assert select(path, by="quality", top="25%", out=out).already_done
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.jsonl", "o.jsonl", "o.jsonl.selection.json"]


def test_a_note_of_an_earlier_version_is_no_proof(tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    note = select(path, by="quality", top="25%", out=out).note
    content = json.loads(note.read_text())
    assert content.pop("sha256") == hashlib.sha256(out.read_bytes()).hexdigest()
    note.write_text(json.dumps(content))
    assert not select(path, by="quality", top="25%", out=out).already_done


@pytest.mark.parametrize(
    "wrong",
    [{"counts": None}, {"counts": {"rows": "many"}}, {"input": 7}, {"how": []}, [], {"sha256": ["x"]}, None, "folder"],
)
def test_a_damaged_note_is_made_anew(wrong: Any, tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    done = select(path, by="quality", top="25%", out=out)
    assert done.note is not None
    note = json.loads(done.note.read_text())
    done.note.write_text(json.dumps(note | wrong if isinstance(wrong, dict) else wrong))
    again = select(path, by="quality", top="25%", out=out)
    assert (again.counts, again.already_done) == (done.counts, False)
    assert select(path, by="quality", top="25%", out=out).already_done


def test_a_pipe_has_no_note_and_no_entry(tmp_path: Path) -> None:
    select(rows(tmp_path / "in.jsonl"), by="quality", top="25%", out=tmp_path / "o.jsonl")
    with RunFolder(tmp_path / "run") as run:
        run.note("select:other", {}, {"digest": "a"}, {}, tmp_path / "o.jsonl")
    manifest = (tmp_path / "run/manifest.json").read_bytes()
    os.mkfifo(tmp_path / "run/pipe")
    with ThreadPoolExecutor() as pool:
        reading = pool.submit((tmp_path / "run/pipe").read_bytes)
        done = select(tmp_path / "in.jsonl", by="quality", top="25%", out=tmp_path / "run/pipe")
        assert reading.result() == (tmp_path / "o.jsonl").read_bytes()
    assert done.note is None
    assert {file.name for file in (tmp_path / "run").iterdir()} == {".lock", "manifest.json", "pipe"}
    assert (tmp_path / "run/manifest.json").read_bytes() == manifest


def test_two_at_once_to_one_file_leave_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    start, first = Barrier(2), Event()
    waits: list[bool] = []

    def after_a_rename(folder: Path) -> None:
        """The first to put its file in place waits until the other has, too, unless that waits for its turn."""
        if not waits:
            waits.append(True)
            first.wait(0.5)
        first.set()

    monkeypatch.setattr(import_module("evolvent.files"), "sync_folder", after_a_rename)

    def choose_at_once(top: str) -> int:
        start.wait()
        return int(select(path, by="quality", top=top, out=out).counts["selected"])

    with ThreadPoolExecutor() as pool:
        for tops in (("3", "5"), ("4", "2")):
            waits.clear()
            first.clear()
            assert list(pool.map(choose_at_once, tops)) == [int(top) for top in tops]
            note = json.loads((tmp_path / "o.jsonl.selection.json").read_text())
            assert note["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
            assert note["counts"]["selected"] == len(chosen(out)) == int(note["how"]["top"])
    assert len(list(tmp_path.iterdir())) == 3


def test_what_is_refused_leaves_the_earlier_selection_with_its_note(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    turns = [{"role": role, "content": "text"} for role in ("user", "assistant", "user", "assistant")]
    path.write_text("".join(json.dumps({"messages": turns, "q": n}) + "\n" for n in range(4)))
    select(path, by="q", top="1", out=out)
    with pytest.raises(InputError, match="more than one turn"):
        select(path, by="q", top="2", to="alpaca", out=out)
    assert select(path, by="q", top="1", out=out).already_done


def test_a_note_that_is_a_link_stays_one(tmp_path: Path) -> None:
    path, out, note = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl", tmp_path / "o.jsonl.selection.json"
    (tmp_path / "elsewhere").mkdir()
    note.symlink_to("elsewhere/note.json")
    for top in ("1", "2"):
        select(path, by="quality", top=top, out=out)
        assert note.is_symlink()
    assert json.loads(note.read_text())["how"]["top"] == "2"


def test_a_test_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tests, selecting = rows(tmp_path / "in.jsonl"), tmp_path / "t.txt", import_module("evolvent.selection.select")
    tests.write_text(THIRTEEN)

    def changed(files: list[Path]) -> set[bytes]:
        tests.write_text(THIRTEEN.upper())
        return set()

    monkeypatch.setattr(selecting, "load_ngrams", changed)
    with pytest.raises(InputError, match=r"decontaminate .*t\.txt changed while it was read"):
        select(path, by="quality", top="1", out=tmp_path / "o.jsonl", decontaminate=[tests])


def test_numbers_in_csv(tmp_path: Path) -> None:
    lines = ["instruction,output,my score,length", *(f"q{n},a,{n / 2},{n}" for n in range(12)), "q12,a,n/a,12"]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    done = select(
        tmp_path / "in.csv", by="my score", top="2", where=["my score < 5.5", "length>1"], out=tmp_path / "o.jsonl"
    )
    assert chosen(tmp_path / "o.jsonl") == ["q9", "q10"]
    assert done.counts == {"rows": 13, "where not met": 3, "without my score": 1, "competing": 9, "selected": 2}


def test_keeping_the_highest_of_what_is_better_low_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"instruction": "q{n}", "output": "a", "instruction_ppl": {n}}}\n' for n in range(4)))
    select(path, by="instruction_ppl", top="1", ascending=True, out=tmp_path / "o.jsonl")
    select(path, by="seed_index", top="1", out=tmp_path / "o.jsonl")
    assert not caplog.records
    select(path, by="instruction_ppl", top="1", out=tmp_path / "o.jsonl")
    assert "--ascending keeps the lowest" in caplog.text


def test_the_scores_that_are_better_low_are_those_of_the_docs() -> None:
    docs = Path("docs/metrics.md").read_text()
    lower = re.findall(r"^\| `(\w+)` \|[^|]*(?:\\\|[^|]*)*\| lower", docs, re.MULTILINE)
    assert tuple(lower) == LOWER_IS_KEPT


@pytest.mark.parametrize("name", ["x" * 300 + ".jsonl", "in.jsonl/sub/o.jsonl", "nul\0.jsonl"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    data = rows(tmp_path / "in.jsonl")
    with pytest.raises(InputError):
        select(data, by="quality", top="1", out=tmp_path / name)
    with pytest.raises(InputError):
        select(tmp_path / name, by="quality", top="1", out=tmp_path / "o.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def scored_run(folder: Path) -> Path:
    """A run folder with four scored rows."""
    with RunFolder(folder) as run:
        run.begin("score", {}, {"digest": "a", "stage": "respond"}, fresh=True)
        run.start("score", {})
        output = Output(run.output("score"), 4, columns=[Column("ifd")])
        for n in range(4):
            record = Record(f"s{n}", f"s{n}", n, f"Mend sock {n}", output="Wool.", scores={"ifd": n / 10})
            output.add(Placed(0, n, record), [record], lambda tally, row: tally.count(row, ""))
        run.finish("score", output.finish().summary(), {}, {})
    return folder


def test_a_selection_in_a_run_folder_is_in_its_manifest(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "run")
    for name, top in (("best.jsonl", "25%"), ("half.jsonl", "50%")):
        select(run, by="ifd", top=top, out=run / name)
    entries = read_manifest(run)
    assert list(entries) == ["score", "select:best.jsonl", "select:half.jsonl"]
    entry = entries["select:half.jsonl"]
    assert (entry.state, entry.settings["top"], entry.counts["selected"]) == ("done", "50%", 2)
    assert (entry.input["stage"], entry.output["name"]) == ("score", "half.jsonl")
    with pytest.raises(InputError, match="is a file of a run"):
        write([], run / "half.jsonl")
    assert select(run, by="ifd", top="75%", out=run / "half.jsonl").counts["selected"] == 3
    assert read_manifest(run)["select:half.jsonl"].settings["top"] == "75%"


def test_a_selection_of_scores_that_were_made_anew_is_stale_until_it_is_looked_at(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "run")
    select(run, by="ifd", top="25%", out=run / "best.jsonl")
    scored_run(run)
    assert read_manifest(run)["select:best.jsonl"].state == "stale"
    assert select(run, by="ifd", top="25%", out=run / "best.jsonl").already_done
    assert read_manifest(run)["select:best.jsonl"].state == "done"


def test_scores_that_are_made_anew_meanwhile_are_not_mixed_into_a_selection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scored_run(tmp_path / "run")
    selecting = import_module("evolvent.selection.select")

    def meanwhile(*given: Any) -> Any:
        chosen = choose(*given)
        scored_run(run)
        return chosen

    monkeypatch.setattr(selecting, "choose", meanwhile)
    with pytest.raises(InputError, match=r"scored\.parquet has changed"):
        select(run, by="ifd", top="25%", out=run / "best.jsonl")
    assert not (run / "best.jsonl").exists()
    assert list(read_manifest(run)) == ["score"]


def test_nothing_is_selected_into_a_run_folder_in_which_another_process_works(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "run")
    with RunFolder(run), pytest.raises(InputError, match="in use by another process"):
        select(run, by="ifd", top="25%", out=run / "best.jsonl")
    assert not (run / "best.jsonl").exists()


def test_a_selection_elsewhere_is_in_no_manifest(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "run")
    select(run, by="ifd", top="25%", out=tmp_path / "best.jsonl")
    assert list(read_manifest(run)) == ["score"]
    assert not (tmp_path / "manifest.json").exists()
