"""Ids, duplicates, digests, limits, and the things that data can be."""

import json
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolvent.datasets import json_files, load, parquet_files, write
from evolvent.datasets import sources as sources_module
from evolvent.errors import InputError
from evolvent.records import Record, content_digest
from evolvent.runs.convert import convert

ROWS = [{"instruction": text, "n": n} for n, text in enumerate("abacaab")]


def test_ids_count_equal_rows_in_order() -> None:
    data = load(ROWS)
    digest = {text: content_digest(text, "", "", None) for text in "abc"}
    a, b, c = digest["a"], digest["b"], digest["c"]
    expected = [a, b, f"{a}-2", c, f"{a}-3", f"{a}-4", f"{b}-2"]
    assert [record.id for record in data] == expected
    assert [record.seed_id for record in data] == expected
    assert [record.seed_index for record in data] == list(range(7))
    assert (data.rows, len(data), data.skipped, data.duplicates) == (7, 7, 0, 4)
    first, second = iter(data), iter(data)  # two readings at once do not disturb each other
    assert [next(first).id, next(first).id, next(second).id, next(first).id] == [a, b, a, f"{a}-2"]


def test_many_rows_pass_the_batches_of_the_duplicate_count() -> None:
    data = load([{"instruction": str(n % 15_000)} for n in range(25_000)])
    assert data.duplicates == 10_000
    ids = [record.id for record in data]
    assert len(set(ids)) == 25_000
    assert ids[15_000:] == [f"{id}-2" for id in ids[:10_000]]


def test_skipped_rows_are_counted_in_positions_and_limits() -> None:
    rows = [{"instruction": "a"}, {"instruction": ""}, {"instruction": "a"}, {"instruction": 5}, {"instruction": "b"}]
    data = load(rows, skip_bad=True)
    assert [(record.seed_index, record.instruction) for record in data] == [(0, "a"), (2, "a"), (4, "b")]
    assert [record.id.partition("-")[2] for record in data] == ["", "2", ""]
    assert (data.rows, data.skipped) == (3, 2)
    assert [str(problem) for problem in data.problems] == [
        "the list, row 2: the instruction is empty",
        'the list, row 4: column "instruction" is a number, not text (mixed types)',
    ]
    assert [record.seed_index for record in load(rows, skip_bad=True, limit=3)] == [0, 2]
    assert load(rows, limit=1).rows == 1  # what the limit leaves out is not checked
    with pytest.raises(InputError, match="limit is 0"):
        load(rows, limit=0)


def test_the_digest_says_same_input(tmp_path: Path) -> None:
    rows = [{"instruction": "a", "output": "b", "tag": 1}, {"instruction": "c", "output": "d", "tag": 2}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=2))
    digest = load(rows).digest
    assert load(tmp_path / "rows.jsonl").digest == load(tmp_path / "rows.json").digest == digest
    others = [
        load(rows[::-1]),
        load(rows[:1]),
        load([rows[0], {**rows[1], "tag": 3}]),
        load([rows[0], {**rows[1], "output": "D"}]),
        load(rows, map={"instruction": "output", "output": "instruction"}),
        load(rows, map={"instruction": "instruction"}),
    ]
    assert len({digest, *(data.digest for data in others)}) == 7


def test_what_can_be_read_only_once_is_kept() -> None:
    def stream() -> Iterator[dict[str, Any]]:
        yield from ROWS

    data = load(stream())
    assert list(data) == list(data) == list(load(ROWS))
    first, second = iter(data), iter(data)
    assert next(first) == next(second)
    assert [*first] == [*second]
    assert load(({"instruction": str(n)} for n in count()), limit=3).rows == 3  # a stream may have no end
    with pytest.raises(InputError, match="row 1: a Record, not a dict with columns"):
        load(data)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r'row 2: column "b.0" holds a lone surrogate'):
        load(row for row in [{"instruction": "a"}, {"instruction": "a", "b": ["\ud800"]}])
    with pytest.raises(InputError, match='row 1: column "image" cannot be written as JSON: a object is neither text'):
        load(row for row in [{"instruction": "a", "image": object()}])


def test_values_of_numpy_and_pandas_are_read_as_plain_ones() -> None:
    turns = np.array([{"role": "user", "content": np.str_("q")}, {"role": "assistant", "content": "a"}])
    (record,) = load([{"messages": turns, "tags": np.array(["math"]), "n": np.int64(7), "score": np.float64("nan")}])
    assert (record.instruction, record.output) == ("q", "a")
    assert json.loads(record.meta or "") == {"tags": ["math"], "n": 7, "score": None}
    (record,) = load([{"instruction": np.str_("q"), "input": float("nan"), "output": "a"}])
    assert (record.instruction, record.input, record.output) == ("q", "", "a")


