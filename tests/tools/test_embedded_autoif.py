"""The corpus of AutoIF: functions that do what their instruction says, cases that are right, replies that parse."""

import itertools
import json
import random
import re
from collections import Counter
from importlib.resources import files

import pytest

from evolvent.evolution.autoif.answers import quality_score
from evolvent.evolution.autoif.back_translation import back_translations
from evolvent.evolution.autoif.functions import Sample, parse_sample
from evolvent.evolution.autoif.self_instruct import new_instructions, same
from tools.embedded import autoif
from tools.embedded.kinds import KINDS, Kind
from tools.embedded.mixture import method_chats
from tools.embedded.seeds import held_out
from tools.embedded.verifiable import (
    cases,
    following,
    function,
    reference,
    short_text,
    verdict,
    verifiable,
    worded,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_right_check_agrees_with_the_cases_and_every_wrong_one_differs_somewhere(kind: Kind) -> None:
    rng = random.Random(kind.name)
    both = followed = differs = 0
    for _ in range(12):
        item = verifiable(rng, kind)
        assert "{" not in item.text.replace("{}", "")
        found = cases(rng, item, wrong=0)
        assert len(found) == 3 and all(case["output"] is verdict(reference(item), case["input"]) for case in found)
        both += len({case["output"] for case in found}) == 2
        for check in kind.checks:
            code = function(rng, check, item.slots)
            assert [verdict(code, case["input"]) for case in found] == [case["output"] for case in found], code
        followed += following(rng, item, " ".join(short_text(rng) for _ in range(2))) is not None
        for check in kind.wrong:
            code, texts = function(rng, check, item.slots), [case["input"] for case in found]
            texts += [
                item.kind.follow(short_text(rng), item.slots, rng),
                item.kind.breaks("One. Two, three?", item.slots, rng),
            ]
            differs += any(verdict(code, text) != verdict(reference(item), text) for text in texts)
    assert followed >= 10
    assert both >= (1 if kind.name == "words at most" else 9)
    assert differs > 0


def test_functions_return_truth_values_and_nothing_else() -> None:
    rng = random.Random(1)
    for kind, check in [(each, text) for each in KINDS for text in (*each.checks, *each.wrong)]:
        item = verifiable(rng, kind)
        names: dict[str, object] = {}
        exec(function(rng, check, item.slots), names)
        assert type(names["evaluate"](short_text(rng))) is bool, check  # type: ignore[operator]


def test_a_reply_with_a_function_parses_and_is_mostly_right() -> None:
    rng = random.Random(2)
    right = agree = 0
    for _ in range(300):
        sample = parse_sample(autoif.functions_chat(rng).reply)
        assert isinstance(sample, Sample) and len(sample.cases) == 3 and not sample.broken_cases
        found = [verdict(sample.code, case.input) == case.output for case in sample.cases]
        right += all(found)
        agree += sum(found)
    assert 0.7 < right / 300 < 0.95
    assert 0.85 < agree / 900 < 0.98


def test_new_instructions_are_as_many_as_asked_for_and_distinct() -> None:
    rng = random.Random(3)
    for _ in range(100):
        chat = autoif.self_instruct_chat(rng)
        lines = chat.reply.split("\n")
        asked = int(chat.user.split("\n\nWrite ")[1].split(" ")[0])
        assert len(lines) == asked
        if lines[0].startswith("- "):
            assert len(new_instructions(chat.reply)) == asked
        assert len({same(line) for line in lines}) >= 0.85 * asked


def test_back_translations_parse() -> None:
    rng = random.Random(4)
    for _ in range(100):
        chat = autoif.back_chat(rng)
        assert back_translations(chat.reply, chat.user.count("def evaluate(response):"))


def test_two_answers_in_three_follow() -> None:
    rng = random.Random(5)
    follow = sum(autoif._answered(rng)[3] for _ in range(500))
    assert 0.6 < follow / 500 < 0.85


def test_scores_parse_and_are_mostly_high() -> None:
    rng = random.Random(6)
    scores = [
        quality_score(autoif.quality_chat(rng).reply, profile)
        for _ in range(200)
        for profile in ("autoif-code", "autoif-paper")
    ]
    assert all(score is not None and 3 <= score <= 10 for score in scores)
    assert 0.6 < sum(score is not None and score >= 8 for score in scores) / 400 < 0.85


def test_queries_have_the_length_that_autoif_asks_for() -> None:
    rng = random.Random(7)
    assert all(20 < len(autoif.asked(autoif.query(rng))) < 300 for _ in range(200))


def test_the_shipped_seed_instructions_are_distinct_and_of_the_grammars_kinds() -> None:
    path = files("evolvent.datasets") / "samples/verifiable_instructions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({same(row["instruction"]) for row in rows}) == 36 and all(set(row) == {"instruction"} for row in rows)
    # Words, numbers and letters in the slots aside, each is one of the grammar's wordings.
    slot = r"[\w. #*|/+=~-]{0,24}"
    known = [re.split(r"\{\w+\}", wording.rstrip(".")) for kind in KINDS for wording in kind.wordings]
    patterns = [slot.join(re.escape(part) for part in parts) for parts in known]
    for row in rows:
        text = re.sub(r"[.?!]$", "", row["instruction"])
        assert any(re.fullmatch(pattern, text, re.IGNORECASE) for pattern in patterns), text


def test_the_third_stage_holds_all_tasks_and_nothing_held_out() -> None:
    tasks: Counter[str] = Counter()
    for chat in itertools.islice(method_chats(9), 3000):
        tasks[chat.task.split(" ")[0] if chat.task.startswith("answer ") else chat.task] += 1
        if chat.task == "functions":
            assert not held_out(chat.user.split("The instruction: ")[1].split("\n")[0])
    assert len(tasks) == 18 and min(tasks.values()) > 40, tasks
    assert list(itertools.islice(method_chats(9), 40)) == list(itertools.islice(method_chats(9), 40))


def test_wordings_of_one_instruction_differ() -> None:
    rng = random.Random(10)
    item = verifiable(rng, KINDS[0])
    assert len({worded(rng, item.kind, item.slots) for _ in range(50)}) > 8
