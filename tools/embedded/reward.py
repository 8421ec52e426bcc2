"""Make the embedded reward model out of the tuned one, and measure it on prompts that training has not seen.

    python -m tools.embedded.reward

Bradley-Terry: the loss of a pair is -log sigmoid(reward of the better answer - reward of the worse).
"""

import argparse
import itertools
import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForSequenceClassification, PreTrainedTokenizerFast

from tools.embedded.evaluate import held_out_seeds
from tools.embedded.preferences import FAULTS, Preference, preferences
from tools.embedded.train import SEED, SHIPPED, bf16_is_fast, export

PAIRS, BATCH, RATE, WARM_UP = 9_600, 16, 6e-4, 40
LONGEST = 800  # characters of prompt and answer; longer pairs are left out


def rewards(model: Any, tokenizer: PreTrainedTokenizerFast, answered: Sequence[tuple[str, str]]) -> torch.Tensor:
    """The rewards of answers to prompts, in one forward pass."""
    turns = [[{"role": "user", "content": asked}, {"role": "assistant", "content": said}] for asked, said in answered]
    texts = tokenizer.apply_chat_template(turns, tokenize=False)
    given = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.autocast("cpu", torch.bfloat16, enabled=model.training and bf16_is_fast()):
        logits: torch.Tensor = model(**given).logits
    return logits[:, 0].float()


def both(pairs: Sequence[Preference]) -> list[tuple[str, str]]:
    """The better answers with their prompts, then the worse."""
    return [(pair.prompt, pair.better) for pair in pairs] + [(pair.prompt, pair.worse) for pair in pairs]


def fit(model: Any, tokenizer: PreTrainedTokenizerFast, count: int) -> None:
    """Train on ``count`` pairs, each seen once; of 16 batches at a time pairs of like length go together."""
    drawn = (
        pair
        for pair in preferences(random.Random(f"preferences {SEED + 8}"))
        if len(pair.prompt) + max(len(pair.better), len(pair.worse)) <= LONGEST
    )
    steps = count // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=WARM_UP / steps)
    model.train()
    for step, pairs in enumerate(itertools.islice(_batches(drawn), steps)):
        found = rewards(model, tokenizer, both(pairs))
        loss = -torch.nn.functional.logsigmoid(found[: len(pairs)] - found[len(pairs) :]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    model.eval()


def _batches(drawn: Iterator[Preference]) -> Iterator[list[Preference]]:
    while True:
        some = sorted(itertools.islice(drawn, 16 * BATCH), key=lambda pair: len(pair.prompt + pair.better + pair.worse))
        starts = list(range(0, len(some), BATCH))
        random.Random(len(some[0].prompt)).shuffle(starts)
        yield from (some[start : start + BATCH] for start in starts)


def measure(model: Any, tokenizer: PreTrainedTokenizerFast, count: int = 200) -> dict[str, float]:
    """Share of held-out pairs whose better answer has the higher reward: by fault, and by which answer is longer."""
    rng = random.Random("held-out preferences")
    right: dict[str, list[bool]] = defaultdict(list)
    seeds = held_out_seeds(count, rng)
    for fault in FAULTS:
        pairs = [next(preferences(rng, fault, lambda _, seed=seed: seed)) for seed in seeds]  # type: ignore[misc]
        for start in range(0, count, BATCH):
            some = pairs[start : start + BATCH]
            with torch.inference_mode():
                found = rewards(model, tokenizer, both(some))
            for pair, better, worse in zip(some, found[: len(some)], found[len(some) :], strict=True):
                longer = "worse is longer" if len(pair.worse) > len(pair.better) else "better is longer"
                for name in (fault, longer, "all"):
                    right[name].append(bool(better > worse))
    return {f"{name} ({len(given)})": round(sum(given) / len(given), 3) for name, given in right.items()}


def main() -> None:
    """The whole recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder with instruct/, for reward/")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(options.out / "instruct")
    if options.pairs:
        model = LlamaForSequenceClassification.from_pretrained(
            options.out / "instruct", num_labels=1, dtype=torch.float32
        )
        model.set_attn_implementation("eager" if bf16_is_fast() else "sdpa")
        fit(model, tokenizer, options.pairs)
        # the tokenizer as it was: padding is set in the one that was trained with
        export(model, AutoTokenizer.from_pretrained(options.out / "instruct"), options.out / "reward")
    shipped = LlamaForSequenceClassification.from_pretrained(options.out / "reward", dtype=torch.float32).eval()
    print(json.dumps(measure(shipped, tokenizer), indent=2))


if __name__ == "__main__":
    main()
