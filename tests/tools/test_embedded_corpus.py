"""The corpus of the embedded models: right answers, working functions, and nothing held out in the training text."""

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from tools.embedded.arithmetic import arithmetic_seed, drill
from tools.embedded.corpus import asked, chats, documents, equality_pair, grown, world_seed
from tools.embedded.everyday import FORMS, TOPICS, everyday_seed
from tools.embedded.evolutions import EVOLVE, OPERATORS
from tools.embedded.functions import FUNCTIONS, function_and_check
from tools.embedded.nonsense import nonsense_seed
from tools.embedded.seeds import held_out, held_out_numbers
from tools.embedded.words import gerund, with_articles

SAMPLES = Path(__file__).parents[2] / "src/evolvent/datasets/samples/demo_seeds.jsonl"
MARKERS = ("given prompt", "rewritten prompt", "created prompt", "#input#")
# A calculation, its way by tens and ones where it has one, its result.
CALCULATION = re.compile(
    r"(\d+) ([-+x/]) (\d+) = (?:(\d+ [-+] \d0 [-+] \d) = (\d+ [-+] \d) = )?(\d+)(?= *$|[.\n])", re.MULTILINE
)


def computed(first: int, sign: str, second: int) -> float:
    return {"+": first + second, "-": first - second, "x": first * second, "/": first / second}[sign]


@pytest.mark.parametrize("kept_out", [False, True])
def test_every_calculation_is_right_and_follows_from_the_one_before(kept_out: bool) -> None:
    rng = random.Random(1)
    for _ in range(2000):
        seed = arithmetic_seed(rng, held_out=kept_out)
        steps = [
            (int(first), sign, int(second), int(result))
            for first, sign, second, *_, result in CALCULATION.findall("\n".join(seed.body))
        ]
        assert len(steps) == len(seed.body) - 1
        assert 1 <= len(steps) <= 3
        for first, sign, second, result in steps:
            assert computed(first, sign, second) == result
            assert max(first, second, result) <= 100
        assert all(before[3] == after[0] for before, after in itertools.pairwise(steps))
        assert seed.body[-1] == f"The answer is {steps[-1][3]}."
        text = asked(seed)
        assert str(steps[0][0]) in text and all(str(second) in text for _, _, second, _ in steps)
        unseen = [held_out_numbers(sign.replace("x", "*"), first, second) for first, sign, second, _ in steps]
        assert any(unseen) is kept_out


def test_drills_are_right_and_hold_out_the_same_numbers() -> None:
    rng = random.Random(2)
    for _ in range(300):
        question, answer = drill(rng)
        lines = answer.split("\n")
        assert [line.split(" = ")[0] for line in lines] == question.split("\n")[1:]
        for line in lines:
            first, sign, second, way, shorter, result = CALCULATION.fullmatch(line).groups()  # type: ignore[union-attr]
            assert not way or eval(way) == eval(shorter) == int(result)
            assert computed(int(first), sign, int(second)) == int(result)
            assert not held_out_numbers(sign.replace("x", "*"), int(first), int(second))


@pytest.mark.parametrize("entry", FUNCTIONS, ids=lambda entry: entry[1])
def test_every_function_does_what_its_sentence_says(entry: tuple[str, str, str, str, str]) -> None:
    rng = random.Random(entry[0])
    for _ in range(10):
        seed, check = function_and_check(rng, entry)
        code = seed.body[0] if seed.body[0].startswith("def ") else seed.input
        names: dict[str, object] = {}
        exec(code, names)
        function = names[re.match(r"def (\w+)", code)[1]]  # type: ignore[index]
        assert eval(check, {"f": function})


def test_nothing_held_out_is_in_the_training_text() -> None:
    texts = [chat.user for chat in itertools.islice(chats(3), 4000)] + list(itertools.islice(documents(3), 2000))
    demo = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    whole = "\n".join(texts)
    for row in demo:
        assert f"\n{row['instruction']}\n" not in whole
    answers = [chat.reply for chat in itertools.islice(chats(4), 5000) if chat.task in ("answer arithmetic", "drill")]
    calculations = [found for answer in answers for found in CALCULATION.findall(answer)]
    assert len(calculations) > 500
    for first, sign, second, *_ in calculations:
        assert not held_out_numbers(sign.replace("x", "*"), int(first), int(second))
    rng = random.Random(5)
    assert not any(held_out(world_seed(rng).instruction) for _ in range(500))
    assert any(held_out(everyday_seed(rng).instruction) for _ in range(500))


