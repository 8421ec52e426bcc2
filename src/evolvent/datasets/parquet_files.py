"""Parquet files, read batch by batch, written in row groups. A column of mixed kinds is JSON text."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from evolvent.datasets.formats import Row
from evolvent.datasets.rows import SourceRow
from evolvent.datasets.spooled import SpooledRows, as_text
from evolvent.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH = 1000
BATCH_BYTES = 1 << 25  # of rows that are read together, about
GROUP_ROWS = 10_000
GROUP_BYTES = 1 << 26


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
            _check_names(path, file.schema_arrow.names)
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if read + rows <= start:
                    read += rows
                    continue
                size = rows_at_once(file.metadata.row_group(group), BATCH)
                for batch in file.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
                    yield from _batch_rows(batch.slice(max(0, start - read)))
                    read += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        where = f", after row {read}" if read else ""
        raise InputError(
            f"{path}{where}: not a sound Parquet file: {error}", fix="Copy or download it again, or make it again."
        ) from None


def _check_names(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column {', '.join(map(repr, twice))} comes twice", fix="Name each column once.")


def rows_at_once(group: "pq.RowGroupMetaData", most: int) -> int:
    """How many rows of a row group to read at once: fewer than ``most`` where they are long."""
    each = max(1, int(group.total_byte_size) // max(int(group.num_rows), 1))
    return max(1, min(most, BATCH_BYTES // each))


def _batch_rows(batch: Any) -> Iterator[SourceRow]:
    import pyarrow as pa

    # Nanoseconds, which Python's times do not hold, come otherwise where pandas is installed.
    batch = _times_as_text(batch, lambda kind: bool(pa.types.is_timestamp(kind)) and kind.unit == "ns")
    batch = _cut_to_microseconds(batch)
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        batch = _times_as_text(batch, pa.types.is_timestamp)  # one may be out of Python's range
        for position in range(batch.num_rows):
            columns = zip(batch.schema.names, batch.slice(position, 1).columns, strict=True)
            try:
                yield SourceRow(None, {name: _cell(column) for name, column in columns})
            except UnicodeDecodeError:
                yield SourceRow(None, None, "a text that is not UTF-8")
        return
    yield from (SourceRow(None, row) for row in rows)


def _cell(column: Any) -> object:
    """The only value of a column; null if it is a time that Python does not reach."""
    try:
        return column.to_pylist()[0]
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError):
        return None


def _cut_to_microseconds(batch: Any) -> Any:
    """Times in nanoseconds, inside lists and objects too, without what is less than a microsecond."""
    for index, field in enumerate(batch.schema):
        kind = _in_microseconds(field.type)
        if kind != field.type:
            batch = batch.set_column(index, field.name, batch.column(index).cast(kind, safe=False))
    return batch


def _in_microseconds(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    if getattr(kind, "unit", "") == "ns":
        if pa.types.is_timestamp(kind):
            return pa.timestamp("us", kind.tz)
        return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    return kind


def _times_as_text(batch: Any, wanted: "Callable[[pa.DataType], bool]") -> Any:
    """The columns of wanted types, points in time, as ISO text; a year past 9999 is null."""
    import pyarrow as pa

    for index, field in enumerate(batch.schema):
        if wanted(field.type):
            texts = batch.column(index).cast(pa.string()).to_pylist()
            texts = [None if not text or text.startswith("<") else text.replace(" ", "T", 1) for text in texts]
            batch = batch.set_column(index, field.name, pa.array(texts, pa.string()))
    return batch


def write_parquet(rows: Iterable[Row], first: tuple[str, ...], file: IO[bytes]) -> int:
    """Write rows as Parquet, in row groups cut by row count (and by size, where rows are very long).

    Text, whole numbers, floats, true/false and lists of texts have their own types; in a column of anything else, or of
    more than one kind, what is not text is JSON text.

    Args:
        rows: the rows.
        first: the format's columns.
        file: where to write.

    Returns:
        The number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    spooled = SpooledRows(rows, first)
    types = {name: _turns(name) if name in first else _type(spooled.kinds[name]) for name in spooled.names}
    schema = pa.schema([pa.field(name, kind or pa.string()) for name, kind in types.items()])
    mixed = [name for name, kind in types.items() if kind is None]
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[Row] = []
        size = 0
        for line in spooled.lines():
            row = orjson.loads(line)
            for name in mixed:
                row[name] = as_text(row.get(name))
            group.append(row)
            size += len(line)
            if len(group) == GROUP_ROWS or size > GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group, size = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return spooled.count


def _turns(column: str) -> "pa.DataType":
    """The type of a format's own column: text, or turns."""
    import pyarrow as pa

    message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    exchange = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    messages = ("messages", "prompt", "completion", "chosen", "rejected")
    return {**dict.fromkeys(messages, message), "conversations": exchange}.get(column, pa.string())


def _type(kinds: set[str]) -> "pa.DataType | None":
    """The type of a column that holds these kinds of values; None if there is none but text for all of them."""
    import pyarrow as pa

    native = {
        "text": pa.string(),
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "texts": pa.list_(pa.string()),
    }
    kinds = kinds - {"null"}
    if kinds == {"int", "float"}:
        return pa.float64()
    return native.get(*kinds) if len(kinds) == 1 else None if kinds else pa.string()
