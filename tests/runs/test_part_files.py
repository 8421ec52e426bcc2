"""Files that stages write: no bit of them flips without being noticed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolvent.errors import InputError
from evolvent.runs.part_files import check_whole, is_whole, row_groups, write_group, writing

FIX = "Make it anew."


def write(path: Path, rows: int = 200) -> bytes:
    table = pa.table({"id": [f"s{n}" for n in range(rows)], "ifd": [n / 7 for n in range(rows)]})
    with writing(path, table.schema, compression="lz4") as (writer, metadata):
        write_group(writer, table.slice(0, rows // 2))
        write_group(writer, table.slice(rows // 2))
        metadata[b"note"] = b"mine"
    return path.read_bytes()


def test_a_file_is_whole_and_any_reader_reads_it(tmp_path: Path) -> None:
    content = write(tmp_path / "rows.parquet")
    assert is_whole(tmp_path / "rows.parquet") is True
    assert pq.read_table(tmp_path / "rows.parquet", page_checksum_verification=True).num_rows == 200
    assert [table.num_rows for table in row_groups(tmp_path / "rows.parquet", [0, 1])] == [100, 100]
    assert pq.read_metadata(tmp_path / "rows.parquet").metadata[b"note"] == b"mine"
    assert write(tmp_path / "again.parquet") == content


def test_no_flipped_bit_passes(tmp_path: Path) -> None:
    """None in the pages, their headers, the footer or the digest itself; what hides it makes no file whole."""
    path = tmp_path / "rows.parquet"
    content = write(path)
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        assert is_whole(path) is not True, place


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 3, b"x" * 1000, b"PAR1" + b"\xff" * 7 + b"PAR1"])
def test_what_is_no_parquet_file_holds_no_digest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    assert is_whole(tmp_path / "rows.parquet") is None


def test_a_file_of_another_origin_passes_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    check_whole(tmp_path / "foreign.parquet", FIX)
    path = tmp_path / "rows.parquet"
    content = write(path)
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    with pytest.raises(InputError, match=r"rows\.parquet is damaged"):
        check_whole(path, FIX)


def test_nothing_is_there_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path / "rows.parquet", pa.schema([("a", pa.int64())]), compression="lz4"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
