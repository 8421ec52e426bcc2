"""AutoIF whole, in one run folder: new instructions, the functions that verify them, and answers that pass these.

Three stages, each of which goes on where it stopped: ``self-instruct`` (step 1) writes instructions.parquet, ``evolve``
(steps 2 to 6) evolved.parquet and functions.jsonl, ``respond`` (steps 7 to 9) responses.parquet, sft.jsonl, dpo.jsonl.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.call_store.store import spent_in
from evolvent.costs.budget import require_prices
from evolvent.errors import InputError, RunError
from evolvent.evolution.autoif import funnel
from evolvent.evolution.autoif.answers import AnswerQueries, with_functions
from evolvent.evolution.autoif.demonstrated import SMALL, load_demonstrations
from evolvent.evolution.autoif.find_functions import FindFunctions
from evolvent.evolution.autoif.functions_file import FUNCTIONS, verified_instructions, write_lines
from evolvent.evolution.autoif.options import AutoIFOptions
from evolvent.evolution.autoif.queries import Queries, read_queries
from evolvent.evolution.autoif.rules import METHOD, Rules, rules_in, rules_of
from evolvent.evolution.autoif.self_instruct import SelfInstruct, distinct, examples_of, seeds_and_prompts
from evolvent.evolution.autoif.settings import AutoIF, load_prompts
from evolvent.evolution.autoif.training_rows import dpo_rows, sft_rows
from evolvent.models.models import Models, Need, chat_need, is_server
from evolvent.models.protocols import Sampling
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading
from evolvent.records import Record
from evolvent.runs.engine import run
from evolvent.runs.inputs import Data, Listed, StageInput, stage_input
from evolvent.runs.manifest import known_prices, read_manifest
from evolvent.runs.record_files import read_records
from evolvent.runs.run import Run
from evolvent.runs.shards import first_again
from evolvent.runs.stage import Rehearsed, Stage, chat_settings
from evolvent.sandbox.requirements import require_sandbox

if TYPE_CHECKING:
    from evolvent.evolution.options import Evolve

log = logging.getLogger(__name__)

# The seeds, where none are given.
SEED_INSTRUCTIONS = Path(__file__).parents[2] / "datasets" / "samples" / "verifiable_instructions.jsonl"

# Files that stages write beside their own.
OTHERS = {"evolve": (FUNCTIONS,), "respond": ("sft.jsonl", "dpo.jsonl")}

# A stage's input in a dry run, while the stage before has yet to make it.
NOT_YET = Listed((), {"source": "what the stage before is to make", "digest": ""})


@dataclass(frozen=True, slots=True)
class Plan:
    """What the three stages are built of.

    Attributes:
        how: what the steps work with.
        out: the run folder.
        seeds: the seed instructions.
        queries: what the instructions are asked with, and what was left out.
        queries_digest: hash of the data that they come from.
        settings: what every stage has among its settings.
        model, teacher, judge, nli: the models.
    """

    how: AutoIF
    out: Path
    seeds: StageInput
    queries: Queries
    queries_digest: str
    settings: Mapping[str, Any]
    model: Need
    teacher: Need
    judge: Need | None
    nli: Need | None


def autoif(
    seeds: Data | None, given: "Evolve", by: AutoIFOptions, reading: Reading, calling: Calling, models: Models
) -> Run:
    """Run AutoIF's three stages, one after the other; those that are done are left as they are.

    Args:
        seeds: the seed instructions; 36 of ours if None.
        given, by, reading, calling: the options.
        models: opens the models; those of one stage stay open for the next.

    Returns:
        The run of the evolve stage; its ``stages`` holds those of all three. Of a shard that of the first stage which
        is not merged yet.

    Raises:
        InputError, ModelUnavailableError, BudgetReachedError, RunError: as any stage.
    """
    if calling.shard is not None and calling.fresh:
        raise first_again("AutoIF", given.out)
    plan = planned(seeds, given, by, reading, calling)
    require_sandbox(by.unsafe_execution or calling.dry_run)
    chat = [need for need in (plan.model, plan.teacher, plan.judge) if need is not None]
    if not calling.dry_run:
        if not calling.fresh:
            check_folder(plan.out)
        for need in chat:
            if is_server(need.uri):  # weights are loaded when their stage begins
                models.open(need)
    # of all stages: a price of the judge's would fit no model of the first one
    prices = known_prices(calling.price, [need.uri for need in chat], spent_in(plan.out), read_manifest(plan.out))
    if calling.budget is not None:
        require_prices([need.name for need in chat], prices)
    calling = replace(calling, price={uri: {"in": one.prompt, "out": one.completion} for uri, one in prices.items()})
    if plan.nli is None and plan.how.rules.back_translated:
        log.warning("no --nli is given: step 5 of AutoIF, which looks for contradictions, is left out")
    runs: dict[str, Run] = {}
    for stage_of in (self_instruct_stage, evolve_stage, respond_stage):
        # of a dry run a stage's file may be yet to be made, or made anew
        ready = all(
            (done.estimate is None or done.estimate.finished) and done.output.is_file() for done in runs.values()
        )
        stage = stage_of(plan, ready)
        made = run(stage, plan.out, models, calling)
        if made.path != plan.out:  # a shard: the stages behind it read what merging all of them will give
            return made
        runs[stage.name] = _with_others(stage, made)
    return replace(runs["evolve"], stages=runs)


def planned(seeds: Data | None, given: "Evolve", by: AutoIFOptions, reading: Reading, calling: Calling) -> Plan:
    """The options checked, and the seeds and queries opened.

    Raises:
        InputError: wrong options, or data that cannot be read.
    """
    rules = rules_of(by.profile, by.samples, by.rule, judge=given.judge, nli=by.nli)
    prompts = load_prompts(Path(by.templates) if by.templates else None)
    queries, digest = read_queries(by.queries, by.queries_map, rules, skip_bad=reading.skip_bad)
    model, teacher = chat_need(given.model, calling), chat_need(by.teacher or given.model, calling)
    judge = chat_need(given.judge or given.model, calling) if rules.quality else None
    return Plan(
        AutoIF(
            model=model.name,
            teacher=teacher.name,
            judge=judge.name if judge else None,
            nli=str(parse_uri(by.nli)) if by.nli else None,
            profile=by.profile,
            rules=rules,
            prompts=prompts,
            sampling=Sampling(given.temperature, given.top_p, given.max_tokens),
            seed=given.seed,
            unsafe=by.unsafe_execution,
            demonstrations=load_demonstrations(by.templates) if by.profile == SMALL else None,
        ),
        out=given.out,
        seeds=stage_input(
            SEED_INSTRUCTIONS if seeds is None else seeds,
            before=None,
            out=given.out,
            format=reading.format,
            map=reading.map,
            skip_bad=reading.skip_bad,
            limit=reading.limit,
        ),
        queries=queries,
        queries_digest=digest,
        settings={"method": METHOD, **chat_settings(given, calling)},
        model=model,
        teacher=teacher,
        judge=judge,
        nli=Need("relate", by.nli) if by.nli else None,
    )


def check_folder(out: Path) -> None:
    """Check that a folder does not hold the stages of another method, before the first one is paid for.

    Raises:
        InputError: it does.
    """
    for stage, entry in read_manifest(out).items():
        if stage in ("evolve", "respond") and entry.settings.get("method") != METHOD:
            raise InputError(
                f"run folder {out} holds {stage} of another method",
                fix="Use another --out, or --fresh to make its stages anew.",
            )


def self_instruct_stage(plan: Plan, _: bool) -> Stage:
    """Step 1: OUT/instructions.parquet."""
    how, rules = plan.how, plan.how.rules
    return Stage(
        name="self-instruct",
        settings={
            **plan.settings,
            **how.settings("prompts instructions_per_prompt", "self_instruct"),
            "model": how.model,
        },
        source=seeds_and_prompts(plan.seeds, rules.prompts),
        needs=(plan.model,),
        work=SelfInstruct(how, examples_of(plan.seeds, how.seed)),
        group=by_origin,
        counts={"seeds": plan.seeds.rows, **plan.seeds.counts},
        derive=partial(funnel.of_instructions, rules=rules),
        dry_run=Rehearsed(reply_tokens=12 * rules.instructions_per_prompt, reply_begins="- "),
        grows=("max_tokens",),
    )


def evolve_stage(plan: Plan, ready: bool) -> Stage:
    """Steps 2 to 6: OUT/evolved.parquet and OUT/functions.jsonl.

    Args:
        plan: what it is built of.
        ready: whether its input is there.
    """
    how, rules = plan.how, plan.how.rules
    source = distinct(plan.out) if ready else NOT_YET
    instructions = source.rows if ready else funnel.instructions_at_most(plan.seeds.rows, rules)
    return Stage(
        name="evolve",
        settings={
            **plan.settings,
            **how.settings(
                "samples least_functions least_cases case_share function_share over_kept_cases back_translated "
                "queries query_longer_than query_shorter_than",
                *(("functions", "back_translation") if rules.back_translated else ("functions",)),
            ),
            "profile": how.profile,
            "model": how.model,
            "nli": how.nli,
            "queries_data": plan.queries_digest,
        },
        source=source,
        needs=(plan.model, *([plan.nli] if plan.nli else [])),
        work=FindFunctions(how, plan.queries.texts),
        group=by_kind,
        counts={
            "instructions": source.rows,
            "queries": len(plan.queries.texts),
            **{f"queries left out: {why}": count for why, count in plan.queries.left_out.items()},
            **source.counts,
        },
        derive=partial(write_functions, rules=rules),
        dry_run=funnel.evolve_formula(how, instructions, known=ready),
        grows=("max_tokens",),
    )


def respond_stage(plan: Plan, ready: bool) -> Stage:
    """Steps 7 to 9 and the DPO pairs: OUT/responses.parquet, OUT/sft.jsonl and OUT/dpo.jsonl.

    Args:
        plan: what it is built of.
        ready: whether its input is there.

    Raises:
        RunError: there is nothing to answer.
    """
    how, rules = plan.how, plan.how.rules
    source = with_functions(plan.out, rules.queries) if ready else NOT_YET
    if ready and not source.rows:
        raise RunError(
            f"no instruction of {plan.out} was verified: there is nothing to answer",
            fix=f"See why: evolvent show {plan.out}. More samples, another --model or --profile may help.",
        )
    asked = [(source.rows, "instructions with a query")]
    if not ready:
        instructions = funnel.instructions_at_most(plan.seeds.rows, rules)
        asked = [(instructions, "instructions"), (min(rules.queries, len(plan.queries.texts)), "queries")]
    return Stage(
        name="respond",
        settings={
            **plan.settings,
            **how.settings(
                "responses response_share quality chosen_share pair_samples",
                *(("answer", "quality") if how.judge else ("answer",)),
            ),
            "profile": how.profile,
            "teacher": how.teacher,
            "judge": how.judge,
        },
        source=source,
        needs=tuple(dict.fromkeys([plan.teacher, *([plan.judge] if plan.judge else [])])),
        work=AnswerQueries(how),
        group=by_teacher,
        counts={"queries": source.rows, **source.counts},
        derive=partial(write_training_rows, rules=rules, seed=how.seed),
        dry_run=funnel.respond_formula(how, asked, known=ready),
        grows=("max_tokens",),
    )


def by_origin(record: Record) -> str | None:
    """What a row of step 1 is counted under: seeds are not counted."""
    return "new" if record.method else None


def by_kind(record: Record) -> str | None:
    """What a row of steps 2 to 6 is counted under."""
    return "queries" if record.round else "instructions"


def by_teacher(record: Record) -> str | None:
    """What a row of steps 7 to 9 is counted under."""
    return record.teacher


def write_functions(path: Path, rules: Rules) -> dict[str, Any]:
    """Write functions.jsonl beside evolved.parquet; returns its funnel."""
    counts = funnel.of_functions(path, rules)
    write_lines(path.with_name(FUNCTIONS), verified_instructions(read_records(path)))
    return counts


def write_training_rows(path: Path, rules: Rules, seed: int) -> dict[str, Any]:
    """Write sft.jsonl and dpo.jsonl beside responses.parquet; returns its funnel."""
    counts = funnel.of_answers(path, rules)
    sft = write_lines(path.with_name("sft.jsonl"), sft_rows(read_records(path)))
    dpo = write_lines(path.with_name("dpo.jsonl"), dpo_rows(read_records(path), rules, seed))
    return {"funnel": {**counts, "SFT rows": sft, "DPO pairs": dpo}}


def derive_of(stage: str, settings: Mapping[str, Any]) -> Callable[[Path], Mapping[str, Any]]:
    """What makes the further files of a stage's file, by the settings that a run folder has noted of it."""
    rules = rules_in(settings)
    if stage == "self-instruct":
        return partial(funnel.of_instructions, rules=rules)
    if stage == "evolve":
        return partial(write_functions, rules=rules)
    return partial(write_training_rows, rules=rules, seed=settings["seed"])


def _with_others(stage: Stage, ran: Run) -> Run:
    """A stage's run with the further files that it made; those that somebody has removed are made again."""
    if ran.estimate is not None:
        return ran
    others = tuple(ran.path / name for name in OTHERS.get(stage.name, ()))
    if ran.already_done and not all(file.is_file() for file in others):
        stage.derive(ran.output)
    return replace(ran, others=others)
