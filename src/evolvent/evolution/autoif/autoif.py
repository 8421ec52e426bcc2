"""AutoIF whole, in one run folder: new instructions, their verification, and answers that pass the functions.

Three stages, each of which goes on where it stopped: ``self-instruct`` (step 1) writes instructions.parquet, ``evolve``
(steps 2 to 6) evolved.parquet and functions.jsonl, ``respond`` (steps 7 to 9) responses.parquet, sft.jsonl, dpo.jsonl.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evolvent.datasets.load import load
from evolvent.errors import InputError, RunError
from evolvent.evolution.autoif import funnel
from evolvent.evolution.autoif.answers import Answering, answered, with_functions
from evolvent.evolution.autoif.beforehand import check_folder, check_models, priced_together
from evolvent.evolution.autoif.dry_run import StepCalls, formula, instructions_at_most, step_calls
from evolvent.evolution.autoif.find_functions import FindFunctions, with_queries
from evolvent.evolution.autoif.functions_file import FUNCTIONS, verified_instructions, write_lines
from evolvent.evolution.autoif.queries import Queries, eligible
from evolvent.evolution.autoif.rules import METHOD, Bound, Rules
from evolvent.evolution.autoif.self_instruct import SelfInstruct, distinct, examples_of, instructions_of, prompts_after
from evolvent.evolution.autoif.training_rows import dpo_rows, sft_rows
from evolvent.evolution.templates import Prompt, load_prompt
from evolvent.models.protocols import ChatModel, PairClassifier, Sampling
from evolvent.models.uri import parse_uri
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.manifest import OUTPUTS
from evolvent.runs.record_files import read_records
from evolvent.runs.rehearsal import ANSWER_TOKENS, Work
from evolvent.runs.stage import Calling, run_stage
from evolvent.sandbox.requirements import require_sandbox
from evolvent.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)

SFT, DPO = "sft.jsonl", "dpo.jsonl"

# The templates, each with what its slots may hold.
PROMPTS: dict[str, dict[str, object]] = {
    "self_instruct": {"seeds": "- Use no commas", "count": 50},
    "functions": {"instruction": "Use no commas"},
    "back_translation": {"functions": ["def evaluate(response): ..."]},
    "answer": {"instruction": "Use no commas", "query": "What is rain?"},
    "quality": {"instruction": "Use no commas", "query": "What is rain?", "answer": "Water"},
}


@dataclass(frozen=True, slots=True)
class AutoIF:
    """What an AutoIF run is made with.

    Attributes:
        out: the run folder.
        model: URI of the evolver: it writes instructions, functions, back-translations.
        teacher: URI of the model that answers.
        judge: URI of the model that scores answers.
        nli: the cross-encoder that finds contradictions; None leaves step 5 out.
        queries: what the instructions are asked with, and what was left out.
        queries_digest: hash of the data that they come from.
        rules: the steps' constants.
        profile: whose constants they are by default.
        prompts: the templates by name.
        sampling: how all replies but the judge's are drawn.
        seed: the run's seed.
        unsafe: whether functions run without the sandbox's wall.
        extra_body: extra request fields for ``openai:`` models.
        calling: how calls are made.
    """

    out: Path
    model: str
    teacher: str
    judge: str
    nli: PairClassifier | None
    queries: Queries
    queries_digest: str
    rules: Rules
    profile: str
    prompts: Mapping[str, Prompt]
    sampling: Sampling
    seed: int
    unsafe: bool
    extra_body: Mapping[str, object] | None
    calling: Calling

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that every stage has."""
        sampling = {name: getattr(self.sampling, name) for name in ("temperature", "top_p", "max_tokens")}
        body = dict(self.extra_body) if self.extra_body else None
        return {"method": METHOD, "seed": self.seed, **sampling, "extra_body": body}

    def rules_of(self, *names: str) -> dict[str, Any]:
        """Some of the constants, as a stage's settings."""
        values = {name: getattr(self.rules, name) for name in names}
        return {name: str(value) if isinstance(value, Bound) else value for name, value in values.items()}

    def versions_of(self, *names: str) -> dict[str, str]:
        """The versions of some of the templates, as a stage's settings."""
        return {name: self.prompts[name].version for name in names}


