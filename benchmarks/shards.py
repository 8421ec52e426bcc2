"""A stage in shards against the mock server: rows/s, CPU, memory, merging; kills; and a merge of many made rows.

    python -m benchmarks.shards --rows 20000 --shards 1,2,4 --ray 2
    python -m benchmarks.shards --rows 20000 --shards 16 --kills 50
    python -m benchmarks.shards --merge 10000000

All shards run at once, each a process; the server is one more. Every merged file is compared with the first one's
bytes. A kill takes one worker, drawn anew each time, with SIGKILL, and the same command is started again at once.
"""

import argparse
import filecmp
import random
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import MB, Measured, Mock, measure, mock_server, write_seeds

LIMIT_S = 7_200.0
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

    def measured(self, out: Path, *words: str) -> Measured:
        """The command, measured to its end."""
        done = measure(self.command(out, *words), log=self.folder / "log", limit_s=LIMIT_S, environment=KEY)
        if done.status:
            sys.exit(f"{out} {words}: status {done.status}; see {self.folder / 'log'}")
        return done


def in_shards(bench: Bench, out: Path, of: int) -> tuple[float, list[Measured]]:
    """All shards at once; seconds from the first one's start to the last one's end, and what each took."""
    began = time.monotonic()
    with ThreadPoolExecutor(of) as pool:
        done = list(pool.map(lambda number: bench.measured(out, "--shard", f"{number}/{of}"), range(1, of + 1)))
    return time.monotonic() - began, done


def merged(out: Path, folder: Path) -> Measured:
    """The merge of a run folder's shards."""
    return measure([sys.executable, "-m", "evolvent", "merge", str(out)], log=folder / "log", limit_s=LIMIT_S)


def compare(bench: Bench, counts: list[int], ray: int) -> None:
    """Rows a second in one process, in shards and on Ray."""
    first: Path | None = None
    print("| | s | rows/s | CPU ms a row | memory of the largest worker, MB | merging, s | same bytes |")
    print("|---|---|---|---|---|---|---|")
    for of in counts:
        out = bench.folder / f"of-{of}"
        seconds, done = in_shards(bench, out, of)
        joined = merged(out, bench.folder)
        first = first or out
        same = filecmp.cmp(first / "evolved.parquet", out / "evolved.parquet", shallow=False)
        cpu, peak = sum(one.cpu_s for one in done), max(one.peak_mb for one in done)
        row = f"{seconds:.1f} | {bench.rows / seconds:,.0f} | {1000 * cpu / bench.rows:.2f} | {peak:.0f}"
        print(f"| {of} shards | {row} | {joined.seconds:.1f} | {'yes' if same else 'NO'} |", flush=True)
    if ray:
        out = bench.folder / "ray"
        done_by_ray = bench.measured(out, "--engine", "ray", "--shards", str(ray))
        same = first is None or filecmp.cmp(first / "evolved.parquet", out / "evolved.parquet", shallow=False)
        row = f"{done_by_ray.seconds:.1f} | {bench.rows / done_by_ray.seconds:,.0f} | | {done_by_ray.peak_mb:.0f}, all"
        print(f"| Ray, {ray} shards, merging and start included | {row} | | {'yes' if same else 'NO'} |", flush=True)


def killed(bench: Bench, of: int, kills: int, seed: int) -> None:
    """Workers killed at drawn moments until so many kills are done, then the merge against one process's file."""
    whole, broken, draw = bench.folder / "whole", bench.folder / "broken", random.Random(seed)
    bench.measured(whole)
    bench.mock.reset()
    running: dict[int, subprocess.Popen[bytes]] = {}
    lock, left = threading.Lock(), [kills]

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
            alive = [process for process in running.values() if process.poll() is None]
            if left[0] and alive:
                draw.choice(alive).kill()
                left[0] -= 1
    joined = merged(broken, bench.folder)
    same = filecmp.cmp(whole / "evolved.parquet", broken / "evolved.parquet", shallow=False)
    stats = bench.mock.stats()
    print(
        f"{of} shards, {kills - left[0]} kills: merge ended with {joined.status}; the file is "
        f"{'byte for byte' if same else 'NOT'} that of one process; {stats['repeated_ok']:,} calls were answered twice"
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
    parser.add_argument("--ray", type=int, default=0, help="also through a local Ray, in so many shards")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--merge", type=int, default=0, help="merge so many made rows, and nothing else")
    given = parser.parse_args()
    counts = [int(one) for one in given.shards.split(",")]
    with tempfile.TemporaryDirectory() as name, mock_server(LATENCY_MS=given.latency_ms, MAX_TOKENS_OUT=40) as mock:
        folder = Path(name)
        if given.merge:
            merge_many(folder, given.merge, counts[-1])
            return
        bench = Bench(folder, write_seeds(folder / "seeds.jsonl", given.rows), given.rows, mock)
        if given.kills:
            killed(bench, counts[-1], given.kills, given.seed)
        else:
            compare(bench, counts, given.ray)


if __name__ == "__main__":
    main()
