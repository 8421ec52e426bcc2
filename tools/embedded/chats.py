"""An exchange with a model, and the prompts that exchanges begin with."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from dataclasses import dataclass

from tools.embedded.arithmetic import arithmetic_seed
from tools.embedded.everyday import count_prompt, everyday_seed
from tools.embedded.evolutions import EVOLVE, OPERATORS
from tools.embedded.functions import function_seed
from tools.embedded.seeds import Seed, held_out
from tools.embedded.words import lower_first


@dataclass(frozen=True, slots=True)
class Chat:
    """One exchange: what the model is given and what it should say."""

    task: str
    user: str
    reply: str
    system: str = ""


def world_seed(rng: random.Random) -> Seed:
    """A prompt of the world that training may see."""
    while True:
        draw = rng.random()
        seed = (
            arithmetic_seed(rng)
            if draw < 0.2
            else function_seed(rng)
            if draw < 0.38
            else count_prompt(rng)
            if draw < 0.46
            else everyday_seed(rng)
        )
        if not held_out(seed.instruction):
            return seed


def grown(rng: random.Random, seed: Seed, depth: int) -> Seed:
    """The seed after a number of in-depth evolutions."""
    for _ in range(depth):
        seed = EVOLVE[rng.choice(OPERATORS)](rng, seed)
    return seed


def asked(seed: Seed) -> str:
    """The user's turn that asks a seed of a teacher."""
    return f"{seed.instruction}\n{seed.input}" if seed.input else seed.instruction


def reworded(rng: random.Random, text: str) -> str:
    """A prompt that asks for just the same."""
    return rng.choice([
        text, f"Please {lower_first(text)}" if not text.endswith("?") else f"Please tell me: {text}", text.rstrip(".?") + ".", f"{text} Thank you.", text.lower(), text.replace(". ", ".\n"),
        f"Hello! {text}", f"Could you answer this? {text}", text.replace("Explain", "Describe").replace("Write", "Draft"),
    ])  # fmt: skip
