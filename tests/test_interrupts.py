"""Ctrl-C and SIGTERM at the moments at which a KeyboardInterrupt would be lost or shown: one line, and their status."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.processes import finish, python

READY = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush()\n"
# A module that others' code imports: it catches what comes, as C extensions do, and makes something else of it.
SWALLOWS = (
    f"import time\ntry:\n    {READY}    time.sleep(60)\nexcept BaseException:\n    raise RuntimeError('bad weights')\n"
)
ENDED = {
    signal.SIGINT: (130, "interrupted; start the same command again to go on\n"),
    signal.SIGTERM: (143, "told to end (SIGTERM); start the same command again to go on\n"),
}


def signalled(process: subprocess.Popen[str], sent: signal.Signals) -> tuple[int, str]:
    """Its status and what it said, when it was sent a signal as soon as it was ready."""
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(sent)
    ended = finish(process)
    return ended.status, ended.errors


@pytest.mark.parametrize("sent", ENDED)
@pytest.mark.parametrize("loads", ["__import__('swallows')", "models.Models().open(models.Need('chat', 'embedded'))"])
def test_where_others_code_would_swallow_it(tmp_path: Path, sent: signal.Signals, loads: str) -> None:
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from evolvent.interrupts import ended_by_signals\nfrom evolvent.models import models\n"
        "models.open_chat = lambda *_, **__: exec(open('swallows.py').read(), {})\n"
        f"with ended_by_signals(): {loads}\n"
    )
    assert signalled(processes.start(python(code), folder=tmp_path), sent) == ENDED[sent]


@pytest.mark.parametrize("sent", ENDED)
@pytest.mark.parametrize("in_loop", [False, True])
def test_in_our_own_code_it_is_an_error_that_cleans_up(tmp_path: Path, sent: signal.Signals, in_loop: bool) -> None:
    code = (
        "import asyncio, sys, time\nfrom evolvent.concurrency import run_sync\n"
        "from evolvent.interrupts import Interrupted, ended_by_signals\n"
        f"async def wait(): {READY.strip()}; await asyncio.sleep(60)\n"
        "def work():\n"
        f"    if {in_loop}: run_sync(wait())\n    {READY}    time.sleep(60)\n"
        "try:\n    with ended_by_signals():\n        try: work()\n        finally: sys.stderr.write('cleaned\\n')\n"
        "except Interrupted as error:\n    sys.stderr.write(f'{error}\\n'); sys.exit(error.exit_status)\n"
    )
    status, words = ENDED[sent]
    assert signalled(processes.start(python(code), folder=tmp_path), sent) == (status, f"cleaned\n{words}")


def test_before_the_command_line_is_there_it_is_silent(tmp_path: Path) -> None:
    """As typer is imported, say: nothing has begun, so nothing is said."""
    (tmp_path / "typer.py").write_text(SWALLOWS)
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, '.')\nfrom evolvent.__main__ import main; main()"]
    assert signalled(processes.start(command, folder=tmp_path), signal.SIGINT) == (-signal.SIGINT, "")


def test_told_to_end_while_handlers_are_put_back(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom evolvent.interrupts import ToldToEnd, ended_by_signals\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "try:\n"
        "    with ended_by_signals():\n"
        "        signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "except ToldToEnd:\n    raise SystemExit(143)\n"
    )
    ended = finish(processes.start(python(code), folder=tmp_path))
    assert (ended.status, ended.errors) == (143, "")