def load_prompts(folder: Path | None) -> dict[str, Prompt]:
    """AutoIF's templates; a folder of the user's may hold its own, as autoif/NAME.j2.

    Raises:
        InputError: the folder holds none, or one of them cannot be filled in.
    """
    own = folder / METHOD if folder else None
    if own is not None and not any((own / f"{name}.j2").is_file() for name in PROMPTS):
        raise InputError(
            f"--templates {folder} holds no template of AutoIF",
            fix=f"Put one of these into {own}: {', '.join(f'{name}.j2' for name in PROMPTS)}.",
        )
    prompts = {name: load_prompt(f"{METHOD}/{name}", folder) for name in PROMPTS}
    for name, slots in PROMPTS.items():
        prompts[name].render(**slots)  # a wrong slot shows now, not when its stage begins
    return prompts


def read_queries(
    data: Data, mapping: Mapping[str, str] | None, rules: Rules, *, skip_bad: bool = False
) -> tuple[Queries, str]:
    """The queries of a dataset, and its digest.

    Args:
        data: the dataset.
        mapping: which column is the instruction, where that is not known.
        rules: the bounds of a query's length.
        skip_bad: leave bad rows out (counted) instead of stopping.

    Raises:
        InputError: the data cannot be read, or holds no query of the right length.
    """
    if isinstance(data, Run):
        raise InputError(f"{data.path} is a run folder, not queries", fix="Name a data file or a Hub id.")
    loaded = load(data, map=mapping, skip_bad=skip_bad)
    found = eligible(loaded, rules)
    if not found.texts:
        why = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
        raise InputError(
            f"{loaded.name} has no query of more than {rules.query_longer_than} and fewer than "
            f"{rules.query_shorter_than} characters: {why}",
            fix="Name other data with --queries, or set --rule query_longer_than=N.",
        )
    if loaded.skipped:
        found.left_out["bad rows"] = loaded.skipped
    return found, loaded.digest


def autoif(seeds: StageInput, run: AutoIF) -> Run:
    """Run AutoIF's three stages, one after the other; those that are done are left as they are.

    Args:
        seeds: the seed instructions.
        run: what it is made with.

    Returns:
        The last stage's run; its ``before`` holds those of the other two. Of a dry run the first stage's: what the
        other two would take at the most is said with its estimate.

    Raises:
        InputError, ModelUnavailableError, BudgetReachedError, RunError: as any stage.
    """
    dry = bool(run.calling.get("dry_run"))
    require_sandbox(run.unsafe or dry)
    models = list(dict.fromkeys([run.model, run.teacher, *([run.judge] if run.rules.quality else [])]))
    if not dry:
        if not run.calling.get("fresh"):
            check_folder(run.out)
        check_models(models, run.extra_body, run.calling)
    run = replace(run, calling=priced_together(run.out, models, run.calling))
    if run.nli is None and run.rules.back_translated:
        log.warning("no --nli is given: step 5 of AutoIF, which looks for contradictions, is left out")
    written = write_instructions(seeds, run)
    if dry:
        assert written.estimate is not None
        later = formula(_later_calls(seeds, run), run.sampling)
        return replace(written, estimate=replace(written.estimate, said=later))
    found = find_functions(run)
    return replace(write_answers(run), before=(written, found))


def _later_calls(seeds: StageInput, run: AutoIF) -> list[StepCalls]:
    """The calls of the stages after the first, at the most."""
    return step_calls(
        run.rules,
        instructions=instructions_at_most(seeds.rows, run.rules),
        queries=len(run.queries.texts),
        model=str(parse_uri(run.model)),
        teacher=str(parse_uri(run.teacher)),
        judge=str(parse_uri(run.judge)),
    )


def write_instructions(seeds: StageInput, run: AutoIF) -> Run:
    """Step 1: OUT/instructions.parquet."""
    model = str(parse_uri(run.model))
    examples = examples_of(seeds, run.seed)

    def work(models: Mapping[str, ChatModel]) -> Work:
        made = SelfInstruct(models[model], examples, run.rules, run.prompts["self_instruct"], run.sampling, run.seed)
        return partial(instructions_of, run=made)

    return run_stage(
        "self-instruct",
        run.out,
        settings={
            **run.settings,
            "model": model,
            **run.rules_of("prompts", "instructions_per_prompt"),
            "templates": run.versions_of("self_instruct"),
        },
        source=prompts_after(seeds, run.rules.prompts),
        models=[run.model],
        work=work,
        group=lambda record: "new" if record.method else None,
        counts={"seeds": seeds.rows, **seeds.counts},
        extra_body=run.extra_body,
        reply_tokens=12 * run.rules.instructions_per_prompt,
        derive=lambda path: {"funnel": funnel.of_instructions(path, run.rules)},
        stand_in=lambda _, text: f"- {text.strip()}",
        **run.calling,
    )


