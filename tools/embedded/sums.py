"""Make `embedded-base-sums`: `embedded-base` after more plain text, most of it worked sums.

    python -m tools.embedded.sums

It knows more than `embedded-base`, and has yet to learn to answer, as base models do: what a student is trained from.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from tools.embedded.answers import answer
from tools.embedded.arithmetic import arithmetic_seed, drill
from tools.embedded.chats import asked
from tools.embedded.corpus import documents
from tools.embedded.seeds import held_out
from tools.embedded.tokenizer import load_tokenizer
from tools.embedded.train import SEED, SHIPPED, Texts, base_rows, export, fit, save_texts


def sums(seed: int) -> Iterator[str]:
    """Plain texts without end, the same for the same seed: those of the base model, and worked sums among them."""
    rng = random.Random(f"reckoning {seed}")
    plain = documents(seed)
    while True:
        if rng.random() < 0.3:
            yield next(plain)
        elif rng.random() < 0.6:
            yield "\n".join(drill(rng))
        else:
            problem = arithmetic_seed(rng)
            if not held_out(problem.instruction):
                yield f"{asked(problem)}\n{answer(rng, problem)}"


def main() -> None:
    """The base model after so many tokens more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED / "base-sums")
    parser.add_argument("--work", type=Path, default=Path("build/embedded/sums"), help="texts, checkpoints, losses")
    parser.add_argument("--tokens", type=int, default=8_000_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(SHIPPED / "base")
    if not (options.work / "texts" / "ends.npy").exists():
        save_texts(options.work / "texts", base_rows(tokenizer, sums(SEED + 8)), options.tokens)
    model = LlamaForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32)
    fit(model, Texts(options.work / "texts"), options.work / "checkpoints", 2e-3, budget=4096)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
