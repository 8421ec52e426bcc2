"""Where rows come from: a file, a list of dicts, a datasets.Dataset, or something that can be read only once.

A source can be read again and again. What cannot (a generator, a stream from the Hugging Face Hub) is first written to
a temporary file, which the system deletes with the process. Every row comes with the place where it stands.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.conversations import kind_of
from evolvent.datasets.csv_files import csv_rows
from evolvent.datasets.json_files import is_lines, json_rows
from evolvent.datasets.parquet_files import parquet_rows
from evolvent.datasets.rows import SourceRow, json_default, plain, text_rows, why_not_json
from evolvent.datasets.spooled import spool
from evolvent.errors import EvolventError, InputError, require_extra
from evolvent.files import TEMPORARY, file_state, locate
from evolvent.hub import without_telemetry
from evolvent.object_storage.bring import bring, with_run
from evolvent.object_storage.urls import url_of, url_or_path
from evolvent.storage_errors import explained

READERS: dict[str, Callable[[Path, int], Iterator[SourceRow]]] = {
    ".json": json_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".txt": text_rows,
    ".parquet": parquet_rows,
}
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[\w.-]+(?=:))?(:[\w.\[\]%+-]*)?")  # name, configuration, split
KINDS = ".json, .jsonl, .csv, .tsv, .txt (each also .gz) and .parquet"


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read again.

    Attributes:
        name: for messages.
        read: begins a new reading, from a row on.
        unchanged: raises InputError if a file is no longer what it was when it was opened.
        path: the file, if it is one.
        seeks: whether a reading comes to a row in the middle without making those before it.
    """

    name: str
    read: Callable[[int], Iterator[SourceRow]]
    unchanged: Callable[[], None] = lambda: None
    path: Path | None = None
    seeks: bool = False


def open_source(data: object, limit: int | None = None) -> Source:
    """The source behind what a user calls data.

    Args:
        data: as for ``load``.
        limit: of what can be read only once, no more rows than these are fetched.

    Raises:
        InputError: there is no such file or dataset, or it is of a kind that cannot be read.
    """
    if isinstance(data, str | Path):
        return _named(str(data), limit)
    module = type(data).__module__.partition(".")[0]
    if module == "datasets":
        return _dataset(data, limit)
    if isinstance(data, Mapping):
        raise InputError("The data is one dict", fix="Give a list of dicts, one for each row.")
    if isinstance(data, Sequence):
        return Source("the list", lambda start: (SourceRow(None, plain(row)) for row in islice(data, start, None)))
    if isinstance(data, Iterable):
        return _spooled(islice(data, limit), "the iterable")
    raise InputError(
        f"The data is {type(data).__name__}", fix="Give a path, a list or iterable of dicts, or a datasets.Dataset."
    )


def _named(name: str, limit: int | None) -> Source:
    path, state = locate(name, "read")
    if state is None and (url := url_of(path)) is not None:  # its copy is on another node
        bring(with_run(url))
        path, state = locate(name, "read")
    name = url_or_path(name)
    if state is not None and stat.S_ISDIR(state.st_mode):
        raise InputError(
            f"{name} is a folder", fix="Name one file in it; join several with: cat FOLDER/*.jsonl > all.jsonl"
        )
    if state is not None:
        return _file(path, name, state)
    suffix = path.suffix.lower()
    if HUB_ID.fullmatch(name) and suffix not in READERS and suffix != ".gz":
        return _hub(name, limit)
    if any(sign in name for sign in "*?["):
        raise InputError(f"{name} is a pattern", fix="Name one file; join several with: cat PATTERN > all.jsonl")
    raise InputError(
        f"There is no file {name}", fix="Check the path. A dataset on the Hugging Face Hub is named ORG/NAME."
    )


