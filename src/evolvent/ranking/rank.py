"""rank: every candidate goes through the same stages in a folder of its own; then their figures are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError
from evolvent.evolution.evolve import evolve
from evolvent.files import replacing
from evolvent.metrics.options import SCORE
from evolvent.metrics.score import own_columns, score
from evolvent.models.models import Models, opened
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, collect, implements
from evolvent.ranking.candidates import Candidates, calls_of, costs, fates, folders_of
from evolvent.ranking.figures import figures
from evolvent.ranking.measured import evolutions, measured
from evolvent.ranking.options import RANK_DATA, RANK_EVOLVERS, RANK_TEACHERS, RankEvolvers, Ranking, RankTeachers
from evolvent.ranking.order import Order, order
from evolvent.ranking.sample import PLAN, common, sampled, write_plan, write_sample
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
RESULT = "ranking.json"
OF_PAIRS = ("ifd", "ic_ifd", "grape", "rsr")


@dataclass(frozen=True, slots=True)
class BaseRanking:
    """The ranking for one base model.

    Attributes:
        base_model: its URI.
        orders: the candidates' order by each figure.
        verdict: what each figure says, then what they say together.
        flags: what makes it less sure than that.
    """

    base_model: str
    orders: Sequence[Order]
    verdict: Sequence[str]
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a ranking found.

    Attributes:
        folder: the run folder, with a folder for each candidate.
        plan: the file that was written before the first call; beside it ``ranking.json`` holds all of this.
        candidates: their names, and the folder of each.
        ended: for each candidate that did not get through, why.
        rankings: one for each base model.
        fates: for each candidate what became of its rows, by stage.
        costs: for each candidate what its calls took.
    """

    folder: Path
    plan: Path
    candidates: Mapping[str, Path]
    ended: Mapping[str, str]
    rankings: Sequence[BaseRanking]
    fates: Mapping[str, Mapping[str, int]]
    costs: Mapping[str, Mapping[str, float]]


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
            "teachers are ranked on instructions that they answer, or by --responses that there are",
            fix="Give one of both: instructions stand in the files of answers, too.",
        )
    files = {name: _input(data, reading) for name, data in (by.responses or {}).items()}
    teachers = [str(parse_uri(uri)) for uri in by.teacher]
    candidates = Candidates(folders_of([*teachers, *files], given.out))
    answers: dict[str, list[Record]] = {}
    if instructions is None:
        answers = common(files, given.sample, given.seed)
        asked = next(iter(answers.values()))
    else:
        wanted = Wanted(first_round=1)
        source = stage_input(instructions, before=read_by("respond"), wanted=wanted, **_how(reading))
        asked = sampled(source, given.sample, given.seed)
    _plan("teachers", candidates, given, calling, len(asked), asdict(by))
    sample = write_sample(asked, given.out / "sample.jsonl")
    drawing = {name: getattr(by, name) for name in ("system", "temperature", "top_p", "max_tokens")}
    with opened(models) as shared:

        def answer(name: str, folder: Path) -> Data:
            if name in answers:
                folder.mkdir(parents=True, exist_ok=True)
                return write_sample(answers[name], folder / "sample.jsonl")
            calls = calls_of(calling, folder, candidates.folders.values())
            return respond(
                sample, teacher=[name], out=folder, seed=given.seed, round=None, **drawing, **calls, models=shared
            )

        return _ranked(candidates, answer, given, calling, shared)


@implements(RANK_DATA)
def rank_data(
    data: Mapping[str, str], *, given: Ranking, reading: Reading, calling: Calling, models: Models | None = None
) -> Ranked:
    """Rank data sets for a base model by a sample of each: a new run against the last one, say.

    Returns:
        The rankings, with the candidates' folders.

    Raises:
        InputError: fewer than two data sets, one that cannot be read, or a folder that was planned otherwise.
        RunError: none could be scored.
    """
    candidates = Candidates(folders_of(list(data), given.out))
    rows = {name: sampled(_input(one, reading), given.sample, given.seed) for name, one in data.items()}
    _plan("data", candidates, given, calling, given.sample, {"data": dict(data)})
    with opened(models) as shared:

        def take(name: str, folder: Path) -> Data:
            folder.mkdir(parents=True, exist_ok=True)
            return write_sample(rows[name], folder / "sample.jsonl")

        return _ranked(candidates, take, given, calling, shared)


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
    candidates = Candidates(folders_of([str(parse_uri(uri)) for uri in by.model], given.out))
    asked = sampled(stage_input(seeds, before=None, **_how(reading)), given.sample, given.seed)
    _plan("evolvers", candidates, given, calling, len(asked), asdict(by))
    sample = write_sample(asked, given.out / "sample.jsonl")
    drawing = ("profile", "rounds", "logprobs", "temperature", "top_p", "max_tokens")
    options = {name: getattr(by, name) for name in drawing}
    with opened(models) as shared:

        def evolve_and_answer(name: str, folder: Path) -> Data:
            calls = calls_of(calling, folder, candidates.folders.values())
            evolve(sample, model=name, out=folder, seed=given.seed, **options, **calls, models=shared)
            calls = calls_of(calling, folder, candidates.folders.values())
            return respond(
                folder,
                teacher=[by.teacher],
                out=folder,
                seed=given.seed,
                max_tokens=by.max_tokens,
                **calls,
                models=shared,
            )

        return _ranked(candidates, evolve_and_answer, given, calling, shared, embedder=by.embedder, evolved=True)


