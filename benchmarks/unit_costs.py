"""What each part of a run costs, measured at two sizes: the line through both says what one more row costs, and what
it costs at all; whether the rate stays the same says whether it grows faster than the rows.

Each measurement is a process of its own, so that its memory is its own. Times are CPU seconds as well as the clock's:
the first are the work, the second wait for the disk, too.
"""

import multiprocessing
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.measuring import MB, Measured, Mock, measure, mock_server, peak_of, write_seeds
from benchmarks.shards import KEY, LIMIT_S, make_many

LATENCY_MS = 200
SHARDS = 8
OVER = 64  # shards, of one of which a worker passes over the rows of the others
CHECKED = ".checked-seeds.sqlite"
REPEATS = "JSON Lines, half of it repeats"
TEXT = "Explain to learner {row:07d} how a compass finds north, and why it does not find it near iron. "


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        size: rows, calls, parts or shards.
        seconds, cpu_s, peak_mb: what it took.
        found: what else was measured, most of it bytes.
    """

    size: int
    seconds: float
    cpu_s: float
    peak_mb: float
    found: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a part of a run costs at the sizes that were measured, of which the last is the largest."""

    unit: str
    points: tuple[Point, ...]

    def each(self, name: str) -> float:
        """What one more costs: of ``seconds``, ``cpu_s``, ``peak_mb`` or what was found."""
        first, last = self.points[0], self.points[-1]
        return (_value(last, name) - _value(first, name)) / (last.size - first.size)

    def fixed(self, name: str) -> float:
        """What it costs whatever the size."""
        return max(0.0, _value(self.points[0], name) - self.points[0].size * self.each(name))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Cost":
        return cls(content["unit"], tuple(Point(**point) for point in content["points"]))


def _value(point: Point, name: str) -> float:
    return float(point.found[name] if name in point.found else getattr(point, name))


