"""In-breadth evolution: a brand-new prompt of the same domain."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from dataclasses import replace

from tools.embedded.arithmetic import arithmetic_seed
from tools.embedded.everyday import TOPICS, everyday_seed
from tools.embedded.evolutions import EVOLVE, OPERATORS
from tools.embedded.functions import function_seed
from tools.embedded.seeds import Seed, held_out
from tools.embedded.words import (
    ADJECTIVES,
    AUDIENCES,
    NOUNS,
    PEOPLE,
    PLACES,
    SETTINGS,
    VERBS,
    number_word,
    upper_first,
    with_articles,
)

# For prompts from outside the world: {w} and {x} are words of the old prompt.
_FRAMES = (
    "Explain how {w} and {x} are connected.", "Write a short guide to {w} for {audience}.", "Describe a day in the life of {person} who works with {w}.", "Name {n} questions about {w} that {audience} might ask.",
    "What would {person} say about {w}?", "Compare {w} with the {noun} of a small town.", "Write a short story about {w} and a {adjective} {noun}.", "List {n} ways to {verb} {w} {setting}.", "Why might {w} matter to {person}?",
    "Create a quiz with {n} questions about {w} and {x}.", "How could a school in {place} teach {w}?", "Suggest a {adjective} project about {w} for {person}.", "Write a dialogue between {person} and a guide about {w}.", "Describe the history of {w} for {audience}.",
    "Draft a letter to the mayor of {place} about {w}.", "What are the risks of {x} {setting}?", "Give {n} examples of {x} in everyday life.", "Design a poster that explains {w} to {audience}.", "Which {noun} would help {person} to understand {w}?", "Discuss whether {w} is more important than {x}.",
    "Write a riddle whose answer is {w}.", "Plan a talk of {n} minutes about {w} and the {noun}.", "How has {w} changed the way people {verb}?", "Explain to {person} why {x} can be {adjective}.", "Make a list of {n} terms that belong to {w}.", "Tell how {w} would look in {place} in fifty years.",
    "Invent a game for {n} players about {w}.", "Write a news report about {w} in {place}.", "What can {audience} learn from {w}?", "Describe {x} {setting} in {n} sentences.",
)  # fmt: skip


def breadth_seed(rng: random.Random, seed: Seed, depth: int) -> Seed:
    """A new prompt of the seed's domain, about as hard: of a world seed another one, of an unknown seed one that borrows from it.

    Args:
        rng: decides everything.
        seed: the old prompt.
        depth: how often the old prompt was evolved.
    """
    new = _borrowed(rng, seed) if seed.kind == "unknown" else _same_domain(rng, seed)
    for _ in range(depth // 2 + (rng.random() < 0.2)):
        new = EVOLVE[rng.choice(OPERATORS)](rng, new)
    return new


def _same_domain(rng: random.Random, seed: Seed) -> Seed:
    while True:
        if seed.kind == "arithmetic":
            new = arithmetic_seed(rng)
        elif seed.kind == "code":
            new = function_seed(rng)
        else:
            old = next(
                (topic for topic in TOPICS if topic.thing in seed.instruction or topic.task in seed.form),
                rng.choice(TOPICS),
            )
            new = everyday_seed(
                rng,
                rng.choice([topic for topic in TOPICS if topic.domain == old.domain and topic != old]),
                with_input=False,
            )
        if not new.input and new.form != seed.form and not held_out(new.instruction):
            return new


def _borrowed(rng: random.Random, seed: Seed) -> Seed:
    things = list(seed.things) or [rng.choice(NOUNS)]
    one = rng.choice(things)
    two = rng.choice([thing for thing in things if thing != one] or [rng.choice(NOUNS)])
    text = rng.choice(_FRAMES).format(
        w=one, x=two, audience=rng.choice(AUDIENCES), person=rng.choice(PEOPLE), n=number_word(rng.randint(2, 6)), noun=rng.choice(NOUNS),
        adjective=rng.choice(ADJECTIVES), verb=rng.choice(VERBS), place=rng.choice(PLACES), setting=rng.choice(SETTINGS),
    )  # fmt: skip
    text = with_articles(text)
    return replace(seed, instruction=upper_first(text), input="", things=(one, two), wants=(), form=text)