def _file(path: Path, name: str, state: os.stat_result) -> Source:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else suffixes[-1] if suffixes else ""
    if kind not in READERS or (kind == ".parquet" and suffixes[-1] == ".gz"):
        raise InputError(
            f"{name} is of no kind that can be read", fix=f"Kinds: {KINDS}. Rename it if it is one, or save it as one."
        )
    if state.st_size == 0:
        raise InputError(f"{name} is empty", fix="Give a file with at least one row.")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}", fix="Check its permissions.") from None

    checked = file_state(path)

    def unchanged() -> None:
        if not path.exists():
            raise InputError(f"{name} cannot be read any more: it is not there", fix="Put it back.")
        if file_state(path) != checked:
            raise InputError(f"{name} has changed since it was checked", fix="Start again when nothing writes to it.")

    def read(start: int) -> Iterator[SourceRow]:
        unchanged()
        return reader(path, start)

    seeks, reader = kind == ".parquet", READERS[kind]
    if reader is json_rows and suffixes[-1] != ".gz" and is_lines(path):
        seeks, reader = True, partial(json_rows, begins={})
    return Source(name, read, unchanged, path, seeks)


def _dataset(data: Any, limit: int | None) -> Source:
    if isinstance(data, Mapping):
        raise InputError(f"The data is a DatasetDict ({', '.join(data)})", fix="Choose a split: data['train'].")
    if not hasattr(data, "__len__"):
        return _spooled(islice(data, limit), "the IterableDataset")
    data = data.with_format(None)  # plain Python values, not tensors

    def read(start: int) -> Iterator[SourceRow]:
        rest = data.select(range(start, len(data))) if start else data
        for columns in rest.iter(batch_size=1000):
            for values in zip(*columns.values(), strict=True):
                yield SourceRow(None, dict(zip(columns, values, strict=True)))

    return Source("the Dataset", read)


def _hub(name: str, limit: int | None) -> Source:
    """A dataset of the Hub, streamed once into a temporary file."""
    try:
        require_extra("datasets", "hub")
    except InputError as error:
        raise InputError(f"There is no file {name}; for the Hub's dataset, {error.message}", fix=error.fix) from None
    without_telemetry()
    import datasets

    repository, *chosen = name.split(":", 2)
    configuration = chosen[0] if len(chosen) == 2 else None
    split = chosen[-1] if chosen else ""
    try:
        stream = datasets.load_dataset(repository, configuration, split=split or "train", streaming=True)
        return _spooled(islice(stream, limit), name)
    except EvolventError:
        raise
    except Exception as error:  # of the Hub's client and of each library below it, without a common class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = " ".join(lines[:2])  # the second names the configurations, where there are several
        raise InputError(
            f"There is no file {name}, and no dataset {repository} could be loaded from the Hugging Face Hub: {reason}",
            fix="Check the name (ORG/NAME, ORG/NAME:SPLIT or ORG/NAME:CONFIG:SPLIT), the network, HF_HUB_OFFLINE; "
            "if it is gated, HF_TOKEN.",
        ) from None


def _spooled(rows: Iterable[object], name: str) -> Source:
    """Write rows to a temporary file; one that cannot be written becomes a line that begins with ! and says why."""
    with explained(TEMPORARY):
        file = spool()
        for row in rows:
            try:
                if isinstance(row, Mapping):
                    line = orjson.dumps(plain(row), default=json_default)
                else:
                    line = f"!{kind_of(row)}, not a dict with columns".encode()
            except TypeError as error:  # what orjson raises for text that is not UTF-8, too
                line = b"!" + why_not_json(row, error).encode()
            file.write(line + b"\n")
        file.flush()

    def read(start: int) -> Iterator[SourceRow]:
        offset = 0
        while True:
            file.seek(offset)  # two readings may be under way at once: each keeps its own place
            lines = file.readlines(1 << 20)
            if not lines:
                return
            offset = file.tell()
            passed = min(start, len(lines))
            start -= passed
            for line in lines[passed:]:
                if line.startswith(b"!"):
                    yield SourceRow(None, None, line[1:-1].decode())
                else:
                    yield SourceRow(None, orjson.loads(line))

    return Source(name, read)
