"""evolvent beside its peers and a bare loop: one evolution a seed against a mock server, whole processes, one table.

    python -m benchmarks.engine                          # everything, about a quarter of an hour
    python -m benchmarks.engine --only evolvent,bare

Each peer runs in a virtual environment of its own, made at the first use under --cache. The server runs on the same
machine. See benchmarks/README.md for what each column means.
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.environments import default_cache, installed_version, python_of
from benchmarks.measuring import MOCK, Measured, Mock, measure, mock_server, write_seeds
from benchmarks.systems import SYSTEMS, Rows, System, rows_of

START_ROWS = 50
FAULTS_IN_FLIGHT = 50
MANY_IN_FLIGHT = 500
RESUME_LIMIT_S = 60.0
SCENARIOS = ("start", "latency0", "200ms", "429", "kill", "null")
COLUMNS = (
    "",
    "rows",
    "start to first request, s",
    "latency 0: rows/s",
    "CPU ms a call",
    "peak RSS, MB",
    "200 ms, 500 in flight: rows/s",
    "10 % answered 429, Retry-After 1 s, 100 ms, 50 in flight",
    "kill -9 half way, same command again",
    "1 % null completions",
)
RATES = ("latency 0: rows/s", "200 ms, 500 in flight: rows/s")


@dataclass
class Bench:
    """The settings of one go, and its seeds.

    Args:
        rows, large_rows: how many seeds.
        repeats: runs of the two throughput scenarios, of which the median is shown.
        limit_s: seconds after which a process is ended.
    """

    folder: Path
    cache: Path
    mock: Path
    rows: int
    large_rows: int
    repeats: int
    limit_s: float
    began: float = field(default_factory=time.monotonic)
    made: int = 0

    def seeds(self, rows: int) -> Path:
        path = self.folder / f"seeds{rows}.jsonl"
        return path if path.exists() else write_seeds(path, rows)

    def out(self, system: System) -> Path:
        """A fresh output folder."""
        self.made += 1
        return self.folder / f"{self.made:03d}-{system.name}"

    def server(self, **settings: object) -> AbstractContextManager[Mock]:
        return mock_server(python_of("loop", self.cache), self.mock, **settings)

    def run(
        self,
        system: System,
        mock: Mock,
        rows: int,
        in_flight: int,
        *,
        out: Path | None = None,
        limit_s: float | None = None,
        kill_when: Callable[[], bool] = lambda: False,
    ) -> "Run":
        """One process of a system."""
        out = out or self.out(system)
        home = out.with_suffix(".home")
        home.mkdir(exist_ok=True)
        environment = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "COLUMNS": "240", "NO_COLOR": "1"}
        if system.script:  # what a peer keeps in its user's folder stays in this run's
            environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
        log = out.with_suffix(".log")
        measured = measure(
            system.command(self.seeds(rows), mock.base_url, out, in_flight, self.cache),
            log=log,
            limit_s=limit_s or self.limit_s,
            environment=environment,
            kill_when=kill_when,
        )
        return Run(measured, rows_of(system, out), mock.stats(), rows, out, log)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Run:
    """One process, what it wrote and what the server saw."""

    measured: Measured
    rows: Rows
    stats: dict[str, float]
    asked: int
    out: Path
    log: Path

    @property
    def failure(self) -> str:
        """Why this run does not count, or ""."""
        if self.measured.stopped:
            done = self.stats["rows_ok"]
            return f"{self.measured.stopped} ({done:,} of {self.asked:,} rows answered)"
        if self.measured.status:
            return f"exit {self.measured.status}: {last_words(self.log)}"
        return "" if self.rows.answered == self.asked else f"{self.rows.answered:,} of {self.asked:,} rows"

    @property
    def first_request(self) -> str:
        """Seconds from the start to the first request, if the server (another one than ours, say) tells."""
        at = self.stats.get("first_request_monotonic")
        return f"{at - self.measured.began:.2f}" if at else "not told"

    @property
    def rate(self) -> float:
        return self.asked / self.measured.seconds


def last_words(log: Path) -> str:
    """The last line that a process printed, shortened and without an exception's module."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = lines[-1] if lines else "said nothing"
    return re.sub(r"^(\w+\.)+(?=\w*Error)", "", said)[:100].replace("|", "/")


