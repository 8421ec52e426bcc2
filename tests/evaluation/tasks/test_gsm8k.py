"""GSM8K's verdicts: the harness' two extractors."""

import asyncio

import pytest

from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks import TASKS

pytest.importorskip("lm_eval")


@pytest.mark.parametrize(
    ("reply", "strict", "flexible"),
    [
        ("So 9 * 2 = 18. The final answer is 18", 1, 1),
        ("The final answer is $18.", 1, 1),
        ("The final answer is **18**", 0, 1),
        ("It is 18.", 0, 1),
        ("The final answer is 18, of 20 eggs.", 1, 0),
        ("The final answer is 17", 0, 0),
        ("", 0, 0),
        # At once: of 40,000 digits it took the harness two seconds, of these it would be hours.
        pytest.param("The final answer is " + "9" * 3_000_000, 0, 0, id="huge"),
        ("no number", 0, 0),
    ],
)
def test_verdicts(reply: str, strict: float, flexible: float) -> None:
    document = {"question": "How many?", "answer": "9 * 2 = <<9*2=18>>18\n#### 18"}
    found = asyncio.run(TASKS["gsm8k"].judge(document, reply, Tools()))
    assert found == {"strict_match": strict, "flexible_extract": flexible}
