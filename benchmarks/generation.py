"""Generation: continuous batching beside transformers' ``generate()``, same model, prompts and machine, in turns.

The prompts are real: the demo's seeds in every Evol-Instruct operator. Three ways to answer them take turns:

- ``generate()`` with one prompt at a time, as a script that knows nothing of batches does it (some of the prompts);
- whole batches, sorted by length, that run until their longest reply has ended (what ``hf:`` does for models that
  cannot be filled continuously);
- continuous batching: what ``hf:`` does.

``--long N`` puts N conversations among them that fill half the context, which get a lane of their own, and a fourth way
takes its turn: all rows in one lane.

Everything counts, from the messages to the texts. Where the machine has other work, CPU seconds are the fairer figure.

    python benchmarks/generation.py [MODEL] [--prompts 1000] [--alone 100] [--rounds 3] [--threads 1] [--rows 64]
                                    [--long N]
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import GenerationConfig, StoppingCriteriaList

import evolvent
from evolvent.demo import SEEDS
from evolvent.evolution.evol_instruct import BREADTH, IN_DEPTH
from evolvent.evolution.templates import load_prompt
from evolvent.models.hf.chat import HFChat
from evolvent.models.hf.tokens import conversation_tokens, end_tokens
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message

EMBEDDED = Path(evolvent.__file__).parent / "models" / "embedded" / "instruct"

Call = tuple[list[Message], Sampling]


def calls(count: int, sampling: Sampling) -> list[Call]:
    """Evolution prompts of the demo's seeds, each with a seed of its own."""
    seeds = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    operators = [load_prompt(name) for name in (*IN_DEPTH, BREADTH)]
    prompts = [
        operator.render(instruction=seed["instruction"], input=seed["input"])
        for operator in operators
        for seed in seeds
    ]
    return [
        ([Message(role="user", content=prompts[number % len(prompts)])], replace(sampling, seed=number))
        for number in range(count)
    ]


def lengthen(asked: list[Call], model: HFChat, count: int) -> None:
    """Make so many of the calls, evenly chosen, conversations that fill half the model's context."""
    for place in range(len(asked) // count // 2, len(asked), len(asked) // count) if count else ():
        messages, sampling = list(asked[place][0]), asked[place][1]
        while len(_tokens(model, messages)) < model._weights.context // 2:
            turns = asked[(place + len(messages)) % len(asked)][0][-1:]
            messages = [*turns, Message(role="assistant", content="I see."), *messages]
        asked[place] = (messages, sampling)


def _tokens(model: HFChat, messages: Sequence[Message]) -> list[int]:
    return conversation_tokens(model._weights, model.uri, messages, generation_prompt=True)


def alone(model: HFChat, asked: Sequence[Call]) -> list[int]:
    """One prompt at a time through ``generate()``. Returns: completion tokens of each reply."""
    weights = model._weights
    ends = end_tokens(weights, model.uri)
    lengths = []
    for messages, sampling in asked:
        prompt = _tokens(model, messages)
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        torch.manual_seed(sampling.seed or 0)
        with torch.inference_mode():
            ids = torch.tensor([prompt], device=weights.model.device)
            grown = weights.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=GenerationConfig(
                    **(drawn if sampling.temperature else {"do_sample": False}),
                    max_new_tokens=sampling.max_tokens,
                    eos_token_id=ends or None,
                    pad_token_id=ends[0] if ends else 0,
                ),
                stopping_criteria=StoppingCriteriaList(),
            )
        weights.tokenizer.decode(grown[0, len(prompt) :], skip_special_tokens=True)
        lengths.append(grown.shape[1] - len(prompt))
    return lengths


def together(model: HFChat, asked: Sequence[Call]) -> list[Reply]:
    """All prompts through ``chat``, as many at once as the model wants."""

    async def run() -> list[Reply]:
        free = asyncio.Semaphore(model.concurrency)

        async def one(call: Call) -> Reply:
            async with free:
                return await model.chat(*call)

        try:
            return await asyncio.gather(*map(one, asked))
        finally:
            await model.close()

    return asyncio.run(run())


