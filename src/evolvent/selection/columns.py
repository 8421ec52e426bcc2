"""What a row can be chosen by: the user's own columns, the record's numbers and texts, its scores."""

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.sources import open_source
from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.runs.inputs import Data
from evolvent.runs.record_files import is_record_file, read_records
from evolvent.runs.run import Run
from evolvent.stages import file_of

# Rows of which the columns are looked at before a stage reads them all.
FIRST = 1_000

# A record's own columns: numbers that every record has, and texts that it has from the stages it went through.
NUMBERS = ("round", "seed_index")
TEXTS = ("method", "operator", "prompt_version", "evolver", "teacher", "finish_reason")

_TEXTS = attrgetter(*TEXTS)


def columns(record: Record, format: str | None = None) -> dict[str, Any]:
    """The columns of a row and what they hold: of a run's row ours, and the user's where it says nothing itself.

    Args:
        record: the row.
        format: the format that it was read in, if it stood in a data file: its columns are then the user's, and
            ``seed_index`` is its position where the user has no such column.
    """
    own = orjson.loads(record.meta) if record.meta else {}
    if format is not None:
        return {"seed_index": record.seed_index, **own}
    texts = {name: value for name, value in zip(TEXTS, _TEXTS(record), strict=True) if value is not None}
    return {**own, **texts, "round": record.round, "seed_index": record.seed_index, **record.scores}


def first_columns(data: Data, before: str | None) -> set[str] | None:
    """The names of the columns that the first rows of data have.

    Args:
        data: what a stage is given.
        before: the stage whose file is read from a run folder.

    Returns:
        The names; None if nothing is known before a stage reads the data (a dataset of the Hub, an iterable that can
        be read only once) or it cannot be read, which the stage will say.
    """
    if isinstance(data, Run):
        data = data.path
    try:
        if isinstance(data, str | Path):
            path = Path(data) / file_of(before) if before and Path(data).is_dir() else Path(data)
            if is_record_file(path):
                return {name for record in islice(read_records(path), FIRST) for name in columns(record)}
            if not path.is_file():
                return None
        elif not isinstance(data, Sequence):
            return None
        rows = islice(open_source(data).read(0), FIRST)
        return {str(name) for row in rows if isinstance(row.value, Mapping) for name in row.value}
    except (InputError, OSError):
        return None
