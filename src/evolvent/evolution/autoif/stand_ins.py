"""What a dry run takes for the replies of AutoIF's models: such that every step is passed, so that none is left out."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, cycle, islice
from typing import Self

import orjson

from evolvent.evolution.autoif.queries import combined
from evolvent.evolution.autoif.rules import Rules
from evolvent.records import Record
from evolvent.runs.inputs import StageInput
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict

PASSES = "def evaluate(response):\n    return True"


class Passing(Sandbox):
    """Runs nothing: every function says of every answer that it follows."""

    async def __aenter__(self) -> Self:
        return self

    async def evaluate(self, functions: Sequence[str], responses: Sequence[str]) -> list[Evaluation]:
        return [Evaluation(tuple(Verdict(True) for _ in responses)) for _ in functions]


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


def instructions(seeds: StageInput, rules: Rules) -> StageInput:
    """What step 1 brings at the most: the seeds, and as many instructions as are asked for, as long as the seeds."""
    total = seeds.rows + rules.prompts * rules.instructions_per_prompt
    return _assumed(list(islice(cycle(seeds), total)), "instructions yet to be written")


def instructions_with_queries(
    seeds: StageInput, rules: Rules, queries: Sequence[str]
) -> tuple[StageInput, dict[str, list[str]]]:
    """What steps 1 to 6 bring at the most, and a function for each of it."""
    total = instructions(seeds, rules).rows * min(rules.queries, len(queries))
    records = [
        Record("", "assumed", 0, combined(query, seed.instruction), meta=_asked(seed.instruction, query))
        for seed, query in islice(zip(cycle(seeds), cycle(queries), strict=False), total)
    ]
    return _assumed(records, "instructions yet to be verified"), {"assumed": [PASSES]}


def _assumed(records: list[Record], name: str) -> StageInput:
    """Records of a stage that is yet to run, each with an id of its own."""
    source = {"source": name, "rows": len(records), "digest": ""}

    def read(start: int) -> Iterator[tuple[int, Record]]:
        for position in range(start, len(records)):
            yield position, replace(records[position], id=f"assumed/{position}", seed_index=position)

    return StageInput(source, len(records), read)


def _asked(instruction: str, query: str) -> str:
    return orjson.dumps({"autoif": {"instruction": instruction, "query": query}}).decode()