def test_times_and_bytes_are_kept_as_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    far, nano = 2_534_023_008_000_000_000, 1_577_836_800_000_000_001  # the year 82270; 1 ns into 2020
    times = {"far": pa.array([far, 0], pa.timestamp("us")), "nano": pa.array([nano, None], pa.timestamp("ns", "UTC"))}
    times |= {"day": pa.array([1, 2], pa.date32()), "took": pa.array([5, 5], pa.duration("s"))}
    table = pa.table({"instruction": ["a", "b"], **times, "image": pa.array([b"\x89PNG", None])})
    pq.write_table(table, tmp_path / "times.parquet")
    first, second = (json.loads(record.meta or "") for record in load(tmp_path / "times.parquet"))
    assert first == {
        "far": None, "nano": "2020-01-01T00:00:00.000000001Z", "day": "1970-01-02", "took": "0:00:05",
        "image": "iVBORw==",
    }  # fmt: skip
    assert second == {
        "far": "1970-01-01T00:00:00.000000", "nano": None, "day": "1970-01-03", "took": "0:00:05", "image": None,
    }  # fmt: skip


def test_datasets() -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list([{"instruction": row["instruction"], "n": row["n"]} for row in ROWS])
    assert list(load(dataset)) == list(load(ROWS))
    assert list(load(dataset.to_iterable_dataset())) == list(load(ROWS))
    assert list(load(dataset.with_format("numpy"))) == list(load(ROWS))
    assert load(dataset).digest == load(ROWS).digest
    with pytest.raises(InputError, match=r"DatasetDict \(train, test\)"):
        load(datasets.DatasetDict({"train": dataset, "test": dataset}))


def test_a_dataset_of_the_hub_is_streamed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(name: str, configuration: str | None, *, split: str, streaming: bool) -> Any:
        asked.append((name, configuration, split, streaming))
        return datasets.Dataset.from_list(ROWS).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert list(load("org/name:test")) == list(load(ROWS))
    assert load("org/name").name == "org/name"
    assert load("org/name:main:test").name == "org/name:main:test"
    assert load("org/name:main:").rows == len(ROWS)
    assert asked == [
        ("org/name", None, "test", True),
        ("org/name", None, "train", True),
        ("org/name", "main", "test", True),
        ("org/name", "main", "train", True),
    ]


def test_a_dataset_of_several_configurations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    # A folder stands for the repository: the words are those of the client itself.
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files: m.jsonl\n"
        "- config_name: socratic\n  data_files: s.jsonl\n---\n"
    )
    for name in "ms":
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"instruction": name}) + "\n")
    load_dataset = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda _, *args, **named: load_dataset(str(tmp_path), *args, **named))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=r"configs: \['main', 'socratic'\]") as caught:
        load("org/name")
    assert "ORG/NAME:CONFIG:SPLIT" in caught.value.fix
    assert [record.instruction for record in load("org/name:socratic:train")] == ["s"]


