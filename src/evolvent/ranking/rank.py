"""rank: every candidate goes through the same stages in a folder of its own; then their figures are compared."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evolvent.errors import InputError, RunError
from evolvent.evolution.evolve import evolve
from evolvent.files import make_folder
from evolvent.metrics.absent import NoScoresError
from evolvent.metrics.options import SCORE
from evolvent.metrics.score import own_columns, score
from evolvent.models.models import Models, opened
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, collect, implements
from evolvent.ranking.candidates import (
    PLAN,
    SAMPLE,
    Candidates,
    calls_of,
    costs,
    fates,
    folders_of,
    priced,
)
from evolvent.ranking.figures import figures
from evolvent.ranking.measured import evolutions, measured
from evolvent.ranking.options import RANK_DATA, RANK_EVOLVERS, RANK_TEACHERS, RankEvolvers, Ranking, RankTeachers
from evolvent.ranking.order import order
from evolvent.ranking.result import BaseRanking, Ranked, write_result
from evolvent.ranking.sample import common, sampled, write_plan, write_sample
from evolvent.ranking.verdict import flags, sentence, together
from evolvent.records import Record
from evolvent.report.tables import short_names
from evolvent.responses.respond import respond
from evolvent.runs.inputs import Data, StageInput, Wanted, stage_input
from evolvent.stages import file_of, read_by

# How it is decided; it stands in the plan.
RULE = (
    "By each figure: the model confidence set (family-wise 95 %, paired bootstrap over seeds); a candidate outside of "
    "it is worse. One is the best only where every figure says so. These figures shortlist; a trial training decides."
)
OF_PAIRS = ("ifd", "ic_ifd", "grape", "rsr")


@implements(RANK_TEACHERS)
def rank_teachers(
    instructions: Data | None = None,
    *,
    by: RankTeachers,
    given: Ranking,
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
    drawing = {name: getattr(by, name) for name in ("system", "temperature", "top_p", "max_tokens")}
    _plan("teachers", candidates, given, calling, sources, {"rows": len(asked), **drawing})
    sample = write_sample(asked, given.out / SAMPLE)
    with opened(models) as shared:

        def answer(name: str, folder: Path) -> Data:
            if name in answers:
                return write_sample(answers[name], folder / SAMPLE)
            calls = calls_of(calling, folder, candidates.folders.values())
            teacher = [teachers[name]]
            return respond(sample, teacher=teacher, out=folder, seed=given.seed, **drawing, **calls, models=shared)

        return _ranked(candidates, answer, given, calling, shared, _seeds(asked))


@implements(RANK_DATA)
def rank_data(
    data: Mapping[str, Data], *, given: Ranking, reading: Reading, calling: Calling, models: Models | None = None
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
    _plan("data", candidates, given, calling, sources, {"rows": {name: len(of) for name, of in rows.items()}})
    with opened(models) as shared:

        def take(name: str, folder: Path) -> Data:
            return write_sample(rows[name], folder / SAMPLE)

        seeds = _seeds([record for of in rows.values() for record in of])
        return _ranked(candidates, take, given, calling, shared, seeds)


@implements(RANK_EVOLVERS)
def rank_evolvers(
    seeds: Data,
    *,
    by: RankEvolvers,
    given: Ranking,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Ranked:
    """Rank evolvers for a base model: each evolves the same seeds, one teacher answers them all, the pairs are scored.

    Returns:
        The rankings, with the candidates' folders.

    Raises:
        InputError: fewer than two candidates, unreadable seeds, or a folder that was planned otherwise.
        BudgetReachedError: the budget is spent.
        RunError: no candidate got through.
    """
    evolvers = {str(parse_uri(uri)): uri for uri in by.model}
    candidates = Candidates(folders_of(list(evolvers), given.out))
    calling = priced(calling, [*evolvers, by.teacher, *([given.judge] if given.judge else [])])
    source = stage_input(seeds, before=None, **_how(reading))
    asked = sampled(source, given.sample, given.seed)
    drawing = ("profile", "rounds", "logprobs", "temperature", "top_p", "max_tokens")
    options = {name: getattr(by, name) for name in drawing}
    further = {"rows": len(asked), "teacher": str(parse_uri(by.teacher)), "embedder": by.embedder, **options}
    _plan("evolvers", candidates, given, calling, {"seeds": source}, further)
    sample = write_sample(asked, given.out / SAMPLE)
    with opened(models) as shared:

        def evolve_and_answer(name: str, folder: Path) -> Data:
            def calls() -> dict[str, Any]:
                return calls_of(calling, folder, candidates.folders.values())

            evolve(sample, model=evolvers[name], out=folder, seed=given.seed, **options, **calls(), models=shared)
            length, teacher = by.max_tokens, [by.teacher]
            return respond(
                folder, teacher=teacher, out=folder, seed=given.seed, max_tokens=length, **calls(), models=shared
            )

        return _ranked(candidates, evolve_and_answer, given, calling, shared, {}, by=by)


def _ranked(
    candidates: Candidates,
    prepare: Callable[[str, Path], Data],
    given: Ranking,
    calling: Calling,
    models: Models,
    seeds: Mapping[str, str],
    *,
    by: RankEvolvers | None = None,
) -> Ranked:
    """Let candidates make their pairs, score these for each base model, and put the candidates in order.

    Args:
        candidates: the candidates.
        prepare: makes a candidate's pairs, and says where they are.
        given, calling, models: as the callers have them.
        seeds: by question of the sample the seed that it was evolved from, where it was.
        by: how evolvers evolve, if the candidates are evolvers.
    """
    pairs: dict[str, Data] = {}

    def make(name: str, folder: Path) -> None:
        pairs[name] = prepare(name, folder)

    candidates.each(make)
    rankings = [_for_base(base, candidates, pairs, given, calling, models, seeds, by) for base in given.base_model]
    folders = candidates.folders
    ranked = Ranked(
        given.out,
        given.out / PLAN,
        folders,
        candidates.ended,
        rankings,
        {name: fates(folder) for name, folder in folders.items()},
        {name: costs(folder) for name, folder in folders.items()},
    )
    write_result(ranked)
    return ranked


def _for_base(
    base_model: str,
    candidates: Candidates,
    pairs: Mapping[str, Data],
    given: Ranking,
    calling: Calling,
    models: Models,
    seeds: Mapping[str, str],
    by: RankEvolvers | None,
) -> BaseRanking:
    """The ranking for one base model: pairs that it cannot score end their candidate for it alone."""
    options = {**_scores(given, by), "base_model": base_model}
    columns: dict[str, Mapping[str, str]] = {}

    def measure(name: str, folder: Path) -> None:
        calls = calls_of(calling, folder, candidates.folders.values())
        with suppress(NoScoresError):  # a figure that a candidate lacks is said beside the others'
            score(pairs[name], out=folder, **options, **calls, models=models)
        asked, _, called = collect(SCORE, {**options, "out": folder, **calls})
        columns[name] = own_columns(folder, asked, called)

    scored = Candidates(candidates.through)
    try:
        scored.each(measure)
    except RunError as error:
        return BaseRanking(base_model, [], [error.message], [])
    short, through = short_names(candidates.folders)[0], scored.through
    of_pairs = measured({name: folder / file_of("score") for name, folder in through.items()}, columns, seeds)
    evolved = by is not None
    orders = [order(of_pairs, one, seed=given.seed) for one in figures(of_pairs.scores, given.beta, evolved=evolved)]
    if evolved:
        files = {name: folder / file_of("evolve") for name, folder in candidates.folders.items()}
        of_seeds = evolutions({name: file for name, file in files.items() if file.is_file()})
        first = [order(of_seeds, one, seed=given.seed) for one in figures(of_seeds.scores, given.beta, evolved=True)]
        orders = [*first, *orders]
    verdict = [*(sentence(one, short) for one in orders if one.standings), together(orders, short)]
    roles = {"the judge": given.judge, "the common teacher": by.teacher if by else None}
    notes = [f"{short[name]} has no scores: {why}" for name, why in scored.ended.items()]
    return BaseRanking(base_model, orders, verdict, [*notes, *flags(of_pairs, orders, base_model, roles, short)])


def _seeds(records: Sequence[Record]) -> dict[str, str]:
    """By question the seed that a record was evolved from; those of a data file are seeds themselves."""
    return {record.question: record.seed_id for record in records if record.round}


def _scores(given: Ranking, by: RankEvolvers | None) -> dict[str, Any]:
    """The options of score: which metrics, by which models."""
    judged, rewarded = ("judge_score", "reward") if by is None else ("difficulty_score", "evolution_reward")
    embedder = by.embedder if by is not None else None
    supplied = {judged: given.judge, rewarded: given.reward_model, "mnd": embedder}
    metrics = (*OF_PAIRS, *(name for name, uri in supplied.items() if uri is not None))
    named = {"judge": given.judge, "reward_model": given.reward_model, "embedder": embedder}
    return {"metrics": metrics, **named}


def _plan(
    kind: str,
    candidates: Candidates,
    given: Ranking,
    calling: Calling,
    sources: Mapping[str, StageInput],
    further: Mapping[str, Any],
) -> None:
    """Write what is compared and how it is decided, before the first call and before any sample."""
    make_folder(given.out)
    ranked = {name: value for name, value in asdict(given).items() if name != "out"}
    inputs = {name: source.about["digest"] for name, source in sources.items()}
    plan = {"ranked": kind, "candidates": list(candidates.folders), "input": inputs, "rule": RULE, **ranked, **further}
    write_plan(given.out, plan, fresh=calling.fresh)


def _input(data: Data, reading: Reading) -> StageInput:
    """Pairs that exist: of a run folder its responses."""
    return stage_input(data, before=read_by("score"), **_how(reading))


def _how(reading: Reading) -> dict[str, Any]:
    return {"format": reading.format, "map": reading.map, "skip_bad": reading.skip_bad}
