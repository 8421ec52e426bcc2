"""In-depth evolutions: for each operator a function from a prompt to a harder one.

The new prompt holds all of the old one; what is added stands behind it, before it or inside it. ``wants`` remembers what
an answer has to do.
"""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
import re
from dataclasses import replace

from tools.embedded.fragments import clash, constraint, pair, question, thought
from tools.embedded.seeds import Seed
from tools.embedded.words import (
    AUDIENCES,
    GROUPS,
    NAMES,
    NOUNS,
    PEOPLE,
    PLACES,
    SETTINGS,
    VERBS,
    lower_first,
    number_word,
    upper_first,
)

OPERATORS = ("constraints", "deepening", "concretizing", "reasoning")
_LEADING = {upper_first(verb) for verb in VERBS} | {
    "What", "How", "Why", "Which", "When", "Where", "Who", "Is", "Are", "Do", "Does", "Can", "Give", "Write", "Create", "Tell", "Define",
    "Use", "Take", "Put", "Turn", "Share", "List", "Name", "Show", "Find", "Make", "Read", "Answer", "Calculate", "Compute", "Work", "Solve",
    "Teach", "Draft", "Convince", "Implement", "In", "The", "A", "There", "Given", "Based", "Come", "Each", "If",
}  # fmt: skip


def _append(text: str, addition: str, rng: random.Random) -> str:
    """The text with a sentence after it; a colon or a missing full stop at its end is mended."""
    if text.endswith(":"):
        text = text[:-1] + "."
    elif text and text.rstrip("\"'”)]}`>")[-1:] not in (".", "?", "!", ";", ""):
        text += "."
    addition = re.sub(r'([.?!]")\.$', r"\1", addition)
    return text + ("\n" if "\n" in text or rng.random() < 0.02 else " ") + addition


def _prefix(text: str, clause: str) -> str | None:
    """The text after a clause, if its first word is one that may lose its capital."""
    return f"{clause}, {lower_first(text)}" if text.split(" ", 1)[0].strip(",") in _LEADING else None


def _insert(text: str, phrase: str) -> str | None:
    """The text with a phrase before its last mark, if it is one sentence."""
    if len(text) < 12 or text[-1] not in ".?" or any(mark in text[:-1] for mark in '.?!:\n"'):
        return None
    return f"{text[:-1]} {phrase}{text[-1]}"


def constrained(rng: random.Random, seed: Seed) -> Seed:
    """One more requirement, or two."""
    (one, want), (two, more) = pair(constraint, rng, seed)
    single = len(one.split()) >= 7 and rng.random() < 0.5
    wants = (want,) if single else (want, more)
    both = f"{one}" if single else f"{one} and {two}"
    frames = [
        f"{upper_first(both)}.",
        f"{upper_first(both)}.",
        f"Please {both}.",
        f"One more rule: {both}.",
        f"As you write, {both}.",
    ]
    if " do not" not in " " + both:
        frames += [
            f"You must {both}.",
            f"Make sure to {both}.",
            f"Also {both}.",
            f"It is important that you {both}.",
            f"Be sure to {both}.",
        ]
    if "answer" not in both:
        frames += [f"In your answer, {both}.", f"When you answer, {both}."]
    addition = rng.choice(frames)
    text = _append(seed.instruction, addition, rng)
    if rng.random() < 0.22:
        words = 5 * rng.randint(4, 30)
        few = rng.randint(2, 6)
        clause, clause_want = rng.choice([
            (f"In at most {words} words", ("max_words", words)), (f"In exactly {number_word(few)} sentences", ("sentences", few)), (f"In exactly {number_word(few)} bullet points", ("bullets", few)),
            (f"Without the word \"{rng.choice(NOUNS)}\"", None), (f"In plain words for {rng.choice(AUDIENCES)}", None), (f"In the form of a letter to {rng.choice(NAMES)}", None), (f"With at least {number_word(few)} examples", None),
        ])  # fmt: skip
        prefixed = (
            _prefix(seed.instruction, clause)
            if seed.kind in ("everyday", "unknown") and not clash(clause, seed.instruction)
            else None
        )
        if prefixed:
            extra = one if not clash(one, clause) else f"close with a line about the {rng.choice(NOUNS)}"
            text, wants = _append(prefixed, f"{upper_first(extra)}.", rng), (clause_want, want)
    return replace(seed, instruction=text, wants=seed.wants + tuple(item for item in wants if item))


