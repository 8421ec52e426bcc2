"""Answers to the prompts of the world, which keep the requirements that evolutions have added where they can."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random

from tools.embedded.seeds import Seed
from tools.embedded.words import upper_first


def answer(rng: random.Random, seed: Seed) -> str:
    """The answer to a prompt."""
    if seed.kind == "unknown":
        return _rough(rng, seed)
    if seed.kind == "code" and seed.body[0].startswith("def "):
        return _function(seed)
    return _shaped(rng, seed, list(seed.body), list(seed.steps))


def _function(seed: Seed) -> str:
    """The function, with the docstring or comment that was asked for."""
    wants = dict(seed.wants)
    head, body = seed.body[0].split("\n", 1)
    sentence = upper_first(seed.form.removeprefix("code ")) + "."
    if "docstring" in wants:
        body = f'    """{sentence}"""\n{body}'
    if "comment" in wants:
        lines = body.split("\n")
        body = "\n".join([*lines[:-1], "    # This is the result.", lines[-1]])
    code = f"{head}\n{body}"
    return (
        f"{code}\n\nStep by step: the function takes its input, works on it, and returns the result."
        if "steps" in wants
        else code
    )


def _shaped(rng: random.Random, seed: Seed, body: list[str], steps: list[str]) -> str:
    """Sentences in the form that the prompt's requirements call for; the last requirement of a sort decides."""
    wants = dict(seed.wants)
    if seed.kind == "everyday":
        person = wants.get("for")
        if person:
            body.insert(0, f"This is for {person}.")
        if "why" in wants and "because" not in " ".join(body):
            body.append("It matters because it saves time and trouble later.")
        if "tradeoff" in wants:
            body.append("The trade-off is between effort now and comfort later.")
        if "steps" in wants:
            body.insert(
                0,
                rng.choice(
                    ["Let us think step by step.", "Here is the reasoning in steps.", "I go through it step by step."]
                ),
            )
    if "sentences" in wants:
        body = body[: int(wants["sentences"])]
    if "max_words" in wants and seed.kind == "everyday":
        limit = int(wants["max_words"]) - 10
        while len(body) > 1 and len(" ".join(body).split()) > limit:
            body.pop()
    if "begin" in wants:
        body[0] = f"{wants['begin']}: {body[0]}"
    if "include" in wants:
        body.insert(len(body) - 1, f'The word "{wants["include"]}" is used here once.')
    if "shout" in wants:
        body[-1] = body[-1].upper()
    text = " ".join(body)
    count = int(wants.get("bullets", wants.get("numbered", 0)))
    if count and steps:
        items = (steps + [sentence.rstrip(".") for sentence in seed.body if sentence.rstrip(".") not in steps])[:count]
        marks = ["-"] * count if "bullets" in wants else [f"{index}." for index in range(1, count + 1)]
        text = "\n".join(f"{mark} {item}" for mark, item in zip(marks, items, strict=False))
    elif "lines" in wants or ("steps" in wants and seed.kind == "arithmetic" and len(body) > 2):
        text = "\n".join(body)
    elif "paragraphs" in wants and len(body) > 1:
        middle = len(body) // 2
        text = " ".join(body[:middle]) + "\n\n" + " ".join(body[middle:])
    return f"{text} {wants['end']}" if "end" in wants else text


def _rough(rng: random.Random, seed: Seed) -> str:
    """A short answer to a prompt from outside the world, which says what it is about and little more."""
    things = list(seed.things) or ["this"]
    one, two = things[0], things[-1]
    body = [
        rng.choice([f"This is about {one}.", f"The question is about {one}.", f"Here is a short answer about {one}.", f"In short, {one} is the main point here."]),
        rng.choice([f"It helps to look at {two} first.", f"A good start is to look closely at {two}.", f"The word {two} matters most.", f"It depends on {two}."]),
        rng.choice(["Then compare two examples.", "A simple example makes it clear.", "Start with what is known and go on step by step.", "Ask somebody who knows it well."]),
        rng.choice(["In the end, the facts decide.", "That is all I can say for sure.", "More details would need a larger model.", "The rest depends on the situation."]),
    ]  # fmt: skip
    return _shaped(rng, seed, body, [upper_first(thing) for thing in things])
