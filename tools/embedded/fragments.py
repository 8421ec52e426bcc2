"""The stock of fragments that evolutions are made of: requirements, questions that go deeper, steps of thought.

The fragments combine freely and have slots, so that hardly any text is ever added twice.
"""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from collections.abc import Callable

from tools.embedded.seeds import Seed, Want
from tools.embedded.words import (
    ADJECTIVES,
    AUDIENCES,
    NAMES,
    NOUNS,
    PLACES,
    VERBS,
    number_word,
    upper_first,
    with_articles,
)

# What is added, and what an answer has to do about it.
Fragment = tuple[str, Want | None]


def _sentence(rng: random.Random) -> str:
    """A short closing sentence."""
    return rng.choice([
        f"That is the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}.", f"Now it is your {rng.choice(NOUNS)}.", f"So much for the {rng.choice(NOUNS)}.",
        f"Keep a {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} in mind.", f"The {rng.choice(NOUNS)} decides.", f"Every {rng.choice(NOUNS)} counts.",
    ])  # fmt: skip


def constraint(rng: random.Random, seed: Seed) -> Fragment:
    """Something a program could check."""
    n = rng.randint(2, 6)
    few, words, noun = number_word(n), 5 * rng.randint(4, 30), rng.choice(NOUNS)
    if seed.kind == "code" and rng.random() < 0.75:
        return rng.choice([
            ("add a docstring of one line", ("docstring", 1)), ("put a comment above the return statement", ("comment", 1)),
            (f"call the function {rng.choice(VERBS)}_{noun}", None), ("do not import any module", None), (f"keep the code under {n + 6} lines", None),
            (f"call the result {noun} before you return it", None), (f"raise a ValueError when the input is {rng.choice(['empty', 'negative', 'not a number', 'too long'])}", None),
            (f"show one call of it with the value {rng.randint(2, 90)}", None), ("add type hints to every argument", None),
            (f"use no name that is longer than {n + 8} letters", None), (f"include {few} test cases with assert", None),
            ("avoid recursion", None), (f"return None when the argument is {rng.choice(['missing', 'None', 'an empty list', 'zero'])}", None),
        ])  # fmt: skip
    if seed.kind == "arithmetic" and rng.random() < 0.5:
        return rng.choice([
            ("write every calculation on its own line", ("lines", 1)), (f"use at most {n} sentences", None), ("give the result in digits", None),
            (f"put the word \"{noun}\" before the result", ("include", noun)), ("name the unit of the result", None),
            (f"write no more than {words} words", None), ("do not use a calculator or a table", None), (f"put {rng.choice(['two stars', 'brackets', 'quotation marks', 'a line of dashes'])} around the result", None),
        ])  # fmt: skip
    return rng.choice([
        (f"use at most {words} words", ("max_words", words)), (f"keep the whole answer under {words} words", ("max_words", words)),
        (f"write between {words} and {words + 10 * n} words", None), (f"write exactly {few} bullet points", ("bullets", n)),
        (f"give a numbered list of {few} points", ("numbered", n)), (f'end with the sentence "{(closing := _sentence(rng))}"', ("end", closing)),
        (f'end with the words "{rng.choice(ADJECTIVES)} {noun}"', None), (f'begin with the word "{upper_first(noun)}"', ("begin", upper_first(noun))),
        (f'use the word "{noun}" {rng.choice(["once", "at least once", "at least twice", "exactly once"])}', ("include", noun)),
        (f'do not use the word "{noun}"', None), (f"answer in exactly {few} sentences", ("sentences", n)), (f"let no sentence have more than {n + 9} words", None),
        (f"write for {rng.choice(AUDIENCES)}", None), ("write the last sentence in capital letters", ("shout", 1)), ("do not use any commas", None),
        (f"put a title of {few} words above the answer", None), (f"split the answer into {few} short paragraphs", ("paragraphs", n)),
        (f"mention at least {few} examples", None), (f"close with a question about the {noun}", None), ("avoid the letter " + rng.choice("bjkqvwxyz"), None),
        (f"name a {rng.choice(ADJECTIVES)} {noun} as an example", None), (f"give it the title \"The {upper_first(rng.choice(ADJECTIVES))} {upper_first(noun)}\"", ("title", "")),
        (f"separate the parts with a line of {few} {rng.choice(['dashes', 'stars', 'dots'])}", None), (f"include exactly {few} numbers", None),
        (f"start every sentence with the letter {rng.choice('ABCDFHILMNOPSTW')}", None), (f"write it as a letter to {rng.choice(NAMES)} in {rng.choice(PLACES)}", None),
    ])  # fmt: skip