def deepened(rng: random.Random, seed: Seed) -> Seed:
    """More depth and breadth: causes, comparisons, trade-offs, consequences."""
    (one, want), (two, more) = pair(question, rng, seed)
    text = _append(seed.instruction, rng.choice([
        f"Also explain {one} and {two}.", f"Then discuss {one}, and say {two}.", f"Go on to show {one} as well as {two}.", f"Besides that, explain {one}, and look at {two}.", f"In addition, say {one} and {two}.",
        f"Go deeper and explain {one}, and also {two}.", f"Beyond that, describe {one} and {two}.", f"Then say {one}, and explain {two}.", f"Look at {one}, too, and at {two}.", f"Discuss {one} in detail, and mention {two}.",
        f"What is more, tell me {one}, and explain {two}.", f"Explain, too, {one} and {two}.",
    ]), rng)  # fmt: skip
    if rng.random() < 0.15 and seed.kind in ("everyday", "unknown"):
        clause = rng.choice(
            [
                "With its causes and effects in view",
                "Looking at both benefits and risks",
                "With a look at its history",
                "From more than one point of view",
                "Going beyond the basics",
                "With an eye to the long run",
            ]
        )
        prefixed = _prefix(seed.instruction, clause)
        if prefixed:
            text = _append(
                prefixed,
                rng.choice([f"Explain {one}.", f"Also say {one}.", f"Discuss {one}, too.", f"Then consider {one}."]),
                rng,
            )
            more = None
    return replace(seed, instruction=text, wants=seed.wants + tuple(item for item in (want, more) if item))