def throughput(bench: Bench, system: System, rows: int, in_flight: int, **settings: object) -> list[Run]:
    """Runs of one scenario; the first that fails ends them."""
    runs: list[Run] = []
    for _ in range(bench.repeats):
        with bench.server(**settings) as mock:
            runs.append(bench.run(system, mock, rows, in_flight))
        if runs[-1].failure:
            break
    return runs


def rate(runs: list[Run]) -> str:
    return runs[-1].failure or f"{statistics.median(run.rate for run in runs):,.0f}"


def started(bench: Bench, system: System) -> Run:
    """A run with few rows, for the fixed cost of starting."""
    with bench.server() as mock:
        return bench.run(system, mock, START_ROWS, min(START_ROWS, system.in_flight))


def rate_limited(bench: Bench, system: System) -> str:
    with bench.server(LATENCY_MS=100, P429=0.1, RETRY_AFTER=1) as mock:
        run = bench.run(system, mock, bench.rows, FAULTS_IN_FLIGHT)
    return run.failure or f"{run.measured.seconds:.1f} s"


def killed(bench: Bench, system: System) -> str:
    """Kill it when half of the rows are answered; start it again; count the rows that were answered twice."""
    with bench.server(LATENCY_MS=200) as mock:
        out = bench.out(system)
        half = bench.rows // 2
        first = bench.run(
            system, mock, bench.rows, FAULTS_IN_FLIGHT, out=out, kill_when=lambda: mock.stats()["rows_ok"] >= half
        )
        if first.measured.stopped != "killed":
            return f"before the kill: {first.failure or 'done'}"
        again = bench.run(system, mock, bench.rows, FAULTS_IN_FLIGHT, out=out, limit_s=RESUME_LIMIT_S)
        bought = f"{again.stats['rows_repeated']:,} rows bought again"
        if again.measured.stopped and again.stats["requests"] == first.stats["requests"]:
            return f"hangs: no request in {RESUME_LIMIT_S:.0f} s"
        return f"{again.failure}; {bought}" if again.failure else f"{bought}, {again.rows.answered:,} rows"


def nulls(bench: Bench, system: System) -> str:
    with bench.server(LATENCY_MS=50, PNULL=0.01) as mock:
        run = bench.run(system, mock, bench.rows, FAULTS_IN_FLIGHT)
    if run.measured.stopped or run.measured.status:
        return run.failure
    counted = ", ".join(f"{count:,} {what}" for what, count in run.rows.other.items())
    missing = bench.rows - run.rows.good - run.rows.other.total()
    gone = f", {missing:,} not there" if missing else ""
    lost = f"{bench.rows - run.rows.good:,} of {bench.rows:,} rows lost"
    return f"{lost} ({run.stats.get('null_ok', 'some')} nulls sent{'; ' if counted else ''}{counted}{gone})"


