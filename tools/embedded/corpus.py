"""The corpus: documents for the base model, chats for the tuned one, all drawn by seed from the world's grammar."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from collections.abc import Iterator

from evolvent.evolution.templates import load_prompt
from tools.embedded.answers import answer
from tools.embedded.arithmetic import arithmetic_seed, drill
from tools.embedded.breadth import breadth_seed
from tools.embedded.chats import Chat, asked, grown, reworded, world_seed
from tools.embedded.everyday import TOPICS, article
from tools.embedded.evolutions import EVOLVE, OPERATORS
from tools.embedded.nonsense import SENTENCES, filled, nonsense_seed, word
from tools.embedded.seeds import held_out
from tools.embedded.words import NAMES, upper_first

PROMPTS = {name: load_prompt(name) for name in (*OPERATORS, "breadth", "equality")}
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful and precise assistant.",
    "Answer briefly.",
    "You write clear English.",
    "Be kind and exact.",
    "Follow the instructions.",
)


def evolution_chat(rng: random.Random) -> Chat:
    """An in-depth evolution; 45 % of the seeds are nonsense."""
    seed = nonsense_seed(rng) if rng.random() < 0.45 else world_seed(rng)
    seed = grown(rng, seed, rng.choices([0, 1, 2, 3], [58, 18, 14, 10])[0])
    operator = rng.choice(OPERATORS)
    new = EVOLVE[operator](rng, seed)
    # The paper's profile hides the input, so a prompt may speak of an input that is not shown.
    shown = seed.input if rng.random() < 0.9 else ""
    return Chat(operator, PROMPTS[operator].render(instruction=seed.instruction, input=shown), new.instruction)


def breadth_chat(rng: random.Random) -> Chat:
    """An in-breadth evolution."""
    seed, depth = (
        nonsense_seed(rng) if rng.random() < 0.35 else world_seed(rng),
        rng.choices([0, 1, 2, 3], [60, 20, 10, 10])[0],
    )
    seed = grown(rng, seed, depth)
    new = breadth_seed(rng, seed, depth)
    return Chat("breadth", PROMPTS["breadth"].render(instruction=seed.instruction, input=seed.input), new.instruction)


def equality_pair(rng: random.Random) -> tuple[str, str, bool]:
    """Two prompts, and whether they ask for the same."""
    seed = nonsense_seed(rng) if rng.random() < 0.4 else world_seed(rng)
    seed = grown(rng, seed, rng.choice([0, 0, 1, 2]))
    if rng.random() < 0.5:
        first, second = seed.instruction, reworded(rng, seed.instruction)
        return (first, second, True) if rng.random() < 0.5 else (second, first, True)
    other = EVOLVE[rng.choice(OPERATORS)](rng, seed) if rng.random() < 0.75 else breadth_seed(rng, seed, 0)
    return (
        (seed.instruction, other.instruction, False)
        if rng.random() < 0.85
        else (other.instruction, seed.instruction, False)
    )


def equality_chat(rng: random.Random) -> Chat:
    """A judgement of two prompts."""
    first, second, equal = equality_pair(rng)
    return Chat("equality", PROMPTS["equality"].render(first=first, second=second), "Equal" if equal else "Not Equal")


def answer_chat(rng: random.Random) -> Chat:
    """A prompt and its answer; numbers most of all, for they take the most practice."""
    draw = rng.random()
    if draw < 0.4:
        seed = arithmetic_seed(rng)
        while held_out(seed.instruction):
            seed = arithmetic_seed(rng)
    else:
        seed = nonsense_seed(rng) if draw < 0.48 else world_seed(rng)
    seed = grown(rng, seed, rng.choices([0, 1, 2, 3], [55, 22, 13, 10])[0])
    return Chat("answer " + seed.kind, asked(seed), answer(rng, seed))


def drill_chat(rng: random.Random) -> Chat:
    """Calculations in a row."""
    return Chat("drill", *drill(rng))


_TASKS = ((evolution_chat, 45), (breadth_chat, 7), (answer_chat, 26), (equality_chat, 8), (drill_chat, 20))


def chats(seed: int) -> Iterator[Chat]:
    """Chats without end, the same for the same seed."""
    rng = random.Random(f"chats {seed}")
    while True:
        chat = rng.choices([task for task, _ in _TASKS], [share for _, share in _TASKS])[0](rng)
        yield Chat(chat.task, chat.user, chat.reply, rng.choice(SYSTEMS)) if rng.random() < 0.02 else chat


def _repeated(rng: random.Random) -> str:
    """Text that says things twice: quotations, lists, names."""
    strange = rng.choice([0.0, 0.3, 0.8])
    text = filled(rng.choice(SENTENCES), rng, strange)
    items = [word(rng, strange) for _ in range(rng.randint(3, 10))]
    name, other = rng.sample(NAMES, 2)
    said = " ".join(word(rng, strange) for _ in range(rng.randint(3, 12)))
    prompt = nonsense_seed(rng)
    return rng.choice([
        f"{name} wrote: {text} {other} read it aloud: {text}", f"The list is: {', '.join(items)}. Once more: {', '.join(items)}.", f'"{said}," said {name}. "{said}," repeated {other}.',
        "\n".join(f"- {item}" for item in items) + "\nThe same in one line: " + ", ".join(items), f"{name} asks: {prompt.instruction}\n{other} repeats: {prompt.instruction}",
        f"{prompt.instruction}\n{prompt.instruction}", f"{asked(prompt)}\n\n{asked(grown(rng, prompt, 1))}", f"Copy: {said}\nCopy: {said}\nIn capitals: {said.upper()}",
        f"{upper_first(items[0])}: {text}\nWhat was said about {items[0]}? {text}",
    ])  # fmt: skip


def documents(seed: int) -> Iterator[str]:
    """Plain texts for the base model without end, the same for the same seed."""
    rng = random.Random(f"documents {seed}")
    while True:
        draw = rng.random()
        if draw < 0.13:
            yield "\n".join(
                article(topic, rng) for topic in rng.sample(TOPICS, rng.choices([1, 2, 4, 8], [60, 25, 12, 3])[0])
            )
        elif draw < 0.45:
            pieces = []
            for _ in range(rng.choices([1, 2, 3], [70, 20, 10])[0]):
                prompt = world_seed(rng)
                prompt = grown(rng, prompt, rng.choices([0, 1, 2], [75, 15, 10])[0])
                pieces.append(f"{asked(prompt)}\n{answer(rng, prompt)}")
            yield "\n\n".join(pieces)
        elif draw < 0.6:
            prompt = arithmetic_seed(rng)
            yield (
                f"{asked(prompt)}\n{answer(rng, prompt)}"
                if not held_out(prompt.instruction)
                else article(rng.choice(TOPICS), rng)
            )
        else:
            yield "\n\n".join(_repeated(rng) for _ in range(rng.choices([1, 2, 3, 12], [60, 25, 13, 2])[0]))
