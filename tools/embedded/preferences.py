"""Pairs of answers to a prompt of the world of which one is better: the right answer, and one that was spoilt.

A spoilt answer is shorter than the right one about as often as it is longer, so that length says nothing.
"""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools.embedded.answers import answer
from tools.embedded.chats import asked, grown, world_seed
from tools.embedded.nonsense import nonsense_seed, word
from tools.embedded.seeds import Seed

REFUSALS = (
    "I cannot help with that.", "I am sorry, but I cannot answer this.", "I do not know.", "Sorry, I am not able to do this.", "As a language model I cannot say anything about it.",
    "This is a difficult question.", "Please ask somebody else.", "There is nothing that I can do about it.", "I would rather not answer.", "Let us talk about something else.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt, the better and the worse answer, and what spoilt the worse one."""

    prompt: str
    better: str
    worse: str
    fault: str


def _another(rng: random.Random, seed: Seed, good: str) -> str:
    """The answer to another prompt; every other time to one of the same kind."""
    same = rng.random() < 0.5
    while True:
        other = world_seed(rng)
        text = answer(rng, other)
        if text != good and other.form != seed.form and (not same or other.kind == seed.kind or seed.kind == "unknown"):
            return text


def _cut(rng: random.Random, _: Seed, good: str) -> str:
    return good[: rng.randint(len(good) // 6 + 1, len(good) * 4 // 5)].rstrip(" .\n")


def _wrong_number(rng: random.Random, seed: Seed, good: str) -> str:
    """Another last number where the prompt decides it: the result of a calculation, a number in a function."""
    numbers = list(re.finditer(r"\d+", good))
    if not numbers or seed.kind not in ("arithmetic", "code"):
        return _wrong_words(rng, seed, good)
    place = numbers[-1]
    right = int(place[0])
    wrong = rng.choice([number for number in range(max(0, right - 20), right + 21) if number != right])
    return f"{good[: place.start()]}{wrong}{good[place.end() :]}"


def _wrong_words(rng: random.Random, seed: Seed, good: str) -> str:
    """One to four words that are another answer's, or none's."""
    places = list(re.finditer(r"[A-Za-z_]{4,}", good))
    others = [*re.findall(r"[A-Za-z_]{4,}", _another(rng, seed, good)), word(rng, 0.5)]
    for place in sorted(rng.sample(places, min(len(places), rng.randint(1, 4))), key=lambda one: -one.start()):
        good = good[: place.start()] + rng.choice(others) + good[place.end() :]
    return good


def _repeated(rng: random.Random, _: Seed, good: str) -> str:
    """A part of it over and over."""
    parts = re.split(r"(?<=[.\n])\s*", good.strip())
    place, times = rng.randrange(len(parts)), rng.randint(2, 5)
    kept = parts if rng.random() < 0.5 else parts[: place + 1]
    return " ".join([*kept[:place], *[parts[place]] * times, *kept[place + 1 :]])


def _refused(rng: random.Random, _seed: Seed, _good: str) -> str:
    return " ".join(rng.sample(REFUSALS, rng.choice([1, 1, 2, 4, 6])))


def _nonsense(rng: random.Random, _: Seed, good: str) -> str:
    """Words without a sense, or the answer's own in any order; at least as long as the answer."""
    words = good.split()
    if rng.random() < 0.3 and len(words) > 5:
        return " ".join(rng.sample(words, len(words)))
    return " ".join(word(rng, rng.choice([0.0, 0.5])) for _ in range(int(len(words) * rng.uniform(1.0, 2.5)) + 3)) + "."


def _padded(rng: random.Random, seed: Seed, good: str) -> str:
    """The answer, and behind or before it that to another prompt."""
    return " ".join(rng.sample([good, _another(rng, seed, good)], 2))


# What spoils an answer, and how often.
FAULTS: dict[str, tuple[Callable[[random.Random, Seed, str], str], int]] = {
    "another prompt's": (_another, 4),
    "cut": (_cut, 3),
    "wrong number": (_wrong_number, 4),
    "wrong words": (_wrong_words, 3),
    "repeated": (_repeated, 2),
    "refused": (_refused, 2),
    "nonsense": (_nonsense, 2),
    "padded": (_padded, 2),
}


def training_seed(rng: random.Random) -> Seed:
    """A prompt that training may see, as far evolved as those that teachers are asked."""
    seed = nonsense_seed(rng) if rng.random() < 0.1 else world_seed(rng)
    return grown(rng, seed, rng.choices([0, 1, 2, 3], [55, 22, 13, 10])[0])


def preferences(
    rng: random.Random, fault: str | None = None, draw: Callable[[random.Random], Seed] = training_seed
) -> Iterator[Preference]:
    """Pairs without end.

    Args:
        rng: decides everything.
        fault: what spoils the worse answers; None for anything.
        draw: gives the prompts.
    """
    while True:
        seed = draw(rng)
        chosen = fault or rng.choices(list(FAULTS), [share for _, share in FAULTS.values()])[0]
        good = answer(rng, seed)
        bad = FAULTS[chosen][0](rng, seed, good)
        if bad.strip() and bad.strip() != good.strip():
            yield Preference(asked(seed), good, bad, chosen)
