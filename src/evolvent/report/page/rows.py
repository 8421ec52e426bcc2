"""The records of a report: columns of rows in pieces, compressed, so that a browser can search all of them.

More rows than a page can hold are sampled: of each round and status a like share, and of what is rare all. Rows are
drawn by their seed, so that most often a seed's whole history is on the page where any of it is.
"""

import base64
import hashlib
import heapq
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from evolvent.datasets.parquet_files import rows_at_once
from evolvent.report.page.figures.figure import rounded
from evolvent.report.page.replies import Reply, replies, worked_on
from evolvent.report.page.source import Source, Sources
from evolvent.runs.record_files import BATCH, score_columns

ROWS = 50_000
# Of each round and status at least so many, where there are so many.
OF_EACH = 500
# The block as it stands in the page: with the scripts that draw, 5 MB.
BYTES = 3_900_000
# Characters of a text; what is longer is cut, and says so.
LONGEST = 120_000
PIECE = 1_000

TEXTS, RAW = ("instruction", "input", "output"), "raw"
OWN = ("id", "seed_id", "seed_index", "round", "operator", "evolver", "teacher", "finish_reason", "status", "reason")
# Columns of scores that are the same in every row.
OF_THE_FILE = ("base_model", "embedder", "judge", "reward_model")
EVOLUTION, ANSWER, ITEM = "evolution", "answer", "item"
# The stage that asked for what rows of a kind hold.
ASKED_BY = {EVOLUTION: "evolve", ANSWER: "respond", ITEM: "evaluate"}

Stratum = tuple[str, int, str]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of a page.

    Attributes:
        text: base64 of gzip of lines of JSON; a line holds the columns of some rows.
        rows: how many rows it holds; ``of``: how many there are.
        scores: the names of its columns of scores.
    """

    text: str
    rows: int
    of: int
    scores: list[str]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A record file of a run.

    Attributes:
        run: the run's number.
        kind: what its rows are.
        path: where it is.
        scores: its columns of scores.
        lost: whether only its rows that are not ok are shown: the others stand in another file, with their scores.
        reply: the raw reply behind a row of it that is not ok.
    """

    run: int
    kind: str
    path: Path
    scores: Sequence[str]
    lost: bool = False
    reply: Reply = lambda _: None


