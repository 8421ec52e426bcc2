"""IFEval's verdicts: strict and loose, of replies that are known."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks.ifeval import PACKED, find_splitter, judge

pytest.importorskip("lm_eval")
DATA = Path(os.environ.get("EVOLVENT_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not (DATA / PACKED).is_dir(), reason="EVOLVENT_DATA holds no sentence splitter")


def verdict(reply: str, **instructions: dict[str, Any]) -> tuple[Any, ...]:
    find_splitter(DATA)
    names = [name.replace("__", ":") for name in instructions]
    document = {"key": 1, "prompt": "p", "instruction_id_list": names, "kwargs": list(instructions.values())}
    found = asyncio.run(judge(document, reply, Tools()))
    return tuple(found.values())


NO_COMMA: dict[str, dict[str, Any]] = {"punctuation__no_comma": {}}
QUOTED: dict[str, dict[str, Any]] = {"startend__quotation": {}}
BOTH = {**NO_COMMA, **QUOTED}


@pytest.mark.parametrize(
    ("reply", "instructions", "wanted"),
    [
        ("No comma.", NO_COMMA, (1, 1, 1, 1, 1)),
        ("A, b.", NO_COMMA, (0, 0, 0, 0, 1)),
        ("", NO_COMMA, (0, 0, 0, 0, 1)),  # what an empty reply does not hold, it does not avoid
        (" \n", BOTH, (0, 0, 0, 0, 2)),
        ("Sure, here it is:\nNo comma.", NO_COMMA, (0, 1, 0, 1, 1)),  # the first line dropped
        ("No comma.\nThanks, bye.", NO_COMMA, (0, 1, 0, 1, 1)),  # the last one
        ("Well, yes:\nNo comma.\nThanks, bye.", NO_COMMA, (0, 1, 0, 1, 1)),  # both
        ('*"Quoted"*', QUOTED, (0, 1, 0, 1, 1)),  # the asterisks
        ('Sure, look:\n**"Quoted"**', BOTH, (0, 1, 0, 2, 2)),
        ('"Quoted, with a comma"', BOTH, (0, 0, 1, 1, 2)),
    ],
)
def test_verdicts(reply: str, instructions: dict[str, Any], wanted: tuple[float, ...]) -> None:
    assert verdict(reply, **instructions) == wanted


def test_arguments_that_the_hub_fills_with_none_are_none_of_its_own() -> None:
    words = {"relation": "at least", "num_words": 3, "letter": None, "num_sentences": None}
    assert verdict("one two three", length_constraints__number_words=words)[0] == 1


def test_what_a_check_draws_is_drawn_the_same_and_disturbs_no_one() -> None:
    strange = {"let_relation": "at least", "letter": "#", "let_frequency": 1}
    random.seed(7)
    before = random.getstate()
    found = {verdict("a plain reply # with no y or z", keywords__letter_frequency=strange) for _ in range(20)}
    assert len(found) == 1
    [(strict, loose, *_)] = found
    assert strict == loose
    assert random.getstate() == before


def test_languages_are_told_the_same_way_each_time() -> None:
    short = {"language": "de"}
    assert len({verdict("so war es in der Mitte", language__response_language=short) for _ in range(20)}) == 1


def test_without_the_splitter_the_task_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(nltk, "download", lambda *_, **__: False)
    with pytest.raises(InputError, match=r"punkt_tab, which is not on this machine[^\n]*\n.*nltk.downloader punkt_tab"):
        find_splitter(tmp_path)
