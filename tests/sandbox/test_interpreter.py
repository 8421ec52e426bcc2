import os
import subprocess
from pathlib import Path

import pytest

from evolvent.sandbox.interpreter import interpreter


def test_libraries_that_modules_find_by_their_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Conda's do: ../../libffi.so.8 from the folder of the modules."""
    library = tmp_path.resolve() / "libffi.so.8"
    library.touch()
    modules = Path(os.__file__).resolve().parent / "lib-dynload"
    said = f"{modules}/{os.path.relpath(library, modules)}\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=said))
    assert (str(library), str(library)) in interpreter.__wrapped__().files


def test_neither_packages_nor_homes_are_seen() -> None:
    found = interpreter()
    folders = [target for _, target in found.files if Path(target).is_dir()]
    assert folders
    for folder in folders:
        assert "site-packages" not in folder
        assert not Path.home().is_relative_to(folder)
        assert not (Path(folder) / "site-packages").is_dir() or f"{folder}/site-packages" in found.hidden
