"""rank: every candidate goes through the same stages in a folder of its own; then their figures are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evolvent.errors import InputError, RunError
from evolvent.evolution.evolve import evolve
from evolvent.files import make_folder
from evolvent.metrics.all_metrics import chosen
from evolvent.models.models import Models, opened
from evolvent.models.output_breadth import COLUMNS as BREADTH
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, implements
from evolvent.ranking.candidates import (
    PLAN,
    SAMPLE,
    Candidates,
    costs,
    cut_short,
    fates,
    folders_of,
    priced,
)
from evolvent.ranking.described import car_sweep, described
from evolvent.ranking.figures import KEPT, figures
from evolvent.ranking.measured import evolutions, measured, stands_with
from evolvent.ranking.options import (
    RANK_DATA,
    RANK_EVOLVERS,
    RANK_TEACHERS,
    RankEvolvers,
    Ranking,
    RankTeachers,
    Trial,
)
from evolvent.ranking.order import Order, order
from evolvent.ranking.result import BaseRanking, Ranked, write_result
from evolvent.ranking.sample import common, sampled, write_plan, write_sample
from evolvent.ranking.scoring import score_options, scored
from evolvent.ranking.setup import Setup
from evolvent.ranking.students import check_trial
from evolvent.ranking.trial import chosen_rows, tried
from evolvent.ranking.trial_rows import TrialRows
from evolvent.ranking.validate import against_trials
from evolvent.ranking.verdict import flags, verdict_of
from evolvent.records import Record
from evolvent.responses.respond import respond
from evolvent.runs.inputs import Data, StageInput, Wanted, stage_input
from evolvent.stages import file_of, read_by

# How it is decided; it stands in the plan.
RULE = (
    "By each figure: the model confidence set (family-wise 95 %, paired bootstrap over seeds); a candidate outside of "
    "it is worse. One is the best only where every figure says so. These figures shortlist; a trial training decides."
)
OF_TRIALS = (
    "The trial decides, by the model confidence set over items and training seeds (hierarchical paired bootstrap): a "
    "candidate outside of it is worse, by any task. It decides among candidates whose students learned: their training "
    "loss fell, and their loss on held-out rows moved, both beyond noise. Without two of these it decides nothing."
)


@implements(RANK_TEACHERS)
def rank_teachers(
    instructions: Data | None = None,
    *,
    by: RankTeachers,
    given: Ranking,
    trial: Trial,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Ranked:
    """Rank teachers for a base model: each answers the same instructions, and the answers are scored.

    Answers that exist take part without a call; then the sample is of the instructions that all of them answer, and the
    teachers answer these.

    Returns:
        The rankings, with the candidates' folders.

    Raises:
        InputError: fewer than two candidates, no instructions, wrong options, or a folder that was planned otherwise.
        BudgetReachedError: the budget is spent.
        RunError: no candidate got through.
    """
    if (instructions is None) == (not by.responses):
        raise InputError(
            "teachers need either instructions to answer, or --responses with answers, whose instructions they answer",
            fix="Give one of the two.",
        )
    teachers = {str(parse_uri(uri)): uri for uri in by.teacher}
    candidates = Candidates(folders_of([*teachers, *(by.responses or {})], given.out))
    calling = priced(calling, [*teachers, *([given.judge] if given.judge else [])])
    files = {name: _input(data, reading) for name, data in (by.responses or {}).items()}
    answers: dict[str, list[Record]] = {}
    if instructions is None:
        answers = common(files, given.sample, given.seed)
        asked, sources = next(iter(answers.values())), files
    else:
        wanted = Wanted(first_round=1)
        source = stage_input(instructions, before=read_by("respond"), wanted=wanted, **_how(reading))
        asked, sources = sampled(source, given.sample, given.seed), {"instructions": source}
    _check_seeds(asked)
    drawing = {name: getattr(by, name) for name in ("system", "temperature", "top_p", "max_tokens")}
    _plan("teachers", candidates, given, trial, calling, sources, {"rows": len(asked), **drawing})
    sample = write_sample(asked, given.out / SAMPLE)
    with opened(models) as shared:
        setup = Setup(
            candidates=candidates, given=given, trial=trial, calling=calling, models=shared, seeds=_seeds(asked)
        )

        def answer(name: str, folder: Path) -> Data:
            if name in answers:
                return write_sample(answers[name], folder / SAMPLE)
            how = {"teacher": [teachers[name]], "seed": given.seed, **drawing, **setup.calls(folder)}
            return respond(sample, out=folder, **how, models=shared)

        return _ranked(setup, answer)


@implements(RANK_DATA)
def rank_data(
    data: Mapping[str, Data],
    *,
    given: Ranking,
    trial: Trial,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Ranked:
    """Rank data sets for a base model by a sample of each: a new run against the last one, say.

    Returns:
        The rankings, with the candidates' folders.

    Raises:
        InputError: fewer than two data sets, one that cannot be read, or a folder that was planned otherwise.
        RunError: none could be scored.
    """
    candidates = Candidates(folders_of(list(data), given.out))
    calling = priced(calling, [given.judge] if given.judge else [])
    sources = {name: _input(one, reading) for name, one in data.items()}
    rows = {name: sampled(source, given.sample, given.seed) for name, source in sources.items()}
    _check_seeds([record for of in rows.values() for record in of])
    _plan("data", candidates, given, trial, calling, sources, {"rows": {name: len(of) for name, of in rows.items()}})
    seeds = _seeds([record for of in rows.values() for record in of])
    with opened(models) as shared:
        setup = Setup(candidates=candidates, given=given, trial=trial, calling=calling, models=shared, seeds=seeds)
        return _ranked(setup, lambda name, folder: write_sample(rows[name], folder / SAMPLE))


@implements(RANK_EVOLVERS)
def rank_evolvers(
    seeds: Data,
    *,
    by: RankEvolvers,
    given: Ranking,
    trial: Trial,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Ranked:
    """Rank evolvers for a base model: each evolves the same seeds, one teacher answers them all, the pairs are scored.

    Without a teacher there are no pairs: what is left is what the rules kept, and how sure each evolver was.

    Returns:
        The rankings, with the candidates' folders.

    Raises:
        InputError: fewer than two candidates, unreadable seeds, or a folder that was planned otherwise.
        BudgetReachedError: the budget is spent.
        RunError: no candidate got through.
    """
    evolvers = {str(parse_uri(uri)): uri for uri in by.model}
    candidates = Candidates(folders_of(list(evolvers), given.out))
    _check_teacher(by, given, trial)
    calling = priced(calling, [*evolvers, *(uri for uri in (by.teacher, given.judge) if uri)])
    source = stage_input(seeds, before=None, **_how(reading))
    asked = sampled(source, given.sample, given.seed)
    _check_seeds(asked)
    drawing = ("profile", "rounds", "logprobs", "temperature", "top_p", "max_tokens")
    options = {name: getattr(by, name) for name in drawing}
    further = {
        "rows": len(asked),
        "teacher": by.teacher and str(parse_uri(by.teacher)),
        "embedder": by.embedder,
        **options,
    }
    _plan("evolvers", candidates, given, trial, calling, {"seeds": source}, further, by)
    sample = write_sample(asked, given.out / SAMPLE)
    with opened(models) as shared:
        setup = Setup(candidates=candidates, given=given, trial=trial, calling=calling, models=shared, by=by)

        def evolve_and_answer(name: str, folder: Path) -> Data:
            how = {"out": folder, "seed": given.seed, "models": shared}
            evolve(sample, model=evolvers[name], **options, **how, **setup.calls(folder))
            if by.teacher is None:
                return folder
            return respond(folder, teacher=[by.teacher], max_tokens=by.max_tokens, **how, **setup.calls(folder))

        return _ranked(setup, evolve_and_answer)


def _ranked(setup: Setup, prepare: Callable[[str, Path], Data]) -> Ranked:
    """Let candidates make their pairs, score these for each base model, and put the candidates in order.

    Args:
        setup: the ranking.
        prepare: makes a candidate's pairs, and says where they are.
    """
    candidates, given, pairs = setup.candidates, setup.given, dict[str, Data]()

    def make(name: str, folder: Path) -> None:
        pairs[name] = prepare(name, folder)

    candidates.each(make)
    rankings = [_for_base(base, pairs, setup) for base in given.base_model]
    if setup.trial.trial:
        setup.models.close()  # students need the memory; what is needed again is opened again
        rows = chosen_rows({name: pairs[name] for name in candidates.through}, setup)
        rankings = [_tried(one, rows, setup) for one in rankings]
    folders = candidates.folders
    ranked = Ranked(
        given.out,
        given.out / PLAN,
        folders,
        candidates.ended,
        rankings,
        {name: fates(folder) for name, folder in folders.items()},
        {name: costs(folder) for name, folder in folders.items()},
        against_trials({one.base_model: one.orders for one in rankings}, setup.trial.trial_tasks),
    )
    write_result(ranked)
    return ranked


def _for_base(base_model: str, pairs: Mapping[str, Data], setup: Setup) -> BaseRanking:
    """The ranking for one base model: pairs that it cannot score end their candidate for it alone."""
    given, by, short, candidates = setup.given, setup.by, setup.short, setup.candidates
    notes = [f"{short[name]} ended: {_line(why)}" for name, why in candidates.ended.items()]
    notes += [f"{short[name]}: {line}" for name, folder in candidates.folders.items() for line in cut_short(folder)]
    found, orders = None, list[Order]()
    means, sweep = dict[str, dict[str, float]](), dict[str, dict[str, Sequence[str]]]()
    if by is not None:
        files = {name: folder / file_of("evolve") for name, folder in candidates.folders.items()}
        found = evolutions({name: file for name, file in files.items() if file.is_file()})
        made = figures(found.scores, given.beta, evolved=True)
        orders += [order(found, one, seed=given.seed) for one in made]
        notes += [] if by.teacher else ["without --teacher nothing is answered: figures of pairs are left out"]
    try:
        columns, ended = scored(base_model, pairs, setup) if by is None or by.teacher is not None else ({}, {})
    except RunError as error:
        columns, ended = {}, {}
        notes.append(_line(error.message))
    notes += [f"{short[name]} has no scores: {_line(why)}" for name, why in ended.items()]
    if columns:
        files = {name: candidates.folders[name] / file_of("score") for name in columns}
        found = measured(files, columns, setup.seeds)
        shifts = found.shifts(("reward", "judge_score")) if given.shift_rewards else {}
        made = figures(found.scores, given.beta, evolved=by is not None, shifts=shifts)
        orders += [order(found, one, seed=given.seed) for one in made]
        notes += [f"{shift:.4g} is added to every {name} in CAR" for name, shift in shifts.items() if shift]
        means, sweep = described(found), car_sweep(found, shifts)
    orders = _with_ended(orders, setup)
    if found is not None:
        roles = {"the judge": given.judge, "the common teacher": by.teacher if by else None}
        notes += flags(found, orders, base_model, roles, short)
    verdict = verdict_of(orders, short, trial=False)
    return BaseRanking(base_model, orders, verdict, notes, means=means, sweep=sweep)


def _with_ended(orders: Sequence[Order], setup: Setup) -> list[Order]:
    """Orders with the candidates that ended before, and so lack their figures."""
    ended = dict.fromkeys(setup.candidates.folders, "it ended before")
    return [
        replace(one, without={**{name: why for name, why in ended.items() if name not in one.goodness}, **one.without})
        for one in orders
    ]


def _line(message: str) -> str:
    """A message in one line."""
    return " ".join(message.split())


def _check_teacher(by: RankEvolvers, given: Ranking, trial: Trial) -> None:
    """Check that there is a teacher where answers are needed.

    Raises:
        InputError: there is none.
    """
    of_models = {"--judge": given.judge, "--reward-model": given.reward_model, "--embedder": by.embedder}
    wanting = [*(name for name, uri in of_models.items() if uri), *(["--trial"] if trial.trial else [])]
    if by.teacher is None and wanting:
        raise InputError(f"{wanting[0]} needs answers to the evolutions", fix="Name who gives them: --teacher URI.")


def _tried(ranking: BaseRanking, rows: TrialRows, setup: Setup) -> BaseRanking:
    """A ranking with what a trial says, which decides it."""
    of_trial, found = tried(ranking.base_model, rows, setup)
    orders = [*ranking.orders, *_with_ended(of_trial, setup)]
    return replace(ranking, orders=orders, verdict=verdict_of(orders, setup.short, trial=True), trial=found)


def _seeds(records: Sequence[Record]) -> dict[str, str]:
    """By question the seed that a record was evolved from, or that it is, if others were evolved from it."""
    evolved = {record.question: record.seed_id for record in records if record.round}
    seeds = set(evolved.values())
    return {record.question: record.id for record in records if record.id in seeds} | evolved


def _check_seeds(records: Sequence[Record]) -> None:
    """Check, before anything is called, that there is more than one seed to draw from.

    Raises:
        InputError: there is not.
    """
    seeds = _seeds(records)
    if len({stands_with(record, seeds) for record in records}) < 2:
        raise InputError(
            "all rows are of one seed: nothing would tell how much figures vary",
            fix="Give two at the least; some hundred tell candidates apart.",
        )


def _plan(
    kind: str,
    candidates: Candidates,
    given: Ranking,
    trial: Trial,
    calling: Calling,
    sources: Mapping[str, StageInput],
    further: Mapping[str, Any],
    by: RankEvolvers | None = None,
) -> None:
    """Write what is compared and how it is decided, before the first call and before any sample."""
    ranked = {name: value for name, value in asdict(given).items() if name != "out"}
    inputs = {name: source.about["digest"] for name, source in sources.items()}
    plan = {"ranked": kind, "candidates": list(candidates.folders), "input": inputs, "rule": RULE, **ranked, **further}
    plan["figures"] = _planned(given, by)
    if trial.trial:
        students = len(candidates.folders) * trial.trial_seeds * len(given.base_model)
        of_trial = check_trial(trial, given.base_model, given.judge)
        plan |= {"rule": f"{RULE} {OF_TRIALS}", "trial": {**of_trial, "students": students}}
    make_folder(given.out)
    write_plan(given.out, plan, fresh=calling.fresh)


def _planned(given: Ranking, by: RankEvolvers | None) -> dict[str, str]:
    """The figures that candidates will be ranked by, and which way is good."""
    columns = {column.name for metric in chosen(score_options(given, by)["metrics"]) for column in metric.columns}
    if by is not None:
        made = {KEPT, *(column.name for column in BREADTH if by.logprobs)}
        columns = made | (columns if by.teacher is not None else set())
    found = figures(columns, given.beta, evolved=by is not None)
    return {one.name: "low is good" if one.lower else "high is good" for one in found}


def _input(data: Data, reading: Reading) -> StageInput:
    """Pairs that exist: of a run folder its responses."""
    return stage_input(data, before=read_by("score"), **_how(reading))


def _how(reading: Reading) -> dict[str, Any]:
    return {"format": reading.format, "map": reading.map, "skip_bad": reading.skip_bad}
