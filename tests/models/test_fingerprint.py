"""Which weights a folder holds: its content where it is the user's own, its commit where it is the Hub's."""

import os
from pathlib import Path

import pytest

from evolvent.models import fingerprint as module
from evolvent.models.fingerprint import fingerprint
from evolvent.models.folders import Place

COMMIT = "ab" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the user's that is named like one of the Hub's cache."""
    folder = tmp_path / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_model_of_the_hub_is_known_by_its_commit(folder: Path) -> None:
    assert fingerprint(Place(folder, COMMIT)) == COMMIT


def test_the_users_own_folder_is_known_by_its_files_whatever_its_name(folder: Path) -> None:
    before = fingerprint(Place(folder))
    assert before != COMMIT
    (folder / "README.md").write_text("words")
    assert fingerprint(Place(folder)) == before
    (folder / "config.json").write_text('{"a": 1}')
    assert fingerprint(Place(folder)) != before


def test_large_files_count_by_size_and_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_WHOLE", 1)
    before = fingerprint(Place(folder))
    os.utime(folder / "config.json", (0, 0))
    assert fingerprint(Place(folder)) != before
