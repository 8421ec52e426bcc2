"""The copying mix: prompts of every shape made of unrelated and invented words, so that copying is all that helps.

A model that has only seen sensible prompts completes what it half remembers; one that cannot guess learns to copy.
"""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
import string

from tools.embedded.seeds import Seed
from tools.embedded.words import (
    ADJECTIVES,
    NAMES,
    NOUNS,
    PLACES,
    VERBS,
    inflected,
    invented,
    plural,
    upper_first,
    with_articles,
)

# n, N: noun and plural; a: adjective; v: verb; w: any word, invented ones too; q: quoted text; d: number; P: name or place; c: code
_FRAMES = """
{V} the {n} of {a} {N}.|{V} the {n} of {w}.|What is the {n} of {w}?|What are the {N} of {a} {n}?|{V} {d} {N} of {w}
{V} a {a} {n} about {w} and {w}.|{V} the following {n}.|{V} the following {N} into {a} and {a} {N}.|{V} this {n}: {q}
Write a {n} about {w}.|Write a {a} {n} that describes {w} {w}.|Write an {a} {n} for a {w}.|How does {w} {v} the {n}?
How do {N} {v} {w}?|How can a {n} {v} its {N}?|Why do {N} {v} {a} {N}?|Why is {P} known for {w}?|Who was {P} {W}?
When did {P} {v} the {n}?|Which {n} is {a}: {w}, {w} or {w}?|Is {w} a {a} {n}?|Can {N} {v} {w}?|Name {d} {N} that {v} {w}.
Give an example of a {a} {n}.|Give {d} examples of {w} {N}.|Give me a {n} of the {w} in {P}.|Given the {n}, {v} the {a} {n}.
Given a {n}, {v} its {n} in {d} {N}.|Generate a {n} with the {n} {q}.|Generate a {a} {n} for {w} {N}.|Generate {d} {N} related to {w}
Create a {n} of {N} for {P}.|Create a {a} {w} that can {v} {N}.|Find the {n} in {q}.|Find a {n} for the word {q}.|Replace the {n} with {q}
Convert {d} {N} to {w}.|Convert the {n} {d}.{d} into {N}.|Calculate the {n} of {d}, {d}, {d} and {d}.|Solve {d}x + {d} = {d}.
Compare {w} and {w}.|Compare the {N} of {P} and {P}.|Explain the {n} between {w} and {w}.|Explain why {w} is {a}.|Explain the {q} {n}.
Describe a {a} {n} in {P}.|Describe how {w} {N} {v}.|Tell me about {w}.|Tell me a {n} about a {a} {w}.|Tell me what {q} means.
Identify the {n} of the sentence {q}.|Identify {d} {a} {N}.|Classify {w} as {a} or {a}.|Classify the {n} {q} by {w}.|Sort {w}, {w}, {w} and {w}.
Suggest a {n} for {w} {N}.|Suggest {d} ways to {v} {w}.|Imagine you are a {n}. {V} your {n}.|You are a {a} {n}. {V} the {w} for {P}.
Come up with a {a} {n} for {w}.|Come up with {d} {N} for a {w} {n}|{V} and {v} the {n} {q}.|In the {n} below, {v} the {a} {N}.
Summarize the {n} of {P} {W}.|Rewrite the sentence using {a} {N}.|Rewrite {q} so that it is {a}.|Edit the {n} to {v} {w}.|Translate {q}.
{V} whether {w} is {a} or not.|Add a {n} to {q}.|What would happen if {w} were {a}?|What makes a {n} {a}?|What is {w}?|What does {w} {v}?
Design a {n} that helps {N} {v} {w}.|Develop a {n} to {v} {a} {N}|Construct a {n} using {w}, {w}, and {w}.|List {d} {a} {N}.|List the {N} of {w}
Make a {n} for a {a} {n} called "{W}".|Output a {n} of {d} {N}.|Do {N} {v}?|Are {N} {a}?|Take the {n} and {v} {w}.|Does {P} have {a} {N}?
Provide a {n} of the {w} {n}.|Provide {d} {a} {N} about {P}.|Predict the {n} of {w} in {d}.|Pick the {a} {n} from this {n}: {w}, {w}, {w}
{V} the {a} {n}, and {v} the {N} with {w}.|Using the {n} {q}, {v} a {a} {n}.|Use the {n} to {v} {w} {N}.|{V} the code: {c}
For the given {n}, {v} {d} {N}.|Based on the {n}, {v} its {a} {n}.|Assume {w} is {a}. {V} what {N} do.|If a {n} is {a}, what is its {n}?
What year did {P} {v} {w}?|How many {N} does {P} have?|How many {a} {N} are in {q}?|I'd like to {v} my {n}. Can you {v} it?|My {n} isn't {a}; {v} it
""".replace("\n", "|").strip("|").split("|")  # fmt: skip
_INPUTS = """
{w}, {w}, {w}, {w}|{w}, {w}, and {w}|{W}|{q}|{S}|{S}|{S} {S}|{S} {S} {S}|{W} {W}|{n}: {w}\\n{n}: {w}\\n{n}: {d}|- {w}\\n- {w} {w}\\n- {w}
1. {S}\\n2. {S}\\n3. {S}|{c}|{W}: {d}, {W}: {d}, {W}: {d}|{d}, {d}, {d}, {d}, {d}|{S}\\nA. {w}\\nB. {w}\\nC. {w}|Dear {P},\\n{S}\\n{S}
{S}\\n\\n{S} {S}|{W}, {w} {d}|"{S}"|{N} and {N}|The {a} {n}|{P}: {S}|I {v} {w} {N} and {w}|{W} {d}, {d}|{d} {N}|{S} {S} {S} {S} {S}
""".replace("\n", "|").strip("|").replace("\\n", "\n").split("|")  # fmt: skip
SENTENCES = """
The {a} {n} {v}s the {n}.|{P} has {d} {N}.|{W} and {w} {v} {N} in {P}.|She {v}s {w} {N} very {a}ly.|It was a {a} {n}, but the {N} were {a}.
{P} {W} was a {a} {n} of {w}.|{N} are {a}.|He said, {q} and left.|In {d}, the {n} of {P} {v}ed {w}.|I {v} the {n}.|There are {d} {w} {N} in the {n}.
When the {n} {v}s, {N} {v} {w} without a {n}.|Our {n} isn't {a}; it's {w}.|They don't {v} {d}% of the {N} (about ${d}).|My {n} {v}s to {P} by {w}
""".replace("\n", "|").strip("|").split("|")  # fmt: skip


