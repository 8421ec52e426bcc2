"""Make what a study of rankings needs: teachers of known, different quality, an evolver of another size, problems.

    python -m tools.embedded.trial --out build/trial

``teacher-0.00`` and so on are `embedded` with noise on its weights: the more, the worse it answers. ``problems.jsonl``
are for them to answer; the task `embedded_sums` holds none of them. With ``--small``, which takes half an hour,
``small`` is an evolver half as wide as `embedded`, with three layers.
"""

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from tools.embedded.arithmetic import arithmetic_seed
from tools.embedded.chats import asked
from tools.embedded.corpus import chats
from tools.embedded.seeds import held_out
from tools.embedded.tokenizer import load_tokenizer
from tools.embedded.train import SEED, SHIPPED, SMALL, Texts, chat_rows, export, fit, new_model, save_texts

NOISE = (0.0, 0.15, 0.25, 0.3, 0.35, 0.5)  # standard deviations of a weight matrix
PROBLEMS = 600


def problems(seed: int) -> Iterator[str]:
    """Problems that are not held out, each once."""
    rng, seen = random.Random(f"problems {seed}"), set()
    while True:
        problem = arithmetic_seed(rng)
        if not held_out(problem.instruction) and asked(problem) not in seen:
            seen.add(asked(problem))
            yield asked(problem)


def noisy(noise: float, out: Path) -> None:
    """`embedded` with noise on the weight matrices of its layers, in units of each one's standard deviation."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM.from_pretrained(SHIPPED / "instruct", dtype=torch.float32)
    with torch.no_grad():
        for weight in itertools.chain.from_iterable(layer.parameters() for layer in model.model.layers):
            if weight.dim() == 2:
                weight += noise * weight.std() * torch.randn_like(weight)
    export(model, load_tokenizer(SHIPPED / "instruct"), out)


def small_evolver(out: Path, work: Path, tokens: int) -> None:
    """A smaller model after so many tokens of what `embedded` was tuned on."""
    tokenizer = load_tokenizer(SHIPPED / "base")
    if not (work / "texts" / "ends.npy").exists():
        save_texts(work / "texts", chat_rows(tokenizer, chats(SEED + 3)), tokens)
    model = new_model(tokenizer, SMALL)
    fit(model, Texts(work / "texts"), work / "checkpoints", 4e-3, budget=4096)
    export(model, tokenizer, out)


def main() -> None:
    """The problems and the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/trial"), help="folder for all of them")
    parser.add_argument("--small", action="store_true", help="train the small evolver, too")
    parser.add_argument("--tokens", type=int, default=8_000_000, help="for the small evolver")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = ({"instruction": text} for text in itertools.islice(problems(SEED + 9), PROBLEMS))
    (options.out / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for noise in NOISE:
        noisy(noise, options.out / f"teacher-{noise:.2f}")
    if options.small:
        small_evolver(options.out / "small", options.out / "work", options.tokens)


if __name__ == "__main__":
    main()
