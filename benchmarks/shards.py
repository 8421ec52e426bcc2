"""A stage in shards against the mock server: rows/s, CPU, memory, merging; kills; and a merge of many made rows.

    python -m benchmarks.shards --rows 20000 --shards 1,2,4 --ray 2,4 --servers 2
    python -m benchmarks.shards --rows 20000 --shards 16 --kills 50
    python -m benchmarks.shards --merge 10000000

All shards run at once, each a process; the servers are more, and the share of a core that the busiest of them used is
shown: near 100 % it is what was measured. Files with one digest are the same bytes. Memory is RSS. A kill takes one
worker that has made calls, drawn anew each time, with SIGKILL, and the same command is started again at once.
"""

import argparse
import filecmp
import hashlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import (
    MB,
    Measured,
    Mock,
    calls_in,
    cpu_of,
    descendants,
    measure,
    memory_of,
    mock_server,
    write_seeds,
)

LIMIT_S = 7_200.0
RAY_SAMPLE_S = 0.2  # each sample reads two files a process of Ray's, and some a thread
KEY = {"OPENAI_API_KEY": "none"}


@dataclass(frozen=True)
class Bench:
    """Seeds, the server, and where folders are made."""

    folder: Path
    seeds: Path
    rows: int
    mock: Mock

    def command(self, out: Path, *words: str) -> list[str]:
        """The command that evolves the seeds."""
        model = f"openai:mock?base_url={self.mock.base_url}"
        given = ["evolve", str(self.seeds), "--model", model, "--rounds", "1", "--out", str(out)]
        return [sys.executable, "-m", "evolvent", *given, *words]

    def servers(self) -> list[float]:
        """Seconds that each server has used."""
        return [cpu_of(process) for process in self.mock.processes]

    def busiest(self, before: list[float], seconds: float) -> float:
        """The share of a core that the busiest server has used since."""
        return max(now - then for now, then in zip(self.servers(), before, strict=True)) / seconds

    def measured(self, out: Path, *words: str, look: Callable[[int], None] | None = None) -> Measured:
        """The command, measured to its end."""
        log = self.folder / "log"
        seen = {"look": look, "sample_s": RAY_SAMPLE_S} if look else {}
        done = measure(self.command(out, *words), log=log, limit_s=LIMIT_S, environment=KEY, **seen)
        if done.status:
            sys.exit(f"{out} {words}: status {done.status}:\n{log.read_text()[-2000:]}")
        return done


@dataclass
class OnRay:
    """What the driver of a Ray run, its workers and Ray's own processes take, from samples.

    Args:
        cpu: seconds of each process.
        workers: the processes that have made a shard.
        driver: the most bytes that the driver held.
        worker: the most that one worker held.
        own: the most that Ray's own processes held, idle workers among them.
        began: when the first worker was seen at its task, on the monotonic clock.
        ended: when the last one was.
    """

    cpu: dict[int, float] = field(default_factory=dict)
    workers: set[int] = field(default_factory=set)
    driver: int = 0
    worker: int = 0
    own: int = 0
    began: float = 0.0
    ended: float = 0.0

    def look(self, driver: int) -> None:
        """Take a sample."""
        own = 0
        for process in (driver, *descendants(driver)):
            self.cpu[process] = max(self.cpu.get(process, 0.0), cpu_of(process))
            held = memory_of(process)
            if _makes_a_shard(process):
                self.workers.add(process)
                self.ended = time.monotonic()
                self.began = self.began or self.ended
            if process == driver:
                self.driver = max(self.driver, held)
            elif process in self.workers:
                self.worker = max(self.worker, held)
            else:
                own += held
        self.own = max(self.own, own)


def _makes_a_shard(process: int) -> bool:
    """Whether a process is a worker at its task, whose name Ray gives it."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::evolve")
    except OSError:
        return False


def in_shards(bench: Bench, out: Path, of: int) -> tuple[float, list[Measured]]:
    """All shards at once; seconds from the first one's start to the last one's end, and what each took."""
    began = time.monotonic()
    with ThreadPoolExecutor(of) as pool:
        shards = [("--shard", f"{number}/{of}") if of > 1 else () for number in range(1, of + 1)]
        done = list(pool.map(lambda words: bench.measured(out, *words), shards))
    return time.monotonic() - began, done


def merged(out: Path, folder: Path) -> Measured:
    """The merge of a run folder's shards."""
    return measure([sys.executable, "-m", "evolvent", "merge", str(out)], log=folder / "log", limit_s=LIMIT_S)