def block(sources: Sources, *, most: int = ROWS, size: int = BYTES) -> Block:
    """The rows of all runs.

    Args:
        sources: the runs.
        most: how many rows there may be, or a few more.
        size: how long the block may be.
    """
    files = [file for place, run in enumerate(sources.runs) for file in _files(place, run)]
    counted = [_counted(file) for file in files]
    strata = sum(counted, Counter[Stratum]())
    scores = list(dict.fromkeys(name for file in files for name in file.scores))
    most = min(most, strata.total())
    shares = _shares(strata, most)
    with ExitStack() as opened:
        for place, (file, of) in enumerate(zip(files, counted, strict=True)):
            if any(status != "ok" for *_, status in of):
                files[place] = _with_replies(file, sources.runs[file.run], shares, opened)
        while True:
            packed, rows = _packed(files, shares, scores, size * 3 // 4)
            if packed is not None:
                return Block(base64.b64encode(packed).decode(), rows, strata.total(), scores)
            expected = sum(n * shares[stratum] for stratum, n in strata.items())
            most = int(most * min(0.9, 0.95 * rows / expected))
            shares = _shares(strata, most)


def _files(place: int, run: Source) -> list[RecordFile]:
    files = {EVOLUTION: run.evolved, ANSWER: run.answers, ITEM: run.records("evaluate")}
    found = [
        RecordFile(place, kind, path, [one for one in score_columns(path) if one.partition("@")[0] not in OF_THE_FILE])
        for kind, path in files.items()
        if path is not None
    ]
    unscored = run.records("respond")
    if unscored not in (None, run.answers) and run.entries["score"].input.get("stage") == "respond":
        assert unscored is not None
        found.append(RecordFile(place, ANSWER, unscored, [], lost=True))
    return found


def _with_replies(file: RecordFile, run: Source, shares: Mapping[Stratum, float], opened: ExitStack) -> RecordFile:
    """A file with the raw replies of its rows that are taken and are not ok."""
    stage, without_texts = ASKED_BY[file.kind], replace(file, scores=[])
    lost = (row for row in _read(without_texts, shares, texts=()) if row["status"] != "ok")
    records = (worked_on(stage, row) for row in lost)
    return replace(file, reply=opened.enter_context(replies(run, stage, records)))


def _counted(file: RecordFile) -> Counter[Stratum]:
    """How many rows of each round and status there are."""
    import pyarrow.parquet as pq

    found = Counter[Stratum]()
    with pq.ParquetFile(file.path) as opened:
        for batch in opened.iter_batches(1 << 14, columns=["round", "status"], use_threads=False):
            rounds, statuses = batch.column("round").to_pylist(), batch.column("status").to_pylist()
            strata = zip(rounds, statuses, strict=True)
            found.update((file.kind, when, status) for when, status in strata if status != "ok" or not file.lost)
    return found


def _shares(strata: Mapping[Stratum, int], most: int) -> dict[Stratum, float]:
    """Of each stratum the share of its rows that is taken: of so many in all, but of each a few."""
    total = sum(strata.values())
    if total <= most:
        return dict.fromkeys(strata, 1.0)
    few = min(OF_EACH, most // (2 * len(strata)))
    share = (most - sum(min(n, few) for n in strata.values())) / total
    return {stratum: min(1.0, share + few / n) for stratum, n in strata.items()}


def _packed(
    files: Sequence[RecordFile], shares: Mapping[Stratum, float], scores: Sequence[str], size: int
) -> tuple[bytes | None, int]:
    """The rows, compressed, and how many they are; None where that is too long, and about how many would do."""
    compress = zlib.compressobj(9, wbits=31)
    found, length, count = list[bytes](), 0, 0
    runs = groupby(files, key=lambda file: file.run)
    rows = (row for _, of_run in runs for row in _of_run(list(of_run), shares))
    while piece := list(islice(rows, PIECE)):
        columns = {name: [row.get(name) for row in piece] for name in ("run", "kind", *OWN, *TEXTS, RAW, *scores)}
        found.append(compress.compress(orjson.dumps(columns) + b"\n"))
        length, count = length + len(found[-1]), count + len(piece)
        if length > size:
            return None, count * size // length
    found.append(compress.flush())
    return (None, count) if length + len(found[-1]) > size else (b"".join(found), count)


def _of_run(files: Sequence[RecordFile], shares: Mapping[Stratum, float]) -> Iterator[Row]:
    """A run's rows, seed by seed: its evolutions, then the answers to them, without the texts that they answer."""
    of_seeds = [file for file in files if file.kind != ITEM]
    seed, asked = None, dict[str, Row]()
    for row in heapq.merge(*(_read(file, shares) for file in of_seeds), key=lambda row: row["seed_index"]):
        if row["seed_id"] != seed:
            seed, asked = row["seed_id"], {}
        if row["kind"] == EVOLUTION:
            asked[row["id"]] = {name: row[name] for name in ("instruction", "input")}
        elif asked.get(row["id"].rpartition("/")[0]) == {name: row[name] for name in ("instruction", "input")}:
            row |= {"instruction": None, "input": None}
        yield row
    for file in files:
        if file.kind == ITEM:
            yield from _read(file, shares)


def _read(file: RecordFile, shares: Mapping[Stratum, float], texts: Sequence[str] = TEXTS) -> Iterator[Row]:
    """The rows of a file that are taken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path, buffer_size=1 << 20, pre_buffer=False) as opened:
        for group in range(opened.num_row_groups):
            size = rows_at_once(opened.metadata.row_group(group), BATCH)
            columns = [*OWN, *texts, *file.scores]
            for batch in opened.iter_batches(size, row_groups=[group], columns=columns, use_threads=False):
                strata = zip(*(batch.column(name).to_pylist() for name in ("round", "status", "seed_id")), strict=True)
                taken = [
                    (status != "ok" or not file.lost) and shares[file.kind, when, status] > _place(seed)
                    for when, status, seed in strata
                ]
                if any(taken):
                    bits = pa.py_buffer(np.packbits(taken, bitorder="little").tobytes())
                    chosen = pa.Array.from_buffers(pa.bool_(), len(taken), [None, bits])
                    yield from (_row(file, row) for row in batch.filter(chosen).to_pylist())


def _place(seed: str) -> float:
    """Where a seed stands between 0 and 1: the same in every file."""
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=6).digest()) / (1 << 48)


def _row(file: RecordFile, row: Row) -> Row:
    if row["status"] != "ok":
        own = row.get("instruction" if file.kind == EVOLUTION else "output")
        raw = file.reply(row)
        row[RAW] = None if raw is None or raw.strip() == (own or "").strip() else raw
    for name in (*TEXTS, RAW):
        if (text := row.get(name)) is not None and len(text) > LONGEST:
            row[name] = f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters are left out here)"
    for name in file.scores:
        if isinstance(row[name], float):
            row[name] = rounded(row[name])
    return {"run": file.run, "kind": file.kind, **row}
