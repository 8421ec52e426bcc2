"""What is written reads back as the same conversations, from every format and kind of file; JSON keeps the columns."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolvent.datasets import load, write
from evolvent.datasets.render import conversation
from evolvent.records import Message, Record

FORMATS = ("messages", "alpaca", "sharegpt", "prompt_completion")
KINDS = ("jsonl", "csv", "parquet")

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
# Line ends, quotes and what looks like JSON are where CSV goes wrong.
tricky = text | st.sampled_from(['"', "\r", "\r\n", "a,b\n", "5", "true", "null", "[]", '{"a":1}', "", " ", "é"])
filled = tricky.filter(str.strip)
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | tricky
)
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=4
)
# Names that the formats need themselves, and our own, are where columns get lost.
name = text | st.sampled_from(
    [
        "meta",
        "id",
        "prompt",
        "completion",
        "chosen",
        "system",
        "messages",
        "conversations",
        "instruction",
        "turns",
    ]
)
extras = st.dictionaries(name, value, max_size=4)


@st.composite
def alpaca_rows(draw: st.DrawFn) -> dict[str, Any]:
    row = draw(extras)
    row |= {"instruction": draw(filled), "input": draw(tricky), "output": draw(tricky)}
    row.pop("history", None)
    row["system"] = draw(st.none() | tricky)
    return row


@st.composite
def conversation_rows(draw: st.DrawFn) -> dict[str, Any]:
    turns = draw(st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), filled), max_size=4))
    turns.insert(0, ("user", draw(filled)))
    if draw(st.booleans()):
        turns.insert(0, ("system", draw(tricky)))
    messages: list[dict[str, Any]] = [{"role": role, "content": content} for role, content in turns]
    if draw(st.booleans()):
        messages[0]["loss_weight"] = draw(st.floats(0, 1))
    return {**draw(extras), "messages": messages}


@st.composite
def single_turn_rows(draw: st.DrawFn) -> dict[str, Any]:
    messages = [{"role": "user", "content": draw(filled)}]
    if draw(st.booleans()):
        messages.insert(0, {"role": "system", "content": draw(tricky)})
    if draw(st.booleans()):
        messages.append({"role": "assistant", "content": draw(tricky)})
    return {**draw(extras), "messages": messages}


def said(record: Record) -> tuple[str, str, list[Message]]:
    """Question, answer and turns; alpaca has no empty system turn and no empty answer."""
    turns = [turn for turn in conversation(record) if turn["content"] or turn["role"] not in ("system", "assistant")]
    return record.question, record.output, turns


def users_columns(record: Record) -> dict[str, Any]:
    """The user's columns, wherever they stand."""
    columns: dict[str, Any] = json.loads(record.meta or "{}")
    columns.pop("_original", None)
    ours = columns.get("meta")
    if isinstance(ours, dict) and ours.keys() & {"_columns", "_original"}:
        del columns["meta"]
        columns |= ours.get("_columns", {})
    return columns


def check(rows: list[dict[str, Any]], read_as: str, format: str, folder: Path) -> None:
    data = load(rows, format=read_as)
    records = list(data)
    assert len(records) == len(rows)
    for kind in KINDS:
        path = folder / f"out.{kind}"
        assert write(data, path, format=format).written == len(rows)
        again = list(load(path))
        assert list(map(said, again)) == list(map(said, records)), (format, kind)
        if kind == "jsonl":
            assert list(map(users_columns, again)) == list(map(users_columns, records))
        # Written and read once more it stays as it is.
        write(again, folder / f"again.{kind}", format=format)
        if kind == "jsonl":
            lines = [(folder / name).read_bytes().splitlines() for name in ("again.jsonl", "out.jsonl")]
            assert [json.loads(line) for line in lines[0]] == [json.loads(line) for line in lines[1]]
        else:
            assert (folder / f"again.{kind}").read_bytes() == path.read_bytes()


several = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("format", FORMATS)
@several
@given(rows=st.lists(alpaca_rows(), min_size=1, max_size=4))
def test_instructions(format: str, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    check(rows, "alpaca", format, tmp_path)


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "alpaca"])
@several
@given(rows=st.lists(conversation_rows(), min_size=1, max_size=4))
def test_conversations(format: str, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    check(rows, "messages", format, tmp_path)


@several
@given(rows=st.lists(single_turn_rows(), min_size=1, max_size=4))
def test_single_turn_conversations_through_alpaca(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    check(rows, "messages", "alpaca", tmp_path)


@pytest.mark.parametrize("kind", ["json", "json.gz", "jsonl.gz", "csv.gz"])
def test_the_other_kinds_of_file(kind: str, tmp_path: Path) -> None:
    rows = [{"instruction": f"Count to {n}.", "output": "\n".join("123"), "n": n} for n in range(5)]
    write(load(rows), tmp_path / f"out.{kind}")
    assert list(map(said, load(tmp_path / f"out.{kind}"))) == list(map(said, load(rows)))
    assert ((tmp_path / f"out.{kind}").read_bytes()[:2] == b"\x1f\x8b") == kind.endswith(".gz")


def test_tool_calls_come_back_in_their_own_format_and_are_kept_in_another(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    row = {
        "messages": [
            {"role": "user", "content": "Add 2 and 3."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
            {"role": "assistant", "content": "5"},
        ],
        "source": "hand",
    }
    data = load([row])
    write(data, tmp_path / "same.jsonl")
    assert json.loads((tmp_path / "same.jsonl").read_text()) == row
    write(load(tmp_path / "same.jsonl"), tmp_path / "again.jsonl")
    assert json.loads((tmp_path / "again.jsonl").read_text()) == row
    write(data, tmp_path / "other.jsonl", format="sharegpt")
    other = json.loads((tmp_path / "other.jsonl").read_text())
    assert [turn["from"] for turn in other["conversations"]] == ["human", "gpt", "observation", "gpt"]
    assert other["source"] == "hand"
    assert json.loads(other["meta"]["_original"]) == {"messages": row["messages"]}


def test_an_alpaca_history_comes_back(tmp_path: Path) -> None:
    row = {
        "instruction": "And of Spain?",
        "input": "",
        "output": "Madrid.",
        "history": [["Capital of France?", "Paris."]],
    }
    data = load([row])
    [record] = data
    assert record.messages == [
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "And of Spain?"},
        {"role": "assistant", "content": "Madrid."},
    ]
    assert (record.instruction, record.output) == ("Capital of France?", "Paris.")
    write(data, tmp_path / "out.json", format="alpaca")
    assert json.loads((tmp_path / "out.json").read_text()) == [row]


def test_what_a_seed_was_does_not_come_back_for_an_evolved_record(tmp_path: Path) -> None:
    [seed] = load([{"messages": [{"role": "user", "content": "Sing.", "loss_weight": 0.5}]}])
    evolved = Record("s/r1", seed.id, 0, "Sing in C.", output="La.", messages=seed.messages, round=1, meta=seed.meta)
    write([evolved], tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row["messages"] == [{"role": "user", "content": "Sing in C."}, {"role": "assistant", "content": "La."}]
    assert json.loads(row["meta"]["_original"]) == {
        "messages": [{"role": "user", "content": "Sing.", "loss_weight": 0.5}]
    }


def test_columns_of_a_users_table_stay_native_in_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = [
        {"instruction": "Sing.", "score": 1, "n": 1, "ok": True, "tags": ["a", "b"], "note": None, "mixed": 1},
        {"instruction": "Dance.", "score": 2.5, "n": 2, "ok": False, "tags": [], "note": "x", "mixed": "one"},
    ]
    rows[0]["object"], rows[1]["late"] = {"a": [1]}, "y"
    write(load(rows), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["score"] == "double" and kinds["n"] == "int64" and kinds["ok"] == "bool" and kinds["note"] == "string"
    assert kinds["tags"].startswith("list<") and kinds["mixed"] == "string" and kinds["late"] == "string"
    assert kinds["messages"].startswith("list<") and "role" in kinds["messages"]
    assert table.schema.names[0] == "messages"
    own = {name: value for name, value in table.to_pylist()[0].items() if name != "messages"}
    assert own == {
        "score": 1.0,
        "n": 1,
        "ok": True,
        "tags": ["a", "b"],
        "note": None,
        "mixed": "1",
        "late": None,
        "object": '{"a":[1]}',
    }
    assert json.loads(next(iter(load(tmp_path / "out.parquet"))).meta or "") == own


def test_columns_of_a_csv_file(tmp_path: Path) -> None:
    rows = [{"instruction": "Sing.", "n": 1.5, "tags": ["a"], "note": None}, {"instruction": "Dance.", "note": "x"}]
    write(load(rows), tmp_path / "out.csv", format="alpaca")
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "instruction,input,output,n,note,tags",
        'Sing.,,,1.5,,"[""a""]"',
        "Dance.,,,,x,",
    ]
    write(load(tmp_path / "out.csv"), tmp_path / "again.csv", format="alpaca")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_a_plain_csv_stays_plain(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('instruction,input,output,zip\n"Say ""hi"", twice",,"a\nb",02134\n')
    write(load(tmp_path / "in.csv"), tmp_path / "out.csv", format="alpaca")
    assert (tmp_path / "out.csv").read_bytes() == (
        b'instruction,input,output,zip\r\n"Say ""hi"", twice",,"a\nb",02134\r\n'
    )
