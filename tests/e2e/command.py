"""Run the ``evolvent`` command as a user does, in a process of its own, and kill it when told to."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).parent.parent / "openai_server.py"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    output: str
    errors: str
    seconds: float


def start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Start ``evolvent ARGUMENTS`` in a folder."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "evolvent", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )


def hear_interrupts() -> None:
    """Undo what a shell's background jobs inherit: that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def evolvent(*arguments: str | Path, folder: Path, timeout: float = 300) -> Ended:
    """Run ``evolvent ARGUMENTS`` in a folder to its end."""
    began = time.monotonic()
    process = start([str(argument) for argument in arguments], folder)
    output, errors = process.communicate(timeout=timeout)
    return Ended(process.returncode, output, errors, time.monotonic() - began)


def stored_calls(run: Path, where: str = "true") -> int:
    """How many calls a run folder's store holds (of those for which an SQL condition holds); 0 before it is there."""
    if not (run / "calls.sqlite").is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{run / 'calls.sqlite'}?mode=ro", uri=True) as connection:
            return int(connection.execute(f"SELECT count(*) FROM calls WHERE {where}").fetchone()[0])
    except sqlite3.OperationalError:  # the table is being made
        return 0


def stop_at(
    arguments: Sequence[str], folder: Path, run: Path, calls: int, sent: signal.Signals, where: str = "true"
) -> Ended:
    """Start a command and send it a signal as soon as the run's store holds so many calls (of those chosen).

    Returns:
        How it ended; ``seconds`` counts from the signal.
    """
    process = start(arguments, folder)
    while process.poll() is None and stored_calls(run, where) < calls:
        time.sleep(0.002)
    process.send_signal(sent)
    began = time.monotonic()
    output, errors = process.communicate(timeout=60)
    return Ended(process.returncode, output, errors, time.monotonic() - began)


@contextmanager
def server(latency_ms: float = 0, port: int = 0) -> Iterator[str]:
    """The tests' OpenAI-compatible server, as a base URL."""
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(port), str(latency_ms)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def server_stats(base_url: str) -> dict[str, int]:
    """What the tests' server has counted."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats") as answer:
        return dict(json.load(answer))
