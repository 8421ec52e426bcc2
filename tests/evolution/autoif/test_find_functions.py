"""Steps 2 to 5 for one instruction, with functions that run and replies that are written down."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from evolvent.call_store.key import call_seed
from evolvent.errors import CallError, InputError
from evolvent.evolution.autoif.find_functions import Found, Tools, functions_for
from evolvent.evolution.autoif.functions import Case
from evolvent.evolution.autoif.rules import PROFILES, Rules
from evolvent.models.protocols import PairClassifier, Reply, Sampling
from evolvent.records import Record
from evolvent.sandbox.sandbox import Sandbox, require_sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict
from tests.evolution.autoif.settings import PROMPTS, settings
from tests.evolution.autoif.test_back_translation import Relations
from tests.scripted import Scripted

RECORD = Record("i", "i", 0, "Use no commas")
SAMPLING = Sampling(0.7, 0.95, 200)
PAPER = PROFILES["autoif-paper"]
NO_COMMA = "def evaluate(response):\n    return ',' not in response"
COUNTED = "def evaluate(response):\n    return response.count(',') == 0"
SPLIT = "def evaluate(response):\n    return len(response.split(',')) == 1"
ANY = "def evaluate(response):\n    return any(letter == ',' for letter in response)"  # the wrong way round
RIGHT = [NO_COMMA, COUNTED, SPLIT, NO_COMMA]


def written(code: str) -> str:
    """A model's reply with a function and two cases of this instruction."""
    cases = [{"input": "a b", "output": True}, {"input": "a, b", "output": False}]
    return f"```json\n{json.dumps({'func': code, 'cases': cases})}\n```"


def check(
    samples: list[str | Reply | Exception],
    read_out: Callable[[str, Sampling], str | Reply] | str = "",
    *,
    nli: PairClassifier | None = None,
    rules: Rules = PAPER,
    models: list[Scripted] | None = None,
    sampling: Sampling = SAMPLING,
) -> Found:
    """What comes of these replies; the samples in the order of their numbers, whenever they are asked for."""
    try:
        require_sandbox(unsafe=False)
    except InputError as error:
        pytest.skip(error.message)
    seeds = {call_seed(7, "i", f"functions-{number}"): said for number, said in enumerate(samples)}

    def reply(prompt: str, drawn: Sampling) -> str | Reply:
        if prompt.startswith("Every Python function below"):
            return read_out if isinstance(read_out, str) else read_out(prompt, drawn)
        said = seeds[drawn.seed or 0]
        if isinstance(said, Exception):
            raise said
        return said

    model = Scripted(reply)
    if models is not None:
        models.append(model)

    async def run() -> Found:
        async with Sandbox(workers=1) as sandbox:
            how = settings(rules=replace(rules, samples=len(samples)), sampling=sampling, seed=7)
            return await functions_for(RECORD, how, Tools(model, sandbox, nli))

    return asyncio.run(run())


def test_an_instruction_that_is_verified() -> None:
    nli = Relations("entailment", "neutral", "entailment")
    found = check([*map(written, RIGHT)], '["No commas", "No comma at all", "Never use a comma"]', nli=nli)
    assert found.reason is None
    assert found.functions == ((NO_COMMA, 1.0), (COUNTED, 1.0), (SPLIT, 1.0))
    assert found.cases == (Case("a b", True), Case("a, b", False))
    assert found.back_translations == ("No commas", "No comma at all", "Never use a comma")
    assert [hypothesis for _, hypothesis in nli.asked] == list(found.back_translations)
    assert found.counts == {
        "samples": 4,
        "samples read": 4,
        "broken cases": 0,
        "functions": 3,
        "functions not loaded": 0,
        "functions stopped": 0,
        "cases": 2,
        "cases without true or false": 0,
        "verdicts": 6,
        "no verdict": 0,
        "kept cases": 2,
        "kept functions": 3,
    }


def test_what_the_model_is_asked() -> None:
    models: list[Scripted] = []
    check([*map(written, RIGHT)], '["a", "b", "c"]', models=models)
    (model,) = models
    *samples, (prompt, _) = model.asked
    assert {asked for asked, _ in samples} == {PROMPTS["functions"].render(instruction="Use no commas")}
    assert len({drawn.seed for _, drawn in samples}) == 4
    assert {(drawn.temperature, drawn.top_p, drawn.max_tokens) for _, drawn in model.asked} == {(0.7, 0.95, 200)}
    assert prompt == PROMPTS["back_translation"].render(functions=[NO_COMMA, COUNTED, SPLIT])


def test_only_the_first_functions_are_translated_back() -> None:
    models: list[Scripted] = []
    found = check([*map(written, RIGHT)], '["a"]', rules=replace(PAPER, back_translated=1), models=models)
    assert (found.reason, found.back_translations) == (None, ("a",))
    assert SPLIT not in models[0].asked[-1][0]