def find_functions(run: AutoIF) -> Run:
    """Steps 2 to 6: OUT/evolved.parquet and OUT/functions.jsonl."""
    model = str(parse_uri(run.model))
    source = distinct(run.out / OUTPUTS["self-instruct"])
    sandbox = Sandbox(unsafe=run.unsafe)

    def work(models: Mapping[str, ChatModel]) -> Work:
        found = FindFunctions(
            model=models[model],
            rules=run.rules,
            prompts=run.prompts,
            sampling=run.sampling,
            seed=run.seed,
            sandbox=sandbox,
            nli=run.nli,
        )
        return partial(with_queries, run=found, queries=run.queries.texts, profile=run.profile)

    def derive(path: Path) -> dict[str, Any]:
        write_lines(run.out / FUNCTIONS, verified_instructions(read_records(path)))
        return {"funnel": funnel.of_verification(path, run.rules)}

    return _beside(
        run_stage(
            "evolve",
            run.out,
            settings={
                **run.settings,
                "profile": run.profile,
                "model": model,
                "nli": run.nli.identity if run.nli else None,
                "queries_data": run.queries_digest,
                **run.rules_of(
                    "samples",
                    "least_functions",
                    "least_cases",
                    "case_share",
                    "function_share",
                    "over_kept_cases",
                    "back_translated",
                    "queries",
                    "query_longer_than",
                    "query_shorter_than",
                ),
                "templates": run.versions_of("functions", *(["back_translation"] if run.rules.back_translated else [])),
            },
            source=source,
            models=[run.model],
            work=work,
            group=lambda record: "queries" if record.round else "instructions",
            counts={
                "instructions": source.rows,
                "queries": len(run.queries.texts),
                **{f"queries left out: {why}": count for why, count in run.queries.left_out.items()},
                **source.counts,
            },
            extra_body=run.extra_body,
            reply_tokens=ANSWER_TOKENS,
            tools=[sandbox],
            derive=derive,
            **run.calling,
        ),
        derive,
        FUNCTIONS,
    )


def write_answers(run: AutoIF) -> Run:
    """Steps 7 to 9 and the DPO pairs: OUT/responses.parquet, OUT/sft.jsonl and OUT/dpo.jsonl."""
    teacher, judge = str(parse_uri(run.teacher)), str(parse_uri(run.judge))
    evolved = stage_input(
        run.out, before="evolve", out=run.out, wanted=lambda status, round: status == "ok" and round > 0
    )
    source = with_functions(evolved, run.out / OUTPUTS["evolve"], run.rules.queries)
    if not source.rows:
        raise RunError(
            f"no instruction of {run.out} was verified: there is nothing to answer",
            fix=f"See why: evolvent show {run.out}. More samples, another --model or --profile may help.",
        )
    sandbox = Sandbox(unsafe=run.unsafe)
    models = [run.teacher, *([run.judge] if run.rules.quality else [])]

    def work(opened: Mapping[str, ChatModel]) -> Work:
        answering = Answering(
            teacher=opened[teacher],
            judge=opened[judge] if run.rules.quality else None,
            rules=run.rules,
            sampling=run.sampling,
            seed=run.seed,
            sandbox=sandbox,
            prompts=run.prompts,
            profile=run.profile,
        )
        return partial(answered, run=answering)

    def derive(path: Path) -> dict[str, Any]:
        sft = write_lines(run.out / SFT, sft_rows(read_records(path)))
        dpo = write_lines(run.out / DPO, dpo_rows(read_records(path), run.rules, run.seed))
        return {"funnel": funnel.of_answers(path, run.rules, sft=sft, dpo=dpo)}

    return _beside(
        run_stage(
            "respond",
            run.out,
            settings={
                **run.settings,
                "profile": run.profile,
                "teacher": teacher,
                "judge": judge if run.rules.quality else None,
                **run.rules_of("responses", "response_share", "quality", "chosen_share", "pair_samples"),
                "templates": run.versions_of("answer", *(["quality"] if run.rules.quality else [])),
            },
            source=source,
            models=models,
            work=work,
            group=lambda record: record.teacher,
            counts={"queries": source.rows, **source.counts},
            extra_body=run.extra_body,
            reply_tokens=ANSWER_TOKENS,
            tools=[sandbox],
            derive=derive,
            **run.calling,
        ),
        derive,
        SFT,
        DPO,
    )


def _beside(run: Run, derive: Callable[[Path], object], *names: str) -> Run:
    """A stage's run with the files that it made beside its own; those that somebody has removed are made again."""
    files = tuple(run.path / name for name in names)
    if run.already_done and not all(file.is_file() for file in files):
        derive(run.output)
    return replace(run, beside=files)
