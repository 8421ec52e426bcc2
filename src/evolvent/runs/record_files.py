"""Record files: Parquet tables of records, read a batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from evolvent.datasets.parquet_files import rows_at_once
from evolvent.errors import InputError
from evolvent.records import COLUMNS, Column, Record, from_row, to_row

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BATCH = 2_048
# Bytes of JSON that are parsed together: Arrow takes no 2 GiB, which long rows of one part may come to.
BLOCK = 1 << 26


def record_table(records: Sequence[Record], schema: "pa.Schema") -> "pa.Table":
    """Records as an Arrow table; columns that are not a record's own are its scores.

    By way of JSON: an Arrow array made of a Python list imports pandas where that is installed, 50 MB for nothing.
    """
    import pyarrow as pa

    tables: list[pa.Table] = []
    lines: list[bytes] = []
    size = 0
    for record in records:
        lines.append(orjson.dumps(to_row(record)))
        size += len(lines[-1])
        if size > BLOCK:
            tables.append(_parsed(lines, schema))
            lines, size = [], 0
    if lines:
        tables.append(_parsed(lines, schema))
    # What is parsed may be null anywhere; a record's own columns may not. (``cast`` would do it, and import more.)
    return pa.Table.from_arrays(pa.concat_tables(tables).columns, schema=schema) if tables else schema.empty_table()


def _parsed(lines: Sequence[bytes], schema: "pa.Schema") -> "pa.Table":
    """Rows of JSON as an Arrow table."""
    from pyarrow import json

    text = b"\n".join(lines)
    return json.read_json(
        BytesIO(text),
        json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )


def is_record_file(path: Path) -> bool:
    """Whether a file is one that a stage wrote: Parquet with all of a record's columns."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(COLUMNS) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return False


def score_columns(path: Path) -> dict[str, Column]:
    """The columns of a record file that are not a record's own, by name.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[Any, Literal["double", "int64", "string"]]
    kinds = {pa.float64(): "double", pa.int64(): "int64", pa.string(): "string"}
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    return {
        field.name: Column(field.name, kinds[field.type])
        for field in schema
        if field.name not in COLUMNS and field.type in kinds
    }


def read_records(path: Path, start: int = 0) -> Iterator[Record]:
    """The records of a file, in order, a batch at a time.

    Args:
        path: the file.
        start: the row to begin with.

    Raises:
        InputError: the file is not a readable record file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True) as file:
            groups = range(file.num_row_groups)
            first = 0
            while first < len(groups) and start >= file.metadata.row_group(first).num_rows:
                start -= file.metadata.row_group(first).num_rows
                first += 1
            for group in groups[first:]:
                size = rows_at_once(file.metadata.row_group(group), BATCH)
                for batch in file.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
                    rows = batch.slice(start).to_pylist()
                    start = max(0, start - batch.num_rows)
                    yield from map(from_row, rows)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def count_rows(path: Path) -> int:
    """The number of rows of a record file, from its footer.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def count_wanted(path: Path, wanted: Callable[[str, int], bool]) -> list[tuple[int, int]]:
    """Of each row group how many rows it has, and of how many status and round are wanted; nothing else is read.

    Raises:
        InputError: the file is damaged.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[tuple[int, int]] = []
    try:
        # As a dictionary, a row's status is a small number: rows are counted by numpy, without a Python object each.
        with pq.ParquetFile(path, read_dictionary=["status"], page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["status", "round"], use_threads=False)
                of_group = 0
                for batch in table.to_batches():
                    status = batch.column("status")
                    names = status.dictionary.to_pylist()
                    codes = np.from_dlpack(status.indices).astype(np.int64)
                    rounds = np.from_dlpack(batch.column("round")).astype(np.int64)
                    kinds, counts = np.unique(codes << 32 | rounds, return_counts=True)
                    for kind, rows in zip(kinds.tolist(), counts.tolist(), strict=True):
                        of_group += rows if wanted(names[kind >> 32], kind & 0xFFFFFFFF) else 0
                found.append((table.num_rows, of_group))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    return found


def read_numbers(path: Path, columns: Sequence[str]) -> "Iterator[tuple[str, np.ndarray, int]]":
    """Columns of numbers, one at a time: the name, the values that are there, and how many are not.

    Raises:
        InputError: the file is damaged.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for name in columns:
                chunks = [_numbers(chunk) for chunk in file.read([name], use_threads=False).column(0).chunks]
                values = np.concatenate(chunks) if chunks else np.empty(0)
                yield name, values, file.metadata.num_rows - len(values)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def filled_columns(path: Path) -> set[str]:
    """The columns of a record file that are not a record's own and hold a value in some row.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = [name for name in file.schema_arrow.names if name not in COLUMNS]
            columns = ((name, file.read([name], use_threads=False).column(0)) for name in names)
            return {name for name, column in columns if column.null_count < len(column)}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _numbers(array: "pa.Array") -> "np.ndarray":
    """The values of an array of doubles that are not null (``to_numpy`` would import pandas)."""
    import numpy as np

    bitmap, content = array.buffers()
    here = slice(array.offset, array.offset + len(array))
    values = np.frombuffer(content, np.float64)[here] if content else np.empty(0)
    if bitmap is None:
        return values
    there: np.ndarray = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")[here].astype(bool)
    return np.asarray(values[there])


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is damaged, or is not a record file of evolvent: {error}",
        fix="If a stage wrote it, make it anew with --fresh.",
    )
