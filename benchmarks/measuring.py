"""One process measured from its start to its end, the mock server beside it, and seeds for both."""

import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOCK = Path(__file__).parent / "mock_openai.py"
SAMPLE_S = 0.02
ROW = r"learner (\d+)"  # how write_seeds names a row
MB = 1_000_000


@dataclass(frozen=True)
class Measured:
    """What one process and its children took.

    Args:
        status: the exit status; negative for a signal's number.
        stopped: why we ended it ourselves, or "".
        began: when it was started, on the monotonic clock.
        seconds: from then to its end.
        cpu_s: of user and system time, its own and that of the children it waited for.
        peak_bytes: the most memory (RSS) that it and its children held at once, sampled every 20 ms; of the process
            alone the kernel's own mark is taken, so a peak between two samples counts too.
    """

    status: int
    stopped: str
    began: float
    seconds: float
    cpu_s: float
    peak_bytes: int

    @property
    def peak_mb(self) -> float:
        return self.peak_bytes / MB


def measure(
    command: Sequence[str | Path],
    *,
    log: Path,
    limit_s: float,
    environment: Mapping[str, str] | None = None,
    kill_when: Callable[[], bool] = lambda: False,
    look: Callable[[int], None] | None = None,
    sample_s: float = SAMPLE_S,
) -> Measured:
    """Run a command to its end, to a time limit, or to a ``kill -9`` of its whole process group.

    Args:
        command: program and arguments.
        log: a file for what it prints.
        limit_s: seconds after which it is killed.
        environment: variables added to ours.
        kill_when: asked at every sample; true kills it.
        look: called with its process id at every sample.
        sample_s: how often memory is looked at.
    """
    stopped, peak = "", 0
    with log.open("ab") as printed:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    ends = os.pidfd_open(process.pid)
    try:
        while not select.select([ends], [], [], sample_s)[0]:
            peak = max(peak, _memory(process.pid))
            if look:
                look(process.pid)
            if not stopped and time.monotonic() - began > limit_s:
                stopped = f"not done after {limit_s:.0f} s"
            elif not stopped and kill_when():
                stopped = "killed"
            if stopped:
                os.killpg(process.pid, signal.SIGKILL)
        seconds = time.monotonic() - began
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        os.close(ends)
    _end_group(process.pid)
    return Measured(process.returncode, stopped, began, seconds, used.ru_utime + used.ru_stime, peak)


def _end_group(group: int) -> None:
    """Kill what a dead process left of its group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _memory(process: int) -> int:
    """Bytes of memory of a process and its descendants: the sum now, or the first one's highest mark."""
    held, highest = _status(process)
    return max(held + sum(_status(child)[0] for child in descendants(process)), highest)


def descendants(process: int) -> Iterator[int]:
    """The processes that a process has started, and that these have."""
    waiting = _children(process)
    while waiting:
        child = waiting.pop()
        yield child
        waiting += _children(child)


def memory_of(process: int) -> int:
    """Bytes of memory (RSS) that a process holds; 0 if it is gone."""
    return _status(process)[0]


def peak_of(process: int) -> int:
    """Bytes of memory (RSS) that a process has held at most; 0 if it is gone."""
    return _status(process)[1]


def cpu_of(process: int) -> float:
    """Seconds of user and system time that a process has used; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(process: int) -> tuple[int, int]:
    """Bytes that a process holds and that it held at most; zeros if it is gone."""
    held = highest = 0
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                held = int(line.split()[1]) * 1024
            elif line.startswith("VmHWM:"):
                highest = int(line.split()[1]) * 1024
    except OSError:
        pass
    return held, highest


def _children(process: int) -> list[int]:
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for children in lists for child in children.split()]


def calls_in(store: Path) -> int:
    """Calls that a store holds; 0 before it is there."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as opened:
            return int(opened.execute("SELECT count(*) FROM calls").fetchone()[0])
    except sqlite3.OperationalError:  # the table is being made
        return 0


@dataclass(frozen=True)
class Mock:
    """A running mock server, or several on one port.

    Args:
        url: where they are reached.
        processes: their process ids.
    """

    url: str
    processes: tuple[int, ...] = ()

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/stats", timeout=30) as answer:
            return dict(json.load(answer))

    def reset(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/reset", method="POST"), timeout=30).close()


@contextmanager
def mock_server(
    python: Path | str = sys.executable, script: Path = MOCK, servers: int = 1, **settings: object
) -> Iterator[Mock]:
    """A mock server, ended afterwards.

    Args:
        python: what runs it; it needs aiohttp and orjson, and is faster with uvloop.
        script: the server.
        servers: how many of it share the port; each counts for itself.
        settings: its environment (``LATENCY_MS=200``); without a ``PORT`` it takes a free one.
    """
    port = settings.get("PORT") or free_port()
    environment = {
        **os.environ,
        "ROWRE": ROW,
        **{name: str(value) for name, value in settings.items()},
        "PORT": str(port),
        "SHARE_PORT": "1" if servers > 1 else "0",
    }
    command = [str(python), str(script)]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(servers)]
    try:
        for process in processes:
            assert process.stdout is not None
            if not process.stdout.readline():  # its port, printed once it listens
                raise RuntimeError(f"the mock server ended with status {process.wait()}")
        yield Mock(f"http://127.0.0.1:{port}", tuple(process.pid for process in processes))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


TASKS = ("how a compass finds north", "why bread rises", "what a tide table says", "how to read a weather map")


def write_seeds(path: Path, rows: int) -> Path:
    """Write short instructions, one a line, each naming its row for the mock's count."""
    with path.open("w") as file:
        for row in range(rows):
            file.write(json.dumps({"instruction": f"Explain to learner {row:07d} {TASKS[row % len(TASKS)]}."}) + "\n")
    return path
