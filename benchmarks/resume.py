"""How soon a command works: on a new folder, on one that was killed with most of its calls made, on a finished one.

    python -m benchmarks.resume                        # a million calls: the first run takes minutes
    python -m benchmarks.resume --rows 20000

Seconds from the start of the process to the first request that the server sees, and for a finished recipe to its end.
The killed run is gone on with several times, each time killed at its first request; the last one runs to its end, and
must have asked again no more than what was in flight at the kills.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environments import default_cache, python_of
from benchmarks.measuring import Measured, Mock, measure, mock_server, write_seeds
from benchmarks.systems import EVOLVENT, rows_of

FEW = 50
LIMIT_S = 7200.0
LEFT = 0.005


def first_request_s(mock: Mock, ran: Measured) -> float:
    """Seconds from a process's start to the first request after the server's counters were cleared."""
    stats = mock.stats()
    if not stats["requests"]:
        raise SystemExit("no request was made")
    return float(stats["first_request_monotonic"]) - ran.began


def fresh(folder: Path, server: Path, repeats: int) -> list[float]:
    """Start to first request on a new folder with few rows."""
    seeds, times = write_seeds(folder / "few.jsonl", FEW), []
    with mock_server(server) as mock:
        for repeat in range(repeats):
            mock.reset()
            command = EVOLVENT.command(seeds, mock.base_url, folder / f"few{repeat}", FEW, folder)
            times.append(first_request_s(mock, measure(command, log=folder / "log", limit_s=120)))
    return times


def finished(folder: Path, server: Path, repeats: int) -> list[float]:
    """The whole of ``evolvent run`` on a recipe that is done, from seeds to a selection."""
    seeds, recipe = write_seeds(folder / "recipe.jsonl", FEW), folder / "recipe.yaml"
    with mock_server(server) as mock:
        model = f"'openai:mock?base_url={mock.base_url}'"
        recipe.write_text(
            f"out: {folder / 'recipe'}\nevolve: {{seeds: {seeds}, model: {model}, rounds: 1}}\n"
            f"respond: {{teacher: {model}}}\nscore: {{base_model: embedded-base}}\nselect: {{by: ic_ifd, top: 25%}}\n"
        )
        command = [sys.executable, "-m", "evolvent", "run", str(recipe)]
        runs = [measure(command, log=folder / "log", limit_s=600) for _ in range(1 + repeats)]
    if any(run.status for run in runs):
        raise SystemExit((folder / "log").read_text(errors="replace")[-2000:])
    return [run.seconds for run in runs[1:]]


def settled(mock: Mock) -> dict[str, Any]:
    """The server's counters once it has served what a killed process had asked for."""
    while (stats := mock.stats())["inflight"]:
        time.sleep(0.01)
    return stats


def killed(folder: Path, server: Path, rows: int, concurrency: int, resumes: int) -> None:
    """Kill a run near its end, go on with it, and print how that went."""
    seeds, out, log = write_seeds(folder / "seeds.jsonl", rows), folder / "run", folder / "log"
    left = max(int(rows * LEFT), 2 * concurrency * (resumes + 1))
    with mock_server(server, LATENCY_MS=5, MAX_TOKENS_OUT=100) as mock:
        command = EVOLVENT.command(seeds, mock.base_url, out, concurrency, folder)

        def near_the_end() -> bool:
            return bool(mock.stats()["rows_ok"] >= rows - left)

        def asking() -> bool:
            return bool(mock.stats()["requests"])

        ran = measure(command, log=log, limit_s=LIMIT_S, kill_when=near_the_end)
        if ran.stopped != "killed":
            raise SystemExit(f"the run ended before it could be killed: {log.read_text(errors='replace')[-1000:]}")
        answers, times = settled(mock)["ok"], []
        peak = f"peak {ran.peak_mb:,.0f} MB"
        print(f"{answers:,} of {rows:,} calls in {ran.seconds:,.1f} s, then kill -9; {peak}", flush=True)
        for resume in range(1, resumes + 1):
            mock.reset()
            if resume < resumes:
                ran = measure(command, log=log, limit_s=LIMIT_S, kill_when=asking)
            else:
                ran = measure(command, log=log, limit_s=LIMIT_S)
            times.append(first_request_s(mock, ran))
            answers += settled(mock)["ok"]
    good, again = rows_of(EVOLVENT, out).good, answers - rows
    print(f"going on, start to first request: {', '.join(f'{seconds:.2f}' for seconds in times)} s")
    print(f"the last one, start to end: {ran.seconds:.1f} s, peak {ran.peak_mb:,.0f} MB")
    print(f"{good:,} of {rows:,} rows; {again:,} calls answered again over {resumes} kills, {concurrency} in flight")
    if good != rows or again > resumes * concurrency:
        raise SystemExit(1)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="calls of the run that is killed; 0: leave it out")
    parser.add_argument("--concurrency", type=int, default=EVOLVENT.in_flight)
    parser.add_argument("--repeats", type=int, default=5, help="of the short measurements")
    parser.add_argument("--resumes", type=int, default=3, help="how often the killed run is gone on with")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to use; a temporary one if not given")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the server's environment is kept")
    options = parser.parse_args()
    server = python_of("loop", options.cache)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        for name, times in (
            (f"a new folder, {FEW} rows: start to first request", fresh(folder, server, options.repeats)),
            ("a finished recipe: start to end", finished(folder, server, options.repeats)),
        ):
            print(f"{name}: {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})", flush=True)
        if options.rows:
            killed(folder, server, options.rows, options.concurrency, options.resumes)


if __name__ == "__main__":
    main()
