"""Rows into files whose columns are fixed beforehand: CSV and Parquet.

The rows are first written to a temporary file while the columns are counted: only then are header and types known.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import orjson

from evolvent.datasets.csv_rows import JSON_CELLS
from evolvent.datasets.formats import Row
from evolvent.datasets.parquet_rows import JSON_TEXT, MARK, MAY_MISS
from evolvent.datasets.sources import spool

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 10_000
GROUP_BYTES = 1 << 26


@dataclass(slots=True)
class Column:
    """What the values of one column are."""

    kinds: set[str] = field(default_factory=set)
    present: int = 0
    empty: bool = False


class Spooled:
    """Rows in a temporary file, and what their columns hold.

    Args:
        rows: the rows.
        first: columns that come first and are there even if no row has them.
    """

    def __init__(self, rows: Iterable[Row], first: tuple[str, ...]) -> None:
        self.count = 0
        self.columns: dict[str, Column] = {}
        self._file = spool()
        for row in rows:
            self.count += 1
            for name, value in row.items():
                column = self.columns.get(name)
                if column is None:
                    column = self.columns[name] = Column()
                column.present += 1
                column.kinds.add("text" if type(value) is str else _kind(value))
                if value == "":
                    column.empty = True
            self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()
        others = sorted(name for name in self.columns if name not in first and name != "meta")
        self.names = [
            *(name for name in first if name in self.columns or name != "system"),
            *others,
            *(["meta"] if "meta" in self.columns else []),
        ]

    def lines(self) -> Iterator[bytes]:
        """The rows as JSON, from the first."""
        self._file.seek(0)
        yield from self._file


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(1 << 63) <= value < 1 << 63 else "large"
    if isinstance(value, float):
        return "float"
    if isinstance(value, list) and all(type(item) is str for item in value):
        return "texts"
    return "object"


def write_csv(rows: Iterable[Row], first: tuple[str, ...], file: IO[bytes]) -> int:
    """Write rows as CSV with a header.

    What is not text is written as JSON, and the ``_json`` column lists, row by row, which cells those are; beside
    it, an empty cell is a column that the row does not have, and an empty text is JSON too. Other files have no such
    column.

    Args:
        rows: the rows.
        first: the format's columns.
        file: where to write.

    Returns:
        The number of rows.
    """
    spooled = Spooled(rows, first)
    marked = any(
        column.kinds != {"text"} or (name not in first and (column.empty or column.present < spooled.count))
        for name, column in spooled.columns.items()
    )
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([*spooled.names, JSON_CELLS] if marked else spooled.names)
    for line in spooled.lines():
        row = orjson.loads(line)
        cells, coded = [], []
        for name in spooled.names:
            value = row.get(name, "")
            if type(value) is not str or (marked and value == "" and name in row):
                value = orjson.dumps(value).decode()
                coded.append(name)
            cells.append(value)
        writer.writerow([*cells, orjson.dumps(coded).decode() if coded else ""] if marked else cells)
    text.detach()
    return spooled.count


def write_parquet(rows: Iterable[Row], first: tuple[str, ...], file: IO[bytes]) -> int:
    """Write rows as Parquet, in row groups cut by row count (and by size, where rows are very long).

    Text, whole numbers, floats, true/false and lists of texts have their own types; a column of anything else, or of
    more than one kind, holds JSON text. The columns' metadata says so (parquet_rows.py).

    Args:
        rows: the rows.
        first: the format's columns.
        file: where to write.

    Returns:
        The number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    spooled = Spooled(rows, first)
    fields = [_field(name, spooled.columns.get(name, Column()), spooled.count, name in first) for name in spooled.names]
    schema = pa.schema(fields)
    coded = {field.name for field in fields if (field.metadata or {}).get(MARK) == JSON_TEXT}
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[Row] = []
        size = 0
        for line in spooled.lines():
            row = orjson.loads(line)
            for name in coded & row.keys():
                row[name] = orjson.dumps(row[name]).decode()
            group.append(row)
            size += len(line)
            if len(group) == GROUP_ROWS or size > GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group, size = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return spooled.count


def _field(name: str, column: Column, rows: int, of_format: bool) -> "pa.Field":
    import pyarrow as pa

    if of_format:
        turn: dict[str, Any] = {
            "messages": pa.struct([("role", pa.string()), ("content", pa.string())]),
            "conversations": pa.struct([("from", pa.string()), ("value", pa.string())]),
        }
        turn["prompt"] = turn["completion"] = turn["messages"]
        return pa.field(name, pa.list_(turn[name]) if name in turn else pa.string())
    native = {
        "text": pa.string(),
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "texts": pa.list_(pa.string()),
    }
    kinds = column.kinds - {"null"}
    missing = column.present < rows
    # A null cell can mean null or a missing column, not both.
    if len(kinds) > 1 or not kinds <= native.keys() or (missing and "null" in column.kinds):
        return pa.field(name, pa.string(), metadata={MARK: JSON_TEXT})
    kind = native[kinds.pop()] if kinds else pa.string()
    return pa.field(name, kind, metadata={MARK: MAY_MISS} if missing else None)
