"""Make what a study of trial trainings needs: a base model that can reckon, and teachers of known, different quality.

    python -m tools.embedded.trial --out build/trial

``base`` is `embedded-base` after more plain text, much of it worked sums: it knows, and has yet to learn to answer, as
base models do. ``teacher-0.00`` and so on are `embedded` with noise on its weights: the more, the worse it answers.
``instructions.jsonl`` are problems of the world for them to answer, of which the task `embedded` holds none.
"""

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tools.embedded.answers import answer
from tools.embedded.arithmetic import arithmetic_seed, drill
from tools.embedded.chats import asked
from tools.embedded.corpus import documents
from tools.embedded.seeds import held_out
from tools.embedded.tokenizer import load_tokenizer
from tools.embedded.train import SEED, SHIPPED, Texts, base_rows, export, fit, save_texts

NOISE = (0.0, 0.25, 0.35, 0.5)  # standard deviations of a weight matrix
INSTRUCTIONS = 600


def reckoning(seed: int) -> Iterator[str]:
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


def problems(seed: int) -> Iterator[str]:
    """Problems that are not held out, each once."""
    rng, seen = random.Random(f"problems {seed}"), set()
    while True:
        problem = arithmetic_seed(rng)
        if not held_out(problem.instruction) and asked(problem) not in seen:
            seen.add(asked(problem))
            yield asked(problem)


def more_apt(out: Path, work: Path, tokens: int) -> None:
    """The base model after so many tokens more."""
    tokenizer = load_tokenizer(SHIPPED / "base")
    if not (work / "texts" / "ends.npy").exists():
        save_texts(work / "texts", base_rows(tokenizer, reckoning(SEED + 8)), tokens)
    model = LlamaForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32)
    fit(model, Texts(work / "texts"), work / "checkpoints", 2e-3, budget=4096)
    export(model, tokenizer, out)


def noisy(noise: float, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """`embedded` with noise on its weight matrices, in units of each one's standard deviation."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM.from_pretrained(SHIPPED / "instruct", dtype=torch.float32)
    with torch.no_grad():
        for weight in itertools.chain.from_iterable(layer.parameters() for layer in model.model.layers):
            if weight.dim() == 2:
                weight += noise * weight.std() * torch.randn_like(weight)
    export(model, tokenizer, out)


def main() -> None:
    """The base model and the teachers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/trial"), help="folder for base/ and teacher-*/")
    parser.add_argument("--tokens", type=int, default=8_000_000, help="of plain text for the base model")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(SHIPPED / "instruct")
    options.out.mkdir(parents=True, exist_ok=True)
    rows = ({"instruction": text} for text in itertools.islice(problems(SEED + 9), INSTRUCTIONS))
    (options.out / "instructions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for noise in NOISE:
        noisy(noise, tokenizer, options.out / f"teacher-{noise:.2f}")
    more_apt(options.out / "base", options.out / "work", options.tokens)


if __name__ == "__main__":
    main()