def measured(size: int, work: Callable[..., dict[str, float]], *given: object) -> Point:
    """A piece of work in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (size, work, *given))


def _timed(size: int, work: Callable[..., dict[str, float]], *given: object) -> Point:
    import pyarrow.json
    import pyarrow.parquet  # noqa: F401 (a worker has them loaded)

    import evolvent.merge_run  # noqa: F401

    began, cpu = time.monotonic(), time.process_time()
    found = work(*given)
    took, used = time.monotonic() - began, time.process_time() - cpu
    return Point(size, took, used, peak_of(os.getpid()) / MB, found)


def bytes_in(folder: Path, pattern: str) -> int:
    """Bytes of the files in a folder whose names fit a pattern."""
    return sum(path.stat().st_size for path in folder.rglob(pattern))


def costs(folder: Path, called: list[int], read: list[int], merged: list[int]) -> Iterator[tuple[str, Cost]]:
    """All costs by name, as they are measured.

    Args:
        folder: an empty one, on the disk that counts.
        called: numbers of rows that are made with calls.
        read: numbers of rows that are only read and checked.
        merged: numbers of rows, and half as many calls, that are merged.
    """
    with mock_server(LATENCY_MS=LATENCY_MS) as mock:
        evolve, respond = zip(*(_stages(folder / f"called-{rows}", rows, mock) for rows in called), strict=True)
    yield "start a worker", Cost("start", (evolve[0][0],))
    yield "evolve", Cost("call", tuple(point for _, point in evolve))
    yield "respond", Cost("call", respond)
    files = [(rows, _inputs(folder / f"read-{rows}", rows)) for rows in read]
    checks = tuple(measured(rows, _check, file["JSON Lines"], None) for rows, file in files)
    yield "check an input", Cost("row", checks)
    for name, kind in (("find it checked", "JSON Lines"), ("find it checked, half of it repeats", REPEATS)):
        known = (measured(rows, _check, file[kind], file[kind].with_name(CHECKED)) for rows, file in files)
        yield name, Cost("row", tuple(known))
    for kind in ("JSON Lines", "Parquet", "a stage's file"):
        points = tuple(measured(rows, _pass_over, file[kind], rows) for rows, file in files)
        yield f"pass over rows of {kind}", Cost("row", points)
    merges, again = zip(*(_merge_rows(folder / f"merged-{rows}", rows) for rows in merged), strict=True)
    yield "go on with rows that are made", Cost("row", again)
    yield "merge rows", Cost("row", merges)
    stores = [(rows // 2, _stores(folder / f"stores-{rows}", rows // 2)) for rows in merged]
    yield "merge calls", Cost("call", tuple(_merged_calls(calls, out) for calls, out in stores))
    yield "save a store", Cost("call", tuple(measured(calls, _save, out / "calls.sqlite") for calls, out in stores))
    sizes = (2_000, 61_036)  # the last is what 10^9 rows have: two for each of 30,518 parts
    yield "a row group of a file", Cost("group", tuple(_groups(folder / f"groups-{n}.parquet", n) for n in sizes))
    counts = (256, 1_024)
    yield "look at all shards", Cost("shard", tuple(_manifests(folder / f"shards-{of}", of) for of in counts))


def _stages(folder: Path, rows: int, mock: Mock) -> tuple[tuple[Point, Point], Point]:
    """A worker that has one record, and one that evolves rows; then one that answers them."""
    folder.mkdir(parents=True)
    model, out = f"openai:mock?base_url={mock.base_url}", folder / "run"
    shard = out / "shards/1-of-1"

    def run(*words: object) -> Measured:
        command = [sys.executable, "-m", "evolvent", *map(str, words)]
        done = measure(command, log=folder / "log", limit_s=LIMIT_S, environment=KEY)
        if done.status:
            raise SystemExit(f"status {done.status}: {(folder / 'log').read_text()[-2000:]}")
        return done

    def point(size: int, done: Measured, **found: float) -> Point:
        return Point(size, done.seconds, done.cpu_s, done.peak_mb, found)

    few, seeds = write_seeds(folder / "few.jsonl", 1), write_seeds(folder / "seeds.jsonl", rows)
    evolve = ("--model", model, "--rounds", 1, "--shard", "1/1", "--out")
    points = [point(1, run("evolve", few, *evolve, folder / "few"))]
    stored = 0
    for name, words in (
        ("evolved", ("evolve", seeds, *evolve, out)),
        ("responses", ("respond", out, "--teacher", model, "--shard", "1/1", "--out", out)),
    ):
        done, before = run(*words), stored
        stored, parts = bytes_in(shard, "calls.sqlite"), bytes_in(shard / f"{name}.parts", "*.parquet")
        run("merge", out)
        file_bytes = (out / f"{name}.parquet").stat().st_size
        points.append(point(rows, done, store_bytes=stored - before, part_bytes=parts, file_bytes=file_bytes))
    return (points[0], points[1]), points[2]


def _inputs(folder: Path, rows: int) -> dict[str, Path]:
    """The same rows as JSON Lines, as Parquet, and half of them twice, all checked before; and as a stage's file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evolvent.datasets.load import load
    from evolvent.records import Record
    from evolvent.runs.parts import Output, Placed

    for name in ("parquet", "repeats"):
        (folder / name).mkdir(parents=True)
    lines, plain = write_seeds(folder / "seeds.jsonl", rows), folder / "parquet/seeds.parquet"
    texts = [TEXT.format(row=row) for row in range(rows)]
    pq.write_table(pa.table({"instruction": pa.array(texts)}), plain, row_group_size=10_000)
    twice = folder / "repeats/seeds.jsonl"
    twice.write_bytes(write_seeds(twice, rows // 2).read_bytes() * 2)
    for path in (lines, plain, twice):
        load(path, known=path.with_name(CHECKED)).keep(path.with_name(CHECKED))
    output = Output(folder / "evolved.parquet", rows)
    for number, part in enumerate(output.parts):
        for position in part:
            place = Placed(number, position, Record(f"{position:016x}", f"{position:016x}", position, texts[position]))
            output.add(place, [place.record], lambda tally, row: tally.count(row, "round 1"))
    output.finish()
    return {"JSON Lines": lines, "Parquet": plain, REPEATS: twice, "a stage's file": output.path}


def _check(path: Path, known: Path | None) -> dict[str, float]:
    """The check of an input; where it was checked before, only whether it is the same."""
    from evolvent.datasets.load import load

    load(path, known=known)
    return {"bytes": float(path.stat().st_size)}


def _pass_over(path: Path, rows: int) -> dict[str, float]:
    """Come to each part of one of many shards; the input was checked before."""
    from evolvent.runs.inputs import stage_input
    from evolvent.runs.parts import Output
    from evolvent.shard import Shard

    source = stage_input(path, before=None, out=path.parent)
    output = Output(path.with_name(f"{path.stem}-over.parquet"), rows)
    for part in output.missing(Shard(OVER, OVER)):
        next(output.places([part], source))
    return {}


def _merge_rows(folder: Path, rows: int) -> tuple[Point, Point]:
    """Made rows joined from shards; and what a worker takes that is started again when all its rows are made."""
    make_many(folder, rows, SHARDS)
    again = measured(rows // SHARDS, _go_on, folder / f"shards/1-of-{SHARDS}", rows)
    return measured(rows, _merge, folder), again


def _go_on(shard: Path, rows: int) -> dict[str, float]:
    from evolvent.runs.manifest import read_manifest
    from evolvent.runs.parts import Output

    assert Output(shard / "evolved.parquet", rows, of=read_manifest(shard)["evolve"].mark).finished
    return {}


def _merge(folder: Path) -> dict[str, float]:
    from evolvent.merge_run import merge

    merge(folder)
    return {"file_bytes": float((folder / "evolved.parquet").stat().st_size)}


def _stores(folder: Path, calls: int) -> Path:
    """Stores of shards with calls that nobody made, about as long as evolve's are."""
    import asyncio
    import hashlib

    from evolvent.call_store.store import Call, CallStore
    from evolvent.models.protocols import Usage

    async def fill(store: CallStore, start: int) -> None:
        for first in range(start, start + calls // SHARDS, 5_000):
            rows = range(first, min(first + 5_000, start + calls // SHARDS))
            keys = (hashlib.sha256(f"{row}".encode()).digest() for row in rows)
            request, reply = TEXT.format(row=first) * 12, TEXT.format(row=first) * 4
            usage = Usage(500, 200)
            await store.put(
                Call(key, "evolve", f"{row:016x}", "mock", request, reply, usage=usage)
                for key, row in zip(keys, rows, strict=True)
            )

    for number in range(SHARDS):
        shard = folder / f"{number}"
        shard.mkdir(parents=True)
        with closing(CallStore(shard / "calls.sqlite")) as store:
            asyncio.run(fill(store, number * (calls // SHARDS)))
    return folder


def _merged_calls(calls: int, folder: Path) -> Point:
    """Stores merged; and what the index takes of the store."""
    point = measured(calls, _merge_calls, folder)
    with closing(sqlite3.connect(folder / "calls.sqlite")) as store:
        (index,) = store.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'sqlite_autoindex_calls%'").fetchone()
    return replace(point, found=point.found | {"index_bytes": float(index)})


def _merge_calls(folder: Path) -> dict[str, float]:
    from evolvent.call_store.merge import merge_calls

    into = folder / "calls.sqlite"
    merge_calls(
        into, {f"{number}": folder / f"{number}/calls.sqlite" for number in range(SHARDS)}, "evolve", lambda: None
    )
    return {"store_bytes": float(into.stat().st_size)}


def _save(store: Path) -> dict[str, float]:
    """A copy of a store that is kept on a node's own disk, to the same disk here."""
    from evolvent.call_store.apart import Apart

    saved = store.with_name("saved") / store.name
    saved.parent.mkdir()
    store.replace(saved)
    with closing(Apart(saved, lambda: None)) as apart:
        began = time.monotonic()
        apart.start()
        return {"copy_s": time.monotonic() - began, "store_bytes": float(saved.stat().st_size)}


def _groups(path: Path, groups: int) -> Point:
    """A file of row groups of one row: what a group takes in the footer, and of a reader's and a writer's memory."""
    written = measured(groups, _write_groups, path, groups)
    opened = measured(groups, _open, path)
    return replace(opened, found=opened.found | {"writer_bytes": written.peak_mb * MB})


def _write_groups(path: Path, groups: int) -> dict[str, float]:
    import pyarrow.parquet as pq

    from evolvent.records import Record, schema
    from evolvent.runs.record_files import record_table

    table = record_table([Record("0" * 16, "0" * 16, 0, TEXT)], schema())
    with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table)
    return {}


def _open(path: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return {"footer_bytes": float(file.metadata.serialized_size)}


def _manifests(folder: Path, of: int) -> Point:
    """What each worker does when it starts: look whether the shards that are there are cut as its own is."""
    from evolvent.runs.manifest import StageEntry, write_manifest
    from evolvent.runs.shards import shard_folder
    from evolvent.shard import Shard

    entry = StageEntry({"rounds": 1}, {"digest": "made"}, "shard", counts={"ok": 1}, models={"mock": "mock"})
    entry.whole = {"records": of, "window": 1, "before": {}}
    for number in range(1, of + 1):
        shard = shard_folder(folder, Shard(number, of))
        shard.mkdir(parents=True)
        write_manifest(shard, {"evolve": entry})
    return measured(of, _look, folder)


def _look(folder: Path) -> dict[str, float]:
    from evolvent.runs.shards import noted_by, shards_in

    noted_by(folder, shards_in(folder)[0])
    return {}
