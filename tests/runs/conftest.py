"""Scripted models in place of those that stages open, and parts of a few records."""

import pytest

from evolvent.runs import parts, stage
from tests.runs.staged import EVOLVER, OTHER, PART, TEACHER, longer
from tests.scripted import Opened


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, TEACHER, OTHER), longer)
    monkeypatch.setattr(stage, "open_chat", opened.open_chat)
    monkeypatch.setattr(parts, "PART", PART)
    return opened
