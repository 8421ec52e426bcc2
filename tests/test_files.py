import fcntl
import os
import shutil
import stat
from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.files import describe_file, file_state, is_as_noted, make_folder, output_path, replacing
from evolvent.runs.folder import RunFolder
from tests import processes

KILLED = """
import os, sys
from pathlib import Path
from evolvent.files import replacing
with replacing(Path("out.jsonl")) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


def put(path: Path, content: bytes = b"new", *, of_run: bool = False) -> None:
    with replacing(path, of_run=of_run) as file:
        file.write(content)


@pytest.mark.parametrize("of_run", [False, True])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o400])
def test_a_file_that_is_there_keeps_its_mode(mode: int, of_run: bool, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    path.chmod(mode)
    put(path, of_run=of_run)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


def test_a_secret_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    path.chmod(0o600)
    with replacing(path):
        (temporary,) = tmp_path.glob(".out.*.tmp")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_that_is_there_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    os.chown(path, 1234, 5678)
    put(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)


def test_links(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"old")
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "hard").hardlink_to(tmp_path / "data")
    put(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert [(tmp_path / name).read_bytes() for name in ("data", "link", "hard")] == [b"new", b"new", b"old"]


def test_what_a_kill_left_is_removed_and_what_another_process_writes_is_not(tmp_path: Path) -> None:
    for _ in range(2):
        processes.finish(processes.start(processes.python(KILLED), folder=tmp_path))
        assert len(list(tmp_path.iterdir())) == 1  # the second kill has removed what the first one left
    others = [".out.jsonl.tmp", ".out.jsonl.0123abcd.tmp~", ".other.jsonl.0123abcd.tmp"]
    for name in others:
        (tmp_path / name).touch()
    with replacing(tmp_path / "out.jsonl") as slow:
        slow.write(b"slow")
        put(tmp_path / "out.jsonl", b"fast")
        assert (tmp_path / "out.jsonl").read_bytes() == b"fast"
    assert (tmp_path / "out.jsonl").read_bytes() == b"slow"
    assert {file.name for file in tmp_path.iterdir()} == {"out.jsonl", *others}


def test_a_name_that_is_taken_away_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = fcntl.flock

    def removed_once(number: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", locked)
        next(tmp_path.glob(".out.*.tmp")).unlink()  # as another process does that finds nobody's lock on it
        locked(number, how)

    monkeypatch.setattr(fcntl, "flock", removed_once)
    put(tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["nul\0", "x" * 300, "\ud800", "out/below", "loop", "~nobody-of-that-name/x"])
def test_names_that_cannot_be(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").touch()
    Path("loop").symlink_to("loop")
    with pytest.raises(InputError, match="cannot be written"):
        output_path(name)


def test_the_data_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").touch()
    (tmp_path / "link").symlink_to("data")
    for out, read in (("data", "link"), ("link", "data")):
        with pytest.raises(InputError, match="is the data itself"):
            output_path(tmp_path / out, f"~/{read}", ["no path"], "org/name")
    assert output_path("~/new\nline", tmp_path / "data") == tmp_path / "new\nline"


def edit_unseen(path: Path) -> None:
    """Change a file in place, and put its times back."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("folder", [False, True])
def test_a_change_in_place_is_seen_although_the_time_is_put_back(folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = path / "inner" if folder else path
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"content")
    before, noted = file_state(path), describe_file(path)
    edit_unseen(file)
    assert file_state(path) != before
    assert file_state(path)[:3] == before[:3]
    assert not is_as_noted(path, noted)


def test_what_is_noted_is_known_by_its_bytes_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"content")
    noted = describe_file(path)
    assert is_as_noted(path, noted)
    assert is_as_noted(path, noted | {"state": [1, 2, 3]})  # as earlier versions noted it
    os.utime(path, (1, 1))
    assert is_as_noted(path, noted)
    copy = shutil.copy2(path, tmp_path / "copy")
    assert is_as_noted(copy, noted)
    copy.write_bytes(b"other")
    assert not is_as_noted(copy, noted)
    assert not is_as_noted(path, {"name": "out"})
    assert not is_as_noted(tmp_path / "gone", noted)


def test_a_file_gets_its_folder_which_goes_with_it_where_nothing_comes_of_it(tmp_path: Path) -> None:
    path = output_path(tmp_path / "new" / "below" / "out")
    assert not path.parent.exists()  # as long as nothing is written
    with pytest.raises(ZeroDivisionError), replacing(path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    put(path)
    assert path.read_bytes() == b"new"


def test_a_folder_that_can_never_be_made() -> None:
    for attempt in (make_folder, lambda path: put(path / "out"), lambda path: RunFolder(path).__enter__()):
        with pytest.raises(InputError, match="/proc/foo cannot be made: /proc takes no folders"):
            attempt(Path("/proc/foo"))
