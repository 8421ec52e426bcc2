"""llama.cpp beside transformers on the same weights: a GGUF file, and the folder that it is converted to.

Each runs in a process of its own, one after the other: time to load, tokens a second with one request at a time and
with all at once, memory at its highest, the greedy texts, and the log probability of the first token of each.

    python benchmarks/gguf_vs_hf.py FILE.gguf [--prompts 24] [--tokens 64]
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from evolvent.demo import SEEDS
from evolvent.models.gguf.convert import transformers_folder
from evolvent.models.opening import open_chat
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Message

ALONE = 4  # of the prompts, one at a time


def conversations(count: int) -> list[list[Message]]:
    """The demo's seeds as questions."""
    rows = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    return [[Message(role="user", content=f"{row['instruction']}\n{row['input']}".strip())] for row in rows[:count]]


async def answers(
    model: ChatModel, questions: list[list[Message]], sampling: Sampling, *, together: bool
) -> list[Reply]:
    calls = [model.chat(question, sampling) for question in questions]
    return list(await asyncio.gather(*calls)) if together else [await call for call in calls]


def measure(uri: str, prompts: int, tokens: int) -> dict[str, Any]:
    """What one back end does."""
    began = time.perf_counter()
    model = open_chat(uri)
    found: dict[str, Any] = {"load, s": round(time.perf_counter() - began, 1)}
    questions = conversations(prompts)
    greedy = Sampling(temperature=0, max_tokens=tokens)
    with asyncio.Runner() as runner:
        for name, asked, together in (
            ("1 request", questions[:ALONE], False),
            (f"{prompts} requests", questions, True),
        ):
            began = time.perf_counter()
            replies = runner.run(answers(model, asked, greedy, together=together))
            generated = sum(reply.usage.completion_tokens for reply in replies)
            found[f"tokens/s, {name}"] = round(generated / (time.perf_counter() - began), 1)
        found["texts"] = [reply.text for reply in replies]
        first = Sampling(temperature=0, max_tokens=1, top_logprobs=1)
        replies = runner.run(answers(model, questions, first, together=False))
        found["first"] = [reply.logprobs[0].logprob if reply.logprobs else None for reply in replies]
        runner.run(model.close())
    found["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--uri", help="measure this one alone, and write it as JSON")
    args = parser.parse_args()
    if args.uri:
        json.dump(measure(args.uri, args.prompts, args.tokens), sys.stdout)
        return
    found = []
    for uri in (f"gguf:{args.file}", f"hf:{transformers_folder(args.file, str(args.file))}"):
        command = [sys.executable, __file__, str(args.file), "--uri", uri, f"--prompts={args.prompts}"]
        ran = subprocess.run([*command, f"--tokens={args.tokens}"], check=True, stdout=subprocess.PIPE)
        found.append(json.loads(ran.stdout))
        print(
            uri,
            *(f"  {name}: {value}" for name, value in found[-1].items() if name not in ("texts", "first")),
            sep="\n",
        )
    ours, theirs = found
    same = [a == b for a, b in zip(ours["texts"], theirs["texts"], strict=True)]
    apart = [abs(a - b) for a, b in zip(ours["first"], theirs["first"], strict=True) if a is not None and b is not None]
    print(f"same greedy text: {sum(same)} of {len(same)}")
    print(f"first log probability: apart by {max(apart):.4f} at most, {sum(apart) / len(apart):.4f} on average")


if __name__ == "__main__":
    main()
