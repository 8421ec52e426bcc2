"""The scores of candidates' pairs: which metrics, by which models, and in which columns of a folder they are."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from evolvent.metrics.absent import NoScoresError
from evolvent.metrics.options import SCORE
from evolvent.metrics.score import own_columns, score
from evolvent.options import collect
from evolvent.ranking.candidates import Candidates
from evolvent.ranking.options import RankEvolvers, Ranking
from evolvent.ranking.setup import Setup
from evolvent.runs.inputs import Data

OF_PAIRS = ("ifd", "ic_ifd", "grape", "rsr")


def score_options(given: Ranking, by: RankEvolvers | None) -> dict[str, Any]:
    """The options of score: which metrics, by which models."""
    judged, rewarded = ("judge_score", "reward") if by is None else ("difficulty_score", "evolution_reward")
    embedder = by.embedder if by is not None else None
    supplied = {judged: given.judge, rewarded: given.reward_model, "mnd": embedder}
    metrics = (*OF_PAIRS, *(name for name, uri in supplied.items() if uri is not None))
    named = {"judge": given.judge, "reward_model": given.reward_model, "embedder": embedder}
    return {"metrics": metrics, **named}


def scored(
    base_model: str, pairs: Mapping[str, Data], setup: Setup
) -> tuple[dict[str, Mapping[str, str]], Mapping[str, str]]:
    """Score the pairs of each candidate.

    Returns:
        For each the columns of its scores by their plain names; and why others have none.

    Raises:
        RunError: none has any.
    """
    options = {**score_options(setup.given, setup.by), "base_model": base_model}
    columns: dict[str, Mapping[str, str]] = {}

    def measure(name: str, folder: Path) -> None:
        calls = setup.calls(folder)
        with suppress(NoScoresError):  # a figure that a candidate lacks is said beside the others'
            score(pairs[name], out=folder, **options, **calls, models=setup.models)
        asked, _, called = collect(SCORE, {**options, "out": folder, **calls})
        columns[name] = own_columns(folder, asked, called)

    of_pairs = Candidates(setup.candidates.through)
    of_pairs.each(measure)
    return columns, of_pairs.ended
