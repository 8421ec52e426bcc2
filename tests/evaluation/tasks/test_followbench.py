"""FollowBench's rules; the judge's verdicts are tried in tests/evaluation/test_evaluate.py."""

import asyncio

import pytest

from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks.followbench import judge, of_template


@pytest.mark.parametrize(
    ("source", "target", "reply", "satisfied"),
    [
        ("E2E", "a cafe", "a cafe", 1),
        ("E2E", "a cafe", "a cafe.", 0),
        ("WIKIEVENTS", "a\nb\nc", "b\na", 1),
        ("WIKIEVENTS", "a\nb\nc", "b\nd", 0),
        ("CONLL2003", "['x', 'y']", "y", 1),
        ("CONLL2003", "['x', 'y']", "z", 0),
        ("BBH_logical", "(B)", "Not (A) but (B)", 1),
        ("BBH_logical", "(B)", "(B) or (A)", 0),
        ("BBH_time", "01/02/2020", "It is 01/02/2020.", 1),
        ("gsm_8k", "$18", "of $20 it is $18.", 1),
        ("self_made_space", "left", "to the left", 1),
        ("self_made_space", "left", "", 0),
    ],
)
def test_rules(source: str, target: str, reply: str, satisfied: float) -> None:
    document = {"key": "k", "kind": "content", "source": source, "level": 3, "target": target, "steps": []}
    found = asyncio.run(judge(document, reply, Tools()))
    assert found == {"satisfied": satisfied, "satisfied_3": satisfied}


@pytest.mark.parametrize(
    ("reply", "satisfied"), [("{'bot': 'It is so.'}", True), ("It is so.", False), ("{'bot': 'a'} {'bot'", False)]
)
def test_the_form_of_the_examples(reply: str, satisfied: bool) -> None:
    assert of_template(reply, "{instruction}\n{{'bot': '{answer}'}}") == satisfied
