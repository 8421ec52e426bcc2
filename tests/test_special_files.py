import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from evolvent.datasets.load import load
from evolvent.datasets.write import KINDS, write
from evolvent.errors import InputError, RunError
from evolvent.files import output_path, replacing
from evolvent.runs.convert import convert
from evolvent.special_files import descriptor, is_written_through
from tests import processes

ROWS = [{"instruction": f"Question {n}?", "output": "An answer. " * 50} for n in range(300)]
DEVICES = {"null": (1, 3), "full": (1, 7)}


@pytest.fixture
def devices(tmp_path: Path) -> dict[str, Path]:
    """Nodes of our own: those of the machine are not to be harmed."""
    made = {}
    for name, (major, minor) in DEVICES.items():
        made[name] = tmp_path / f"{name}.jsonl"
        try:
            os.mknod(made[name], 0o666 | stat.S_IFCHR, os.makedev(major, minor))
            made[name].open("wb").close()
        except OSError:
            pytest.skip("device nodes cannot be made here")
    return made


@contextmanager
def read_at_once(path: Path) -> Iterator[list[bytes]]:
    """Read a pipe while it is written; what was read is there when the block has ended."""
    found: list[bytes] = []
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(path.read_bytes)
        yield found
        found.append(reading.result())


def test_a_device_stays_a_device(devices: dict[str, Path]) -> None:
    before = devices["null"].stat()
    write(load(ROWS), devices["null"])
    after = devices["null"].stat()
    assert (after.st_ino, after.st_rdev, after.st_mode) == (before.st_ino, before.st_rdev, before.st_mode)
    assert {file.name for file in devices["null"].parent.iterdir()} == {"null.jsonl", "full.jsonl"}
    with pytest.raises(RunError, match=r"no space is left to write .*full\.jsonl"):
        write(load(ROWS), devices["full"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipe_gets_what_a_file_would(kind: str, tmp_path: Path) -> None:
    write(load(ROWS), tmp_path / f"plain{kind}")
    pipe = tmp_path / f"pipe{kind}"
    os.mkfifo(pipe)
    with read_at_once(pipe) as found:
        write(load(ROWS), pipe)
    assert found == [(tmp_path / f"plain{kind}").read_bytes()]
    assert pipe.is_fifo()


def test_a_pipe_gets_nothing_of_what_fails(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "pipe.jsonl") as file:  # nobody reads: it does not wait
        file.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "pipe.jsonl").is_fifo()


def test_ctrl_c_ends_the_wait_for_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = """
import signal
from pathlib import Path
from evolvent.files import replacing
with replacing(Path("pipe")) as file:
    file.write(b"all")
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
"""
    ended = processes.finish(processes.start(processes.python(code), folder=tmp_path))
    assert ended.errors.rstrip().endswith("KeyboardInterrupt")


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    with pytest.raises(RunError, match="was closed by its reader before all was written"):
        write(load(ROWS), f"/dev/fd/{written}")
    os.close(written)


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}", "link"])
def test_an_open_pipe(name: str, tmp_path: Path) -> None:
    read, written = os.pipe()
    out = Path(name.format(written))
    if name == "link":
        (tmp_path / "hop").symlink_to(f"/dev/fd/{written}")
        out = tmp_path / "link"
        out.symlink_to("hop")
    assert descriptor(out) == written
    with replacing(out) as file:
        file.write(b"all of it")
    os.close(written)
    assert os.read(read, 100) == b"all of it"
    os.close(read)


def test_an_open_file_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open("a") as log:
        os.set_inheritable(log.fileno(), True)
        for _ in range(2):
            write(load(ROWS[:1]), f"/dev/fd/{log.fileno()}")
    first, *rows = (tmp_path / "log").read_text().splitlines()
    assert first == "before" and len(rows) == 2


def test_what_was_not_opened_to_be_written(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("a database of this process, say")
    for mode in ("rb", "r+b"):
        with own.open(mode) as file, pytest.raises(InputError, match="is not open to be written"):
            os.set_inheritable(file.fileno(), mode == "rb")
            output_path(f"/dev/fd/{file.fileno()}")
    with pytest.raises(InputError, match="is not open to be written"):
        output_path("/dev/fd/987")
    assert own.read_text().startswith("a database")


@pytest.mark.parametrize("name", ["socket.jsonl", "folder.jsonl", "disk.jsonl", "file.jsonl/a.jsonl"])
def test_where_nothing_can_be_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file.jsonl").touch()
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
        bound.bind("socket.jsonl")
    if name.startswith("disk"):
        try:
            os.mknod(tmp_path / name, 0o600 | stat.S_IFBLK, os.makedev(7, 255))
        except OSError:
            pytest.skip("device nodes cannot be made here")
    before = sorted(tmp_path.iterdir())
    why = "is no folder|Not a directory|File exists|is a folder|is a socket, not a file|is a disk, not a file"
    for attempt in (output_path, lambda out: convert(ROWS, out, to="messages")):
        with pytest.raises(InputError, match=why):
            attempt(tmp_path / name)
    with pytest.raises(InputError, match=why), replacing(tmp_path / name):
        pass
    assert sorted(tmp_path.iterdir()) == before


def test_files_are_written_beside(tmp_path: Path) -> None:
    (tmp_path / "7").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert not any(is_written_through(tmp_path / name) for name in ("7", "link", "new", "new/below"))