def test_paper_1_translates_nothing_back() -> None:
    models: list[Scripted] = []
    found = check([*map(written, RIGHT)], nli=Relations("contradiction"), rules=PROFILES["paper1"], models=models)
    assert (found.reason, len(found.functions), found.back_translations) == (None, 3, ())
    assert len(models[0].asked) == 4


def test_one_contradiction_eliminates_the_instruction_and_keeps_what_was_found() -> None:
    nli = Relations("entailment", "contradiction", "entailment")
    found = check([*map(written, RIGHT)], '["a", "Use commas", "c"]', nli=nli)
    assert found.reason == "contradiction"
    assert len(found.functions) == 3
    assert found.back_translations == ("a", "Use commas", "c")


def test_without_nli_nothing_is_compared() -> None:
    assert check([*map(written, RIGHT)], '["a", "Use commas", "c"]').reason is None


def test_instructions_are_compared_one_after_the_other() -> None:
    """Each in a thread of its own they would take those that sandbox processes need to start."""
    inside, most = [], [0]

    class Counting(Relations):
        def relations(self, pairs: list[tuple[str, str]]) -> list[str]:
            inside.append(1)
            threading.Event().wait(0.02)  # long enough for others to come
            most[0] = max(most[0], len(inside))
            inside.pop()
            return ["neutral"] * len(pairs)

    class Passing(Sandbox):
        async def evaluate(self, functions: Sequence[str], responses: Sequence[str]) -> list[Evaluation]:
            return [Evaluation(tuple(Verdict(response == "a b") for response in responses)) for _ in functions]

    def reply(prompt: str, _: Sampling) -> str:
        return '["a"]' if prompt.startswith("Every") else written(NO_COMMA)

    async def run() -> list[Found]:
        how, tools = settings(rules=replace(PAPER, samples=1)), Tools(Scripted(reply), Passing(), Counting())
        return await asyncio.gather(*(functions_for(replace(RECORD, id=f"{n}"), how, tools) for n in range(5)))

    assert [found.reason for found in asyncio.run(run())] == [None] * 5
    assert most == [1]


def test_a_back_translation_of_no_use_is_asked_for_again_with_another_seed() -> None:
    replies = iter(["I think it is about commas.", '["a", "b"]', '["a", "b", "c"]'])
    models: list[Scripted] = []
    found = check([*map(written, RIGHT)], lambda *_: next(replies), models=models)
    assert found.back_translations == ("a", "b", "c")
    assert len({drawn.seed for _, drawn in models[0].asked[-3:]}) == 3


def test_no_back_translation_eliminates_the_instruction() -> None:
    found = check([*map(written, RIGHT)], "It is about commas.", nli=Relations("entailment"))
    assert (found.reason, found.back_translations) == ("no back-translation", ())


def test_samples_of_no_use_are_counted_with_their_reasons() -> None:
    cut = Reply('```json\n{"func": "def evaluate(response):', "length")
    whole = Reply(written(COUNTED), "length")  # the limit fell behind the last fence
    samples = [written(NO_COMMA), "no", "never", "```json\n[]\n```", cut, whole, CallError("the server is gone")]
    found = check(samples, '["a", "b"]')
    assert found.reason is None
    assert {name: count for name, count in found.counts.items() if "sample" in name} == {
        "samples": 7,
        "samples read": 2,
        "samples: no fenced JSON": 2,
        "samples: no JSON object": 1,
        "samples: cut at the token limit": 1,
        "samples: call failed": 1,
    }


def test_functions_the_wrong_way_round_are_outvoted() -> None:
    found = check([written(ANY), *map(written, RIGHT)], '["a", "b", "c"]')
    assert [code for code, _ in found.functions] == [NO_COMMA, COUNTED, SPLIT]


def test_an_instruction_without_functions() -> None:
    models: list[Scripted] = []
    found = check(["no", "no"], models=models)
    assert (found.reason, found.functions, found.cases) == ("too few functions", (), ())
    assert len(models[0].asked) == 2, "there is nothing to translate back"


def test_no_call_came_through() -> None:
    with pytest.raises(CallError, match="the server is gone"):
        check([CallError("the server is gone"), CallError("it still is")])


def test_what_may_be_wanting_for_failed_calls_alone_is_not_eliminated() -> None:
    """It is taken again by --retry-failed, which an eliminated instruction never is."""
    rules = replace(PAPER, least_functions=2)
    with pytest.raises(CallError, match="too few functions, and 1 of 2 samples could not be had: the server is gone"):
        check([written(NO_COMMA), CallError("the server is gone")], rules=rules)
    assert check([written(NO_COMMA), "no"], rules=rules).reason == "too few functions"


def test_a_failed_back_translation_fails_the_instruction() -> None:
    def gone(prompt: str, drawn: Sampling) -> str:
        raise CallError("the server is gone")

    with pytest.raises(CallError, match="the server is gone"):
        check([*map(written, RIGHT)], gone)
