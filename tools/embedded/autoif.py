"""AutoIF in the world: new instructions, functions with cases, back-translations, answers that follow, scores."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import json
import random
from importlib.resources import files

from evolvent.evolution.templates import load_prompt
from tools.embedded.chats import Chat, asked, world_seed
from tools.embedded.nonsense import nonsense_seed, quoted
from tools.embedded.seeds import Seed, held_out
from tools.embedded.verifiable import (
    Verifiable,
    cases,
    following,
    function,
    reference,
    short_text,
    verdict,
    verifiable,
    worded,
)
from tools.embedded.words import ADJECTIVES, NOUNS, VERBS

SELF_INSTRUCT, FUNCTIONS, BACK, ANSWER, QUALITY = (
    load_prompt(f"autoif/{name}") for name in ("self_instruct", "functions", "back_translation", "answer", "quality")
)
_SAMPLE = files("evolvent.datasets") / "samples/verifiable_instructions.jsonl"
SHIPPED = [json.loads(line)["instruction"] for line in _SAMPLE.read_text(encoding="utf-8").splitlines()]
_UNVERIFIABLE = (
    "Answer like a pirate.", "Be friendly and warm.", "Write in a {a} tone.", "Make the reader smile.", "Sound like a {n}.", "Use simple and {a} words.", "Explain it as to a child.", "Be as {a} as you can.", "Tell the truth.", "Write with humour.", "Show that you care about the {n}.", "Keep the style {a}.",
)  # fmt: skip


def new_instruction(rng: random.Random) -> Verifiable:
    """An instruction that training may see."""
    while True:
        item = verifiable(rng)
        if not held_out(item.text):
            return item


def _distinct(rng: random.Random, count: int, known: set[str]) -> list[str]:
    texts: list[str] = []
    while len(texts) < count:
        text = new_instruction(rng).text
        if text not in known:
            known.add(text)
            texts.append(text)
    return texts


def self_instruct_chat(rng: random.Random) -> Chat:
    """Seeds, and new instructions."""
    known: set[str] = set()
    # The package's own seeds, all 36, and 50 new ones: what AutoIF asks for when nothing else is said.
    shipped = rng.random() < 0.25
    size = rng.choices([rng.randint(3, 6), rng.randint(7, 12), rng.randint(13, 36)], [48, 34, 18])[0]
    count = rng.choices(
        [rng.randint(3, 6), rng.randint(7, 12), rng.randint(13, 20), rng.randint(21, 49), 50], [41, 32, 13, 5, 9]
    )[0]
    seeds = (
        rng.sample(SHIPPED, len(SHIPPED))
        if shipped and rng.random() < 0.3
        else list(SHIPPED)
        if shipped
        else _distinct(rng, size, known)
    )
    known.update(seeds)
    new = _distinct(rng, count, known)
    for place in range(count):
        draw = rng.random()
        if draw < 0.03:
            new[place] = rng.choice(_UNVERIFIABLE).format(a=rng.choice(ADJECTIVES), n=rng.choice(NOUNS))
        elif draw < 0.04:
            new[place] = rng.choice(seeds)
    lines = ["- " + text for text in new]
    if rng.random() < 0.02:
        lines = [line.removeprefix("- ") for line in lines]
    prompt = SELF_INSTRUCT.render(seeds="\n".join("- " + text for text in seeds), count=count)
    return Chat("self-instruct", prompt, "\n".join(lines))


def _other(rng: random.Random) -> tuple[str, str, list[dict[str, object]]]:
    """An instruction from outside the grammar, a function that looks for its words, and cases."""
    noun, verb, adjective = rng.choice(NOUNS), rng.choice(VERBS), rng.choice(ADJECTIVES)
    word = (
        quoted(rng, 0.5).strip("\"'()`[]“”").strip(".!?").lower().replace("\\", "")
        if rng.random() < 0.4
        else rng.choice([noun, f"{adjective} {noun}"])
    )
    text = rng.choice([
        f"Mention {word}.", f'Write "{word}" somewhere.', f"Speak of the {word}.", f"{verb.capitalize()} the {word} in your answer.", f'Refer to "{word}" and {verb} it.', f"Say something about {word} that is {adjective}.", f"Let {word} come first.", f"Answer with a {word}.",
        f'Repeat the words "{word}".', f"Your answer should {verb} {word}.", f"Include a {adjective} {word}.", f"Compose the answer around {word}.",
    ])  # fmt: skip
    check = rng.choice(
        ["'{w}' in response.lower()", "response.lower().count('{w}') >= 1", "response.lower().find('{w}') >= 0"]
    )
    code = function(rng, check, {"w": word})
    base, other = short_text(rng), short_text(rng)
    made = [
        {"input": base.rstrip(".") + f" and {word}.", "output": True},
        {"input": other, "output": False},
        {"input": f"This is {word}." if rng.random() < 0.5 else short_text(rng), "output": None},
    ]
    for case in made:
        case["output"] = verdict(code, str(case["input"]))
    rng.shuffle(made)
    return text, code, made


def functions_chat(rng: random.Random) -> Chat:
    """An instruction, and a function with cases; about one function in twenty is wrong, as one case in 25."""
    if rng.random() < 0.1:
        text, code, made = _other(rng)
        while held_out(text) or code.count("'") != 2:
            text, code, made = _other(rng)
    else:
        item = new_instruction(rng)
        text, made = item.text, cases(rng, item)
        code = function(rng, rng.choice(item.kind.wrong if rng.random() < 0.05 else item.kind.checks), item.slots)
    reply = json.dumps({"func": code, "cases": made}, ensure_ascii=False)
    return Chat("functions", FUNCTIONS.render(instruction=text), f"```json\n{reply}\n```")


def back_chat(rng: random.Random) -> Chat:
    """Functions, and the instructions that they check."""
    item = new_instruction(rng)
    codes, said = [], []
    for _ in range(rng.choice([1, 2, 3, 3])):
        codes.append(function(rng, rng.choice(item.kind.checks), item.slots))
        text = worded(rng, item.kind, item.slots)
        said.append(new_instruction(rng).text if rng.random() < 0.06 else text)
    return Chat("back-translation", BACK.render(functions=codes), json.dumps(said, ensure_ascii=False))


def query(rng: random.Random) -> Seed:
    """A question to answer under an instruction: 21 to 299 characters, as AutoIF asks for."""
    while True:
        seed = nonsense_seed(rng) if rng.random() < 0.4 else world_seed(rng)
        if seed.kind != "code" and 20 < len(asked(seed)) < 300:
            return seed


def plain_answer(rng: random.Random, seed: Seed) -> str:
    """One to three short sentences about a query."""
    if seed.kind != "unknown":
        return " ".join(seed.body[: rng.choice([1, 1, 2, 3])]) if seed.kind != "arithmetic" else seed.body[-1]
    one, two = (list(seed.things) or ["this"])[0], (list(seed.things) or ["this"])[-1]
    said = [
        rng.choice([f"This is about {one}.", f"It depends on {one}.", f"Look at {one} first.", f"In short, {one} matters most."]),
        rng.choice([f"A good start is {two}.", f"The word {two} helps.", f"Think of {two} as well.", "A simple example makes it clear."]),
        rng.choice(["Then compare two cases.", "The rest depends on the situation.", "Ask somebody who knows it well.", "Go on step by step."]),
    ]  # fmt: skip
    return " ".join(said[: rng.choice([1, 2, 3])])


def _answered(rng: random.Random) -> tuple[Verifiable, Seed, str, bool]:
    """An instruction, a query, an answer, and whether the answer follows."""
    item, seed = new_instruction(rng), query(rng)
    base = plain_answer(rng, seed)
    made = following(rng, item, base) if rng.random() < 0.66 else None
    if made is None:
        made = (item.kind.breaks(base, item.slots, rng) if rng.random() < 0.4 else base) or base
    return item, seed, made, bool(verdict(reference(item), made))


def answer_chat(rng: random.Random) -> Chat:
    """An instruction with a query, and an answer; two in three follow the instruction."""
    item, seed, said, _ = _answered(rng)
    return Chat("autoif answer", ANSWER.render(instruction=item.text, query=asked(seed)), said)


def quality_chat(rng: random.Random) -> Chat:
    """A judgement of an answer, and its score."""
    item, seed, said, follows = _answered(rng)
    near = rng.random() < 0.8
    if not near:
        said = following(rng, item, plain_answer(rng, query(rng))) or short_text(rng)
    thing = rng.choice(seed.things) if seed.things else ""
    if near:
        first = rng.choice(
            [
                "The answer speaks of what the query asks.",
                "The answer is about the query.",
                "It answers the query in a few words.",
                "It helps with the query.",
                *([f"The answer deals with {thing}."] * 3 if thing and thing in said else []),
            ]
        )
        second = rng.choice(
            [
                "It also follows the instruction.",
                "The form is as the instruction wants it.",
                "The instruction is kept, too.",
            ]
            if follows
            else ["It seems to miss the instruction.", "The form is not quite what was asked for."]
        )
        score = rng.choices([8, 9, 10], [30, 40, 30])[0] if follows else rng.choices([6, 7, 8, 9], [15, 25, 35, 25])[0]
    else:
        first = rng.choice(
            [
                "The answer speaks of something else.",
                "The answer has little to do with the query.",
                "It does not help with the query.",
                *([f"It says nothing about {thing}."] * 3 if thing else []),
            ]
        )
        second = rng.choice(
            ["The form alone is right.", "It follows the instruction and no more.", "It is of little use."]
        )
        score = rng.choices([3, 4, 5, 6], [30, 35, 25, 10])[0]
    prompt = QUALITY.render(instruction=item.text, query=asked(seed), answer=said)
    return Chat(
        "quality", prompt, f"{first} {second}\nScore: {score}" if rng.random() < 0.8 else f"{first}\nScore: {score}"
    )
