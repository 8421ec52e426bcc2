"""The stage optimize-method: seeds in, METHOD.yaml out, beside it a run folder that can be stopped and gone on with."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

from evolvent import options
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
from evolvent.models.uri import MODELS, check_chat_model, parse_uri
from evolvent.options import SEEDS, Calling, Reading, max_tokens, option, seed, takes, temperature, top_p
from evolvent.records import Record
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.manifest import OUTPUTS, read_manifest, versions
from evolvent.runs.whole import Ended, run_whole

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizing:
    """How a better method is searched for."""

    evolver: str = option(f"Evolves and answers: {MODELS}.", metavar="URI", check=check_chat_model)
    optimizer: str = option("Analyses trajectories and mends the method.", metavar="URI", check=check_chat_model)
    out: Path = option("The file to write.", metavar="METHOD.yaml")
    profile: str = option(
        "default, or paper: a row that could not be evolved or answered is no failure.",
        "default",
        metavar="NAME",
        names=("default", "paper"),
    )
    steps: int = option("Steps at the most.", 10, metavar="N", least=1)
    candidates: int = option("New methods a step.", 5, metavar="N", least=1)
    batch: int = option("Trajectories that a step analyses.", 10, metavar="N", least=1)
    rounds: int = option("Rounds of these trajectories.", 1, metavar="N", least=1)
    dev: int = option("Rows that a method's failure rate is measured on.", 50, metavar="N", least=1)
    pool: int = option("Rows that the search draws from, the dev set's among them.", 2000, metavar="N", least=1)
    system: str | None = option("System prompt of the evolver when it evolves.", None, metavar="TEXT")
    seed: int = seed()
    temperature: float = temperature(0.0, "Of the evolver.")
    top_p: float = top_p(1.0)
    optimizer_temperature: float = options.temperature(0.6, "Of the optimizer.")
    optimizer_top_p: float = options.top_p(0.95, "Of the optimizer.")
    max_tokens: int = max_tokens(2048)


@takes(Optimizing, Reading, Calling, without=("retry_failed",))
def optimize_method(seeds: Annotated[Data, SEEDS], given: Optimizing, reading: Reading, calling: Calling) -> Run:
    """Search for a better evolving method (Auto Evol-Instruct, arXiv 2406.00770), and write it to METHOD.yaml.

    The calls lie in a run folder beside it: METHOD.run for METHOD.yaml. Run again with the same arguments it goes on
    where it stopped: calls that were answered are not made again, and steps that were decided stay as they are. The
    file is written anew after every step.

    Returns:
        The run: METHOD.yaml is its ``output``, the run folder its ``path``.

    Raises:
        InputError: wrong options, unreadable seeds, too few of them, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the search could not finish, or nothing came to an answer.
    """
    sizes = {name: getattr(given, name) for name in ("steps", "candidates", "batch", "rounds", "dev")}
    sampling = Sampling(given.temperature, given.top_p, given.max_tokens)
    optimizer_sampling = Sampling(given.optimizer_temperature, given.optimizer_top_p, given.max_tokens)
    file, folder = given.out, given.out.with_suffix(".run")
    _check_out(file, folder, calling)
    method = initial_method()
    analysis = load_prompt("auto_evol_instruct/trajectory_analysis")
    optimization = load_prompt("auto_evol_instruct/method_optimization")
    evolver_uri, optimizer_uri = str(parse_uri(given.evolver)), str(parse_uri(given.optimizer))
    settings: dict[str, Any] = {
        "evolver": evolver_uri,
        "optimizer": optimizer_uri,
        "profile": given.profile,
        **sizes,
        "pool": given.pool,
        "system": given.system,
        "seed": given.seed,
        "temperature": given.temperature,
        "top_p": given.top_p,
        "optimizer_temperature": given.optimizer_temperature,
        "optimizer_top_p": given.optimizer_top_p,
        "max_tokens": given.max_tokens,
        "extra_body": dict(calling.extra_body) if calling.extra_body else None,
        "initial_method": method.version,
        "prompts": {"analysis": analysis.version, "optimization": optimization.version},
    }
    source = stage_input(
        seeds,
        before=None,
        out=folder,
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    dev_rows, pool_rows = drawn(source, given.dev, given.pool, given.batch, given.seed)

    def made_with(models: Mapping[str, ChatModel], at_once: int) -> Search:
        return Search(
            initial=method,
            dev=dev_rows,
            pool=pool_rows,
            evolving=Evolving(
                models[evolver_uri],
                sampling,
                given.seed,
                given.system,
                cast(Profile, given.profile),
                at_once=asyncio.Semaphore(at_once),
            ),
            optimizer=Optimizer(models[optimizer_uri], optimizer_sampling, given.seed, analysis, optimization),
            steps=given.steps,
            candidates=given.candidates,
            batch=given.batch,
            rounds=given.rounds,
            progress=bool(calling.progress),
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
        models=[given.evolver, given.optimizer],
        compute=compute,
        plan=in_words(**sizes),
        calling=calling,
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
    if file.exists() and not mine and not calling.fresh and not calling.dry_run:
        raise InputError(
            f"{file} is there already, and no search in {folder} made it",
            fix="Use another --out, or --fresh to write it anew.",
        )
