"""Data on standard output: whatever that is, the command's own words are elsewhere."""

import fcntl
import json
import os
import subprocess
import sys
import termios
from array import array
from pathlib import Path

import pytest

from tests import processes
from tests.e2e.command import evolvent

CONVERT = ("convert", "seeds.jsonl", "/dev/stdout", "--to", "messages")


PIPE = 65_536  # bytes that a pipe takes before it is full


def unread(number: int) -> int:
    """The bytes that wait in a pipe."""
    waiting = array("i", [0])
    fcntl.ioctl(number, termios.FIONREAD, waiting)
    return waiting[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"instruction": f"Name {n} tools", "output": "A saw.", "q": n} for n in range(3)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    "typed",
    [
        CONVERT,
        ("convert", "seeds.jsonl", "-", "--to", "alpaca"),
        ("select", "seeds.jsonl", "--by", "q", "--top", "3", "--out", "/proc/self/fd/1"),
        ("calls", "run", "--out", "-"),
        ("run", "recipe.yaml"),
    ],
)
def test_a_pipe_holds_the_data_alone(typed: tuple[str, ...], folder: Path) -> None:
    if typed[0] == "calls":
        evolvent("evolve", "seeds.jsonl", "--model", "embedded", "--rounds", "1", "--out", "run", folder=folder)
    (folder / "recipe.yaml").write_text(
        "out: run\nevolve: {seeds: seeds.jsonl, model: embedded, rounds: 1}\n"
        "select: {data: seeds.jsonl, by: q, top: 3, out: /dev/stdout}\n"
    )
    ended = evolvent(*typed, folder=folder)
    assert ended.status == 0
    assert all(isinstance(json.loads(line), dict) for line in ended.output.splitlines())
    assert len(ended.output.splitlines()) == 3
    assert "3 " in ended.errors  # rows, calls
    assert not list(folder.glob("*.selection.json"))


@pytest.mark.parametrize(
    ("redirected", "status", "words"),
    [
        (">> log", 0, "3 rows of alpaca written as messages"),
        (">&-", 2, "/dev/stdout is not open to be written"),
        ("> full", 1, "standard output cannot be written: No space left"),
    ],
)
def test_what_standard_output_may_be(redirected: str, status: int, words: str, folder: Path) -> None:
    (folder / "log").write_text("before\n")
    if "full" in redirected:
        try:
            os.mknod(folder / "full", 0o20666, os.makedev(1, 7))  # a character device, as /dev/full
            (folder / "full").open("wb").close()
        except OSError:
            pytest.skip("device nodes cannot be made here")
    command = f"{sys.executable} -m evolvent {' '.join(CONVERT)} {redirected}"
    ended = processes.finish(processes.start(["sh", "-c", command], folder=folder))
    assert (ended.status, ended.output) == (status, "")
    assert words in ended.errors and "Traceback" not in ended.errors
    assert len((folder / "log").read_text().splitlines()) == (4 if status == 0 else 1)
    assert (folder / "log").read_text().startswith("before\n")


def test_a_reader_that_is_gone_ends_it_quietly(folder: Path) -> None:
    (folder / "seeds.jsonl").write_text('{"instruction": "Name a tool"}\n' * 20_000)
    command = f"{sys.executable} -m evolvent {' '.join(CONVERT)} 2>words | head -1"
    command += "; s=${PIPESTATUS[0]}; cat words; echo $s"
    ended = processes.finish(processes.start(["bash", "-c", command], folder=folder))
    first, *words, status = ended.output.splitlines()
    assert (json.loads(first)["messages"][0]["content"], words, status) == ("Name a tool", [], "141")


def test_a_pipe_that_does_not_block_gets_all_of_it(folder: Path) -> None:
    (folder / "seeds.jsonl").write_text('{"instruction": "Name a tool"}\n' * 20_000)
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    process = subprocess.Popen([sys.executable, "-m", "evolvent", *CONVERT], cwd=folder, stdout=ends[1])
    os.close(ends[1])
    with os.fdopen(ends[0]) as read:
        processes.wait_until(lambda: unread(ends[0]) >= PIPE)
        assert sum(1 for _ in read) == 20_000
    assert process.wait() == 0
