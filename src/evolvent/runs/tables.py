"""Record files: Parquet, written in row groups of a fixed number of rows, put in place whole."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from evolvent.errors import InputError
from evolvent.records import COLUMNS, Record, from_row, schema, to_row
from evolvent.storage_errors import explained

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 5_000


class RecordWriter:
    """Writes a record file beside its final place and renames it when it is complete.

    Args:
        path: the file's final place.
        score_fields: Arrow fields of the score columns, in their order.

    Raises:
        RunError, InputError: the disk is full, or the folder cannot be written.
    """

    def __init__(self, path: Path, score_fields: Sequence["pa.Field"] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        self.rows = 0
        self._part = path.with_name(path.name + ".part")
        self._schema = pa.schema([*schema(), *score_fields])
        self._waiting: list[dict[str, Any]] = []
        with explained(path):
            self._file = self._part.open("wb")
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def write(self, record: Record) -> None:
        """Add one record."""
        self._waiting.append(to_row(record))
        self.rows += 1
        if len(self._waiting) == ROW_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
                self._file.close()
            self._part.unlink(missing_ok=True)
            return
        with explained(self.path):
            if self._waiting:
                self._flush()
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self.path)

    def _flush(self) -> None:
        import pyarrow as pa

        with explained(self.path):
            self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema), row_group_size=ROW_GROUP)
        self._waiting = []


def is_record_file(path: Path) -> bool:
    """Whether a file is one that a stage wrote: Parquet with all of a record's columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        return set(COLUMNS) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return False


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, in order, a row group at a time.

    Raises:
        InputError: the file is not a readable record file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROW_GROUP):
                for row in batch.to_pylist():
                    yield from_row(row)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{path} is not a record file of evolvent: {error}") from error


def count_rows(path: Path) -> int:
    """The number of rows of a record file, from its footer.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged: {error}", fix="Make it anew with --fresh.") from error