def word(rng: random.Random, strange: float) -> str:
    """A word, invented with probability ``strange``."""
    return invented(rng) if rng.random() < strange else inflected(rng)


def number(rng: random.Random) -> str:
    """A number as people write them."""
    digits = rng.choice([1, 1, 2, 2, 3, 4, 5])
    plain = str(rng.randint(10 ** (digits - 1), 10**digits - 1))
    return rng.choices([plain, f"{rng.randint(1, 99)}.{rng.randint(0, 99)}", f"{rng.randint(1, 999)},{rng.randint(100, 999)}",
                        rng.choice(["two", "three", "four", "five", "six", "ten"])], [6, 1, 1, 3])[0]  # fmt: skip


def quoted(rng: random.Random, strange: float) -> str:
    """A few words in quotation marks of some kind."""
    text = " ".join(word(rng, strange) for _ in range(rng.choice([1, 1, 2, 3, 5])))
    text = upper_first(text) + rng.choice(["", ".", "!", "?"]) if rng.random() < 0.4 else text
    return rng.choice(['"{}"', '"{}"', "'{}'", "({})", "`{}`", "[{}]", "“{}”"]).format(text)


def code(rng: random.Random, strange: float) -> str:
    """A line or two that look like code, a formula, an address or markup."""
    one, two = word(rng, strange), word(rng, strange)
    a, b = rng.randint(0, 99), rng.randint(0, 999)
    return rng.choice([
        f"{one} = {a}\n{two} = {one} + {b}", f"def {one}_{two}(x):\n    return x * {a}", f"for {one} in range({a}):\n    print({one})",
        f"SELECT {one} FROM {two} WHERE id = {b};", f"<p>{one} {two}</p>", f"{one}.{two}({a}, {b})", f"https://www.{one}.com/{two}",
        f"{one}@{two}.org", f"{a}x - {b} = {rng.randint(1, 99)}", f'{{"{one}": {a}, "{two}": "{word(rng, strange)}"}}',
        f"if {one} > {a}:\n    {two} = True", f'["{one}", "{two}", {b}]', f"{a}/{b}", f"{one}-{two}", f"#{one}{upper_first(two)}",
    ])  # fmt: skip