def _ranked(
    candidates: Candidates,
    prepare: Callable[[str, Path], Data],
    given: Ranking,
    calling: Calling,
    models: Models,
    *,
    embedder: str | None = None,
    evolved: bool = False,
) -> Ranked:
    """Let candidates make their pairs, score these for each base model, and put the candidates in order.

    Args:
        candidates: the candidates.
        prepare: makes a candidate's pairs, and says where they are.
        given, calling, models: as the callers have them.
        embedder: what tells how far evolutions are from one another, if that is wanted.
        evolved: whether the candidates are evolvers.
    """
    pairs: dict[str, Data] = {}

    def make(name: str, folder: Path) -> None:
        pairs[name] = prepare(name, folder)

    candidates.each(make)
    scores = _scores(given, embedder, evolved)
    columns: dict[str, dict[str, Mapping[str, str]]] = {}
    for base_model in given.base_model:
        options = {**scores, "base_model": base_model}
        columns[base_model] = {}

        def measure(
            name: str,
            folder: Path,
            options: Mapping[str, Any] = options,
            found: dict[str, Mapping[str, str]] = columns[base_model],
        ) -> None:
            calls = calls_of(calling, folder, candidates.folders.values())
            score(pairs[name], out=folder, **options, **calls, models=models)
            asked, _, called = collect(SCORE, {**options, "out": folder, **calls})
            found[name] = own_columns(folder, asked, called)

        candidates.each(measure)
    through, short = candidates.through, short_names(candidates.folders)[0]
    rankings = []
    for base_model in given.base_model:
        of_pairs = measured({name: folder / file_of("score") for name, folder in through.items()}, columns[base_model])
        orders = [
            order(of_pairs, one, seed=given.seed) for one in figures(of_pairs.scores, given.beta, evolved=evolved)
        ]
        if evolved:
            there = {name: folder / file_of("evolve") for name, folder in candidates.folders.items()}
            of_seeds = evolutions({name: file for name, file in there.items() if file.is_file()})
            orders = [
                *(order(of_seeds, one, seed=given.seed) for one in figures(of_seeds.scores, given.beta, evolved=True)),
                *orders,
            ]
        verdict = [*(sentence(one, short) for one in orders if one.standings), together(orders, short)]
        warned = list(flags(of_pairs, orders, base_model, given.judge, short))
        rankings.append(BaseRanking(base_model, orders, verdict, warned))
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
    with replacing(given.out / RESULT) as file:
        file.write(orjson.dumps(_plain(ranked), option=orjson.OPT_INDENT_2))
    return ranked


def _plain(ranked: Ranked) -> dict[str, Any]:
    """What was found, as it is written to a file: no times in it, so that the same ranking is the same file."""
    return {
        "candidates": {name: folder.name for name, folder in ranked.candidates.items()},
        "ended": ranked.ended,
        "rankings": [
            {
                "base_model": one.base_model,
                "verdict": one.verdict,
                "flags": one.flags,
                "figures": [
                    {
                        "figure": order.figure.name,
                        "lower_is_better": order.figure.lower,
                        "seeds": order.seeds,
                        "detectable": order.detectable,
                        "needed": order.needed,
                        "stable": {str(size): share for size, share in order.stable.items()},
                        "standings": [asdict(standing) for standing in order.standings],
                        "without": order.without,
                    }
                    for order in one.orders
                ],
            }
            for one in ranked.rankings
        ],
        "fates": ranked.fates,
    }


def _scores(given: Ranking, embedder: str | None, evolved: bool) -> dict[str, Any]:
    """The options of score: which metrics, by which models."""
    judged = "difficulty_score" if evolved else "judge_score"
    supplied = {judged: given.judge, "reward": given.reward_model, "mnd": embedder}
    metrics = (*OF_PAIRS, *(name for name, uri in supplied.items() if uri is not None))
    named = {"judge": given.judge, "reward_model": given.reward_model, "embedder": embedder}
    return {"metrics": metrics, **named}


def _plan(
    kind: str, candidates: Candidates, given: Ranking, calling: Calling, rows: int, further: Mapping[str, Any]
) -> None:
    """Write what is compared and how it is decided, before the first call."""
    given.out.mkdir(parents=True, exist_ok=True)
    ranked = {name: value for name, value in asdict(given).items() if name != "out"}
    plan = {"ranked": kind, "candidates": list(candidates.folders), "rows": rows, "rule": RULE, **ranked, **further}
    write_plan(given.out, plan, fresh=calling.fresh)


def _input(data: Data, reading: Reading) -> StageInput:
    """Pairs that exist: of a run folder its responses."""
    return stage_input(data, before=read_by("score"), **_how(reading))


def _how(reading: Reading) -> dict[str, Any]:
    return {"format": reading.format, "map": reading.map, "skip_bad": reading.skip_bad}
