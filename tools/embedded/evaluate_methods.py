"""Measure a model on Auto Evol-Instruct and AutoIF, as the package's own parsers and its sandbox see it.

    python -m tools.embedded.evaluate_methods src/evolvent/models/embedded/instruct --alpaca alpaca.json

Seeds and instructions are held out of training. Functions that the model wrote run in the package's sandbox.
"""

import argparse
import asyncio
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from evolvent.evolution.auto_evol_instruct.failure_rate import failure_of
from evolvent.evolution.auto_evol_instruct.method import INPUT, SLOT, Method, candidate_of, initial_method
from evolvent.evolution.auto_evol_instruct.parsing import final_instruction, methods_list
from evolvent.evolution.auto_evol_instruct.ways import ways as ways_of
from evolvent.evolution.autoif.answers import quality_score
from evolvent.evolution.autoif.back_translation import back_translations
from evolvent.evolution.autoif.functions import Sample, parse_sample
from evolvent.evolution.autoif.self_instruct import new_instructions, same
from evolvent.sandbox.sandbox import Sandbox
from tools.embedded import autoif, methods
from tools.embedded.evaluate import Evolver, Figures, content_words, held_out_seeds, squeezed
from tools.embedded.mixture import missing_chat
from tools.embedded.seeds import held_out
from tools.embedded.verifiable import Verifiable, cases, function, reference, verdict, verifiable
from tools.embedded.ways import WAYS, drawn_way

Samples = list[tuple[str, str, str]]


def share(hits: int, of: int) -> float:
    """A share; 0 of nothing is 0."""
    return hits / of if of else 0.0


def _evolved(
    evolver: Evolver, method: Method, rows: list[tuple[str, str]], name: str, keep: float
) -> tuple[Figures, Samples]:
    """Instructions (with inputs) evolved by a method."""
    slots = [instruction + (INPUT + text if text else "") for instruction, text in rows]
    replies = evolver.ask([method.text.replace(SLOT, slot) for slot in slots], longest=400)
    parsed = differs = kept = 0
    ways: set[str] = set()
    samples: Samples = []
    for (instruction, _), (reply, ended) in zip(rows, replies, strict=True):
        text = final_instruction(reply, method, instruction) if ended else None
        samples.append((name, instruction, reply))
        if text is None:
            continue
        parsed += 1
        differs += squeezed(text) != squeezed(instruction)
        words = content_words(instruction)
        kept += len(words & content_words(text)) >= keep * len(words)
        ways.update(ways_of(methods_list(reply, method) or ""))
    return {
        f"{name}: replies that parse": parsed / len(rows),
        f"{name}: evolutions that differ": differs / len(rows),
        f"{name}: keep {keep:.0%} of the words": kept / len(rows),
        f"{name}: distinct ways": len(ways),
    }, samples


