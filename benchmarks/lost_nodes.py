"""Shards in a bucket whose nodes are lost: rows, and calls that are made again, against one process on one disk.

    python -m benchmarks.lost_nodes --rows 20000 --shards 16 --kills 50 --lost 10

Each shard is worked on by a process with a disk of its own (TMPDIR) and saved to a real S3 server (moto's). A kill
takes one process that makes calls, drawn anew each time, with SIGKILL; of a lost node the disk is removed as well, and
the shard goes on elsewhere. What lost disks held and the bucket did not is counted: it, and what was in flight at a
kill, is all that may be asked for again.
"""

import argparse
import filecmp
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Mock, calls_in, free_port, mock_server, write_seeds

WORK = """
import sys
from evolvent import cli
from evolvent.object_storage import held
held.SAVE_S = float(sys.argv.pop(1))
cli.main()
"""
RUN = "s3://bucket/run"


@contextmanager
def s3_server(log: Path) -> Iterator[None]:
    """A real S3 server with an empty bucket; this process's variables lead to it."""
    import s3fs

    port = free_port()
    with log.open("ab") as said:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=said, stderr=said)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    try:
        for _ in range(300):
            try:
                s3fs.S3FileSystem().mkdir("bucket")
                break
            except Exception:  # it is not there yet
                time.sleep(0.1)
        yield
    finally:
        server.kill()
        server.wait()


@dataclass
class Cluster:
    """Shards at work, each on a node.

    Attributes:
        folder: where nodes' disks are.
        mock: the models' server.
        seeds: the seeds in the bucket.
        save_s: seconds between two saves.
        at_risk: calls that lost disks held and the bucket did not.
        stored: by shard the calls that were there when it was killed last.
    """

    folder: Path
    mock: Mock
    seeds: str
    save_s: float
    at_risk: int = 0
    stored: dict[int, int] = field(default_factory=dict)
    running: dict[int, tuple[subprocess.Popen[bytes], Path]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    nodes: int = 0

    def command(self, out: str | Path, *words: str) -> list[str]:
        """The command that evolves the seeds."""
        model = f"openai:mock?base_url={self.mock.base_url}"
        given = ["evolve", self.seeds, "--model", model, "--rounds", "1", "--no-pilot", "--out", str(out), *words]
        return [sys.executable, "-c", WORK, str(self.save_s), *given]

    def node(self) -> Path:
        """The disk of a new node."""
        self.nodes += 1
        disk = self.folder / f"node-{self.nodes}"
        disk.mkdir()
        return disk

    def work(self, shard: int, of: int) -> None:
        """Make a shard, on whatever node is there, until it is made."""
        disk: Path | None = None
        while True:
            with self.lock, (self.folder / "log").open("ab") as log:
                if disk is None or not disk.exists():
                    disk = self.node()
                process = subprocess.Popen(
                    self.command(RUN, "--shard", f"{shard}/{of}"),
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "TMPDIR": str(disk), "OPENAI_API_KEY": "none"},
                )
                self.running[shard] = (process, disk)
            if process.wait() == 0:
                with self.lock:
                    self.running.pop(shard)
                return

    def kill(self, draw: random.Random, of: int, *, lost: bool) -> bool:
        """Kill one process that has made calls since its start, and where its node is lost remove its disk."""
        with self.lock:
            calling = [
                (shard, process, disk)
                for shard, (process, disk) in self.running.items()
                if process.poll() is None and stored_here(disk, shard, of) > self.stored.get(shard, 0)
            ]
            if not calling:
                return False
            shard, process, disk = draw.choice(calling)
            process.kill()
            process.wait()
            self.stored[shard] = here = stored_here(disk, shard, of)
            if lost:
                self.stored[shard] = stored_there(self.folder, shard, of)
                self.at_risk += here - self.stored[shard]
                shutil.rmtree(disk)
        return True


def stored_here(disk: Path, shard: int, of: int) -> int:
    """Calls that a node's disk holds of a shard."""
    [*found] = disk.glob(f"evolvent-*/objects/s3/bucket/run/shards/{shard}-of-{of}/calls.sqlite")
    return calls_in(found[0]) if found else 0


def stored_there(folder: Path, shard: int, of: int) -> int:
    """Calls that the bucket holds of a shard."""
    import s3fs

    store, copy = s3fs.S3FileSystem(skip_instance_cache=True), folder / "saved.sqlite"
    path = f"bucket/run/shards/{shard}-of-{of}/calls.sqlite"
    if not store.exists(path):
        return 0
    store.get_file(path, str(copy))
    return calls_in(copy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--lost", type=int, default=10, help="of the kills so many take the node's disk along")
    parser.add_argument("--save-s", type=float, default=5, help="seconds between two saves")
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    kills = [True] * given.lost + [False] * (given.kills - given.lost)
    draw.shuffle(kills)
    with tempfile.TemporaryDirectory() as name, mock_server(LATENCY_MS=given.latency_ms, MAX_TOKENS_OUT=40) as mock:
        folder = Path(name)
        with s3_server(folder / "log"):
            run(Cluster(folder, mock, "s3://bucket/seeds.jsonl", given.save_s), given, draw, kills)


def run(cluster: Cluster, given: Any, draw: random.Random, kills: list[bool]) -> None:
    """Make the shards while processes are killed, merge them and compare."""
    import s3fs

    seeds, whole = write_seeds(cluster.folder / "seeds.jsonl", given.rows), cluster.folder / "whole"
    s3fs.S3FileSystem().put_file(str(seeds), "bucket/seeds.jsonl")
    environment = {**os.environ, "OPENAI_API_KEY": "none", "TMPDIR": str(cluster.node())}
    subprocess.run(cluster.command(whole), env=environment, check=True, capture_output=True)
    cluster.mock.reset()
    began = time.monotonic()
    workers = [
        threading.Thread(target=cluster.work, args=(number, given.shards)) for number in range(1, given.shards + 1)
    ]
    for one in workers:
        one.start()
    done = 0
    while any(one.is_alive() for one in workers):
        time.sleep(draw.uniform(0.2, 1.0))
        if done < len(kills) and cluster.kill(draw, given.shards, lost=kills[done]):
            done += 1
    seconds = time.monotonic() - began
    merging = {**environment, "TMPDIR": str(cluster.node())}
    merge = [sys.executable, "-m", "evolvent", "merge", RUN]
    ended = subprocess.run(merge, env=merging, capture_output=True, text=True)
    joined = cluster.folder / "joined.parquet"
    s3fs.S3FileSystem(skip_instance_cache=True).get_file("bucket/run/evolved.parquet", str(joined))
    same = filecmp.cmp(whole / "evolved.parquet", joined, shallow=False)
    lost, twice = sum(kills[:done]), cluster.mock.stats()["repeated_ok"]
    print(
        f"{given.rows:,} rows, {given.shards} shards, {done} kills, {lost} of them with the node's disk, a save every "
        f"{given.save_s:g} s: {seconds:.0f} s; merge ended with {ended.returncode}; the file is "
        f"{'byte for byte' if same else 'NOT'} that of one process; {twice:,} calls were answered twice: "
        f"{cluster.at_risk:,} that lost disks held and the bucket did not, {twice - cluster.at_risk:,} in flight "
        "at a kill"
    )


if __name__ == "__main__":
    main()
