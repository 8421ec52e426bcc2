"""write: records become a file that a trainer takes, whole or not at all."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from evolvent.datasets.csv_files import write_csv
from evolvent.datasets.formats import Row, check_format
from evolvent.datasets.json_files import write_json, write_jsonl
from evolvent.datasets.parquet_files import write_parquet
from evolvent.datasets.render import OUTPUT_FORMATS, render
from evolvent.errors import InputError
from evolvent.files import output_path, replacing
from evolvent.records import Record
from evolvent.special_files import is_written_through

KINDS = (".json", ".jsonl", ".csv", ".json.gz", ".jsonl.gz", ".csv.gz", ".parquet")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What was written.

    Attributes:
        written: rows in the file.
        multi_turn: records left out because they have more turns than the format holds.
        columns: the columns that the rows have, in the order in which they came.
    """

    written: int
    multi_turn: int = 0
    columns: tuple[str, ...] = ()


@dataclass(slots=True)
class _Refused:
    """Records with more turns than the format holds."""

    count: int = 0
    first: tuple[int, ...] = ()


def write(
    records: Iterable[Record],
    path: str | Path,
    *,
    format: str = "messages",
    skip_bad: bool = False,
    history: bool = True,
) -> WriteCounts:
    """Write records as a training set; the file appears when it is complete.

    Args:
        records: the records, written in their order; those of a run are read once, none is held in memory.
        path: the file; its name ends in .json, .jsonl, .csv (each also .gz) or .parquet. A pipe or a device
            (/dev/stdout) without such an ending gets JSON Lines.
        format: messages, alpaca, sharegpt or prompt_completion (as lists of messages, to which trainers apply the chat
            template, not as plain texts).
        skip_bad: leave out, and count, conversations of several turns when the format is alpaca, if others remain.
        history: write how records of a run came about, in ``meta``.

    Raises:
        InputError: an unknown format or kind of file, a folder that cannot be written to, or several turns in alpaca.
        RunError: the disk is full. No half file is left in either case.
    """
    path = output_path(path)
    kind = kind_of_file(path)
    with replacing(path) as file:
        return write_rows(records, file, kind=kind, format=format, skip_bad=skip_bad, history=history)


def kind_of_file(path: Path) -> str:
    """The kind of file that a path names, by its ending; a pipe or a device without any takes JSON Lines.

    Raises:
        InputError: there is no such kind.
    """
    kind = next((kind for kind in KINDS if path.name.lower().endswith(kind)), None)
    if kind is None and is_written_through(path):
        return ".jsonl"
    if kind is None:
        raise InputError(f"{path} is of no kind that can be written", fix=f"End its name in one of {', '.join(KINDS)}.")
    return kind


def write_rows(
    records: Iterable[Record],
    file: IO[bytes],
    *,
    kind: str,
    format: str,
    skip_bad: bool = False,
    history: bool = True,
) -> WriteCounts:
    """Write records as a training set to an open file; arguments and errors as for ``write``."""
    check_format(format, OUTPUT_FORMATS)
    refused = _Refused()
    columns: dict[str, None] = {}
    rows = _rows(records, partial(render, format=format, restore=kind != ".parquet", history=history), refused, columns)
    if kind.endswith(".gz"):
        # No time stamp and no name: the same rows make the same bytes.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as compressed:
            written = _write_rows(rows, kind, format, cast(IO[bytes], compressed))
    else:
        written = _write_rows(rows, kind, format, file)
    if refused.count and (not skip_bad or not written):
        rows_of = ", ".join(str(index + 1) for index in refused.first) + ", ..." * (refused.count > SHOWN)
        raise InputError(
            f"{refused.count:,} of {refused.count + written:,} records have more than one turn, which {format} "
            f"cannot hold (input rows {rows_of}). Nothing was written",
            fix="Write messages or sharegpt" + (", or leave them out with --skip-bad." if written else "."),
        )
    return WriteCounts(written, refused.count, tuple(columns))


def _rows(
    records: Iterable[Record],
    rendered: Callable[[Record], Row | None],
    refused: _Refused,
    columns: dict[str, None],
) -> Iterator[Row]:
    for record in records:
        row = rendered(record)
        if row is None:
            refused.count += 1
            if len(refused.first) < SHOWN:
                refused.first += (record.seed_index,)
        else:
            columns.update(dict.fromkeys(row))
            yield row


def _write_rows(rows: Iterator[Row], kind: str, format: str, file: IO[bytes]) -> int:
    if kind == ".parquet":
        return write_parquet(rows, OUTPUT_FORMATS[format], file)
    if kind.startswith(".csv"):
        return write_csv(rows, OUTPUT_FORMATS[format], file)
    return write_jsonl(rows, file) if kind.startswith(".jsonl") else write_json(rows, file)
