"""IFBench's verdicts, of replies that are known."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.evaluation.task import NoVerdict, Tools
from evolvent.evaluation.tasks import ifbench
from evolvent.evaluation.tasks.ifbench import find_checks, judge
from evolvent.evaluation.tasks.ifeval import PACKED

DATA = Path(os.environ.get("EVOLVENT_DATA", "/nowhere"))
needs_splitter = pytest.mark.skipif(not (DATA / PACKED).is_dir(), reason="EVOLVENT_DATA holds no sentence splitter")

NEWLINE: dict[str, dict[str, Any]] = {"format:newline": {"N": None}}  # one word a line
NO_SPACE: dict[str, dict[str, Any]] = {"format:no_whitespace": {}}


def verdict(reply: str, instructions: dict[str, dict[str, Any]]) -> tuple[Any, ...]:
    pytest.importorskip("if_verifiable")
    find_checks(DATA)
    document = {"prompt": "p", "instruction_id_list": list(instructions), "kwargs": list(instructions.values())}
    return tuple(asyncio.run(judge(document, reply, Tools())).values())


@needs_splitter
@pytest.mark.parametrize(
    ("reply", "instructions", "wanted"),
    [
        ("one\ntwo\nthree", NEWLINE, (1, 1, 1, 1, 1)),
        ("one two\nthree", NEWLINE, (0, 1, 0, 1, 1)),  # the first line dropped
        ("one two three", NO_SPACE, (0, 0, 0, 0, 1)),
        ("onetwothree", {**NEWLINE, **NO_SPACE}, (1, 1, 2, 2, 2)),
        ("one\ntwo", {**NEWLINE, **NO_SPACE}, (0, 1, 1, 2, 2)),
        ("", {**NEWLINE, **NO_SPACE}, (0, 0, 0, 0, 2)),
    ],
)
def test_verdicts(reply: str, instructions: dict[str, dict[str, Any]], wanted: tuple[float, ...]) -> None:
    assert verdict(reply, instructions) == wanted


@needs_splitter
def test_what_has_no_check_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoVerdict, match="if-verifiable has no check format:song"):
        verdict("la", {"format:song": {}})
    import nltk

    def lookup(*_: Any) -> None:
        raise LookupError("Resource stopwords not found: nltk.download('stopwords')")

    monkeypatch.setattr(nltk.corpus, "stopwords", SimpleNamespace(words=lookup))
    with pytest.raises(NoVerdict, match="its check needs NLTK's stopwords"):
        verdict("the la of it", {"ratio:stop_words": {"percentage": 5}})


def test_without_the_package_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolvent.errors.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"if_verifiable is not installed\n.*evolvent\[ifbench\]"):
        ifbench.find_checks(None)
