"""Ways to make an instruction more complex: for each the operators that carry it out, its names and its wordings."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from dataclasses import dataclass

from tools.embedded.words import ADJECTIVES, AUDIENCES, NOUNS, PEOPLE, PLACES, VERBS, number_word, with_articles

C, D, P, R = "constraints", "deepening", "concretizing", "reasoning"


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Args:
        operator: the in-depth operator that does it.
        names: short phrases that name it.
        wordings: sentences that describe it, with slots.
    """

    operator: str
    names: tuple[str, ...]
    wordings: tuple[str, ...]


WAYS = (
    Way(C, ("length limit", "word limit"), ("Limit the answer to a number of words", "Set a limit of {words} words", "Say how long the answer may be", "Ask for an answer of at most {few} sentences")),
    Way(C, ("output format", "answer format"), ("Ask for a certain format, such as a list or a table", "Require the answer in {few} bullet points", "Prescribe the form of the answer", "Ask for a numbered list")),
    Way(C, ("forbidden words", "word ban"), ("Forbid certain words", "Do not allow the word \"{noun}\"", "Leave out a letter or a word", "Rule out common words")),
    Way(C, ("required words", "keyword use"), ("Require a certain word in the answer", "Ask that the word \"{noun}\" be used", "Name a keyword that the answer has to hold")),
    Way(C, ("added constraints", "extra requirement"), ("Add a requirement", "Add {few} constraints", "Put one more condition on the answer", "Make the requirements stricter")),
    Way(C, ("target audience", "audience"), ("Name an audience, such as {audience}", "Write for {audience}", "Say who will read the answer", "Adapt it to a certain reader")),
    Way(C, ("tone and role", "role"), ("Give the answer a role to play", "Let {person} speak", "Ask for the view of {person}", "Fix the voice in which it is written")),
    Way(C, ("opening and closing", "fixed ending"), ("Fix how the answer begins and ends", "Ask for a certain last sentence", "Require a title above the answer")),
    Way(C, ("examples", "more examples"), ("Ask for {few} examples", "Require an example for every point", "Demand examples and counterexamples")),
    Way(C, ("structure", "parts of the answer"), ("Split the answer into parts", "Ask for {few} paragraphs", "Require a heading for every part", "Ask for an introduction and an end")),
    Way(D, ("causes", "reasons behind it"), ("Ask for the causes", "Ask why it is so", "Ask for the reasons behind it", "Go back to where it comes from")),
    Way(D, ("consequences", "effects"), ("Ask for the consequences", "Ask what follows from it", "Consider the effects on others", "Look at what it leads to in the long run")),
    Way(D, ("comparison", "comparing alternatives"), ("Compare it with something else", "Ask for a comparison of {few} alternatives", "Set it against the usual way", "Ask how it differs from a {noun}")),
    Way(D, ("trade-offs", "pros and cons"), ("Weigh benefits against costs", "Discuss the trade-offs", "Ask for advantages and drawbacks", "Ask what speaks against it")),
    Way(D, ("limits", "limitations"), ("Ask where it fails", "Ask for its limits", "Name the cases that it does not cover", "Consider exceptions")),
    Way(D, ("several viewpoints", "other perspectives"), ("Look at it from {few} points of view", "Take in what others think of it", "Add the perspective of {person}", "Include opposing views")),
    Way(D, ("history", "historical background"), ("Ask how it has changed over time", "Add its history", "Put it into its historical context")),
    Way(D, ("future outlook", "future"), ("Ask how it will develop", "Look ahead by {few} years", "Ask what may come next")),
    Way(D, ("related topics", "connections"), ("Connect it with another subject", "Link it to {adjective} {noun}s", "Ask what it has to do with {noun}", "Bring in a second field")),
    Way(D, ("common mistakes", "errors"), ("Ask for common mistakes", "Ask what people get wrong about it", "Add what to avoid")),
    Way(D, ("measuring success", "evaluation"), ("Ask how success could be measured", "Ask for a way to test it", "Add a measure of quality")),
    Way(D, ("deeper question", "more depth"), ("Ask a deeper question about it", "Increase the depth", "Go beyond the surface", "Ask for more detail on the hardest part")),
    Way(P, ("specific person", "named person"), ("Name a person, such as {person}", "Make it about {person}", "Replace \"someone\" by {person}", "Tell whom it is for")),
    Way(P, ("place and time", "setting"), ("Set it in a certain place", "Name a place, such as {place}", "Say where and when it happens", "Add a time and a place")),
    Way(P, ("resource limits", "budget"), ("Limit the money or the time", "Give only {words} minutes for it", "Name a budget", "Say which means are at hand")),
    Way(P, ("concrete example", "real case"), ("Use a concrete example", "Apply it to a real case", "Turn the general question into a special one", "Replace general terms by more specific ones")),
    Way(P, ("amounts", "exact numbers"), ("Add exact numbers", "Give amounts", "Say how many or how much", "Put in figures")),
    Way(P, ("scenario", "story"), ("Put it into a scenario", "Tell a short story around it", "Describe a situation with {person}", "Invent an everyday situation")),
    Way(R, ("reasoning steps", "step by step"), ("Ask for several steps of reasoning", "Require the steps of thought", "Ask for {few} steps that build on each other", "Ask for the way to the answer")),
    Way(R, ("justification", "reasons given"), ("Ask for a reason for every step", "Require a justification", "Ask why the answer is right", "Let every claim be explained")),
    Way(R, ("checking", "verification"), ("Ask for a check of the result", "Require a test of the answer", "Ask to look for a mistake at the end")),
    Way(R, ("assumptions", "stated assumptions"), ("Ask for the assumptions", "Require that assumptions be named", "Ask what is taken for granted")),
    Way(R, ("subproblems", "decomposition"), ("Break it into smaller questions", "Split the problem into {few} parts", "Ask to solve a smaller case first")),
    Way(R, ("ranking options", "ranking"), ("Ask for {few} options and a ranking", "Let several ways be weighed", "Ask which way is best and why")),
    Way(R, ("definitions", "key terms"), ("Ask for definitions first", "Let the key terms be defined", "Begin with what the words mean")),
    Way(R, ("counterexample", "objections"), ("Ask for a counterexample", "Require {few} objections", "Test the answer against a difficult case")),
)  # fmt: skip


