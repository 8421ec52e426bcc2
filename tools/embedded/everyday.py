"""Everyday how-to prompts and what answers them, from the topics and their facts (``topics.txt``)."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.embedded.seeds import Seed
from tools.embedded.words import gerund, joined, number_word, upper_first


@dataclass(frozen=True, slots=True)
class Topic:
    """A thing people want to be able to do, and the facts about it."""

    domain: str
    task: str
    thing: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]
    tip: str
    mistake: str
    time: str
    why: str


def read_topics(path: Path) -> list[Topic]:
    """All topics of a file, in its order."""
    topics, domain = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            domain = line[3:]
        elif not line.startswith("#"):
            task, thing, needs, steps, tip, mistake, time, why = (cell.strip() for cell in line.split("|"))
            topics.append(
                Topic(domain, task, thing, tuple(needs.split("; ")), tuple(steps.split("; ")), tip, mistake, time, why)
            )
    return topics


TOPICS = read_topics(Path(__file__).with_name("topics.txt"))

# What can be asked about a topic: for each form, wordings of the same question.
FORMS: dict[str, tuple[str, ...]] = {
    "how": (
        "How do I {task}?", "Explain how to {task}.", "Describe how to {task}.", "What is a good way to {task}?",
        "Write short instructions for {doing}.", "List the steps to {task}.", "Tell me how to {task}.",
        "What are the main steps to {task}?", "Give a short guide to {doing}.", "Teach me to {task}.",
        "I want to {task}. What should I do?", "Outline the steps for {doing}.", "Create a plan for {doing}.",
    ),
    "needs": (
        "What do I need to {task}?", "Name the things I need to {task}.", "List what somebody needs for {doing}.",
        "Make a list of what you need to {task}.", "Which items should I get ready before {doing}?",
        "Suggest what to prepare for {doing}.",
    ),
    "tip": (
        "Give me a tip for {doing}.", "Suggest one useful trick for {doing}.", "What helps when {doing}?",
        "Share some good advice on {doing}.", "Name a tip that makes it easier to {task}.",
    ),
    "mistake": (
        "What is a common mistake when {doing}?", "Name a mistake people make when {doing}.",
        "What should I avoid when {doing}?", "Describe what often goes wrong when people {task}.",
        "Identify the most frequent error in {doing}.",
    ),
    "time": (
        "How long does it take to {task}?", "How much time should I plan for {doing}?",
        "Estimate the time that is needed to {task}.", "Tell me how long {doing} takes.",
    ),
    "why": (
        "Why is it worth it to {task}?", "Give a reason to {task}.", "What is the benefit of {doing}?",
        "Explain why people {task}.", "Discuss the advantages of {doing}.", "Convince me to {task}.",
    ),
    "first": (
        "What is the first step to {task}?", "How should I begin when I want to {task}?",
        "Name the very first thing to do when {doing}.",
    ),
    "all": (
        "Write a short paragraph about {doing}.", "Write a note to a friend about {doing}.",
        "Summarize what a beginner should know about {doing}.", "Tell me about {doing}.",
        "Write a short article on how to {task}.", "Draft a friendly message that explains how to {task}.",
    ),
}  # fmt: skip
# Prompts with an input: form, instruction, input.
INPUT_FORMS: tuple[tuple[str, str, str], ...] = (
    ("how", "Turn the notes into short instructions.", "{task}: {steps}"),
    ("how", "Put these steps in the right order.", "{shuffled}"),
    ("how", "Rewrite these notes as full sentences.", "{steps}"),
    ("why", "Why would somebody do this?", "{Task}"),
    ("mistake", "Name a mistake that people make with the task below.", "{Task}"),
    ("needs", "List what is needed for the following task.", "{Task}"),
    ("time", "Estimate how long this task takes.", "{Task}"),
    ("needs", "Use the list to say what I need.", "{needs}"),
    ("all", "Summarize the text in two sentences.", "{article}"),
    ("tip", "Read the text and give one tip.", "{article}"),
    ("how", "Answer the question.", "{question}"),
    ("first", "Which of these steps comes first?", "{shuffled}"),
    ("domain", "Classify the task by its subject.", "{Task}"),
)


def facts(topic: Topic, form: str, rng: random.Random) -> tuple[list[str], list[str]]:
    """The sentences that answer a question about a topic, and the same as short items."""
    doing = gerund(topic.task)
    steps = [upper_first(step) for step in topic.steps]
    links = [
        "First, ",
        rng.choice(["Then ", "Next, "]),
        rng.choice(["After that, ", "Then "]),
        rng.choice(["Finally, ", "At the end, "]),
    ]
    walk = [upper_first(link + step) + "." for link, step in zip(links, topic.steps, strict=True)]
    needs = f"You need {joined(list(topic.needs))}."
    tip = f"{rng.choice(['A good tip is this', 'One tip', 'It helps to know this'])}: {topic.tip}."
    mistake = f"{rng.choice(['A common mistake is', 'Many people make the mistake of', 'Avoid'])} {topic.mistake}."
    time = f"{rng.choice(['It takes about', 'Plan about', 'Allow about'])} {topic.time}."
    why = f"It is worth it because {topic.why}."
    if form == "how":
        return [*walk, needs, tip], steps
    if form == "needs":
        return [f"To {topic.task}, you need {joined(list(topic.needs))}.", time], [
            upper_first(need) for need in topic.needs
        ]
    if form == "tip":
        return [tip, mistake, why], [upper_first(topic.tip), *steps]
    if form == "mistake":
        return [mistake, tip], [f"Avoid {topic.mistake}", upper_first(topic.tip)]
    if form == "time":
        return [f"{upper_first(doing)} takes about {topic.time}.", needs], [f"Time: {topic.time}", *steps]
    if form == "why":
        return [f"People {topic.task} because {topic.why}.", time, tip], [
            upper_first(topic.why),
            upper_first(topic.tip),
        ]
    if form == "first":
        return [f"The first step is this: {topic.steps[0]}.", f"After that, {topic.steps[1]}."], steps
    if form == "domain":
        return [f"{upper_first(doing)} belongs to {topic.domain}.", why], [
            upper_first(topic.domain),
            upper_first(topic.why),
        ]
    return [f"{upper_first(doing)} takes about {topic.time}.", needs, *walk, tip, mistake, why], steps


def article(topic: Topic, rng: random.Random) -> str:
    """A short text on a topic."""
    return " ".join(facts(topic, "all", rng)[0])


def _seed(topic: Topic, form: str, instruction: str, text: str, rng: random.Random) -> Seed:
    body, steps = facts(topic, form, rng)
    things = (topic.thing, *topic.needs[:1]) if topic.thing in instruction else ()
    return Seed(instruction, text, "everyday", tuple(body), tuple(steps), things, form=f"{form} {topic.task} {text}")


def _listed(items: Sequence[str], mark: str, join: str) -> str:
    return join.join(mark + item for item in items)


def everyday_seed(rng: random.Random, topic: Topic | None = None, with_input: bool | None = None) -> Seed:
    """A prompt about a topic, drawn at random; one in six has an input."""
    topic = topic or rng.choice(TOPICS)
    doing = gerund(topic.task)
    if with_input if with_input is not None else rng.random() < 0.17:
        form, instruction, text = rng.choice(INPUT_FORMS)
        shuffled = rng.sample(topic.steps, len(topic.steps))
        question = rng.choice(FORMS["how"]).format(task=topic.task, doing=doing)
        mark, join = rng.choice([("", ", "), ("", "\n"), ("- ", "\n")])
        slots = {
            "task": topic.task,
            "Task": upper_first(topic.task),
            "steps": _listed(topic.steps, mark, join),
            "question": question,
        }
        slots |= {
            "shuffled": _listed(shuffled, mark, join),
            "needs": _listed(topic.needs, mark, join),
            "article": article(topic, rng) if "article" in text else "",
        }
        return _seed(topic, form, instruction, text.format(**slots), rng)
    form = rng.choices(list(FORMS), [6, 2, 2, 2, 2, 2, 1, 3])[0]
    wording = rng.choice(FORMS[form]).format(task=topic.task, doing=doing)
    return _seed(topic, form, wording, "", rng)


def count_prompt(rng: random.Random) -> Seed:
    """A prompt that asks for a number of things: "Give me three tips for baking bread."."""
    topic = rng.choice(TOPICS)
    count = rng.choice([2, 3, 4])
    frame = rng.choice(["Give me {n} tips for {doing}.", "List {n} things to remember when {doing}.", "Name {n} steps of {doing}.",
                        "Write {n} rules for {doing}.", "What {n} things matter most when you {task}?"])  # fmt: skip
    instruction = frame.format(n=number_word(count), doing=gerund(topic.task), task=topic.task)
    items = [upper_first(step) for step in topic.steps]
    return Seed(instruction, "", "everyday", tuple(item + "." for item in items), tuple(items), (topic.thing,),
                (("numbered", count),), f"count {count} {topic.task}")  # fmt: skip
