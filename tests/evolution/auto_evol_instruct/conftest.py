"""Scripted models in place of those that a search opens."""

import pytest

from evolvent.models import models as opened_models
from tests.evolution.auto_evol_instruct.scripted_search import Follow, Script, models
from tests.scripted import Opened


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    def open_with(script: Script) -> Opened:
        opened = models(script)
        monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
        return opened

    return open_with