def drawn_way(rng: random.Random, way: Way) -> str:
    """One wording of a way, without a full stop."""
    return with_articles(
        rng.choice(way.wordings).format(
            words=5 * rng.randint(2, 30),
            few=number_word(rng.randint(2, 6)),
            noun=rng.choice(NOUNS),
            adjective=rng.choice(ADJECTIVES),
            audience=rng.choice(AUDIENCES),
            person=rng.choice(PEOPLE),
            place=rng.choice(PLACES),
        )
    )


def strange_way(rng: random.Random) -> tuple[str, str]:
    """A way that is none of ours, and its name: words of the way itself."""
    verb, noun, adjective = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(ADJECTIVES)
    way, name = rng.choice([
        (f"Ask for a {adjective} {noun}", f"{adjective} {noun}"), (f"Add {noun} to the instruction", noun), (f"Let the answer {verb} the {noun}", f"{noun} to {verb}"), (f"Bring in the {noun} of {rng.choice(PLACES)}", noun),
        (f"Include {adjective} {noun}s", f"{adjective} {noun}s"), (f"Require {noun} and {adjective} {verb}ing", noun), (f"Make the {noun} more {adjective}", f"more {adjective} {noun}"), (f"{verb.capitalize()} the {noun} in more detail", f"{noun} in detail"),
        (f"Introduce the {noun} of a {adjective} {rng.choice(NOUNS)}", noun), (f"Incorporate {adjective} {noun}s and their use", f"{adjective} {noun}s"),
    ])  # fmt: skip
    return with_articles(way), name
