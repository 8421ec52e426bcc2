"""The third stage's chats: what the tuned model has learnt already, and the methods of papers 1 and 3 beside it."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
import re
from collections.abc import Iterator

from tools.embedded import autoif, corpus, methods
from tools.embedded.answers import answer
from tools.embedded.chats import Chat, asked, grown, world_seed
from tools.embedded.everyday import everyday_seed
from tools.embedded.nonsense import nonsense_seed
from tools.embedded.seeds import held_out

# What a model says that has been given too little to work with.
_ASKS_BACK = (
    "Please provide the {thing}.", "Please provide the {thing} first.", "I cannot see any {thing}. Please provide it.", "Could you please provide the {thing}?", "To answer, I need the {thing}. Please provide it.",
    "Sure, which {thing} do you mean?", "Sure. What {thing} is it about?", "Sure, can you send me the {thing}?", "Sure! Where is the {thing}?",
    "Thank you. What should I do with it?", "Thank you. Which {thing} shall I take?", "Understood. Where is the {thing}?", "Understood. What should I do next?",
)  # fmt: skip
_THINGS = (
    "text",
    "list",
    "table",
    "input",
    "article",
    "passage",
    "data",
    "notes",
    "draft",
    "file",
    "document",
    "sentence",
    "outline",
)


def missing_chat(rng: random.Random) -> Chat:
    """A prompt that speaks of something that is not there; half of the answers ask for it."""
    named = ""
    draw = rng.random()
    if draw < 0.5:
        seed = nonsense_seed(rng) if rng.random() < 0.3 else world_seed(rng)
        seed = grown(rng, seed, rng.choice([0, 0, 1, 1, 2]))
        prompt = (
            seed.instruction
            + ("" if seed.instruction.endswith((".", "?", "!")) else ".")
            + " "
            + rng.choice(methods.MISSING)
        )
        if seed.input:
            prompt += "\n" + seed.input
    elif draw < 0.78:
        seed = everyday_seed(rng, with_input=True)
        while held_out(seed.instruction):
            seed = everyday_seed(rng, with_input=True)
        seed = grown(rng, seed, rng.choice([0, 0, 1]))
        prompt = seed.instruction
    else:
        seed = nonsense_seed(rng)
        while (
            not (found := re.search(r"\b(?:following|the given|this|my) ([a-z]+)\b", seed.instruction))
            or "\n" in seed.instruction
        ):
            seed = nonsense_seed(rng)
        seed = grown(rng, seed, rng.choice([0, 0, 1]))
        prompt, named = seed.instruction, found[1]
    if rng.random() < 0.5:
        known = [thing for thing in _THINGS if thing in prompt.lower()]
        return Chat("missing", prompt, rng.choice(_ASKS_BACK).format(thing=named or (known[-1] if known else "text")))
    return Chat("missing", prompt, answer(rng, seed))


def everyday_chat(rng: random.Random) -> Chat:
    """A question of the everyday world and its answer: what is forgotten first."""
    while held_out((seed := everyday_seed(rng)).instruction):
        pass
    seed = grown(rng, seed, rng.choices([0, 1, 2, 3], [55, 22, 13, 10])[0])
    return Chat("answer everyday", asked(seed), answer(rng, seed))


_NEW = (
    (methods.method_chat, 14), (methods.analysis_chat, 5), (methods.optimisation_chat, 6), (methods.keyword_chat, 18), (autoif.self_instruct_chat, 5), (autoif.functions_chat, 90), (autoif.back_chat, 18), (autoif.answer_chat, 30), (autoif.quality_chat, 7), (missing_chat, 6), (everyday_chat, 16),
)  # fmt: skip
OLD = 0.42  # share of chats of the stage before
DRILLS = 0.5  # share of its calculations in a row that are kept: they are long, and the model knows them by now


def method_chats(seed: int) -> Iterator[Chat]:
    """Chats without end, the same for the same seed."""
    rng = random.Random(f"method chats {seed}")
    old = corpus.chats(seed)
    tasks, shares = [task for task, _ in _NEW], [share for _, share in _NEW]
    while True:
        if rng.random() < OLD:
            chat = next(old)
            if chat.task != "drill" or rng.random() < DRILLS:
                yield chat
            continue
        chat = rng.choices(tasks, shares)[0](rng)
        yield Chat(chat.task, chat.user, chat.reply, rng.choice(corpus.SYSTEMS)) if rng.random() < 0.02 else chat