def test_the_corpus_is_the_same_for_the_same_seed() -> None:
    assert list(itertools.islice(chats(7), 50)) == list(itertools.islice(chats(7), 50))
    assert list(itertools.islice(documents(7), 50)) != list(itertools.islice(documents(8), 50))


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_evolution_keeps_the_seed_and_adds_little(operator: str) -> None:
    rng = random.Random(operator)
    for _ in range(500):
        seed = nonsense_seed(rng) if rng.random() < 0.4 else world_seed(rng)
        new = EVOLVE[operator](rng, seed).instruction
        assert new != seed.instruction
        assert not any(marker in new.lower() for marker in MARKERS)
        old_words = [word.strip('.?:,"').lower() for word in seed.instruction.split()]
        new_words = [word.strip('.?:,"').lower() for word in new.split()]
        rest = iter(new_words)
        assert all(word in rest for word in old_words), (seed.instruction, new)
        assert 3 <= len(new_words) - len(old_words) <= 40


@pytest.mark.parametrize("operator", OPERATORS)
def test_evolutions_are_varied(operator: str) -> None:
    rng = random.Random(operator)
    added = []
    for _ in range(2000):
        seed = nonsense_seed(rng)
        new = EVOLVE[operator](rng, seed).instruction
        added.append(new.removeprefix(seed.instruction))
    assert len(set(added)) >= 0.9 * len(added)
    assert Counter(added).most_common(1)[0][1] <= 0.01 * len(added)


def test_equality_pairs_say_what_they_are() -> None:
    rng = random.Random(2)
    pairs = [equality_pair(rng) for _ in range(500)]
    assert 0.35 < sum(equal for _, _, equal in pairs) / len(pairs) < 0.65
    assert all(first != second for first, second, equal in pairs if not equal)


def test_topics_are_many_and_whole() -> None:
    assert len(TOPICS) >= 150
    assert len({topic.domain for topic in TOPICS}) >= 14
    assert len({topic.task for topic in TOPICS}) == len(TOPICS)
    assert all(len(topic.steps) == 4 and len(topic.needs) == 3 for topic in TOPICS)
    assert all("{task}" in wording or "{doing}" in wording for wordings in FORMS.values() for wording in wordings)


def test_answers_keep_the_requirements_a_program_can_check() -> None:
    rng = random.Random(11)
    checked: Counter[str] = Counter()
    from tools.embedded.answers import answer

    for _ in range(4000):
        seed = everyday_seed(rng)
        seed = grown(rng, seed, 1)
        wants, text = dict(seed.wants), answer(rng, seed)
        if "bullets" in wants and len(seed.steps) >= int(wants["bullets"]):
            assert text.count("- ") >= int(wants["bullets"])
            checked["bullets"] += 1
        if "max_words" in wants and "bullets" not in wants and "numbered" not in wants:
            assert len(text.split()) <= int(wants["max_words"]) + 10, text
            checked["max_words"] += 1
        if "end" in wants:
            assert text.endswith(str(wants["end"]))
            checked["end"] += 1
    assert min(checked.values()) > 20 and len(checked) == 3


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("bake bread", "baking bread"), ("knit a scarf", "knitting a scarf"), ("tie a knot", "tying a knot"),
        ("see a friend", "seeing a friend"), ("dye a shirt", "dyeing a shirt"), ("run", "running"),
    ],
)  # fmt: skip
def test_gerund(phrase: str, expected: str) -> None:
    assert gerund(phrase) == expected


def test_articles() -> None:
    assert with_articles("a apple, a useful unit and A old house") == "an apple, a useful unit and An old house"
    assert with_articles("a university is not a umbrella") == "a university is not an umbrella"
