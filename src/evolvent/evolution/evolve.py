"""The evolve stage: seeds in, what a method makes of them out, in a run folder that can be stopped and gone on with."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.applied import Applied, shown_how
from evolvent.evolution.auto_evol_instruct.history import read_method
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.evolution.autoif.options import AutoIFOptions
from evolvent.evolution.elimination import RULES
from evolvent.evolution.evol_instruct import choose_operators
from evolvent.evolution.options import EVOLVE, AutoEvolInstructOptions, EvolInstructOptions, Evolve
from evolvent.evolution.templates import load_prompt
from evolvent.evolution.trajectory import STAGE, Evolution, Profile, Rewriting
from evolvent.models.models import Models, chat_need, opened
from evolvent.models.output_breadth import ALTERNATIVES, COLUMNS
from evolvent.models.protocols import Sampling
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, implements
from evolvent.records import Record
from evolvent.runs.engine import run
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.pilot import preview
from evolvent.runs.run import Run
from evolvent.runs.stage import Rehearsed, Stage, chat_settings


@implements(EVOLVE)
def evolve(
    seeds: Data | None = None,
    *,
    given: Evolve,
    by: EvolInstructOptions | AutoEvolInstructOptions | AutoIFOptions,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Run:
    """Evolve seeds, round after round: OUT/evolved.parquet.

    Every seed and every evolution is a row. Run again with the same arguments it goes on where it stopped; calls that
    were answered are not made again.

    Returns:
        The run: its path, counts, and the evolved records; of AutoIF its ``stages`` hold the two others; of a preview
        its ``preview`` holds what was made.

    Raises:
        InputError: wrong options, unreadable seeds, or a run folder that holds something else.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    with opened(models) as shared:
        if isinstance(by, AutoIFOptions):
            if given.preview:
                raise InputError(
                    f"{given.method} has no --preview: each of its stages needs all of what the one before makes",
                    fix="See --dry-run, or begin with few: --rule prompts=2, in another --out.",
                )
            from evolvent.evolution.autoif.autoif import autoif  # the others need no sandbox

            return autoif(seeds, given, by, reading, calling, shared)
        stage = evolve_stage(read_seeds(seeds, given, reading), given, by, calling)
        if given.preview:
            return preview(stage, given.out, given.preview, shared, calling)
        return run(stage, given.out, shared, calling)


def read_seeds(seeds: Data | None, given: Evolve, reading: Reading) -> StageInput:
    """The seeds that a method rewrites, checked.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    return stage_input(
        check_seeds(given.method, seeds),
        before=None,
        out=given.out,
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )


def evolve_stage(
    source: StageInput, given: Evolve, by: EvolInstructOptions | AutoEvolInstructOptions, calling: Calling
) -> Stage:
    """The stage that evolves seeds by rewriting them.

    Raises:
        InputError: wrong options.
    """
    if by.retry_eliminated and given.temperature == 0 and by.profile != "small":
        raise InputError(
            "at temperature 0 an eliminated evolution is drawn again as it was",
            fix="Leave out --retry-eliminated, or draw at a --temperature above 0.",
        )
    if by.retry_eliminated and by.profile == "paper":
        raise InputError("the paper profile eliminates nothing", fix="Leave --retry-eliminated or --profile out.")
    if by.profile == "paper" and given.judge:
        raise InputError(
            "the paper profile eliminates nothing, so it takes no judge", fix="Leave --judge or --profile out."
        )
    rewritings, settings, begins = rewritings_of(by)
    equality = load_prompt("equality") if given.judge else None
    how = Evolution(
        evolver=str(parse_uri(given.model)),
        rewritings=rewritings,
        rounds=by.rounds,
        profile=cast(Profile, by.profile),
        sampling=Sampling(
            given.temperature, given.top_p, given.max_tokens, top_logprobs=ALTERNATIVES if by.logprobs else 0
        ),
        seed=given.seed,
        judge=str(parse_uri(given.judge)) if given.judge else None,
        equality=equality,
        system=by.system,
        retries=by.retry_eliminated,
        without=by.without_rules or (),
    )
    return Stage(
        name=STAGE,
        settings={
            "method": given.method,
            "profile": how.profile,
            "rounds": how.rounds,
            "model": how.evolver,
            "judge": {how.judge: equality.version} if equality else None,
            "retry_eliminated": how.retries,
            "without_rules": sorted(set(how.without)),
            "system": how.system,
            "logprobs": by.logprobs or None,  # earlier versions' folders hold none
            **chat_settings(given, calling),
            **settings,
        },
        source=source,
        needs=tuple(chat_need(uri, calling) for uri in (given.model, given.judge) if uri),
        work=how,
        trial=how.try_out,
        columns=COLUMNS if by.logprobs else (),
        group=by_round,
        notes=how.notes,
        counts={"seeds": source.rows, **source.counts},
        dry_run=Rehearsed(reply_begins=begins, work=replace(how, without=RULES)),
        calls_each=how.rounds * (2 if how.judge else 1),
        grows=("rounds", "retry_eliminated", "max_tokens", "input"),
    )


def check_seeds(method: str, seeds: Data | None) -> Data:
    """The seeds of a method that has none of its own.

    Raises:
        InputError: there are none.
    """
    if seeds is None:
        raise InputError(f"{method} needs seeds", fix="Name a data file or a Hub id.")
    return seeds


def rewritings_of(
    by: EvolInstructOptions | AutoEvolInstructOptions,
) -> tuple[tuple[Rewriting, ...], dict[str, Any], str]:
    """A method's rewritings, its settings, and what its replies begin with.

    Raises:
        InputError: an unknown operator, or a method file that cannot be used.
    """
    if isinstance(by, EvolInstructOptions):
        operators = choose_operators(
            by.operators, breadth=by.breadth, templates=by.templates, profile=cast(Profile, by.profile)
        )
        return operators, {"operators": [[one.operator, one.version] for one in operators]}, ""
    method = read_method(Path(by.method_file)) if by.method_file else initial_method()
    applied = shown_how(method) if by.profile == "small" else Applied(method)
    return (applied,), {"evolving_method": applied.version}, f"#{method.final_heading}#:\n"


def by_round(record: Record) -> str | None:
    """What a row is counted under."""
    return f"round {record.round}" if record.round else None