def evolution(evolver: Evolver, count: int, alpaca: Path | None, rng: random.Random) -> tuple[Figures, Samples]:
    """The initial method on held-out seeds and Alpaca rows, and improved methods on held-out seeds."""
    seeds = [(seed.instruction, "") for seed in held_out_seeds(count, rng)]
    figures, samples = _evolved(evolver, initial_method(), seeds, "initial method", 0.8)
    if alpaca:
        rows = rng.sample(json.loads(alpaca.read_text(encoding="utf-8")), count)
        pairs = [(row["instruction"].strip(), row["input"].strip()) for row in rows]
        of_rows, more = _evolved(evolver, initial_method(), pairs, "initial method, Alpaca", 0.6)
        figures, samples = figures | of_rows, samples + more
    right = 0
    for instruction, _ in seeds[: count // 2]:
        method = Method(methods.improved(rng, methods.method_drawn(rng), ["loses"]).text)
        [(reply, ended)] = evolver.ask([method.text.replace(SLOT, instruction)], longest=400)
        right += ended and final_instruction(reply, method, instruction) is not None
    return figures | {"improved methods: replies that parse": right / (count // 2)}, samples


def optimiser(evolver: Evolver, count: int, rng: random.Random) -> tuple[Figures, Samples]:
    """Analyses of five cases each, improved methods, names of ways."""
    found = named = there = usable = longer = right = short = 0
    samples: Samples = []
    shown = [methods.feedback(rng, 5, 0.3) for _ in range(count)]
    replies = evolver.ask([methods.ANALYSIS.render(cases=cases) for cases, _, _ in shown])
    for (cases_text, truth, _), (reply, _) in zip(shown, replies, strict=True):
        true, said = (set(re.findall(r"^Case (\d+):", text, re.MULTILINE)) for text in (truth, reply))
        there, named, found = there + len(true), named + len(said), found + len(true & said)
        samples.append(("analysis", cases_text, reply))
    asked = [methods.optimisation_chat(rng) for _ in range(count)]
    for chat, (reply, _) in zip(asked, evolver.ask([chat.user for chat in asked], longest=400), strict=True):
        method, problem = candidate_of(reply)
        usable += method is not None
        longer += method is not None and method.text not in chat.user
        samples.append(("optimisation", chat.user.split("\n\nThe method below")[0], problem or reply))
    kinds = [rng.choice(WAYS) for _ in range(count)]
    replies = evolver.ask([methods.KEYWORD.render(way=drawn_way(rng, kind)) for kind in kinds], temperature=0)
    for kind, (reply, _) in zip(kinds, replies, strict=True):
        right += reply in kind.names
        short += 1 <= len(reply.split()) <= 4
        samples.append(("keyword", kind.wordings[0], reply))
    return {
        "failed cases found (recall)": share(found, there),
        "cases named that failed (precision)": share(found, named),
        "improved methods that are usable": usable / count,
        "improved methods that are usable and new": longer / count,
        "names of ways of one to four words": short / count,
        "names of ways that fit": right / count,
    }, samples


def self_instruct(evolver: Evolver, count: int, rng: random.Random) -> tuple[Figures, Samples]:
    """New instructions from the 36 shipped seeds, 20 a prompt."""
    prompt = autoif.SELF_INSTRUCT.render(seeds="\n".join("- " + text for text in autoif.SHIPPED), count=20)
    lines: list[str] = []
    samples: Samples = []
    for reply, _ in evolver.ask([prompt] * count, longest=700):
        lines += new_instructions(reply)
        samples.append(("self-instruct", "36 seeds, 20 new", reply))
    known = {same(text) for text in autoif.SHIPPED}
    distinct = {same(line) for line in lines} - known
    rng.shuffle(lines)
    return {
        "new instructions a prompt (20 asked for)": round(len(lines) / count, 1),
        "new instructions that are no seeds": share(sum(same(line) not in known for line in lines), len(lines)),
        "distinct new instructions": share(len(distinct), len(lines)),
    }, samples


def held_out_instructions(count: int, rng: random.Random) -> list[Verifiable]:
    """Instructions that training has not seen in these words."""
    found: list[Verifiable] = []
    while len(found) < count:
        item = verifiable(rng)
        if held_out(item.text):
            found.append(item)
    return found


async def _verdicts(pairs: list[tuple[str, list[str]]]) -> list[list[bool | None]]:
    """What each function says about its texts, in the sandbox."""
    async with Sandbox() as sandbox:
        done = []
        for code, texts in pairs:
            [evaluation] = await sandbox.evaluate([code], texts)
            done.append([one.value for one in evaluation.verdicts])
        return done


def functions(evolver: Evolver, count: int, rng: random.Random) -> tuple[Figures, Samples]:
    """Functions with cases for held-out instructions, and for the 36 shipped ones."""
    items = held_out_instructions(count, rng)
    texts = [item.text for item in items] + autoif.SHIPPED
    replies = evolver.ask([autoif.FUNCTIONS.render(instruction=text) for text in texts], longest=300)
    samples: Samples = [("function", text, reply) for text, (reply, _) in zip(texts, replies, strict=True)]
    read = [parse_sample(reply) for reply, _ in replies]
    pairs, kept = [], []
    for index, sample in enumerate(read):
        if isinstance(sample, Sample):
            tests = cases(rng, items[index], wrong=0) if index < count else []
            pairs.append((sample.code, [case.input for case in sample.cases] + [case["input"] for case in tests]))
            kept.append((index, sample, [case["output"] for case in tests]))
    good = agree = right_cases = given = shipped = 0
    for (index, sample, outputs), said in zip(kept, asyncio.run(_verdicts(pairs)), strict=True):
        own = [case.output for case in sample.cases]
        agrees = said[: len(own)] == own
        if index >= count:
            shipped += agrees
            continue
        good += said[len(own) :] == outputs
        agree += agrees
        code = reference(items[index])
        right_cases += sum(verdict(code, case.input) == case.output for case in sample.cases)
        given += len(own)
    return {
        "functions with cases that parse": sum(isinstance(sample, Sample) for sample in read) / len(read),
        "held-out instructions: functions right on our cases": good / count,
        "held-out instructions: functions that agree with all of their own cases": agree / count,
        "held-out instructions: cases that are right": share(right_cases, given),
        "shipped instructions: functions that agree with all of their own cases": shipped / len(autoif.SHIPPED),
    }, samples


def answers(evolver: Evolver, count: int, rng: random.Random) -> tuple[Figures, Samples]:
    """Back-translations, answers under held-out instructions, their scores, and prompts that lack something."""
    items = held_out_instructions(count, rng)
    shown = [[function(rng, rng.choice(item.kind.checks), item.slots) for _ in range(3)] for item in items]
    replies = evolver.ask([autoif.BACK.render(functions=codes) for codes in shown], longest=200)
    read = [back_translations(reply, 3) for reply, _ in replies]
    samples: Samples = [("back-translation", item.text, reply) for item, (reply, _) in zip(items, replies, strict=True)]
    queries = [autoif.asked(autoif.query(rng)) for _ in items]
    prompts = [
        autoif.ANSWER.render(instruction=item.text, query=query) for item, query in zip(items, queries, strict=True)
    ]
    said = [reply for reply, _ in evolver.ask(prompts)]
    follow = sum(verdict(reference(item), text) is True for item, text in zip(items, said, strict=True))
    samples += [
        ("answer", f"{item.text} | {query}", text) for item, query, text in zip(items, queries, said, strict=True)
    ]

    def scores(texts: list[str]) -> list[float | None]:
        asked = [
            autoif.QUALITY.render(instruction=item.text, query=query, answer=text)
            for item, query, text in zip(items, queries, texts, strict=True)
        ]
        return [quality_score(reply, "autoif-paper") for reply, _ in evolver.ask(asked)]

    own, other = scores(said), scores(said[1:] + said[:1])
    lacking = [missing_chat(rng).user for _ in items]
    fails = sum(failure_of(reply) is not None for reply, _ in evolver.ask(lacking))
    plain = [seed.instruction for seed in held_out_seeds(count, rng)]
    plain_fails = sum(failure_of(reply) is not None for reply, _ in evolver.ask(plain))
    return {
        "back-translations that parse": sum(texts is not None for texts in read) / count,
        "answers that follow a held-out instruction": follow / count,
        "scores that parse": sum(score is not None for score in own) / count,
        "scores of 8 or more": sum((score or 0) >= 8 for score in own) / count,
        "scores of 8 or more for another query's answer": sum((score or 0) >= 8 for score in other) / count,
        "prompts that lack something: answers that fail": fails / count,
        "held-out seeds: answers that fail": plain_fails / count,
    }, samples


def main() -> None:
    """All measurements, one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--alpaca", type=Path, help="an Alpaca file (JSON) to take rows from")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--samples", type=int, default=0, help="replies to print for each task")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    console, evolver = Console(width=160), Evolver(options.model)
    figures: Figures = {}
    samples: Samples = []

    def measured(measure: Callable[..., tuple[Figures, Samples]], *values: Any) -> None:
        found, replies = measure(evolver, *values, random.Random(f"evaluate methods {options.seed}"))
        figures.update(found)
        samples.extend(replies)

    measured(evolution, options.count, options.alpaca)
    measured(optimiser, options.count // 2)
    measured(self_instruct, max(1, options.count // 10))
    measured(functions, options.count)
    measured(answers, options.count)
    table = Table("what", "figure")
    for name, value in figures.items():
        table.add_row(name, f"{value:.1%}" if isinstance(value, float) and "a prompt" not in name else str(value))
    console.print(table)
    for task in dict.fromkeys(task for task, _, _ in samples) if options.samples else ():
        for _, before, after in [sample for sample in samples if sample[0] == task][: options.samples]:
            console.print(f"{task.upper()}: {before}\n---> {after}\n", markup=False, highlight=False)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
