"""Standard streams that are closed, full or read by nobody: the work goes on, and a result that is lost is an error."""

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evolvent.call_store.store import CallStore
from tests.processes import LONG_S

ROWS = "import evolvent.runs.progress as p\nwith p.shown('evolve', 3, show=True) as advance: advance(); advance()\n"
GUARDED = "from evolvent.streams import guard_standard_streams as guard; guard()\n"
LOGGED = "import logging; logging.getLogger('evolvent').warning('x')\n"
MADE = "from pathlib import Path; Path('made').touch()\n"


def unread_pipe() -> int:
    """The end of a full pipe that is written to; the other end stays open in this process, and nobody reads it."""
    _, end = os.pipe()
    os.set_blocking(end, False)
    while select.select([], [end], [], 0)[1]:
        os.write(end, b"x" * select.PIPE_BUF)
    os.set_blocking(end, True)
    return end


def pipe_without_reader() -> int:
    reader, end = os.pipe()
    os.close(reader)
    return end


def full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


BAD: dict[str, Callable[[], int] | None] = {
    "closed": None,
    "full": full_device,
    "gone": pipe_without_reader,
    "unread": unread_pipe,
}


def run(words: list[str], folder: Path, *, bad: str, number: int) -> subprocess.CompletedProcess[str]:
    """Run Python with one of its standard streams in a bad state."""
    opened = BAD[bad]
    end = None if opened is None else opened()
    streams = {1: subprocess.PIPE, 2: subprocess.PIPE} | ({} if end is None else {number: end})
    try:
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=streams[1],
            stderr=streams[2],
            preexec_fn=(lambda: os.close(number)) if end is None else None,
            text=True,
            timeout=LONG_S,
            check=False,
        )
    finally:
        if end is not None:
            os.close(end)


@pytest.mark.parametrize("bad", BAD)
def test_progress_and_warnings_that_nobody_takes_are_dropped(tmp_path: Path, bad: str) -> None:
    ended = run(["-c", GUARDED + ROWS + LOGGED * 3 + MADE + "print('told')"], tmp_path, bad=bad, number=2)
    assert (ended.returncode, ended.stdout) == (0, "told\n")
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("bad", ["closed", "full", "gone"])
def test_in_python_progress_is_dropped_too(tmp_path: Path, bad: str) -> None:
    ended = run(["-c", ROWS + MADE], tmp_path, bad=bad, number=2)
    assert (ended.returncode, ended.stdout, (tmp_path / "made").exists()) == (0, "", True)


@pytest.mark.parametrize(
    ("bad", "status", "said"),
    [
        ("closed", 1, "error: standard output cannot be written: Bad file descriptor\nSend it elsewhere."),
        ("full", 1, "error: standard output cannot be written: No space left on device\nSend it elsewhere."),
        ("gone", 141, ""),
    ],
)
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["evolve", "--help"], ["calls", "run"]])
def test_a_result_that_cannot_be_told_is_an_error(
    tmp_path: Path, bad: str, status: int, said: str, words: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    CallStore(tmp_path / "run" / "calls.sqlite").close()
    ended = run(["-m", "evolvent", *words], tmp_path, bad=bad, number=1)
    assert ended.returncode == status
    assert ended.stderr.startswith(said) and ended.stderr.count("\n") == (2 if said else 0)


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    code = f"{GUARDED}file = open('data', 'w'); print(file.fileno()); import sys; sys.stderr.write('x')"
    ended = run(["-c", code], tmp_path, bad="closed", number=2)
    assert (ended.returncode, ended.stdout) == (0, "3\n")
    assert (tmp_path / "data").read_bytes() == b""


def test_a_slow_reader_gets_every_word(tmp_path: Path) -> None:
    patient = f"import evolvent.streams\nevolvent.streams.PATIENCE_S = {LONG_S}\n"  # this process may be busy
    code = patient + GUARDED + "import sys\nfor n in range(9_000): sys.stderr.write(f'line {n}\\n')"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert process.stderr is not None
    fcntl.fcntl(process.stderr, 1031, 4096)  # F_SETPIPE_SZ: no room for more than a page
    assert process.stderr.read().count(b"\n") == 9_000
    assert process.wait() == 0


@pytest.mark.parametrize("limit", [8, 16, 32])
@pytest.mark.parametrize(
    "words", [["show", "run"], ["doctor"], ["evolve", "s.jsonl", "--model", "embedded", "--out", "r"]]
)
def test_too_few_open_files_are_told(tmp_path: Path, limit: int, words: list[str]) -> None:
    shell = f'ulimit -n {limit}; exec "$@"'
    ended = subprocess.run(
        ["bash", "-c", shell, "bash", sys.executable, "-m", "evolvent", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f"error: the limit of open files is {limit}: too few for this command\nRaise it: ulimit -n 4096\n"
    )


def test_a_soft_limit_is_raised(tmp_path: Path) -> None:
    shell = 'ulimit -S -n 8; exec "$@"'
    words = [sys.executable, "-m", "evolvent", "show", "."]
    ended = subprocess.run(
        ["bash", "-c", shell, "bash", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "is not a run folder" in ended.stderr
