"""A folder that is made before the first of what it is to hold."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from evolvent.runs.folder import RunFolder
from evolvent.runs.made_folder import made_run_folder


def test_if_it_came_to_nothing_it_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), made_run_folder(tmp_path / "new" / "run"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


def test_what_another_process_holds_meanwhile_stays(tmp_path: Path) -> None:
    with ExitStack() as held:
        with pytest.raises(ZeroDivisionError), made_run_folder(tmp_path / "run"):
            other = held.enter_context(RunFolder(tmp_path / "run"))
            raise ZeroDivisionError
        other.write()
