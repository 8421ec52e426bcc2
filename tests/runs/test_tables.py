from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolvent.errors import InputError
from evolvent.records import COLUMNS, Record
from evolvent.runs import tables
from evolvent.runs.tables import RecordWriter, count_rows, is_record_file, read_records

SEED = Record(
    "s", "s", 0, "Bake bread", "flour", "Like so.", [{"role": "user", "content": "Bake bread"}], meta='{"a":1}'
)


def write(path: Path, records: list[Record]) -> None:
    with RecordWriter(path, [pa.field("ifd", pa.float64())]) as writer:
        for record in records:
            writer.write(record)


def records(count: int) -> list[Record]:
    return [replace(SEED, id=f"s/r{n}", round=n, scores={"ifd": None if n % 3 else n / 7}) for n in range(count)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", records(10))
    assert list(read_records(tmp_path / "a.parquet")) == records(10)
    assert count_rows(tmp_path / "a.parquet") == 10
    assert pq.read_schema(tmp_path / "a.parquet").names == [*COLUMNS, "ifd"]


def test_row_groups_are_cut_by_row_count_and_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 4)
    for name in ("a.parquet", "b.parquet"):
        write(tmp_path / name, records(10))
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [4, 4, 2]
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_unfinished_file_never_appears(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(KeyboardInterrupt), RecordWriter(path) as writer:
        writer.write(SEED)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_no_records_are_a_file_without_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [])
    assert list(read_records(tmp_path / "a.parquet")) == []


def test_other_files_are_not_taken_for_record_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"instruction": ["x"]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    write(tmp_path / "mine.parquet", records(1))
    assert [is_record_file(tmp_path / f"{name}.parquet") for name in ("other", "broken", "mine", "none")] == [
        False,
        False,
        True,
        False,
    ]
    with pytest.raises(InputError, match=r"broken\.parquet is damaged"):
        count_rows(tmp_path / "broken.parquet")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        list(read_records(tmp_path / "broken.parquet"))