def question(rng: random.Random, seed: Seed) -> Fragment:
    """An embedded question that asks for more than the prompt does."""
    years = rng.choice(
        ["a year", "five years", "ten years", "a century", "one month", "a generation", "a few weeks", "fifty years"]
    )
    who = rng.choice(
        [
            "beginners",
            "experts",
            "children",
            "older people",
            "companies",
            "towns",
            "poor families",
            "teachers",
            "critics",
            "engineers",
            "neighbours",
            "visitors",
        ]
    )
    whom = rng.choice(
        [
            "society",
            "the environment",
            "daily life",
            "trust between people",
            "the local economy",
            "health",
            "small firms",
            "the next generation",
            "education",
            "public opinion",
        ]
    )
    cond = rng.choice(
        [
            "time were short",
            "nobody had planned for it",
            "money did not matter",
            "half of the facts were wrong",
            "the conditions changed overnight",
            "twice as many people took part",
            "it happened in winter",
            "the rules were stricter",
        ]
    )
    if seed.kind == "code":
        return rng.choice([
            ("how its running time grows with the input", None), (f"what happens with {rng.choice(['an empty input', 'a very long input', 'negative numbers', 'a value of the wrong type', 'repeated values'])}", None),
            (f"which built-in function of Python {rng.choice(['is related to it', 'does part of the work', 'would be faster'])}", None), ("how it compares with a version that uses a loop", None),
            ("when recursion would be a worse choice", None), (f"how {who} would test it", None), (f"why a reader may find it hard to maintain after {years}", None), ("how much memory it needs", None),
            (f"how it would look in {rng.choice(['another language', 'a class', 'one line', 'functional style'])}", None), ("which errors it can raise and why", None), ("what trade-off it makes between speed and clarity", None),
        ])  # fmt: skip
    if seed.kind == "arithmetic":
        return rng.choice([
            ("how the result would change if the first number were doubled", None), (f"how the result changes when {rng.randint(2, 9)} more are added at the start", None), ("which operation matters most for the result", None),
            ("why the order of the steps matters", None), ("how you could estimate the result beforehand", None), ("what share of the first number is left", None),
            ("which mistake pupils often make here", None), ("how a drawing would show the same problem", None), (f"what would happen if it were repeated {rng.randint(2, 9)} times", None),
            (f"how you would explain it to {rng.choice(AUDIENCES)}", None), ("whether the result is even or odd, and why", None),
        ])  # fmt: skip
    stock: list[Fragment] = [
        ("why it matters", ("why", 1)), (f"why it matters to {who}", ("why", 1)), ("what causes it", None), (f"which consequences it has for {whom}", ("why", 1)),
        (f"what follows from it after {years}", None), (f"how {who} see it differently from {rng.choice(['everybody else', 'scientists', 'the young', 'officials'])}", None), (f"which trade-offs it brings for {who}", ("tradeoff", 1)),
        ("who gains from it and who loses", None), (f"what would change if {cond}", None), (f"what {who} most often get wrong about it", ("mistake", 1)),
        (f"how it has changed over the last {rng.choice(['year', 'five years', 'ten years', 'century', 'few months', 'fifty years'])}", None), ("what it costs in time and in money", ("time", 1)), (f"which risks it holds for {whom}", ("mistake", 1)),
        ("how one could measure its success", None), ("what its limits are", ("tradeoff", 1)), (f"which alternative {who} would prefer, and why", None), (f"how it affects {whom} in the long run", None),
        ("where it comes from", None), ("which part of it is the hardest, and why", ("mistake", 1)), (f"what evidence would convince {who}", None), (f"how it compares with the situation {years} ago", None),
    ]  # fmt: skip
    if seed.things and rng.random() < 0.4:
        thing = rng.choice(seed.things)
        quoted = (
            f'"{thing}"'
            if seed.kind == "unknown"
            else f"the {thing}"
            if not thing.startswith(("a ", "an ", "the "))
            else thing
        )
        return rng.choice([
            (f"how much depends on {quoted}", None), (f"what would be different without {quoted}", None), (f"what {who} can learn from {quoted}", None), (f"how {quoted} could affect {whom}", None),
            (f"where {quoted} would fail", None), (f"how {who} would deal with {quoted}", None), (f"what {who} should know about {quoted}", None),
        ])  # fmt: skip
    if seed.input and rng.random() < 0.4:
        return rng.choice(
            [
                ("which part of the input supports the answer", None),
                ("what the input leaves open", None),
                ("how the answer would change with a different input", None),
                (f"how {who} would read the input", None),
            ]
        )
    return rng.choice(stock)


