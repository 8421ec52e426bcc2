"""Run the ``evolvent`` command as a user does, in a process of its own, and kill it when told to."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import processes
from tests.processes import LONG_S, Ended, finish, wait_until

SERVER = Path(__file__).parent.parent / "openai_server.py"
COUNTED = 0.8
# SQL conditions on a run's stored calls.
ANSWERED = "reply IS NOT NULL"
CHAT = f"{ANSWERED} AND stage != 'score'"


def start(
    arguments: Sequence[str | bytes | Path],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    in_background: bool = False,
) -> subprocess.Popen[str]:
    """Start ``evolvent ARGUMENTS`` in a folder, with environment variables of the test's own."""
    own = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **(variables or {})}
    command = [sys.executable, "-m", "evolvent", *arguments]
    return processes.start(command, folder=folder, variables=own, in_background=in_background)


def evolvent(
    *arguments: str | bytes | Path, folder: Path, timeout: float = LONG_S, variables: Mapping[str, str] | None = None
) -> Ended:
    """Run ``evolvent ARGUMENTS`` in a folder to its end."""
    return finish(start(arguments, folder, variables), timeout)


def stored_calls(run: Path, where: str = ANSWERED) -> int:
    """How many calls a run folder's store holds for which an SQL condition holds; 0 before it is there."""
    if not (run / "calls.sqlite").is_file():
        return 0
    try:
        # Closed at once: what is left to the garbage collector holds locks, and loses them where the file is copied.
        with contextlib.closing(sqlite3.connect(f"file:{run / 'calls.sqlite'}?mode=ro", uri=True)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM calls WHERE {where}").fetchone()[0])
    except sqlite3.OperationalError:  # the table is being made
        return 0


def stop_at(
    arguments: Sequence[str | Path],
    folder: Path,
    run: Path,
    calls: int,
    sent: signal.Signals,
    where: str = ANSWERED,
    *,
    then_s: float = 0,
    limit_s: float = LONG_S,
) -> Ended:
    """Start a command and send it a signal as soon as the run's store holds so many calls (of those chosen).

    Args:
        arguments, folder: the command.
        run: the run folder.
        calls: how many calls.
        sent: the signal; a command that ended before gets none.
        where: an SQL condition on the calls.
        then_s: seconds to let it go on after that, to stop it where nothing is stored.
        limit_s: seconds until the calls must be there.

    Returns:
        How it ended; ``seconds`` counts from the signal.

    Raises:
        TimeoutExpired: the calls were not there in time, or the command did not end long after the signal.
    """
    process = start(arguments, folder)
    wait_until(lambda: process.poll() is not None or stored_calls(run, where) >= calls, process, limit_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=then_s)
    process.send_signal(sent)
    return finish(process)


@dataclass(frozen=True)
class Work:
    """The work of a whole path of stages, so that a share of it can be named.

    Attributes:
        calls: how many calls of chat models are stored, step by step: the first 80 % of the work.
        rest_s: seconds from the last of them to the end (scoring, selecting), where nothing is counted: the other 20 %.
    """

    calls: int
    rest_s: float

    def moment(self, share: float) -> tuple[int, float]:
        """A share of the work, in [0, 1], as calls to wait for and seconds to wait after them."""
        return int(min(share / COUNTED, 1) * self.calls), max(share - COUNTED, 0) / (1 - COUNTED) * self.rest_s


def measured(arguments: Sequence[str], folder: Path, run: Path, limit_s: float = LONG_S) -> Work:
    """Run a path of stages undisturbed, and measure its work.

    Raises:
        AssertionError: it failed.
    """
    process = start(arguments, folder)
    began = last = time.monotonic()
    calls = 0
    while process.poll() is None:
        if time.monotonic() - began > limit_s:
            finish(process, timeout=0)
        if stored_calls(run, CHAT) > calls:
            calls, last = stored_calls(run, CHAT), time.monotonic()
        time.sleep(0.01)
    ended = finish(process)
    assert ended.status == 0, ended.errors
    return Work(calls, time.monotonic() - last)


@contextmanager
def server(latency_ms: float = 0, port: int = 0) -> Iterator[str]:
    """The tests' OpenAI-compatible server, as a base URL."""
    process = processes.start([sys.executable, SERVER, str(port), str(latency_ms)])
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.communicate()


def server_stats(base_url: str) -> dict[str, int]:
    """What the tests' server has counted."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats") as answer:
        return dict(json.load(answer))
