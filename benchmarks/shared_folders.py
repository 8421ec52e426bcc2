"""Call stores and locks where file systems refuse what they need: how each is kept, its speed, and what a kill costs.

    python -m benchmarks.shared_folders --rows 600

Refused is by a preloaded library (gcc) and by FUSE (mfusepy, libfuse, the right to mount); what is not there is left
out. For each: how the store is kept; calls that it commits a second, 200 at once; a run against the mock server, killed
(kill -9) when half of its rows are answered, then gone on with on the same node, and on one with another TMPDIR: how
many calls were asked again, whether the file is that of a run that was left alone, rows lost and rows that came twice.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.measuring import Mock, mock_server, write_seeds
from benchmarks.refusing import build, mounted, refusing
from evolvent.call_store.journal import words
from tests import processes
from tests.e2e.command import evolvent, start
from tests.processes import finish, wait_until

IN_FLIGHT = 16
UNSTORED = 2 * IN_FLIGHT  # in flight, and waiting for their commit while the next are asked
SPEED = """
import asyncio, sys, time
from contextlib import closing
from pathlib import Path
from evolvent.call_store.key import call_key
from evolvent.call_store.store import Call, CallStore
from evolvent.runs.folder import RunFolder
folder, calls = Path(sys.argv[1]), int(sys.argv[2])
async def some(store, numbers):
    for n in numbers:
        if store.get(call_key(n)) is None:
            await store.put([Call(call_key(n), "evolve", f"r{n}", "m", "{}" * 500, "reply " * 150)])
async def main(store):
    await asyncio.gather(*(some(store, range(first, calls, 200)) for first in range(200)))
with RunFolder(folder) as run, closing(CallStore(folder / "calls.sqlite", run.check_there)) as store:
    began = time.perf_counter()
    asyncio.run(main(store))
print(calls / (time.perf_counter() - began))
"""


@contextmanager
def places(folder: Path) -> Iterator[dict[str, tuple[Path, dict[str, str]]]]:
    """Folders by what their file system refuses, and the environment of what works there."""
    found: dict[str, tuple[Path, dict[str, str]]] = {"nothing": (folder, {})}
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        if shutil.which("gcc"):
            built = build(folder)
            found |= {
                "shared memory": (folder, refusing(built, "shm", folder)),
                "flock": (folder, refusing(built, "flock", folder)),
                "flock, locks of bytes": (folder, refusing(built, "flock,fcntl", folder)),
            }
        for kind, direct in (("bindfs", True), ("rclone", False)):
            (within := folder / kind).mkdir()
            try:
                at = stack.enter_context(mounted(within, kind, direct=direct))
            except OSError as error:
                print(f"left out: fuse.{kind}: {error}")
            else:
                found[f"fuse.{kind}{', no shared memory' * direct}"] = (at, {})
        yield found


def speed(out: Path, variables: Mapping[str, str], calls: int) -> float:
    """Calls that a store commits a second."""
    command = [sys.executable, "-c", SPEED, out, str(calls)]
    return float(finish(processes.start(command, variables=variables)).output)


def evolution(mock: Mock, seeds: Path, out: Path) -> list[str | Path]:
    """The command that is run, and killed."""
    model = f"openai:m?base_url={mock.base_url}"
    settings = ["--rounds", "1", "--concurrency", str(IN_FLIGHT), "--no-pilot"]
    return ["evolve", seeds, "--model", model, "--out", out, *settings]


def killed(mock: Mock, seeds: Path, out: Path, variables: Mapping[str, str], rows: int, *nodes: Path) -> int:
    """Kill a run half way on one node, and go on with it on the other; how many rows were asked again."""
    mock.reset()
    command = evolution(mock, seeds, out)
    process = start(command, out.parent, {**variables, "TMPDIR": str(nodes[0])})
    wait_until(lambda: mock.stats()["rows_ok"] >= rows // 2, process)
    process.kill()
    finish(process)
    ended = evolvent(*command, folder=out.parent, variables={**variables, "TMPDIR": str(nodes[1])})
    if ended.status:
        raise SystemExit(ended.errors)
    return int(mock.stats()["rows_repeated"])


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--calls", type=int, default=10_000, help="of the store alone")
    options = parser.parse_args()
    failures = 0
    with (
        mock_server(LATENCY_MS=30) as mock,
        tempfile.TemporaryDirectory() as temporary,
        places(Path(temporary, "shared")) as found,
    ):
        folder = Path(temporary)
        nodes = (folder / "a", folder / "b")
        for node in nodes:
            node.mkdir()
        seeds = write_seeds(folder / "seeds.jsonl", options.rows)
        evolvent(*evolution(mock, seeds, folder / "whole"), folder=folder)
        whole = (folder / "whole" / "evolved.parquet").read_bytes()
        print(f"unbroken: {mock.stats()['requests']:,} requests, {IN_FLIGHT} in flight")
        print("| refused | kept as | calls/s | asked again, same node | another node | rows lost | twice | file |")
        print("|---|---|---|---|---|---|---|---|")
        for number, (refused, (at, variables)) in enumerate(found.items()):
            rate = speed(at / f"speed{number}", variables, options.calls)
            kept = words(at / f"speed{number}" / "calls.sqlite").split(" that ")[0].split(",")[0] or "a write-ahead log"
            again = []
            for other in nodes:
                out = at / f"run{number}{other.name}"
                again.append(killed(mock, seeds, out, variables, options.rows, nodes[0], other))
                file = out / "evolved.parquet"
                content, ids = file.read_bytes(), pq.read_table(file, columns=["id"])["id"].to_pylist()
            lost, twice = 2 * options.rows - len(set(ids)), len(ids) - len(set(ids))
            bound = options.rows if "copy" in kept else UNSTORED  # no copy is saved within so short a run
            failures += content != whole or lost > 0 or twice > 0 or again[0] > UNSTORED or again[1] > bound
            same = "same" if content == whole else "DIFFERS"
            cells = (refused, kept, f"{rate:,.0f}", *map(str, again), str(lost), str(twice), same)
            print(f"| {' | '.join(cells)} |", flush=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