def _slot(slot: str, proper: str, rng: random.Random, strange: float) -> str:
    """What goes into a slot of a frame."""
    odd = rng.random() < strange * 0.5
    stock = {"n": NOUNS, "N": NOUNS, "a": ADJECTIVES, "v": VERBS}
    if slot in stock:
        value = invented(rng) if odd else rng.choice(stock[slot])
        return plural(value) if slot == "N" else value
    match slot:
        case "V":
            return upper_first(rng.choice(VERBS))
        case "w":
            return " ".join(word(rng, strange) for _ in range(rng.choice([1, 1, 1, 2, 3])))
        case "W":
            return upper_first(word(rng, strange))
        case "q":
            return quoted(rng, strange)
        case "d":
            return number(rng)
        case "P":
            return proper if rng.random() < 0.5 else rng.choice(NAMES + PLACES)
        case "S":
            return filled(rng.choice(SENTENCES), rng, strange)
        case _:
            return code(rng, strange)


def filled(frame: str, rng: random.Random, strange: float) -> str:
    """A frame with words in its slots."""
    proper = rng.choice(NAMES + PLACES) if rng.random() > strange else upper_first(invented(rng))
    text = ""
    for index, part in enumerate(frame.split("{")):
        if index == 0:
            text = part
            continue
        slot, rest = part[0], part[2:]
        text += _slot(slot, proper, rng, strange) + rest
    return with_articles(text)


def _scramble(rng: random.Random) -> str:
    """Words in any order with any punctuation, case and line breaks."""
    pieces = []
    for _ in range(rng.choice([3, 5, 8, 8, 12, 16, 24])):
        kind = rng.random()
        if kind < 0.72:
            piece = word(rng, 0.55)
            piece = upper_first(piece) if rng.random() < 0.15 else piece.upper() if rng.random() < 0.05 else piece
        elif kind < 0.84:
            piece = number(rng)
        elif kind < 0.93:
            piece = quoted(rng, 0.5)
        else:
            piece = "".join(rng.choices(string.ascii_letters + string.digits + "-_/", k=rng.randint(2, 8)))
        pieces.append(piece + rng.choices(["", ",", ".", ";", ":", "?", "!"], [80, 8, 5, 1, 2, 1, 1])[0])
    text = pieces[0]
    for piece in pieces[1:]:
        text += rng.choices([" ", "\n", " - ", "\n- "], [94, 3, 1, 1])[0] + piece
    return upper_first(text) + rng.choice([".", "?", "", "", ":"])


def _passage(rng: random.Random, sentences: int, strange: float) -> str:
    return " ".join(filled(rng.choice(SENTENCES), rng, strange) for _ in range(sentences))


def nonsense_seed(rng: random.Random) -> Seed:
    """A prompt without sense, drawn at random: mostly the form of an instruction, sometimes none."""
    strange = rng.choice([0.0, 0.15, 0.3, 0.6, 0.9])
    text, shape = "", rng.random()
    if shape < 0.18:
        instruction = _scramble(rng)
    else:
        instruction = filled(rng.choice(_FRAMES), rng, strange)
        if shape < 0.34:
            instruction += rng.choice([" ", " ", "\n"]) + filled(rng.choice(_FRAMES + SENTENCES), rng, strange)
        elif shape < 0.38:
            instruction += "\n" + filled(rng.choice(_INPUTS), rng, strange)
        elif shape < 0.41:
            instruction = _passage(rng, rng.randint(2, 5), strange) + " " + instruction
        elif shape < 0.418:
            instruction += "\n" + _passage(rng, rng.randint(6, 18), strange)
    if shape > 0.64:
        text = filled(rng.choice(_INPUTS), rng, strange)
        if rng.random() < 0.05:
            text = _passage(rng, rng.randint(10, 42), strange)
    if rng.random() < 0.1:
        instruction = instruction.rstrip(".?:")
    if rng.random() < 0.03:
        instruction = instruction.lower()
    return Seed(instruction, text, "unknown", (), things=content_words(instruction), form=instruction + text)


def content_words(text: str) -> tuple[str, ...]:
    """Words of a prompt that say what it is about: letters only, five or more, the first word left out."""
    words = [part.strip(".,:;?!\"'()") for part in text.split()[1:]]
    skipped = {
        "about",
        "below",
        "using",
        "whether",
        "following",
        "given",
        "would",
        "which",
        "their",
        "there",
        "without",
    }
    return tuple(
        dict.fromkeys(item for item in words if item.isalpha() and len(item) >= 5 and item.lower() not in skipped)
    )[:6]