def thought(rng: random.Random, seed: Seed) -> Fragment:
    """A step of thought to ask for."""
    few = number_word(rng.randint(2, 5))
    stock = [
        "list what is known", "name the assumption behind each step", f"compare {few} possible ways", "explain why you chose this way", "check the result with an example",
        "say which step is the least certain", f"give {few} reasons for the conclusion", "work backwards from the result", "weigh each option by effort and effect", "rule out one tempting mistake",
        "state the rule that you use", "break the question into smaller parts", "draw a conclusion from each part", f"consider {few} objections", "explain how each step follows from the last",
        "decide which facts matter", "test the answer against a counterexample", "sum up the argument in one sentence", "point out where intuition misleads", f"rank {few} options from best to worst",
        "define the key terms", "justify the order of the steps", "estimate the outcome before you begin", "tell apart causes and effects", f"name {few} conditions that must hold",
    ]  # fmt: skip
    if seed.kind == "arithmetic":
        stock = [
            "write down what is given", "say which operation you use and why", "estimate the result first", "check the result with the opposite operation", "explain each calculation in words",
            "state what is asked", "show the number after every step", "say why the result makes sense", "solve it in a second way", "name the unit after each step", "explain what each number stands for", "compare the result with your estimate",
        ]  # fmt: skip
    elif seed.kind == "code":
        stock = [
            "explain the idea behind it", "walk through an example by hand", "say what happens in an edge case", "compare it with a simpler version", "state what it takes and what it returns", "explain each line",
            "name an input that could break it", "say why the result is correct", f"trace it with {few} inputs", "justify the choice of names", "describe the steps in plain words", "consider a faster way",
        ]  # fmt: skip
    elif seed.input and rng.random() < 0.3:
        stock = [
            "quote the words of the input that matter",
            "say what the input tells you",
            "list the facts of the input",
            "explain how the input leads to the answer",
            "separate facts from opinions in the input",
        ]
    return rng.choice(stock), ("steps", 1)


# Requirements of one row exclude one another.
_RIVALS = (
    ("bullet", "numbered", "sentences", "paragraphs", "letter to", "code under"),
    ("words", "between"),
    ("end with", "close with", "last sentence"),
    ("begin with", "start every", "title"),
    ("commas", "dashes"),
)


def clash(fragment: str, text: str) -> bool:
    """Whether a requirement excludes one that the text already has."""
    return any(any(word in fragment for word in row) and any(word in text for word in row) for row in _RIVALS)


def pair(make: Callable[[random.Random, Seed], Fragment], rng: random.Random, seed: Seed) -> tuple[Fragment, Fragment]:
    """Two fragments that begin differently and, as requirements, fit together and to the prompt."""
    rules = make is constraint
    first, second = make(rng, seed), make(rng, seed)
    for _ in range(30):
        if not (rules and clash(first[0], seed.instruction)):
            break
        first = make(rng, seed)
    for _ in range(30):
        if second[0].split()[:2] != first[0].split()[:2] and not (
            rules and clash(second[0], seed.instruction + first[0])
        ):
            break
        second = make(rng, seed)
    return (with_articles(first[0]), first[1]), (with_articles(second[0]), second[1])
