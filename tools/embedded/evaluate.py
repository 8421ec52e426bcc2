"""Measure an evolver on what the embedded models are made for, and print one table.

    python -m tools.embedded.evaluate src/evolvent/models/embedded/instruct --alpaca alpaca.json --json figures.json

Seeds of the world are held out of training, number combinations too; the Alpaca rows are the reader's own file.
"""

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer

from tools.embedded.arithmetic import arithmetic_seed
from tools.embedded.corpus import PROMPTS, asked, equality_pair
from tools.embedded.everyday import everyday_seed
from tools.embedded.evolutions import OPERATORS
from tools.embedded.functions import function_seed
from tools.embedded.seeds import Seed, held_out

MARKERS = ("given prompt", "rewritten prompt", "created prompt", "#input#")
STOP_WORDS = set(
    re.findall(
        r"\w+",
        """about above after again also although among another because been before being below between both cannot could
        does doing down during each even ever every from further have having here hers herself himself into itself just
        like many more most much must myself once only other ours ourselves over same shall should some such than that
        their theirs them themselves then there these they this those through under until upon very were what when
        where whether which while whom whose will with within without would your yours yourself""",
    )
)
Figures = dict[str, float | int | str]


def content_words(text: str) -> set[str]:
    """Lower-cased alphabetic words of four letters or more that are no stop words."""
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) >= 4 and word not in STOP_WORDS}


class Evolver:
    """A chat model and its tokenizer, asked in batches."""

    def __init__(self, folder: Path, batch: int = 32) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.batch = batch

    def ask(
        self, users: list[str], temperature: float = 0.7, top_p: float = 0.95, longest: int = 256
    ) -> list[tuple[str, bool]]:
        """Replies in the order of the prompts, each with whether the model ended it itself."""
        order = sorted(range(len(users)), key=lambda index: len(users[index]))
        replies: dict[int, tuple[str, bool]] = {}
        sampling: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
            if temperature
            else {"do_sample": False}
        )
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            texts = [
                self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": users[index]}], tokenize=False, add_generation_prompt=True
                )
                for index in part
            ]
            given = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            with torch.inference_mode():
                out = self.model.generate(
                    **given,
                    max_new_tokens=longest + given["input_ids"].shape[1],
                    pad_token_id=self.tokenizer.pad_token_id,
                    **sampling,
                )
            for index, row in zip(part, out[:, given["input_ids"].shape[1] :].tolist(), strict=True):
                ended = self.tokenizer.eos_token_id in row
                replies[index] = (self.tokenizer.decode(row, skip_special_tokens=True).strip(), ended)
        return [replies[index] for index in range(len(users))]


def held_out_seeds(count: int, rng: random.Random) -> list[Seed]:
    """Prompts of the world that are in no training text: two thirds everyday, the rest arithmetic and code."""
    seeds: dict[str, Seed] = {}
    while len(seeds) < count:
        draw = rng.random()
        seed = (
            everyday_seed(rng)
            if draw < 0.66
            else function_seed(rng)
            if draw < 0.82
            else arithmetic_seed(rng, held_out=rng.random() < 0.5)
        )
        if held_out(seed.instruction) and not seed.input:
            seeds[seed.instruction] = seed
    return list(seeds.values())


def parses(reply: str, ended: bool) -> bool:
    """Whether a reply is an evolution at all."""
    return bool(reply) and ended and not any(marker in reply.lower() for marker in MARKERS)


def squeezed(text: str) -> str:
    """Letters and digits alone, in small letters."""
    return "".join(character for character in text.casefold() if character.isalnum())


def added_text(parent: str, child: str) -> str:
    """What an evolution has added, as well as can be told: the child without the parent's words in order."""
    known = parent.split()
    rest, place = [], 0
    for word in child.split():
        if place < len(known) and squeezed(word) == squeezed(known[place]):
            place += 1
        else:
            rest.append(word)
    return " ".join(rest)


def variety(added: list[str], prefix: str) -> Figures:
    """How much of what evolutions add is added once only, and the sentence that is added most often."""
    sentences = Counter(
        sentence for text in added for sentence in set(re.split(r"(?<=[.?!])\s+", text)) if len(sentence.split()) > 3
    )
    top, often = sentences.most_common(1)[0]
    return {
        f"{prefix}distinct added texts": len(set(added)) / len(added),
        f"{prefix}most frequent added sentence": often / len(added),
        f"{prefix}which is": top,
    }


