"""Scripted models in place of those that stages open, and parts of a few records."""

import pytest

from evolvent.models import models as opened_models
from evolvent.runs import parts
from tests.runs.staged import EVOLVER, OTHER, PART, TEACHER, longer
from tests.scripted import Opened


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, TEACHER, OTHER), longer)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    monkeypatch.setattr(parts, "PART", PART)
    return opened