def concretized(rng: random.Random, seed: Seed) -> Seed:
    """Something general made specific: a person, a place, an amount."""
    one, setting, name, place = rng.choice(PEOPLE), rng.choice(SETTINGS), rng.choice(NAMES), rng.choice(PLACES)
    person = rng.choice(GROUPS) if rng.random() < 0.2 else one
    amount = rng.choice(
        [
            f"only {5 * rng.randint(1, 12)} minutes",
            f"{5 * rng.randint(2, 30)} euros",
            f"{rng.randint(2, 9)} helpers",
            f"{rng.randint(2, 6)} free evenings",
            f"a room of {rng.randint(6, 30)} square metres",
            f"about {rng.randint(2, 12)} weeks",
        ]
    )
    if seed.kind == "code":
        thing = rng.choice(
            [
                "daily temperatures",
                "ticket prices",
                "bus arrival times",
                "ages",
                "exam marks",
                "rainfall figures",
                "street names",
                "train stations",
                "phone bills",
                "page counts",
                "recipe names",
                "parcel weights",
            ]
        )
        addition = rng.choice([
            f"It is for {person} who works with the {thing} of {place}.", f"{name} will use it on {rng.randint(3, 90)} {thing} from {place}.", f"Show it on an example with the {thing} of a school in {place}.",
            f"Take {rng.randint(3, 9)} {thing} from {place} as the example input.", f"Use it in a small program for {person} {setting}.", f"Its input comes from a file with {10 * rng.randint(2, 90)} {thing} of {place}.",
        ])  # fmt: skip
        return replace(seed, instruction=_append(seed.instruction, addition, rng))
    if seed.kind == "arithmetic":
        clause = rng.choice(
            [
                f"{upper_first(setting)}",
                f"At a market in {place}",
                f"In a school in {place}",
                f"At the house of {person} in {place}",
                f"During a visit to {place}",
            ]
        )
        prefixed = _prefix(seed.instruction, clause)
        addition = rng.choice([
            f"The story takes place {setting}, at the home of {person}.", f"All of this happens {setting} in {place}.", f"{name}, {one}, wants to know the result within {rng.randint(2, 20)} minutes.",
            f"{upper_first(person)} in {place} needs the result for a list of {rng.choice(['stock', 'gifts', 'costs', 'supplies', 'prizes'])}.", f"Explain it to {name}, {one} from {place}.",
        ])  # fmt: skip
        return replace(
            seed, instruction=_append(prefixed if prefixed and rng.random() < 0.3 else seed.instruction, addition, rng)
        )
    wants = (*seed.wants, ("for", person))
    draw = rng.random()
    if (
        seed.kind == "everyday"
        and seed.form.split()[0] in ("how", "tip", "mistake", "needs", "time", "first")
        and not seed.input
        and draw < 0.5
    ):
        inserted = _insert(
            seed.instruction, rng.choice([setting, f"for {person} {setting}", f"{setting} with {amount}"])
        )
        if inserted:
            tail = (
                ""
                if rng.random() < 0.5
                else rng.choice(
                    [
                        f" {name}, {one}, has {amount} for it.",
                        f" The reader is {person} with {amount}.",
                        f" It is for {name} in {place}, who has {amount}.",
                    ]
                )
            )
            return replace(seed, instruction=inserted + tail, wants=wants)
    addition = rng.choice([
        f"Take {person} {setting} as the example.", f"Answer for {person} {setting}.", f"Assume that the reader is {person} {setting}.", f"Use the case of {name}, {one} in {place}, who has {amount}.",
        f"Show it with the example of {person} {setting}.", f"Make it fit {person} {setting} with {amount}.", f"Think of {name}, {one}, who lives in {place} and has {amount}.", f"Set it {setting}, with {person} and {amount}.",
        f"Give a concrete example from the life of {person} {setting}.", f"Keep to one case: {person} {setting}.", f"Use {place} as the place and {person} as the reader.", f"Base it on a real day of {name}, {one} {setting}.",
        f"Suppose that {name} from {place} asks, {one} who has {amount}.",
    ])  # fmt: skip
    if draw > 0.85:
        prefixed = _prefix(
            seed.instruction,
            rng.choice(
                [
                    f"For {person} {setting}",
                    f"For {name}, {one} in {place}",
                    f"With {amount} and {rng.choice(['no', 'little', 'some', 'much'])} experience",
                    f"For {person} with {amount}",
                ]
            ),
        )
        if prefixed:
            return replace(seed, instruction=prefixed, wants=wants)
    return replace(seed, instruction=_append(seed.instruction, addition, rng), wants=wants)


def reasoned(rng: random.Random, seed: Seed) -> Seed:
    """An outright request for several steps of thought."""
    (one, want), (two, _) = pair(thought, rng, seed)
    three, _ = thought(rng, seed)
    while three.split()[:2] in (one.split()[:2], two.split()[:2]):
        three, _ = thought(rng, seed)
    text = _append(seed.instruction, rng.choice([
        f"Work in steps: first {one}, then {two}, and finally {three}.", f"Before you answer, {one} and {two}.", f"Reason step by step: {one}, {two}, and {three}.", f"Show your reasoning in several steps, {one}, and {two}.",
        f"First {one}, then {two}, and only then answer.", f"Think it through in steps, {one}, and at the end {two}.", f"As you reason, {one}, and after that {two}.", f"{upper_first(one)}, {two}, and then give the answer.",
        f"Take at least three steps: {one}, {two}, and {three}.", f"Explain your thinking: {one}, and for each step {two}.", f"Start by thinking aloud: {one}; next, {two}.", f"Arrive at the answer in stages, and {one} before you {two}.",
    ]), rng)  # fmt: skip
    if rng.random() < 0.15:
        prefixed = _prefix(
            seed.instruction,
            rng.choice(
                [
                    "Step by step and with a reason for each step",
                    "After you have listed the facts",
                    "In three steps that build on each other",
                    "With every step of thought written out",
                    "By reasoning from what is known",
                ]
            ),
        )
        if prefixed:
            text = _append(
                prefixed, rng.choice([f"{upper_first(one)} and {two}.", f"At the end, {one}.", f"Also {one}."]), rng
            )
    return replace(seed, instruction=text, wants=seed.wants + ((want,) if want else ()))


EVOLVE = {"constraints": constrained, "deepening": deepened, "concretizing": concretized, "reasoning": reasoned}
