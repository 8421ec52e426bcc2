"""Columns of record files as arrays, one at a time: a million rows are 8 MB."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evolvent.runs.record_files import score_columns

if TYPE_CHECKING:
    import pyarrow as pa


class Labels(NamedTuple):
    """A column of texts of which there are few: for each row the place of its text, -1 for none."""

    of_rows: np.ndarray
    texts: list[str]


def column_of(path: Path | None, plain: str) -> str | None:
    """The name of the first column of a score, whichever model it is by; None if there is none."""
    if path is None:
        return None
    return next((name for name in score_columns(path) if name.partition("@")[0] == plain), None)


def numbers(path: Path, name: str) -> np.ndarray:
    """A column of numbers, float64 of shape [rows]; NaN where there is none."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        chunks = [_numbers(chunk) for chunk in file.read([name], use_threads=False).column(0).chunks]
    return np.concatenate(chunks) if chunks else np.empty(0)


def labels(path: Path, name: str) -> Labels:
    """A column of texts."""
    import pyarrow.parquet as pq

    texts: dict[str, int] = {}
    found = []
    with pq.ParquetFile(path, read_dictionary=[name]) as file:
        for batch in file.iter_batches(batch_size=1 << 16, columns=[name], use_threads=False):
            column = batch.column(0)
            places = [-1, *(texts.setdefault(text, len(texts)) for text in column.dictionary.to_pylist())]
            codes = _numbers(column.indices)
            found.append(np.array(places)[np.where(np.isnan(codes), 0, codes + 1).astype(np.int64)])
    return Labels(np.concatenate(found) if found else np.empty(0, np.int64), list(texts))


def _numbers(array: "pa.Array") -> np.ndarray:
    """An array's values (``to_numpy`` would import pandas)."""
    bitmap, content = array.buffers()
    here = slice(array.offset, array.offset + len(array))
    if content is None:
        return np.full(len(array), np.nan)
    kind = "float64" if str(array.type) == "double" else str(array.type)
    values = np.frombuffer(content, kind)[here].astype(float)
    if bitmap is not None:
        values[~np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")[here].astype(bool)] = np.nan
    return values