def world(evolver: Evolver, count: int, rng: random.Random) -> tuple[Figures, list[tuple[str, str, str]]]:
    """Held-out seeds of the world under every operator: parsing, change, topic words, variety."""
    seeds = held_out_seeds(count, rng)
    sane = kept = in_depth = 0
    samples: list[tuple[str, str, str]] = []
    added: list[str] = []
    for operator in (*OPERATORS, "breadth"):
        replies = evolver.ask(
            [PROMPTS[operator].render(instruction=seed.instruction, input=seed.input) for seed in seeds]
        )
        for seed, (reply, ended) in zip(seeds, replies, strict=True):
            good = parses(reply, ended) and squeezed(reply) != squeezed(seed.instruction)
            sane += good
            samples.append((operator, seed.instruction, reply))
            if operator != "breadth":
                in_depth += 1
                topic = content_words(seed.instruction)
                kept += good and len(topic & content_words(reply)) >= 0.8 * len(topic)
                if good:
                    added.append(added_text(seed.instruction, reply))
    figures: Figures = {
        "world seeds": len(seeds),
        "parse and differ": sane / len(samples),
        "keep the topic words": kept / in_depth,
    }
    return figures | variety(added, "world: "), samples


def alpaca(
    evolver: Evolver, path: Path, count: int, rounds: int, rng: random.Random
) -> tuple[Figures, list[tuple[str, str, str]]]:
    """Rows of an Alpaca file over several rounds: the share that keeps 60 % of the seed's content words."""
    rows = rng.sample(json.loads(path.read_text(encoding="utf-8")), count)
    current = [row["instruction"].strip() for row in rows]
    figures: Figures = {"alpaca rows": count}
    samples: list[tuple[str, str, str]] = []
    added: list[str] = []
    for number in range(1, rounds + 1):
        operators = [OPERATORS[(index + number - 1) % len(OPERATORS)] for index in range(count)]
        prompts = [
            PROMPTS[operator].render(instruction=text, input=row["input"].strip())
            for operator, text, row in zip(operators, current, rows, strict=True)
        ]
        replies = evolver.ask(prompts)
        # As in the package, an evolution that does not parse is dropped and its parent goes on.
        good = [
            parses(reply, ended) and squeezed(reply) != squeezed(text)
            for (reply, ended), text in zip(replies, current, strict=True)
        ]
        if number == 1:
            samples = [
                (operator, f"{text} [{row['input'][:60]}]", reply)
                for operator, text, row, (reply, _) in zip(operators, current, rows, replies, strict=True)
            ]
        added += [
            added_text(text, reply) for (reply, _), text, fine in zip(replies, current, good, strict=True) if fine
        ]
        current = [reply if fine else text for (reply, _), text, fine in zip(replies, current, good, strict=True)]
        keeps = 0
        for row, text in zip(rows, current, strict=True):
            words = content_words(row["instruction"])
            keeps += len(words & content_words(text)) >= 0.6 * len(words)
        figures[f"round {number}: parse and differ"] = sum(good) / count
        figures[f"round {number}: keep 60 % of the words"] = keeps / count
    return figures | variety(added, "alpaca: "), samples


def arithmetic(evolver: Evolver, count: int, rng: random.Random) -> Figures:
    """Problems with numbers that training has never combined, at temperature 0."""
    seeds = [arithmetic_seed(rng, held_out=True) for _ in range(count)]
    right: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for seed, (reply, _) in zip(seeds, evolver.ask([asked(seed) for seed in seeds], temperature=0), strict=True):
        steps = len(seed.body) - 1
        total[steps] += 1
        found = re.search(r"answer is (\d+)", reply)
        right[steps] += bool(found and f"The answer is {found[1]}." == seed.body[-1])
    figures: Figures = {"arithmetic problems": count, "right": sum(right.values()) / count}
    return figures | {f"right, {steps} step{'s' * (steps > 1)}": right[steps] / total[steps] for steps in sorted(total)}


def equality(evolver: Evolver, count: int, rng: random.Random) -> Figures:
    """Pairs of prompts, at temperature 0."""
    pairs = [equality_pair(rng) for _ in range(count)]
    replies = evolver.ask(
        [PROMPTS["equality"].render(first=first, second=second) for first, second, _ in pairs], temperature=0
    )
    right = sum(
        reply == ("Equal" if equal else "Not Equal") for (_, _, equal), (reply, _) in zip(pairs, replies, strict=True)
    )
    return {"equality pairs": count, "judged right": right / count}


def main() -> None:
    """All measurements, one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--alpaca", type=Path, help="an Alpaca file (JSON) to take 200 rows from")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--samples", type=int, default=0, help="evolutions to print")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    console, evolver = Console(width=160), Evolver(options.model)

    def drawn(measure: Callable[..., Any], *values: Any) -> Any:
        return measure(evolver, *values, random.Random(f"evaluate {options.seed}"))

    figures, samples = drawn(world, options.seeds)
    figures |= drawn(arithmetic, options.rows) | drawn(equality, options.rows)
    if options.alpaca:
        of_rows, row_samples = drawn(alpaca, options.alpaca, options.rows, 3)
        figures |= of_rows
        samples = row_samples if options.samples else samples
    table = Table("what", "figure")
    for name, value in figures.items():
        table.add_row(name, f"{value:.1%}" if isinstance(value, float) else str(value))
    console.print(table)
    for operator, before, after in samples[: options.samples]:
        console.print(f"{operator.upper()}: {before}\n    {after}\n", markup=False, highlight=False)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
