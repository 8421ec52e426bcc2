"""Rows of Parquet files, batch by batch. A column's metadata says when its cells are JSON text or may be missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.formats import Row
from evolvent.datasets.rows import SourceRow
from evolvent.errors import InputError

BATCH = 1000
# The key of our mark in a field's metadata, and its values: JSON text (a null cell is a missing column), or a native
# type whose null cells are missing columns. Without a mark null is null.
MARK = b"evolvent"
JSON_TEXT = b"json"
MAY_MISS = b"optional"


def parquet_rows(path: Path, start: int = 0) -> Iterator[SourceRow]:
    """The rows of a Parquet file in order.

    Args:
        path: the file.
        start: how many rows to pass over.

    Raises:
        InputError: the file cannot be read, or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = 0
    try:
        # Buffered: a row group is read page by page, not as a whole.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            marks = {field.name: (field.metadata or {}).get(MARK) for field in file.schema_arrow}
            marked = {name: mark for name, mark in marks.items() if mark in (JSON_TEXT, MAY_MISS)}
            for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                for source_row in _batch_rows(batch.slice(max(0, start - read))):
                    yield _unmark(source_row, marked) if marked and source_row.problem is None else source_row
                read += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        where = f", after row {read}" if read else ""
        raise InputError(
            f"{path}{where}: not a sound Parquet file: {error}", fix="Copy or download it again, or make it again."
        ) from None


def _batch_rows(batch: Any) -> Iterator[SourceRow]:
    try:
        for row in batch.to_pylist():
            yield SourceRow(None, row)
    except UnicodeDecodeError:
        for position in range(batch.num_rows):
            try:
                yield SourceRow(None, batch.slice(position, 1).to_pylist()[0])
            except UnicodeDecodeError:
                yield SourceRow(None, None, "a text that is not UTF-8")


def _unmark(source_row: SourceRow, marked: dict[str, bytes]) -> SourceRow:
    row: Row = dict(source_row.value)  # type: ignore[call-overload]
    for name, mark in marked.items():
        if row[name] is None:
            del row[name]
        elif mark == JSON_TEXT:
            try:
                row[name] = orjson.loads(row[name])
            except orjson.JSONDecodeError as error:
                return SourceRow(None, None, f'column "{name}" is not JSON, as its metadata says: {error}')
    return SourceRow(None, row)
