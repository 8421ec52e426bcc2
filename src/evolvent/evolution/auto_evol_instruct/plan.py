"""What a search would take: the calls that it makes at the most, for a dry run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evolvent.evolution.auto_evol_instruct.method import Method
from evolvent.evolution.auto_evol_instruct.proposal import cases_of
from evolvent.evolution.evol_instruct import chat
from evolvent.evolution.templates import Prompt
from evolvent.records import Record
from evolvent.runs.planned import Planned
from evolvent.runs.rehearsal import ANSWER_TOKENS, FIFTEEN_WORDS
from evolvent.runs.whole import Plan

# How long replies are assumed to be, in tokens: an evolution with its list and its plan, an analysis of ten cases, a
# method as long as the initial one and a fifth more.
EVOLUTION_TOKENS, FEEDBACK_TOKENS, METHOD_TOKENS = 300, 200, 400

FEEDBACK = " ".join(["Case 1: it asks for no more than the stage before it."] * 12)


def plan_of(
    settings: Mapping[str, Any],
    method: Method,
    analysis: Prompt,
    optimization: Prompt,
    dev: Sequence[Record],
    pool: Sequence[Record],
) -> Plan:
    """The calls of a search that takes every step, and whose candidates are all usable and different.

    There are ``2 dev + steps (batch rounds + 2 candidates + 2 candidates dev)`` of them. Prompts that hold a candidate
    are counted with the initial method in its place, those that hold an evolution with the instruction and fifteen
    words more.

    Args:
        settings: of the search, by their options' names.
        method: the initial method.
        analysis, optimization: the prompts.
        dev: the dev set.
        pool: where mini-batches are drawn from; the first rows stand for one.
    """
    evolver, optimizer, longest = settings["evolver"], settings["optimizer"], settings["max_tokens"]
    steps, candidates, rounds = settings["steps"], settings["candidates"], settings["rounds"]
    batch = pool[: settings["batch"]]
    evaluated = 1 + steps * candidates  # the initial method, and every candidate

    def evolving(row: Record, times: int, held: int, shown: bool = False) -> Planned:
        prompt = chat(method.render(row, show_input=True), settings["system"])
        return Planned(evolver, prompt, EVOLUTION_TOKENS, longest, held, times, shown)

    calls = [evolving(dev[0], 1, 0, shown=True), *(evolving(row, 1, 0) for row in dev[1:])]
    calls += [evolving(row, evaluated - 1, 1) for row in dev]
    for row in dev:
        answered = later(row, 1)
        question = answered.messages or chat(answered.question, None)
        calls.append(Planned(evolver, question, ANSWER_TOKENS, longest, 1, evaluated))
    for row in batch:
        calls += [evolving(later(row, round), steps, 1 + (round > 0)) for round in range(rounds)]
    cases = cases_of([[later(row, stage) for stage in range(rounds + 1)] for row in batch])
    calls.append(
        Planned(
            optimizer,
            chat(analysis.render(cases=cases), None),
            FEEDBACK_TOKENS,
            longest,
            len(batch) * rounds,
            steps * candidates,
            shown=True,
        )
    )
    mending = chat(optimization.render(feedback=FEEDBACK, method=method.text), None)
    calls.append(Planned(optimizer, mending, METHOD_TOKENS, longest, 2, steps * candidates, shown=True))
    said = (
        f"an upper bound: all {steps} steps, each with {candidates} candidates that are usable and different; a step "
        "that does not lower the failure rate ends the search; replies that are asked for again come on top",
        f"assumed replies, in tokens: an evolution {EVOLUTION_TOKENS}, an answer {ANSWER_TOKENS}, an analysis "
        f"{FEEDBACK_TOKENS}, a method {METHOD_TOKENS}",
    )
    return Plan(calls, len(dev) + len(batch), said)


def later(row: Record, round: int) -> Record:
    """A row as it is assumed to be after so many rounds: fifteen words longer each."""
    said = row.instruction + FIFTEEN_WORDS * round
    turns = [turn for turn in row.messages or () if turn["role"] == "system"]
    return replace(row, instruction=said, messages=[*turns, *chat(said, None)] if turns else None)
