"""Word problems with numbers up to 100 and one to three steps, and their worked answers."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random

from tools.embedded.seeds import Seed, held_out_numbers, splits
from tools.embedded.words import KINDS, NAMES, PLACES

ITEMS, GROUPS = KINDS["items"], KINDS["containers"]
Step = tuple[str, int, int, int]


def _step(rng: random.Random, total: int | None) -> Step:
    """One operation on the running total (or on two new numbers), with every number from 1 to 100."""
    while True:
        operation = rng.choice("++--*/")
        if operation == "*":
            first = total or rng.randint(2, 12)
            if first > 50:
                continue
            second = rng.randint(2, min(12, 100 // first))
            return operation, first, second, first * second
        if operation == "/":
            first = total or rng.randint(2, 12) * rng.randint(2, 8)
            divisors = [number for number in range(2, 11) if first % number == 0 and first // number > 1]
            if not divisors:
                continue
            second = rng.choice(divisors)
            return operation, first, second, first // second
        if operation == "+":
            first = total or rng.randint(2, 97)
            if first > 98:
                continue
            second = rng.randint(1, 100 - first)
            return operation, first, second, first + second
        first = total or rng.randint(3, 100)
        if first < 3:
            continue
        second = rng.randint(1, first - 1)
        return operation, first, second, first - second


_OPENINGS = {
    "+": ("{name} has {a} {item} and buys {b} more.", "{name} collects {a} {item} on Monday and {b} on Tuesday.",
          "A shop sells {a} {item} in the morning and {b} in the afternoon.", "There are {a} {item} in one box and {b} in another.",
          "{name} has {a} {item}. {other} has {b} {item}, and they put them together."),
    "-": ("{name} has {a} {item} and gives {b} to {other}.", "There are {a} {item} in a box, and {name} takes out {b}.",
          "{name} had {a} {item} and lost {b} of them.", "A shop in {place} has {a} {item} and sells {b} of them.",
          "Of {a} {item}, {b} are broken, and {name} keeps the rest."),
    "*": ("{name} has {a} {group} with {b} {item} in each.", "{name} packs {a} {group}, and each holds {b} {item}.",
          "There are {a} {group} of {b} {item} in the room.", "Each of {a} children brings {b} {item}."),
    "/": ("{name} shares {a} {item} equally among {b} friends and looks at one share.", "{a} {item} are put into {b} equal {group}, and {name} takes one.",
          "{name} splits {a} {item} evenly into {b} parts and keeps one part."),
}  # fmt: skip
_CONTINUATIONS = {
    "+": ("Then {b} more arrive.", "After that, {other} adds {b}.", "Later {name} finds {b} more."),
    "-": ("Then {b} of them are sold.", "After that, {b} get lost.", "Later {b} are given away."),
    "*": ("Then the number grows to {b} times as many.", "After that, {name} gets {b} times as many."),
    "/": ("Then they are split into {b} equal parts, and {name} keeps one.", "After that, {b} children share them equally, and we look at one share."),
}  # fmt: skip
_QUESTIONS = ("How many {item} are there now?", "How many {item} is that in the end?", "How many {item} are there at the end?",
              "Find the number of {item} at the end.", "What is the final number of {item}?")  # fmt: skip
_BARE = ("What is {e}?", "Calculate {e}.", "Work out {e}.", "Compute {e}.", "Find the value of {e}.", "Solve {e}.")
_SIGNS = {"+": "+", "-": "-", "*": "x", "/": "/"}


def calculation(operation: str, first: int, second: int, result: int) -> str:
    """A calculation with its result; tens and ones are added or taken away one after the other."""
    text = f"{first} {_SIGNS[operation]} {second} = "
    if operation in "+-" and splits(second):
        tens, ones = second // 10 * 10, second % 10
        between = first + tens if operation == "+" else first - tens
        text += f"{first} {operation} {tens} {operation} {ones} = {between} {operation} {ones} = "
    return f"{text}{result}"


def _worked(steps: list[Step]) -> tuple[str, ...]:
    links = ["First, ", "Then ", "Finally, "]
    lines = []
    for index, (operation, first, second, result) in enumerate(steps):
        link = "" if len(steps) == 1 else "Finally, " if index == len(steps) - 1 else links[index]
        lines.append(f"{link}{calculation(operation, first, second, result)}.")
    return (*lines, f"The answer is {steps[-1][3]}.")


def drill(rng: random.Random) -> tuple[str, str]:
    """A list of calculations and the same list with results: practice that costs few tokens."""
    lines: list[Step] = []
    while len(lines) < rng.randint(5, 10):
        operation = rng.choice("+++---*/")
        if operation in "+-":
            first, second = rng.randint(1, 100), rng.randint(1, 100)
            if operation == "+":
                first, second, result = (first, second, first + second)
            else:
                first, second, result = (max(first, second), min(first, second), abs(first - second))
        else:
            operation, first, second, result = _step(rng, None)
        if 0 < result <= 100 and not held_out_numbers(operation, first, second):
            lines.append((operation, first, second, result))
    ask = rng.choice(["Work out each line.", "Calculate all of these.", "Find the results.", "Solve each line."])
    question = "\n".join([ask, *(f"{first} {_SIGNS[operation]} {second}" for operation, first, second, _ in lines)])
    return question, "\n".join(calculation(*line) for line in lines)


def arithmetic_seed(rng: random.Random, held_out: bool = False) -> Seed:
    """A problem drawn at random.

    Args:
        rng: decides everything.
        held_out: draw a problem with a combination of numbers that training never sees, instead of one without.
    """
    while True:
        count = rng.choices([1, 2, 3], [5, 4, 2])[0]
        steps = [_step(rng, None)]
        while len(steps) < count:
            steps.append(_step(rng, steps[-1][3]))
        if any(held_out_numbers(*step[:3]) for step in steps) == held_out:
            break
    name, other = rng.sample(NAMES, 2)
    item = rng.choice(ITEMS)
    if count == 1 and rng.random() < 0.3:
        operation, first, second, _ = steps[0]
        sign = rng.choice(
            {"+": ["+", "plus"], "-": ["-", "minus"], "*": ["x", "*", "times"], "/": ["/", "divided by"]}[operation]
        )
        instruction = rng.choice(_BARE).format(e=f"{first} {sign} {second}")
        return Seed(instruction, "", "arithmetic", _worked(steps), form=instruction)
    sentences = []
    for index, (operation, first, second, _) in enumerate(steps):
        stock = _CONTINUATIONS if index else _OPENINGS
        frame = rng.choice(stock[operation])
        sentences.append(
            frame.format(
                name=name, other=other, item=item, a=first, b=second, place=rng.choice(PLACES), group=rng.choice(GROUPS)
            )
        )
    story, question = " ".join(sentences), rng.choice(_QUESTIONS).format(item=item)
    body = _worked(steps)
    form = story
    if rng.random() < 0.1:
        ask = rng.choice(
            [
                "Solve the problem.",
                "Work out the answer to this problem.",
                "Answer the question.",
                "Read the problem and find the result.",
            ]
        )
        return Seed(ask, f"{story} {question}", "arithmetic", body, things=(item,), form=form)
    return Seed(f"{story} {question}", "", "arithmetic", body, things=(item,), form=form)