def line(bench: Bench, system: System, scenarios: set[str], *, large: bool) -> list[str]:
    """One line of the table."""
    rows = bench.large_rows if large else bench.rows
    cells = dict.fromkeys(COLUMNS, "")
    name, first, zero, cpu, memory, slow, limited, kill, null = (COLUMNS[i] for i in (0, 2, 3, 4, 5, 6, 7, 8, 9))
    cells |= {name: system.label, "rows": f"{rows:,}"}

    def cell(column: str, text: str) -> None:
        cells[column] = text
        bench.say(f"{system.name}, {rows:,} rows, {column}: {text}")

    start = started(bench, system) if scenarios & {"start", "latency0"} else None
    if start:
        cell(first, start.failure or start.first_request)
    if "latency0" in scenarios and start:
        runs = throughput(bench, system, rows, system.in_flight)
        cell(zero, rate(runs))
        if not runs[-1].failure:
            calls = rows - START_ROWS
            used = statistics.median(run.measured.cpu_s for run in runs) - start.measured.cpu_s
            cell(cpu, f"{1000 * used / calls:.2f}")
            cell(memory, f"{statistics.median(run.measured.peak_mb for run in runs):,.0f}")
    if "200ms" in scenarios:
        cell(slow, rate(throughput(bench, system, rows, MANY_IN_FLIGHT, LATENCY_MS=200)))
    if not large:
        for scenario, column, measured in (
            ("429", limited, rate_limited),
            ("kill", kill, killed),
            ("null", null, nulls),
        ):
            if scenario in scenarios:
                cell(column, measured(bench, system))
    return [cells[column] for column in COLUMNS]


def table(lines: list[list[str]]) -> str:
    """The table in Markdown."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(head + ["| " + " | ".join(cells) + " |" for cells in lines])


def share_of_floor(lines: list[list[str]]) -> str:
    """evolvent's throughput as a share of the bare loop's, where both were measured."""
    labels = {system.label: system.name for system in SYSTEMS}
    rates = {(labels[cells[0]], cells[1], column): cells[COLUMNS.index(column)] for cells in lines for column in RATES}
    shares = []
    for (name, rows, column), rate in rates.items():
        floor = rates.get(("bare", rows, column), "")
        if name == "evolvent" and is_number(rate) and is_number(floor):
            shares.append(f"{column.split(':')[0]}, {rows} rows: {number(rate) / number(floor):.0%}")
    return "; ".join(shares) or "not measured"


def is_number(cell: str) -> bool:
    return cell.replace(",", "").isdigit()


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def version(system: System, cache: Path) -> str:
    """What was measured; of the bare loop, its aiohttp."""
    if not system.script:
        return f"evolvent {metadata.version('evolvent')}"
    return f"{system.name} {installed_version(system.environment, cache)}"


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [system.name for system in SYSTEMS]
    parser.add_argument("--only", default=",".join(names), help="of " + ", ".join(names))
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="of " + ", ".join(SCENARIOS))
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--large-rows", type=int, default=20_000, help="for evolvent and the bare loop; 0: not at all")
    parser.add_argument("--repeats", type=int, default=3, help="of the throughput scenarios; medians are shown")
    parser.add_argument("--limit", type=float, default=120, help="seconds that one process may take")
    parser.add_argument("--mock", type=Path, default=MOCK, help="another mock server with the same environment")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the peers' environments are kept")
    parser.add_argument("--keep", type=Path, help="a folder for logs and outputs; a temporary one if not given")
    options = parser.parse_args()
    chosen = [system for system in SYSTEMS if system.name in options.only.split(",")]
    unknown = {*options.only.split(",")} - {*names} | {*options.scenarios.split(",")} - {*SCENARIOS}
    if unknown:
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"{options.keep} is not empty")  # runs left there would be gone on with
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            folder, options.cache, options.mock, options.rows, options.large_rows, options.repeats, options.limit
        )
        lines = []
        for large in (True, False):
            for system in chosen:
                if large and not (system.large and bench.large_rows):
                    continue
                try:
                    lines.append(line(bench, system, {*options.scenarios.split(",")}, large=large))
                except (OSError, RuntimeError) as error:  # one system's trouble is its own
                    failed = f"could not be measured: {str(error)[-200:]}".replace("\n", " ").replace("|", "/")
                    bench.say(f"{system.name}: {failed}")
                    lines.append([system.label, "", failed, *[""] * (len(COLUMNS) - 3)])
                print(table(lines[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        print(table(lines))
        print(f"\nevolvent's rows/s as a share of the bare loop's: {share_of_floor(lines)}")
        print("\nVersions: " + ", ".join(version(system, bench.cache) for system in chosen))
        bench.say("done")


if __name__ == "__main__":
    main()
