"""How much memory evolving takes by the number of rows: one round of short seeds against the mock server.

    python -m benchmarks.memory                         # 10,000, 100,000 and 1,000,000 rows
    python -m benchmarks.memory --rows 10000,100000

Each line is one process from its start to its end: the most memory it held, its time, and the size of its run folder.
Replies are of about 100 words.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.environments import default_cache, python_of
from benchmarks.measuring import MB, measure, mock_server, write_seeds
from benchmarks.systems import EVOLVENT, rows_of

REPLY_WORDS = 100


def size(folder: Path) -> int:
    """Bytes in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000", help="how many, separated by commas")
    parser.add_argument("--concurrency", type=int, default=EVOLVENT.in_flight)
    parser.add_argument("--limit", type=float, default=3600, help="seconds that one run may take")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to use; a temporary one if not given")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the server's environment is kept")
    options = parser.parse_args()
    server = python_of("loop", options.cache)
    print(
        "| rows | peak RSS, MB | s | rows/s | CPU ms a row | run folder, MB | outcome |\n|---|---|---|---|---|---|---|"
    )
    for rows in map(int, options.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            folder = Path(temporary)
            seeds, out, log = write_seeds(folder / "seeds.jsonl", rows), folder / "run", folder / "log"
            with mock_server(server, MAX_TOKENS_OUT=REPLY_WORDS) as mock:
                command = EVOLVENT.command(seeds, mock.base_url, out, options.concurrency, options.cache)
                ran = measure(command, log=log, limit_s=options.limit)
            good = rows_of(EVOLVENT, out).good
            outcome = ran.stopped or (f"exit {ran.status}" if ran.status else f"{good:,} evolved")
            print(
                f"| {rows:,} | {ran.peak_mb:,.0f} | {ran.seconds:,.1f} | {rows / ran.seconds:,.0f} "
                f"| {1000 * ran.cpu_s / rows:.2f} | {size(out) / MB:,.0f} | {outcome} |",
                flush=True,
            )
            if ran.status or good != rows:
                raise SystemExit(log.read_text(errors="replace")[-2000:])


if __name__ == "__main__":
    main()
