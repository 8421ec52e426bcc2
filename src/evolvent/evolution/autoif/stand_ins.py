"""What a dry run takes for the replies of AutoIF's models: such that every step is passed, so that none is left out."""

import json
from collections.abc import Callable
from itertools import count

PASSES = "def evaluate(response):\n    return True"


def of_self_instruct(_: str, text: str) -> str:
    """A list of one instruction."""
    return f"- {text.strip()}"


def of_verification() -> Callable[[str, str], str]:
    """Functions that differ and agree with all cases; to a prompt that shows such functions, what they check."""
    numbers = count()

    def reply(prompt: str, text: str) -> str:
        shown = prompt.count(PASSES)
        if shown:
            return json.dumps([text] * shown)
        number = next(numbers)
        cases = [{"input": f"{number}.{case}", "output": True} for case in range(3)]
        return f"```json\n{json.dumps({'func': f'{PASSES}  # {number}', 'cases': cases})}\n```"

    return reply


def of_answers() -> Callable[[str, str], str]:
    """Answers that differ; read as a judge's reply, the best score."""
    numbers = count()
    return lambda _, text: f"{next(numbers)}. {text}\nScore: 10"
