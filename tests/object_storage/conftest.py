"""Scripted models, nodes with disks of their own, and a store in memory that lasts for one test."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from evolvent.object_storage import held
from tests.runs.conftest import models  # noqa: F401

Node = Callable[[str], None]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """Goes to a node by its name: another disk for temporary files."""

    def go(name: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))

    go("first")
    return go


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    monkeypatch.setattr(held, "EXPIRY_S", 0.4)
    monkeypatch.setattr(held, "BEAT_S", 0.05)
    monkeypatch.setattr(held, "LOOK_S", 0.01)
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()
