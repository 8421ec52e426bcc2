"""The stage optimize-method: seeds in, METHOD.yaml out, beside it a run folder that can be stopped and gone on with."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.call_store.key import call_seed
from evolvent.costs.estimates import Estimate
from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.failure_rate import Evolving
from evolvent.evolution.auto_evol_instruct.history import counts_of, noted_in, read_method, write_history
from evolvent.evolution.auto_evol_instruct.method import Method, initial_method
from evolvent.evolution.auto_evol_instruct.options import OPTIMIZE_METHOD, Optimizing
from evolvent.evolution.auto_evol_instruct.proposal import Optimizer
from evolvent.evolution.auto_evol_instruct.search import STAGE, Found, Search, calls_at_most, in_words, search
from evolvent.evolution.templates import load_prompt
from evolvent.files import replacing
from evolvent.models.models import Models, chat_need, opened
from evolvent.models.protocols import Sampling, StageModels
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, implements
from evolvent.prompts import Prompt
from evolvent.records import Record
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.local import run
from evolvent.runs.manifest import read_manifest, versions
from evolvent.runs.progress import Tell
from evolvent.runs.stage import Ended, Formula, MakeWhole, Stage, chat_settings
from evolvent.special_files import is_written_through
from evolvent.stages import file_of
from evolvent.storage_errors import explained

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class OptimizedMethod:
    """What a search for a method came to.

    Attributes:
        file: METHOD.yaml.
        method: the best method; None of a dry run.
        folder: the run folder of the search.
        counts: what it counted: steps, candidates, failures at first and at last.
        already_done: whether there was nothing left to do.
        estimate: of a dry run, what the search would take; then nothing else was done.
    """

    file: Path
    method: Method | None
    folder: Path
    counts: Mapping[str, Any]
    already_done: bool = False
    estimate: Estimate | None = None


@implements(OPTIMIZE_METHOD)
def optimize_method(
    seeds: Data,
    *,
    given: Optimizing,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> OptimizedMethod:
    """Search for a better evolving method (Auto Evol-Instruct, arXiv 2406.00770), and write it to METHOD.yaml.

    The calls lie in a run folder beside it: METHOD.run for METHOD.yaml. Run again with the same arguments it goes on
    where it stopped: calls that were answered are not made again, and steps that were decided stay as they are. The
    file is written anew after every step.

    Returns:
        The file, the best method, and what the search counted.

    Raises:
        InputError: wrong options, unreadable seeds, too few of them, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the search could not finish, or nothing came to an answer.
    """
    file, folder = Path(given.out), Path(given.out).with_suffix(".run")
    _check_out(file, folder, calling)
    with opened(models) as shared:
        done = run(search_stage(seeds, given, reading, calling), folder, shared, calling)
    if done.estimate is not None:
        return OptimizedMethod(file, None, folder, done.counts, estimate=done.estimate)
    if done.already_done and not file.exists():
        with replacing(file) as copy:
            copy.write(done.output.read_bytes())
    return OptimizedMethod(file, read_method(done.output), folder, done.counts, done.already_done)


def search_stage(seeds: Data, given: Optimizing, reading: Reading, calling: Calling) -> Stage:
    """The stage that searches for a method; it works on the whole set.

    Raises:
        InputError: unreadable seeds, or too few of them.
    """
    evolver, optimizer = str(parse_uri(given.evolver)), str(parse_uri(given.optimizer))
    initial = initial_method()
    analysis = load_prompt("auto_evol_instruct/trajectory_analysis")
    optimization = load_prompt("auto_evol_instruct/method_optimization")
    sizes = {name: getattr(given, name) for name in ("steps", "candidates", "batch", "rounds", "dev")}
    settings = {
        "evolver": evolver,
        "optimizer": optimizer,
        "profile": given.profile,
        **sizes,
        "pool": given.pool,
        "system": given.system,
        **chat_settings(given, calling),
        "optimizer_temperature": given.optimizer_temperature,
        "optimizer_top_p": given.optimizer_top_p,
        "initial_method": initial.version,
        "prompts": {"analysis": analysis.version, "optimization": optimization.version},
    }
    source = stage_input(
        seeds,
        before=None,
        out=Path(given.out).with_suffix(".run"),
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    _check_enough(source, given)
    calls = dict.fromkeys((evolver, optimizer), 0)
    for uri, most in zip((evolver, optimizer), calls_at_most(**sizes), strict=True):
        calls[uri] += most
    return Stage(
        name=STAGE,
        settings=settings,
        source=source,
        needs=tuple(dict.fromkeys(chat_need(uri, calling) for uri in (given.evolver, given.optimizer))),
        work=MethodSearch(given, evolver, optimizer, initial, analysis, optimization, settings, calling.progress),
        window=None,
        counts={"seeds": source.rows, **source.counts},
        dry_run=Formula(given.dev + given.batch, calls, given.max_tokens, in_words(**sizes)),
    )


@dataclass(frozen=True, slots=True)
class MethodSearch:
    """The work of the stage: the whole search. It writes the stage's file, and METHOD.yaml, after every step.

    Attributes:
        given: the options.
        evolver, optimizer: the models' URIs, as records hold them.
        initial: the method to begin with.
        analysis, optimization: the optimizer's prompts.
        settings: what METHOD.yaml says of how it was made.
        progress: whether, or to whom, progress is shown.
    """

    given: Optimizing
    evolver: str
    optimizer: str
    initial: Method
    analysis: Prompt
    optimization: Prompt
    settings: Mapping[str, Any]
    progress: bool | Tell

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[MakeWhole]:
        """Make it ready to search."""
        given = self.given

        async def find(source: StageInput, path: Path) -> Ended:
            dev, pool = await asyncio.to_thread(drawn, source, given.dev, given.pool, given.seed)
            how = {
                **self.settings,
                "seeds": {name: value for name, value in source.about.items() if value is not None},
                "dev_rows": [row.seed_index for row in dev],
                "versions": {name: version for name, version in versions().items() if name != "git"},
            }
            made_with = Search(
                initial=self.initial,
                dev=dev,
                pool=pool,
                evolving=Evolving(
                    models.chat(self.evolver),
                    Sampling(given.temperature, given.top_p, given.max_tokens),
                    given.seed,
                    given.system,
                    "paper" if given.profile == "paper" else "default",
                    at_once=asyncio.Semaphore(models.at_once),
                ),
                optimizer=Optimizer(
                    models.chat(self.optimizer),
                    Sampling(given.optimizer_temperature, given.optimizer_top_p, given.max_tokens),
                    given.seed,
                    self.analysis,
                    self.optimization,
                ),
                steps=given.steps,
                candidates=given.candidates,
                batch=given.batch,
                rounds=given.rounds,
                progress=self.progress,
            )

            def note(found: Found) -> None:
                write_history(found, how, path, Path(given.out))

            found = await search(made_with, note, await asyncio.to_thread(noted_in, path))
            return Ended(counts_of(found), found.used())

        yield find


def _check_enough(source: StageInput, given: Optimizing) -> None:
    if min(source.rows, given.pool) < given.dev + given.batch:
        rows = f"{source.about['source']} has {source.rows:,} rows"
        what = rows if source.rows < given.pool else f"the pool is {given.pool:,}"
        raise InputError(
            f"{what}, and {given.dev + given.batch:,} are needed: {given.dev:,} for the dev set and {given.batch:,} "
            "for a mini-batch",
            fix="Give more rows, or lower --dev or --batch.",
        )


def drawn(source: StageInput, dev: int, pool: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Draw the rows of the search by the run's seed: the dev set, and those that mini-batches are drawn from.

    Raises:
        InputError: they changed while they were read.
    """
    positions = random.Random(call_seed(seed, "", "pool")).sample(range(source.rows), min(source.rows, pool))
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
    with explained(file):
        if is_written_through(file):
            raise InputError(f"--out {file} is not a regular file", fix="Name one: it is written after every step.")
    entry = read_manifest(folder).get(STAGE)
    mine = (folder / file_of(STAGE)).is_file() or (entry is not None and entry.state == "running")
    if file.exists() and not mine and not calling.fresh and not calling.dry_run:
        raise InputError(
            f"{file} is there already, and no search in {folder} made it",
            fix="Use another --out, or --fresh to write it anew.",
        )
