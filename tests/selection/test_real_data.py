"""The filters on public data: what they hit, and what they must not."""

import os
from pathlib import Path

import pytest

from evolvent.datasets import load
from evolvent.datasets.language import language
from evolvent.selection.refusals import refuses

DATA = Path(os.environ.get("EVOLVENT_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="EVOLVENT_DATA names no folder of data")

SYSTEMS = ("Mistral-7B-Instruct-v0.2", "alpaca-7b", "gemma-2b-it", "gpt4_1106_preview", "text_davinci_003")


def test_refusals_are_few_and_read_as_such() -> None:
    hits = [sum(map(refuses, load(DATA / f"alpaca_eval/outputs_{system}.json"))) for system in SYSTEMS]
    assert hits == [3, 1, 4, 2, 0]  # read: 9 of the 10 refuse, one says that it has no thoughts when asked for them
    assert not any(map(refuses, load(DATA / "alpaca_subset/alpaca_random_9k.json", limit=3000)))


@pytest.mark.parametrize(
    ("file", "code"), [("code_alpaca/code_alpaca_2k.json", "en"), ("llamafactory_demo/alpaca_zh_demo.json", "zh")]
)
def test_no_instruction_is_taken_for_another_language(file: str, code: str) -> None:
    pytest.importorskip("py3langid")
    told = [language(record.instruction) for record in load(DATA / file, limit=1000)]
    assert set(told) == {code, None}
    assert told.count(None) < 100
