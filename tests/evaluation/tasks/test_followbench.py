"""FollowBench's rules; the judge's verdicts are tried in tests/evaluation/test_evaluate.py."""

import asyncio
from collections.abc import Sequence

import pytest

from evolvent.evaluation.task import NoVerdict, Tools
from evolvent.evaluation.tasks.followbench import judge, of_template
from evolvent.models.protocols import Reply
from evolvent.records import Message


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
    document = {"key": "content/7/3", "kind": "content", "source": source, "level": 3, "target": target, "steps": []}
    found = asyncio.run(judge(document, reply, Tools()))
    assert found == {
        "satisfied": satisfied,
        "satisfied_3": satisfied,
        "share_satisfied": satisfied,
        "followed": 3 * satisfied,
        "constraints": 3,
        "kind": "content",
        "chain": "content/7",
    }


def judged(said: str, level: int) -> object:
    async def judging(_: Sequence[Message]) -> Reply:
        return Reply(said, "stop")

    document = {"key": f"style/7/{level}", "kind": "style", "source": "koala", "level": level, "target": ""}
    steps = {"steps": ["Sing.", *(f"Sing {n}." for n in range(level))]}
    try:
        return asyncio.run(judge({**document, **steps}, "La", Tools(judge=judging)))["followed"]
    except NoVerdict:
        return None


@pytest.mark.parametrize(
    ("said", "level", "followed"),
    [
        ("It is soft.\nYES", 1, 1),
        ("YES\n\nNo further remarks.", 1, 1),
        ("So both hold: yes, there is nothing missing, and yes.", 2, None),
        ("```\n['YES', 'NO']\n```", 2, 1),
        ("**YES, NO, YES**", 3, 2),
        ("yes, no", 2, None),
        ("YES, NO\nthat is:\nNO, NO", 2, 0),
        ("YES", 2, None),
    ],
)
def test_the_last_line_of_verdicts_counts(said: str, level: int, followed: int | None) -> None:
    assert judged(said, level) == followed


@pytest.mark.parametrize(
    ("reply", "satisfied"), [("{'bot': 'It is so.'}", True), ("It is so.", False), ("{'bot': 'a'} {'bot'", False)]
)
def test_the_form_of_the_examples(reply: str, satisfied: bool) -> None:
    assert of_template(reply, "{instruction}\n{{'bot': '{answer}'}}") == satisfied
