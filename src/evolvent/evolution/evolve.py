"""The evolve stage: seeds in, every seed's trajectory out, in a run folder that can be stopped and gone on with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from evolvent.errors import InputError
from evolvent.evolution.evol_instruct import BREADTH, IN_DEPTH, METHOD, EvolInstruct, Profile, trajectory
from evolvent.evolution.templates import NO_OPERATORS, Prompt, load_prompt
from evolvent.models.protocols import ChatModel, Sampling
from evolvent.models.uri import parse_uri
from evolvent.records import Record
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, stage_input
from evolvent.runs.rehearsal import Work
from evolvent.runs.stage import Calling, run_stage

STAGE = "evolve"


def evolve(
    seeds: Data,
    *,
    model: str,
    out: str | Path,
    method: str = METHOD,
    profile: Profile = "default",
    rounds: int = 3,
    breadth: bool = True,
    operators: str | Sequence[str] | None = None,
    templates: str | Path | None = None,
    judge: str | None = None,
    system: str | None = None,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    seed: int = 0,
    temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 2048,
    extra_body: Mapping[str, object] | None = None,
    **calling: Unpack[Calling],
) -> Run:
    """Evolve seeds round after round, and write every seed and every evolution to ``OUT/evolved.parquet``.

    Run again with the same arguments it goes on where it stopped; calls that were answered are not made again.

    Args:
        seeds: a data file, a Hub id, an iterable of dicts, or a datasets.Dataset.
        model: URI of the evolver.
        out: the run folder.
        method: the evolution method.
        profile: ``default`` shows the evolver the input and eliminates; ``paper`` does what paper 1's code does.
        rounds: how many times each seed is evolved.
        breadth: whether the in-breadth operator takes its turn after the four in-depth ones.
        operators: the operators by name, in their order, instead of all of them.
        templates: a folder with prompt templates of your own, named OPERATOR.j2.
        judge: URI of the model that eliminates evolutions without information gain (rule R1).
        system: system prompt for the evolver.
        format: the seeds' format; detected if None.
        map: for seeds of no known format, which column is the instruction, the input, the output.
        skip_bad: leave bad rows out (counted) instead of stopping.
        limit: evolve the first so many seeds only.
        seed: the run's random seed.
        temperature: of the evolver; 0 is greedy.
        top_p: nucleus mass of the evolver.
        max_tokens: longest reply, in tokens.
        extra_body: extra request fields for ``openai:`` models.
        calling: how calls are made: concurrency, caps, price, budget, retry_failed, fresh, progress (see ``Calling``).

    Returns:
        The run: its path, counts, and the evolved records.

    Raises:
        InputError: wrong options, unreadable seeds, or a run folder that holds something else.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    prompts = choose_operators(operators, breadth=breadth, templates=Path(templates) if templates else None)
    sampling = Sampling(temperature, top_p, max_tokens)
    if rounds < 1:
        raise InputError(f"rounds is {rounds}", fix="Evolve for at least one round.")
    if profile not in ("default", "paper"):
        raise InputError(f"unknown profile {profile!r}", fix="Profiles: default, paper.")
    if method != METHOD:
        raise InputError(f"unknown method {method!r}", fix=f"Methods: {METHOD}.")
    if profile == "paper" and judge:
        raise InputError(
            "the paper profile eliminates nothing, so it takes no judge", fix="Leave --judge or --profile out."
        )
    evolver_uri, judge_uri = str(parse_uri(model)), str(parse_uri(judge)) if judge else None
    equality = load_prompt("equality") if judge else None
    settings = {
        "method": method,
        "profile": profile,
        "rounds": rounds,
        "operators": [[prompt.name, prompt.version] for prompt in prompts],
        "model": evolver_uri,
        "judge": {judge_uri: equality.version} if judge_uri and equality else None,
        "system": system,
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "extra_body": dict(extra_body) if extra_body else None,
    }
    source = stage_input(seeds, before=None, out=Path(out), format=format, map=map, skip_bad=skip_bad, limit=limit)

    def work(models: Mapping[str, ChatModel]) -> Work:
        run = EvolInstruct(
            evolver=models[evolver_uri],
            operators=prompts,
            rounds=rounds,
            profile=profile,
            sampling=sampling,
            seed=seed,
            judge=models[judge_uri] if judge_uri else None,
            equality=equality,
            system=system,
        )
        return lambda record: trajectory(record, run)

    return run_stage(
        STAGE,
        out,
        settings=settings,
        source=source,
        models=[model, *([judge] if judge else [])],
        work=work,
        group=_round,
        counts={"seeds": source.rows, **source.counts},
        extra_body=extra_body,
        **calling,
    )


def choose_operators(
    operators: str | Sequence[str] | None, *, breadth: bool = True, templates: Path | None = None
) -> list[Prompt]:
    """The operators' prompts in their order.

    Args:
        operators: names in the order wanted; None for the four in depth, and the one in breadth if ``breadth``.
        breadth: whether in-breadth is among them when none are named.
        templates: folder with the user's own templates.

    Raises:
        InputError: an unknown operator, or one named twice.
    """
    if templates is not None and not templates.is_dir():
        raise InputError(f"--templates {templates} is not a folder")
    if operators is None:
        operators = [*IN_DEPTH, *([BREADTH] if breadth else [])]
    names = [operators] if isinstance(operators, str) else list(operators)
    if not names:
        raise InputError("no operator is named", fix=f"Operators: {', '.join([*IN_DEPTH, BREADTH])}.")
    if BREADTH in names and not breadth:
        raise InputError("--operators names breadth and --no-breadth leaves it out", fix="Drop one of the two.")
    if len(set(names)) < len(names):
        raise InputError(f"an operator is named twice: {', '.join(names)}")
    reserved = NO_OPERATORS & set(names)
    if reserved:
        raise InputError(f"{', '.join(reserved)} is no operator", fix=f"Operators: {', '.join([*IN_DEPTH, BREADTH])}.")
    prompts = [load_prompt(name, templates) for name in names]
    for prompt in prompts:
        for shown in ("", "an input"):
            prompt.render(instruction="an instruction", input=shown)  # a wrong slot shows now, not at some later row
    return prompts


def _round(record: Record) -> str | None:
    return f"round {record.round}" if record.round else None