def timed(work: Callable[[], Sequence[int]]) -> tuple[int, float, float, int]:
    """Tokens, seconds, CPU seconds and replies of a piece of work."""
    begun, cpu = time.perf_counter(), time.process_time()
    lengths = work()
    return sum(lengths), time.perf_counter() - begun, time.process_time() - cpu, len(lengths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=str(EMBEDDED), help="folder or Hub id; default: the embedded model")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--alone", type=int, default=100, help="how many of them one at a time, evenly chosen")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--long", type=int, default=0, help="how many of them are long conversations, evenly chosen")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--max-tokens", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    asked = calls(chosen.prompts, Sampling(chosen.temperature, chosen.top_p, chosen.max_tokens))
    continuous = HFChat.load(chosen.model, uri="hf:continuous", batch_rows=chosen.rows)
    whole = HFChat.load(chosen.model, uri="hf:whole", batch_rows=chosen.rows)
    if not continuous._continuous:
        parser.exit(1, "this model cannot be filled continuously\n")
    whole._continuous = False
    one_lane = HFChat.load(chosen.model, uri="hf:one-lane", batch_rows=chosen.rows)
    one_lane._limits = replace(one_lane._limits, call=2**62)  # no call of the model is worth its price
    lengthen(asked, continuous, chosen.long)
    few = asked[:: max(1, len(asked) // chosen.alone)]
    texts: dict[str, list[str]] = {}

    def keep(name: str, replies: list[Reply]) -> list[int]:
        texts[name] = [reply.text for reply in replies]
        return [reply.usage.completion_tokens for reply in replies]

    ways: dict[str, Callable[[], Sequence[int]]] = {
        "generate(), one at a time": lambda: alone(continuous, few),
        "whole batches": lambda: keep("whole", together(whole, asked)),
        "continuous": lambda: keep("continuous", together(continuous, asked)),
    }
    if chosen.long:
        ways["continuous, one lane"] = lambda: keep("one lane", together(one_lane, asked))
    for model in (whole, continuous, one_lane):
        together(model, asked[:64])
    alone(continuous, few[:5])
    figures: dict[str, list[tuple[int, float, float, int]]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, work in ways.items():
            figures[name].append(timed(work))
            tokens, seconds, cpu, replies = figures[name][-1]
            print(f"{name}: {replies} replies, {tokens} tokens, {seconds:.1f} s, {cpu:.1f} CPU s", file=sys.stderr)

    base = figures["generate(), one at a time"]
    equal = sum(one == other for one, other in zip(texts["whole"], texts["continuous"], strict=True))
    print(f"{len(asked)} prompts ({len(few)} one at a time), {chosen.threads} threads, {chosen.rounds} rounds in turns")
    print(f"texts equal in whole batches and continuously: {equal} of {len(asked)}")
    print(f"{'':27}{'tokens/s':>9}{'CPU ms/token':>14}{'speed-up, median (min-max)':>29}{'by CPU time':>26}")
    for name, rounds in figures.items():
        rate = [tokens / seconds for tokens, seconds, _, _ in rounds]
        cost = [cpu / tokens for tokens, _, cpu, _ in rounds]
        faster = [own / (tokens / seconds) for own, (tokens, seconds, _, _) in zip(rate, base, strict=True)]
        cheaper = [(cpu / tokens) / own for own, (tokens, _, cpu, _) in zip(cost, base, strict=True)]
        spans = [f"{statistics.median(x):.1f} ({min(x):.1f}-{max(x):.1f})" for x in (faster, cheaper)]
        print(
            f"{name:27}{statistics.median(rate):9.0f}{1000 * statistics.median(cost):14.2f}{spans[0]:>29}{spans[1]:>26}"
        )


if __name__ == "__main__":
    main()
