"""The stage optimize-method: seeds in, METHOD.yaml out, beside it a run folder that can be stopped and gone on with."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from evolvent.calls.seeds import call_seed
from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.failure_rate import Evolving
from evolvent.evolution.auto_evol_instruct.history import counts_of, noted_in, rows_of, write_history
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.evolution.auto_evol_instruct.proposal import Optimizer
from evolvent.evolution.auto_evol_instruct.search import STAGE, Found, Search, in_words, search
from evolvent.evolution.templates import load_prompt
from evolvent.evolution.trajectory import Profile
from evolvent.files import replacing
from evolvent.models.protocols import ChatModel, Sampling
from evolvent.models.uri import parse_uri
from evolvent.records import Record
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.manifest import OUTPUTS, read_manifest, versions
from evolvent.runs.stage import Calling
from evolvent.runs.whole import Ended, run_whole

ENDINGS = (".yaml", ".yml")


def optimize_method(
    seeds: Data,
    *,
    evolver: str,
    optimizer: str,
    out: str | Path,
    profile: Profile = "default",
    steps: int = 10,
    candidates: int = 5,
    batch: int = 10,
    rounds: int = 1,
    dev: int = 50,
    pool: int = 2000,
    system: str | None = None,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    seed: int = 0,
    temperature: float = 0.0,
    top_p: float = 1.0,
    optimizer_temperature: float = 0.6,
    optimizer_top_p: float = 0.95,
    max_tokens: int = 2048,
    extra_body: Mapping[str, object] | None = None,
    **calling: Unpack[Calling],
) -> Run:
    """Search for a better evolving method (Auto Evol-Instruct, arXiv 2406.00770), and write it to METHOD.yaml.

    The calls lie in a run folder beside it: METHOD.run for METHOD.yaml. Run again with the same arguments it goes on
    where it stopped: calls that were answered are not made again, and steps that were decided stay as they are. The
    file is written anew after every step.

    Args:
        seeds: a data file, a Hub id, an iterable of dicts, or a datasets.Dataset.
        evolver: URI of the model that evolves instructions and answers them.
        optimizer: URI of the model that analyses trajectories and mends the method.
        out: the file, METHOD.yaml.
        profile: ``default`` counts a row that could not be evolved or answered as a failure; ``paper`` does not.
        steps: how many steps at the most.
        candidates: methods that each step proposes.
        batch: instructions whose trajectories a step analyses.
        rounds: how many times these are evolved.
        dev: rows that a method's failure rate is measured on.
        pool: rows of the seeds that are drawn for the search, those of the dev set among them.
        system: system prompt for the evolver when it evolves.
        format: the seeds' format; detected if None.
        map: for seeds of no known format, which column is the instruction, the input, the output.
        skip_bad: leave bad rows out (counted) instead of stopping.
        limit: draw from the first so many seeds only.
        seed: the run's random seed.
        temperature: of the evolver; 0 is greedy.
        top_p: nucleus mass of the evolver.
        optimizer_temperature: of the optimizer.
        optimizer_top_p: nucleus mass of the optimizer.
        max_tokens: longest reply, in tokens.
        extra_body: extra request fields for ``openai:`` models.
        calling: how calls are made: concurrency, caps, price, budget, dry_run, fresh, progress (see ``Calling``).

    Returns:
        The run: METHOD.yaml is its ``output``, the run folder its ``path``.

    Raises:
        InputError: wrong options, unreadable seeds, too few of them, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the search could not finish, or nothing came to an answer.
    """
    sizes = {"steps": steps, "candidates": candidates, "batch": batch, "rounds": rounds, "dev": dev}
    for name, value in {**sizes, "pool": pool}.items():
        if value < 1:
            raise InputError(f"{name} is {value}", fix="Give 1 or more.")
    if profile not in ("default", "paper"):
        raise InputError(f"unknown profile {profile!r}", fix="Profiles: default, paper.")
    sampling = Sampling(temperature, top_p, max_tokens)
    optimizer_sampling = Sampling(optimizer_temperature, optimizer_top_p, max_tokens)
    file, folder = Path(out), Path(out).with_suffix(".run")
    _check_out(file, folder, calling)
    method = initial_method()
    analysis = load_prompt("auto_evol_instruct/trajectory_analysis")
    optimization = load_prompt("auto_evol_instruct/method_optimization")
    evolver_uri, optimizer_uri = str(parse_uri(evolver)), str(parse_uri(optimizer))
    settings: dict[str, Any] = {
        "evolver": evolver_uri,
        "optimizer": optimizer_uri,
        "profile": profile,
        **sizes,
        "pool": pool,
        "system": system,
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "optimizer_temperature": optimizer_temperature,
        "optimizer_top_p": optimizer_top_p,
        "max_tokens": max_tokens,
        "extra_body": dict(extra_body) if extra_body else None,
        "initial_method": method.version,
        "prompts": {"analysis": analysis.version, "optimization": optimization.version},
    }
    source = stage_input(seeds, before=None, out=folder, format=format, map=map, skip_bad=skip_bad, limit=limit)
    dev_rows, pool_rows = drawn(source, dev, pool, batch, seed)

    def made_with(models: Mapping[str, ChatModel], at_once: int) -> Search:
        return Search(
            initial=method,
            dev=dev_rows,
            pool=pool_rows,
            evolving=Evolving(models[evolver_uri], sampling, seed, system, profile, at_once=asyncio.Semaphore(at_once)),
            optimizer=Optimizer(models[optimizer_uri], optimizer_sampling, seed, analysis, optimization),
            steps=steps,
            candidates=candidates,
            batch=batch,
            rounds=rounds,
            progress=calling.get("progress", False),
        )

    async def compute(models: Mapping[str, ChatModel], output: Path, at_once: int) -> Ended:
        how = {
            **settings,
            "seeds": {name: value for name, value in source.source.items() if value is not None},
            "dev_rows": rows_of(dev_rows),
            "versions": {name: version for name, version in versions().items() if name != "git"},
        }

        def note(found: Found) -> None:
            write_history(found, how, output, file)

        found = await search(made_with(models, at_once), note, await asyncio.to_thread(noted_in, output))
        return Ended({"seeds": source.rows, **source.counts, **counts_of(found)}, found.used())

    run = run_whole(
        STAGE,
        folder,
        settings=settings,
        source=source,
        models=[evolver, optimizer],
        compute=compute,
        plan=in_words(**sizes),
        extra_body=extra_body,
        **calling,
    )
    if run.already_done and not file.exists():
        with replacing(file) as copy:
            copy.write(run.output.read_bytes())
    return replace(run, output=file)


def drawn(source: StageInput, dev: int, pool: int, batch: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Draw the rows of the search by the run's seed: the dev set, and those that mini-batches are drawn from.

    Raises:
        InputError: there are too few rows, or they changed while they were read.
    """
    size = min(source.rows, pool)
    if size < dev + batch:
        what = f"{source.source['source']} has {source.rows:,} rows" if source.rows < pool else f"the pool is {pool:,}"
        raise InputError(
            f"{what}, and {dev + batch:,} are needed: {dev:,} for the dev set and {batch:,} for a mini-batch",
            fix="Give more rows, or lower --dev or --batch.",
        )
    positions = random.Random(call_seed(seed, "", "pool")).sample(range(source.rows), size)
    for_dev, wanted = set(positions[:dev]), set(positions)
    found: tuple[list[Record], list[Record]] = ([], [])
    for position, record in enumerate(source):
        if position in wanted:
            found[position not in for_dev].append(record)
    source.unchanged()
    return found


def _check_out(file: Path, folder: Path, calling: Calling) -> None:
    if file.suffix not in ENDINGS:
        raise InputError(f"--out {file} is no YAML file", fix="Name a file that ends in .yaml.")
    entry = read_manifest(folder).get(STAGE)
    mine = (folder / OUTPUTS[STAGE]).is_file() or (entry is not None and entry.state == "running")
    if file.exists() and not mine and not calling.get("fresh") and not calling.get("dry_run"):
        raise InputError(
            f"{file} is there already, and no search in {folder} made it",
            fix="Use another --out, or --fresh to write it anew.",
        )
