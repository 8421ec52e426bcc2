"""Scoring pairs: evolvent beside the reference's way, on the same model, pairs and machine, turn by turn.

The reference's way (the code published with arXiv 2412.11231): batches of one, three forward passes a pair with the
model's own loss, tokenised a text at a time. Both sides count everything from the records to the scores.

    python benchmarks/scoring.py MODEL PAIRS.json [--pairs 1000] [--rounds 3] [--threads 2] [--batch-tokens N]

PAIRS.json is a list of {"instruction", "input", "output"}.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolvent.metrics.ic_ifd import ic_ifd
from evolvent.metrics.ifd import ifd
from evolvent.metrics.layout import paper_layout
from evolvent.metrics.losses import PairLosses, pair_losses
from evolvent.metrics.score import WINDOW
from evolvent.models.hf.scorer import HFScorer, batches
from evolvent.records import Record, Score


def ours(records: list[Record], scorer: HFScorer) -> list[dict[str, Score]]:
    """Scores as the score stage computes them, window by window."""
    windows = [records[start : start + WINDOW] for start in range(0, len(records), WINDOW)]
    return [scores_of(losses) for window in windows for losses in pair_losses(window, scorer, paper_layout)]


def scores_of(losses: PairLosses | str) -> dict[str, Score]:
    """IFD and IC-IFD of a pair; None where it has none, and why."""
    if isinstance(losses, str):
        return {"ifd": None, "ic_ifd": None, "score_reason": losses}
    found: dict[str, Score] = {"ifd": ifd(losses), "ic_ifd": ic_ifd(losses)}
    return {**found, "score_reason": "no finite value" if None in found.values() else None}


def reference(records: list[Record], model: Any, tokenizer: Any, context: int) -> list[dict[str, float] | None]:
    """IFD and IC-IFD with batches of one and three passes; None for pairs it cannot take; NaN where it gives that."""
    scores: list[dict[str, float] | None] = []
    for record in records:
        question = f"{record.instruction}\n{record.input}" if record.input else record.instruction
        n = tokenizer(question, return_tensors="pt").input_ids.shape[1]
        full = tokenizer(f"{question}\n{record.output}", return_tensors="pt").input_ids
        if not record.output or full.shape[1] > context:
            scores.append(None)
            continue
        with torch.no_grad():
            labels = full.clone()
            labels[:, :n] = -100
            conditional = model(input_ids=full, labels=labels).loss.item()
            labels = full.clone()
            labels[:, n:] = -100
            instruction = model(input_ids=full, labels=labels).loss.item()
            output = tokenizer(record.output, return_tensors="pt").input_ids
            direct = model(input_ids=output, labels=output.clone()).loss.item()
        product = instruction * direct
        scores.append({"ifd": conditional / direct, "ic_ifd": conditional / product} if product else None)
    return scores


def passes_alone(records: list[Record], model: Any, tokenizer: Any, context: int) -> float:
    """Seconds of the two forward passes a pair that the mathematics needs, in batches of one, and nothing else."""
    texts = [[record.question + "\n" + record.output, record.output] for record in records if record.output]
    pairs = [[tokenizer(text, return_tensors="pt").input_ids for text in pair] for pair in texts]
    begun = time.perf_counter()
    with torch.inference_mode():
        for pair in pairs:
            if pair[0].shape[1] <= context:
                for ids in pair:
                    model(input_ids=ids, use_cache=False)
    return time.perf_counter() - begun


def padding(records: list[Record], scorer: HFScorer) -> float:
    """Share of the tokens computed that are padding."""
    real = padded = 0
    for start in range(0, len(records), WINDOW):
        pairs = [paper_layout(scorer, record) for record in records[start : start + WINDOW]]
        lengths = [len(tokens) for pair in pairs if not isinstance(pair, str) for tokens in (pair.full, pair.direct)]
        for batch in batches(lengths, scorer.batch_tokens):
            real += sum(lengths[index] for index in batch)
            padded += len(batch) * max(lengths[index] for index in batch)
    return 1 - real / padded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id")
    parser.add_argument("pairs_file", type=Path)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = json.loads(chosen.pairs_file.read_text(encoding="utf-8"))[: chosen.pairs]
    records = [Record("", "", n, row["instruction"], row["input"], row["output"]) for n, row in enumerate(rows)]
    scorer = HFScorer.load(chosen.model, uri="hf:benchmark", device="cpu", batch_tokens=chosen.batch_tokens)
    model = AutoModelForCausalLM.from_pretrained(chosen.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(chosen.model)

    ours(records[:32], scorer)
    reference(records[:8], model, tokenizer, scorer.context)
    times: dict[str, list[float]] = {"reference": [], "two passes, batch 1": [], "evolvent": []}
    for _ in range(chosen.rounds):
        begun = time.perf_counter()
        expected = reference(records, model, tokenizer, scorer.context)
        times["reference"].append(time.perf_counter() - begun)
        times["two passes, batch 1"].append(passes_alone(records, model, tokenizer, scorer.context))
        begun = time.perf_counter()
        scores = ours(records, scorer)
        times["evolvent"].append(time.perf_counter() - begun)

    reasons = sum(row["score_reason"] is not None for row in scores)
    both = [
        (own, theirs)
        for own, theirs in zip(scores, expected, strict=True)
        if own["score_reason"] is None and theirs and all(map(math.isfinite, theirs.values()))
    ]
    differences = [abs(float(own[name] or 0) - theirs[name]) / theirs[name] for own, theirs in both for name in theirs]
    print(f"{len(records)} pairs, {chosen.threads} threads, {chosen.rounds} rounds in turns")
    print(f"{len(both)} compared; passed over: {reasons} to which evolvent gives a reason instead of a score,")
    print(f"and {len(records) - reasons - len(both)} more of which the reference makes no number")
    print(f"padding {padding(records, scorer):.1%}, largest relative difference of a score {max(differences):.1e}")
    print(f"{'':22}{'median s':>10}{'min s':>8}{'pairs/s':>9}{'speed-up, median (min-max of the rounds)':>44}")
    for name, seconds in times.items():
        ratios = [base / own for base, own in zip(times["reference"], seconds, strict=True)]
        middle = statistics.median(seconds)
        speed_up = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{name:22}{middle:10.2f}{min(seconds):8.2f}{len(records) / middle:9.0f}{speed_up:>44}")


if __name__ == "__main__":
    main()
