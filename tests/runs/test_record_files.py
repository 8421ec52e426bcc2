"""Record files: read from any row on, counted, told from others."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import InputError
from evolvent.records import COLUMNS, Record, Status, schema
from evolvent.runs import record_files as tables
from evolvent.runs.record_files import (
    count_rows,
    count_wanted,
    is_record_file,
    read_numbers,
    read_records,
    record_table,
)

SEED = Record(
    "s", "s", 0, "Bake bread", "flour", "Like so.", [{"role": "user", "content": "Bake bread"}], meta='{"a":1}'
)
SCORED = pa.schema([*schema(), pa.field("ifd", pa.float64())])


def records(count: int) -> list[Record]:
    return [replace(SEED, id=f"s/r{n}", round=n, scores={"ifd": None if n % 3 else n / 7}) for n in range(count)]


def write(path: Path, groups: Sequence[Sequence[Record]]) -> None:
    """A row group for each list of records."""
    with pq.ParquetWriter(path, SCORED) as writer:
        for group in groups:
            writer.write_table(record_table(group, SCORED).cast(SCORED), row_group_size=max(len(group), 1))


def test_a_table_has_the_columns_of_its_schema() -> None:
    table = record_table(records(3), SCORED)
    assert table.column_names == [*COLUMNS, "ifd"]
    assert [field.type for field in table.schema] == [field.type for field in SCORED]
    assert record_table([], SCORED).schema == SCORED


@pytest.mark.parametrize("block", [1, 500, 1000])
def test_long_rows_are_parsed_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = record_table(records(9), SCORED)
    monkeypatch.setattr(tables, "BLOCK", block)
    blocks = record_table(records(9), SCORED)
    assert blocks.column("id").num_chunks > 1
    assert blocks.equals(whole)


def test_a_score_that_the_schema_does_not_know_is_not_dropped_in_silence() -> None:
    with pytest.raises(pa.ArrowInvalid, match="unexpected field"):
        record_table([replace(SEED, scores={"ifd": 1.0, "other": 2.0})], SCORED)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 4))
def test_reading_from_any_row_on_is_slicing(sizes: list[int], batch: int) -> None:
    whole = records(sum(sizes))
    groups = [whole[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BATCH", batch)
        path = Path(folder) / "a.parquet"
        write(path, groups)
        for start in range(len(whole) + 2):
            assert list(read_records(path, start)) == whole[start:]


statuses = st.sampled_from(["ok", "eliminated", "failed"])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.tuples(statuses, st.integers(0, 3)), max_size=6), max_size=4))
def test_rows_are_counted_by_status_and_round(groups: list[list[tuple[Status, int]]]) -> None:
    kinds = [kind for group in groups for kind in group]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        write(path, [[replace(SEED, status=status, round=round) for status, round in group] for group in groups])
        assert count_rows(path) == len(kinds)
        for wanted in ("ok", 0), ("ok", 1), ("failed", 2):
            found = count_wanted(path, lambda *kind, wanted=wanted: kind == wanted)
            assert found == [(len(group), group.count(wanted)) for group in groups]
        assert count_wanted(path, lambda *_: True) == [(len(group), len(group)) for group in groups]
        assert count_wanted(path, lambda *_: False) == [(len(group), 0) for group in groups]


def test_the_numbers_of_a_column_and_how_many_are_lacking(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, [records(4), records(3)])
    ((name, values, lacking),) = read_numbers(path, ["ifd"])
    assert (name, values.tolist(), lacking) == ("ifd", [0.0, 3 / 7, 0.0], 4)


def test_other_files_are_not_taken_for_record_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"instruction": ["x"]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    write(tmp_path / "mine.parquet", [records(1)])
    write(tmp_path / "mine.pq", [records(1)])
    names = ("other.parquet", "broken.parquet", "mine.parquet", "mine.pq", "none.parquet")
    assert [is_record_file(tmp_path / name) for name in names] == [False, False, True, False, False]


@pytest.mark.parametrize("content", [b"PAR1 not really", b""])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    for count in (count_rows, lambda path: count_wanted(path, lambda *_: True)):
        with pytest.raises(InputError, match=r"broken\.parquet is damaged"):
            count(path)
    with pytest.raises(InputError, match=r"broken\.parquet"):
        list(read_records(path))


def test_a_file_of_another_kind_is_named_when_it_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"instruction": ["x"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet is damaged, or is not a record file"):
        list(read_records(tmp_path / "other.parquet"))
