"""One process measured from its start to its end, the mock server beside it, and seeds for both."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
) -> Measured:
    """Run a command to its end, to a time limit, or to a ``kill -9`` of its whole process group.

    Args:
        command: program and arguments.
        log: a file for what it prints.
        limit_s: seconds after which it is killed.
        environment: variables added to ours.
        kill_when: asked every 20 ms; true kills it.
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
        while not select.select([ends], [], [], SAMPLE_S)[0]:
            peak = max(peak, _memory(process.pid))
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
    held, highest = memory_of(process)
    total, waiting = held, _children(process)
    while waiting:
        child = waiting.pop()
        total += memory_of(child)[0]
        waiting += _children(child)
    return max(total, highest)


def memory_of(process: int) -> tuple[int, int]:
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


@dataclass(frozen=True)
class Mock:
    """A running mock server."""

    url: str

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/stats", timeout=30) as answer:
            return dict(json.load(answer))

    def reset(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/reset", method="POST"), timeout=30).close()


@contextmanager
def mock_server(python: Path | str = sys.executable, script: Path = MOCK, **settings: object) -> Iterator[Mock]:
    """A mock server on a free port, ended afterwards.

    Args:
        python: what runs it; it needs aiohttp and orjson, and is faster with uvloop.
        script: the server.
        settings: its environment (``LATENCY_MS=200``).
    """
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "ROWRE": ROW,
        **{name: str(value) for name, value in settings.items()},
    }
    process = subprocess.Popen([str(python), str(script)], env=environment, stdout=subprocess.DEVNULL)
    mock = Mock(f"http://127.0.0.1:{port}")
    try:
        _wait_for(mock, process)
        yield mock
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(mock: Mock, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the mock server ended with status {process.returncode}")
        try:
            mock.stats()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the mock server did not start within 15 s")


TASKS = ("how a compass finds north", "why bread rises", "what a tide table says", "how to read a weather map")


def write_seeds(path: Path, rows: int) -> Path:
    """Write short instructions, one a line, each naming its row for the mock's count."""
    with path.open("w") as file:
        for row in range(rows):
            file.write(json.dumps({"instruction": f"Explain to learner {row:07d} {TASKS[row % len(TASKS)]}."}) + "\n")
    return path
