"""A seed of the embedded world, and which seeds training never sees."""

import hashlib
from dataclasses import dataclass

# What an answer has to do, in the order in which it was asked for: ("bullets", 3), ("end", "Good luck."), ...
Want = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class Seed:
    """A prompt, and what is known about it.

    Args:
        instruction, input: the prompt; ``input`` may be empty.
        kind: "everyday", "arithmetic", "code" or "unknown".
        body: sentences of a plain answer, the most important first (code: one string, the function).
        steps: the same answer as short imperative items, where that makes sense.
        things: words of the prompt that an evolution may name.
        wants: what evolutions have asked for so far.
        form: what is asked, apart from its wording; equal forms ask for the same.
    """

    instruction: str
    input: str
    kind: str
    body: tuple[str, ...]
    steps: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    wants: tuple[Want, ...] = ()
    form: str = ""


def bucket(text: str) -> int:
    """A stable number from 0 to 99 for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100


def held_out(instruction: str) -> bool:
    """Whether a prompt of the world is kept from training: one in twenty, by a hash of its text."""
    return bucket("prompt " + instruction) < 5


def splits(number: int) -> bool:
    """Whether a number has both tens and ones."""
    return number > 10 and number % 10 > 0


def held_out_numbers(operation: str, first: int, second: int) -> bool:
    """Whether a combination of numbers is kept from training: one in ten, by a hash.

    Sums and differences with a number below 11 or of whole tens are never held out, for they occur inside others:
    34 + 28 is worked as 34 + 20 + 8.
    """
    if operation in "+-" and not (splits(second) and (operation == "-" or splits(first))):
        return False
    if operation in "+*" and first > second:
        first, second = second, first
    return bucket(f"{first} {operation} {second}") < 10
