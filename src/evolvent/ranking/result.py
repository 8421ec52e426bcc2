"""ranking.json: what a ranking found, written beside the candidates' folders and read again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError
from evolvent.files import replacing
from evolvent.ranking.candidates import PLAN, RESULT, costs
from evolvent.ranking.order import Order, Standing
from evolvent.ranking.sufficiency import Learned
from evolvent.ranking.training_seeds import SeedAgreement
from evolvent.ranking.validate import Foretold, Validation
from evolvent.storage_errors import explained


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial found for one base model, besides the orders.

    Attributes:
        rows: how many rows each student was trained on.
        learned: by candidate what its students learned.
        agreement: by task how far the training seeds agree.
        without_verdict: by task how many items were left out, since a student has no verdict on them.
    """

    rows: int
    learned: Mapping[str, Learned]
    agreement: Mapping[str, SeedAgreement]
    without_verdict: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RankingVerdict:
    """What a ranking for one base model says, in sentences and as names.

    Attributes:
        by_figure: by each figure what it says.
        together: what the figures say together.
        left: the candidates that every figure has and none rules out; None if no figure compares two candidates.
        by_task: by each task of a trial what it says.
        decided: what the trial decides; None without one.
        left_by_trial: the candidates that every task has and none rules out; None where no trial compares two.
    """

    by_figure: Mapping[str, str] = field(default_factory=dict)
    together: str = ""
    left: Sequence[str] | None = None
    by_task: Mapping[str, str] = field(default_factory=dict)
    decided: str | None = None
    left_by_trial: Sequence[str] | None = None

    @property
    def lines(self) -> list[str]:
        """All sentences: what each figure says, then all together, then the same of a trial."""
        lines = [*self.by_figure.values(), self.together, *self.by_task.values()]
        return lines if self.decided is None else [*lines, self.decided]


@dataclass(frozen=True, slots=True)
class BaseRanking:
    """The ranking for one base model.

    Attributes:
        base_model: its URI.
        orders: the candidates' order by each figure.
        verdict: what they say, and together.
        flags: what makes it less sure than that.
        trial: what students have shown, if there was a trial; their orders are among ``orders``.
        means: by column what each candidate has of it in the mean, of columns that put no candidate before another.
        sweep: by CAR's figure and beta the candidates, the best first.
    """

    base_model: str
    orders: Sequence[Order]
    verdict: RankingVerdict
    flags: Sequence[str]
    trial: Tried | None = None
    means: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sweep: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


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
        foretold: for each task of a trial, how far the other figures' orders agree with it; of three candidates and
            more.
    """

    folder: Path
    plan: Path
    candidates: Mapping[str, Path]
    ended: Mapping[str, str]
    rankings: Sequence[BaseRanking]
    fates: Mapping[str, Mapping[str, int]]
    costs: Mapping[str, Mapping[str, float]]
    foretold: Sequence[Validation] = ()


def write_result(ranked: Ranked) -> None:
    """Write what was found: no times in it, so that the same ranking is the same file."""
    content = {
        "candidates": {name: folder.name for name, folder in ranked.candidates.items()},
        "ended": ranked.ended,
        "rankings": [
            {
                "base_model": one.base_model,
                "verdict": asdict(one.verdict),
                "flags": one.flags,
                "figures": [asdict(order) for order in one.orders],
                "trial": asdict(one.trial) if one.trial else None,
                "means": one.means,
                "sweep": one.sweep,
            }
            for one in ranked.rankings
        ],
        "fates": ranked.fates,
        "foretold": [asdict(one) for one in ranked.foretold],
    }
    with replacing(ranked.folder / RESULT) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def read_result(folder: Path) -> Ranked | None:
    """What a ranking found that was made in a folder; None if there was none, or it has not come to its end.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    with explained(path, "read"):
        written = path.read_bytes()
    try:
        content = orjson.loads(written)
        rankings = list(map(_ranking, content["rankings"]))
        foretold = list(map(_validation, content["foretold"]))
        candidates = {name: folder / place for name, place in content["candidates"].items()}
        ended, fates = dict(content["ended"]), dict(content["fates"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # orjson's is a ValueError
        raise InputError(
            f"{path} is no ranking of this version of evolvent",
            fix="The command that ranked makes it again: what is done is kept.",
        ) from error
    taken = {name: costs(place) for name, place in candidates.items()}
    return Ranked(folder, folder / PLAN, candidates, ended, rankings, fates, taken, foretold)


def _ranking(written: Mapping[str, Any]) -> BaseRanking:
    """The ranking for one base model as it was written."""
    orders, trial = list(map(_order, written["figures"])), _trial(written["trial"])
    described = {name: written[name] for name in ("means", "sweep")}
    verdict = RankingVerdict(**written["verdict"])
    return BaseRanking(written["base_model"], orders, verdict, written["flags"], trial, **described)


def _order(written: Mapping[str, Any]) -> Order:
    """An order as it was written."""
    stable = {int(size): share for size, share in written["stable"].items()}
    standings = [Standing(**one) for one in written["standings"]]
    return Order(**{**_numbers(written, "detectable"), "standings": standings, "stable": stable})


def _trial(written: Mapping[str, Any] | None) -> Tried | None:
    if written is None:
        return None
    learned = {name: Learned(**_numbers(one, *Learned.__slots__)) for name, one in written["learned"].items()}
    agreement = {
        task: SeedAgreement(**_numbers(one, *SeedAgreement.__slots__)) for task, one in written["agreement"].items()
    }
    return Tried(**{**written, "learned": learned, "agreement": agreement})


def _validation(written: Mapping[str, Any]) -> Validation:
    foretold = [
        Foretold(**{**_numbers(one, "mean", "low", "high", "kendall"), "by_base_model": _numbers(one["by_base_model"])})
        for one in written["foretold"]
    ]
    return Validation(**{**_numbers(written, "lead", "lead_low", "lead_high"), "foretold": foretold})


def _numbers(written: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What was written, with what is no number again where it has no place in JSON: in some fields, or in all."""
    return {
        name: float("nan") if value is None and (not names or name in names) else value
        for name, value in written.items()
    }