@dataclass(frozen=True)
class Took:
    """A row of the table.

    Args:
        name: how the rows were made.
        out: the run folder.
        seconds: from the start to the merged file.
        shards_s: of these, while shards were made.
        cpu_s: of all processes but the servers.
        server: the share of a core that the busiest server used meanwhile.
        memory: of the largest worker, the driver, and of Ray's own processes, in MB.
    """

    name: str
    out: Path
    seconds: float
    shards_s: float
    cpu_s: float
    server: float
    memory: tuple[float | None, ...]

    def line(self, rows: int) -> str:
        """The row."""
        memory = " | ".join("" if held is None else f"{held:,.0f}" for held in self.memory)
        cpu_ms = 1000 * self.cpu_s / rows
        times = f"{self.seconds:.1f} | {self.shards_s:.1f} | {rows / self.seconds:,.0f} | {cpu_ms:.2f}"
        digest = hashlib.sha256((self.out / "evolved.parquet").read_bytes()).hexdigest()[:8]
        return f"| {self.name} | {times} | {memory} | {self.server:.0%} | {digest} |"


def compare(bench: Bench, counts: list[int], on_ray: list[int]) -> None:
    """Rows a second in one process, in shards and on Ray."""
    print("| | s | of these shards | rows/s | CPU ms a row | worker, MB | driver, MB | Ray, MB | server | file |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for of in counts:
        print(locally(bench, of).line(bench.rows), flush=True)
    for of in on_ray:
        print(through_ray(bench, of).line(bench.rows), flush=True)


def locally(bench: Bench, of: int) -> Took:
    """The stage in one process, or in shards at once that are then merged."""
    out, before = bench.folder / f"of-{of}", bench.servers()
    seconds, done = in_shards(bench, out, of)
    server, worker = bench.busiest(before, seconds), max(one.peak_mb for one in done)
    if of == 1:
        return Took("one process", out, seconds, seconds, done[0].cpu_s, server, (worker, None, None))
    joined = merged(out, bench.folder)
    cpu = joined.cpu_s + sum(one.cpu_s for one in done)
    return Took(f"{of} shards", out, seconds + joined.seconds, seconds, cpu, server, (worker, joined.peak_mb, None))


def through_ray(bench: Bench, of: int) -> Took:
    """The stage as tasks of a local Ray, its start and the merge included."""
    out, before, ray = bench.folder / f"ray-{of}", bench.servers(), OnRay()
    whole = bench.measured(out, "--engine", "ray", "--shards", str(of), look=ray.look)
    seconds, memory = ray.ended - ray.began, (ray.worker / MB, ray.driver / MB, ray.own / MB)
    server = bench.busiest(before, seconds)
    return Took(f"Ray, {of} shards", out, whole.seconds, seconds, sum(ray.cpu.values()), server, memory)


def killed(bench: Bench, of: int, kills: int, seed: int) -> None:
    """Workers that make calls killed at drawn moments, so often, then the merge against one process's file."""
    whole, broken, draw = bench.folder / "whole", bench.folder / "broken", random.Random(seed)
    bench.measured(whole)
    bench.mock.reset()
    running: dict[int, subprocess.Popen[bytes]] = {}
    lock, left, stored = threading.Lock(), kills, dict[int, int]()

    def stored_now(number: int) -> int:
        return calls_in(broken / "shards" / f"{number}-of-{of}" / "calls.sqlite")

    def worker(number: int) -> None:
        while True:
            with lock, (bench.folder / "log").open("ab") as log:
                words = bench.command(broken, "--shard", f"{number}/{of}")
                process = running[number] = subprocess.Popen(words, stdout=log, stderr=log)
            if process.wait() == 0:
                running.pop(number)
                return

    workers = [threading.Thread(target=worker, args=(number,)) for number in range(1, of + 1)]
    for one in workers:
        one.start()
    while any(one.is_alive() for one in workers):
        time.sleep(draw.uniform(0.05, 0.6))
        with lock:
            calling = [
                (number, process)
                for number, process in running.items()
                if left and process.poll() is None and stored_now(number) > stored.get(number, 0)
            ]
            if calling:
                number, process = draw.choice(calling)
                process.kill()
                process.wait()
                stored[number], left = stored_now(number), left - 1
    joined = merged(broken, bench.folder)
    same = filecmp.cmp(whole / "evolved.parquet", broken / "evolved.parquet", shallow=False)
    stats = bench.mock.stats()
    print(
        f"{of} shards, {kills - left} kills: merge ended with {joined.status}; the file is "
        f"{'byte for byte' if same else 'NOT'} that of one process; {stats['repeated_ok']:,} calls, "
        "in flight at a kill, were answered twice"
    )


def make_many(out: Path, rows: int, of: int) -> None:
    """Shards whose rows were made and not called."""
    from evolvent.evolution.trajectory import STAGE
    from evolvent.records import Record
    from evolvent.runs.folder import RunFolder
    from evolvent.runs.inputs import Listed
    from evolvent.runs.parts import Output, Placed
    from evolvent.runs.shards import shard_folder
    from evolvent.shard import Shard

    text = "Explain to learner number {n} how a compass finds north, and why it does not find it near iron. " * 2
    source = Listed([], {"digest": f"{rows} made rows", "source": "made", "rows": rows})
    for number in range(1, of + 1):
        shard = Shard(number, of)
        with RunFolder(shard_folder(out, shard)) as run:
            run.begin(STAGE, {"rounds": 1}, source.about)
            run.start(STAGE, {"mock": "mock"})
            output = Output(run.output(STAGE), rows, of=run.stages[STAGE].mark)
            for part in output.missing(shard):
                for position in output.parts[part]:
                    record = Record(f"{position:016x}", f"{position:016x}", position, text.format(n=position))
                    place = Placed(part, position, record)
                    if output.is_complete_before(place):
                        output.keep()
                    output.add(place, [record], lambda tally, row: tally.count(row, "round 1"))
            output.keep()
            whole = {"records": rows, "window": 1, "before": {"seeds": rows}}
            run.finish_shard(STAGE, output.tally().summary(), whole, {})


def merge_many(folder: Path, rows: int, of: int) -> None:
    """Merge shards whose rows were made and not called."""
    out = folder / "many"
    began = time.monotonic()
    make_many(out, rows, of)
    made = time.monotonic() - began
    done = merged(out, folder)
    size = (out / "evolved.parquet").stat().st_size
    print(
        f"{rows:,} rows in {of} shards (made in {made:.0f} s): merged in {done.seconds:.0f} s, {done.cpu_s:.0f} s of "
        "CPU, "
        f"{done.peak_mb:.0f} MB of memory; the file has {size / MB:,.0f} MB; status {done.status}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--shards", default="1,2,4", help="how many shards, several runs by commas")
    parser.add_argument("--ray", default="", help="also through a local Ray, in so many shards, several runs by commas")
    parser.add_argument("--servers", type=int, default=1, help="processes of the mock server, on one port")
    parser.add_argument("--port", type=int, help="theirs, which is in the files: the same where digests are compared")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--merge", type=int, default=0, help="merge so many made rows, and nothing else")
    given = parser.parse_args()
    counts = [int(one) for one in given.shards.split(",")]
    server = mock_server(servers=given.servers, PORT=given.port or 0, LATENCY_MS=given.latency_ms, MAX_TOKENS_OUT=40)
    with tempfile.TemporaryDirectory() as name, server as mock:
        folder = Path(name)
        if given.merge:
            merge_many(folder, given.merge, counts[-1])
            return
        bench = Bench(folder, write_seeds(folder / "seeds.jsonl", given.rows), given.rows, mock)
        if given.kills:
            killed(bench, counts[-1], given.kills, given.seed)
        else:
            compare(bench, counts, [int(one) for one in given.ray.split(",") if one])


if __name__ == "__main__":
    main()
