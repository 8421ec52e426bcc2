"""One GPU: a stage in one process, in shards that share the GPU, and through Ray; then scores on it and on the CPU.

    python -m benchmarks.one_gpu DATA hf:ORG/MODEL --rows 512 --pairs 2048 --shards 2

Seconds are of whole processes, from the interpreter's start to the merged file: weights are loaded by each. A file is
compared with that of one process, row by row; ``again`` is one process a second time, so it shows what differs between
any two runs. Without a GPU all of it runs on the CPU.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import measure

LIMIT_S = 3_600.0
SCORES = ("instruction_ppl", "response_ppl", "conditional_ppl", "ifd", "response_loss")
# What a stage's model is given as, its file, and the columns that are compared.
STAGES: dict[str, tuple[str, str, Sequence[str]]] = {
    "evolve": ("--model", "evolved.parquet", ("instruction",)),
    "respond": ("--teacher", "responses.parquet", ("output",)),
    "score": ("--base-model", "scored.parquet", SCORES),
}


@dataclass(frozen=True)
class Bench:
    """Data, the model, and where folders are made."""

    folder: Path
    data: Path
    model: str
    tokens: int

    def run(self, stage: str, out: Path, rows: int, *words: str) -> None:
        """Make a stage, or a shard of it."""
        given = [stage, str(self.data), STAGES[stage][0], self.model, "--limit", str(rows), "--out", str(out)]
        own = ["--metrics", "ifd"] if stage == "score" else ["--max-tokens", str(self.tokens)]
        rounds = ["--rounds", "1"] if stage == "evolve" else []
        self.evolvent(*given, *own, *rounds, *words)

    def evolvent(self, *words: str) -> None:
        """Run the command line to its end."""
        log = self.folder / "log"
        if measure([sys.executable, "-m", "evolvent", *words], log=log, limit_s=LIMIT_S).status:
            sys.exit(f"{words}: failed:\n{log.read_text()[-2000:]}")

    def make(self, how: str, stage: str, rows: int, of: int) -> Path:
        """A stage in one of the ways that are compared."""
        out = self.folder / f"{stage} {how}"
        if how == "shards":
            with ThreadPoolExecutor(of) as pool:
                shards = [("--shard", f"{number}/{of}") for number in range(1, of + 1)]
                list(pool.map(lambda shard: self.run(stage, out, rows, *shard), shards))
            self.evolvent("merge", str(out))
        elif how == "Ray":
            part = ["--gpus-per-shard", str(1 / of)] if shutil.which("nvidia-smi") else []
            self.run(stage, out, rows, "--engine", "ray", "--shards", str(of), *part)
        else:
            self.run(stage, out, rows)
        return out


@contextmanager
def gpu_memory(log: Path) -> Iterator[list[int]]:
    """The most memory of the GPU that was in use meanwhile, in MiB, by five samples a second."""
    most = [0]
    if not shutil.which("nvidia-smi"):
        yield most
        return
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "200"]
    with log.open("w") as printed:
        sampling = subprocess.Popen(command, stdout=printed)
        try:
            yield most
        finally:
            sampling.terminate()
            sampling.wait()
    most[0] = max((int(line) for line in log.read_text().splitlines() if line.strip().isdigit()), default=0)


def compared(stage: str, one: Path, other: Path) -> str:
    """In how many rows two files differ, and by how much at most."""
    _, name, columns = STAGES[stage]
    if (one / name).read_bytes() == (other / name).read_bytes():
        return "the same bytes"
    first, second = (pq.read_table(out / name, columns=list(columns)) for out in (one, other))
    if stage != "score":
        differ = sum(a != b for a, b in zip(first.to_pylist(), second.to_pylist(), strict=True))
        return f"{differ} of {len(first)} texts differ"
    return largest(first, second)


def largest(first: pa.Table, second: pa.Table) -> str:
    """The median and the largest relative difference of each score."""
    found = []
    for name in SCORES:
        a, b = (table[name].to_numpy(zero_copy_only=False).astype(float) for table in (first, second))
        if (np.isnan(a) != np.isnan(b)).any():
            return f"{name}: scored in one, not in the other"
        difference = np.abs(b - a)[~np.isnan(a)] / np.abs(a)[~np.isnan(a)]
        found.append(f"{name} {np.median(difference):.1e}, {difference.max():.1e}")
    return "; ".join(found)


def tokens_out(out: Path, stage: str) -> int:
    """Tokens that a stage's models have written."""
    paid = json.loads((out / "manifest.json").read_text())["stages"][stage].get("paid", {})
    return sum(one["completion_tokens"] for one in paid.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", help="hf:FOLDER or hf:ORG/MODEL")
    parser.add_argument("--rows", type=int, default=512, help="seeds that are evolved, and answered")
    parser.add_argument("--pairs", type=int, default=2048, help="pairs that are scored")
    parser.add_argument("--cpu-pairs", type=int, default=64, help="pairs that are scored on the CPU too")
    parser.add_argument("--tokens", type=int, default=256, help="the longest reply")
    parser.add_argument("--shards", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), given.data, given.model, given.tokens)
        print("| stage | how | seconds | rows/s | tokens/s | memory of the GPU, MiB | beside one process |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for how in ("one process", "shards", "Ray", "again"):
            for stage, rows in (("evolve", given.rows), ("respond", given.rows), ("score", given.pairs)):
                began = time.monotonic()
                with gpu_memory(bench.folder / "memory") as memory:
                    out = bench.make(how, stage, rows, given.shards)
                seconds = time.monotonic() - began
                speed = f"{rows / seconds:.1f} | {tokens_out(out, stage) / seconds:,.0f}"
                same = compared(stage, bench.folder / f"{stage} one process", out)
                print(f"| {stage} | {how} | {seconds:.1f} | {speed} | {memory[0]:,} | {same} |", flush=True)
            if how == "Ray" and given.cpu_pairs:
                devices(bench, given.cpu_pairs)


def devices(bench: Bench, pairs: int) -> None:
    """Scores in float32 on the CPU beside those of the GPU, in float32 and in bfloat16."""
    cpu = bench.folder / "cpu"
    bench.run("score", cpu, pairs, "--device", "cpu", "--dtype", "float32")
    for dtype in ("float32", "bfloat16"):
        bench.run("score", bench.folder / dtype, pairs, "--dtype", dtype)
        found = compared("score", cpu, bench.folder / dtype)
        print(f"{pairs} pairs, CPU in float32 and GPU in {dtype}, relative differences: {found}", flush=True)


if __name__ == "__main__":
    main()