def test_a_dataset_that_the_hub_does_not_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def load_dataset(name: str, configuration: None, **options: Any) -> Any:
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"no file org/nme, and no dataset org/nme could be loaded.*doesn't exist"):
        load("org/nme")

    def require_extra(module: str, extra: str) -> None:
        raise InputError(f"{module} is not installed")

    monkeypatch.setattr(sources_module, "require_extra", require_extra)
    with pytest.raises(InputError, match="There is no file org/nme; for the Hub's dataset, datasets is not installed"):
        load("org/nme")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"instruction": "a"}, "The data is one dict"),
        (5, "data is 5"),
        ([], "the list has no rows"),
        (["a"], "row 1: text, not an object with columns"),
        ([{"instruction": "a", "when": object()}], 'row 1: column "when" cannot be written as JSON'),
        ([{"instruction": "a"}, {"instruction": float("nan")}], 'row 2: column "instruction" is missing or null'),
        ([{"instruction": "a"}, {"text": "a"}], 'row 2: column "instruction" is missing or null; columns found: text'),
        ([{}, {"prompt": "a"}], 'row 1: column "prompt" is missing or null; columns found: '),
        (
            [{"messages": [{"role": "user", "content": "\ud800", "weight": 1}]}],
            'column "messages.0.content" holds a lone',
        ),
    ],
)
def test_what_is_no_data(data: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(data)


def test_a_file_that_changes_after_the_check(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction":"a"}\n')
    data = load(path)
    path.write_text('{"instruction":"abc"}\n')
    with pytest.raises(InputError, match="has changed since it was checked"):
        list(data)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        list(data)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_memory_does_not_grow_with_the_rows(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    monkeypatch.setattr(sys.modules["evolvent.datasets.load"], "BATCH", 500)
    monkeypatch.setattr(json_files, "BLOCK", 1 << 14)
    monkeypatch.setattr(parquet_files, "BATCH", 100)
    monkeypatch.setattr(parquet_files, "GROUP_ROWS", 500)
    usual = pa.default_memory_pool()

    def peak(rows: int) -> int:
        """Of writing, reading and converting: the most that Python and Arrow held."""
        first, second = tmp_path / f"{rows}.{kind}", tmp_path / f"{rows}-messages.{kind}"
        arrow = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(arrow)
        tracemalloc.start()
        write((Record("", "", n, f"Count to {n}: {n:0200b}.") for n in range(rows)), first, format="alpaca")
        assert convert(first, second, to="messages").written == rows
        top = tracemalloc.get_traced_memory()[1] + int(arrow.max_memory())
        tracemalloc.stop()
        pa.set_memory_pool(usual)
        return top

    peak(10)  # what is imported and cached once
    few, many = peak(2_000), peak(6_000)
    assert many < few + 300_000, (few, many)  # held as rows they would be 3 MB more


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'instruction;output\n"Add; then, subtract.";5\n'),
        ("a.csv", '"instruction";"output"\n"Add; then, subtract.";"5"\n'),
        ("a.csv", "instruction\toutput\nAdd; then, subtract.\t5\n"),
        ("a.tsv", "\ufeffinstruction\toutput\r\nAdd; then, subtract.\t5\r\n"),
        ("a.csv", "instruction|output\nAdd; then, subtract.|5\n"),
        ("a.csv", '\n\ninstruction,output\n"Add; then, subtract.",5\n'),
        ("a.csv", 'instruction,output,"a;b;c"\n"Add; then, subtract.",5,x\n'),
    ],
)
def test_what_separates_the_cells_is_seen_in_the_header(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, newline="")
    [record] = load(tmp_path / name)
    assert (record.instruction, record.output) == ("Add; then, subtract.", "5")


@pytest.mark.parametrize(
    "column",
    [
        *({"messages": 5}, {"messages": "hello"}, {"messages": ["a"]}, {"messages": []}, {"conversations": "a talk"}),
        *({"conversation": 3}, {"chosen": True, "rejected": False}, {"turns": 3}, {"prompt": {"a": 1}}),
        *({"history": "World War I"}, {"status": "failed", "seed_id": "x", "round": 3, "seed_index": 9}),
        {"_columns": {"a": 1}, "_original": "{}", "meta": "mine", "id": 7},
    ],
)
def test_a_users_column_with_a_name_of_ours_stays_the_users(column: dict[str, Any], tmp_path: Path) -> None:
    row = {"instruction": "Name a prime.", "output": "7", **column}
    [record] = load([row])
    assert (record.instruction, record.output, record.messages) == ("Name a prime.", "7", None)
    assert json.loads(record.meta or "") == column
    write([record], tmp_path / "out.jsonl", format="alpaca")
    [again] = load(tmp_path / "out.jsonl")
    assert (again.instruction, again.output) == ("Name a prime.", "7")


def test_a_map_that_names_a_column_otherwise_is_told_how_it_is_called() -> None:
    with pytest.raises(InputError, match=r"Correct --map: 'question' is 'Question' here, ' a' is 'a' here\."):
        load([{"Question": "q", "a": "x"}], map={"instruction": "question", "output": " a"})


def test_times_in_nanoseconds_and_beyond_python(tmp_path: Path) -> None:
    nano = 1_577_836_800_000_000_001
    columns = {
        "time": pa.array([nano], pa.timestamp("ns")),
        "list": pa.array([[nano]], pa.list_(pa.timestamp("ns"))),
        "inner": pa.array([{"t": nano}], pa.struct([("t", pa.timestamp("ns"))])),
        "day": pa.array([1001], pa.time64("ns")),
        "took": pa.array([1001], pa.duration("ns")),
        "long": pa.array([2**60], pa.duration("s")),
    }
    pq.write_table(pa.table({"instruction": ["q"], **columns}), tmp_path / "a.parquet")
    [record] = load(tmp_path / "a.parquet")
    assert json.loads(record.meta or "") == {
        "time": "2020-01-01T00:00:00.000000001",
        "list": ["2020-01-01T00:00:00"],
        "inner": {"t": "2020-01-01T00:00:00"},
        "day": "00:00:00.000001",
        "took": "0:00:00.000001",
        "long": None,
    }


def test_a_column_twice_in_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([["q"], ["a"], ["b"]], names=["instruction", "output", "output"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: the column 'output' comes twice"):
        load(tmp_path / "a.parquet")
