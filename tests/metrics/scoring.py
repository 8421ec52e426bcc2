"""The score stage's work on pairs whose losses a test gives."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from evolvent.metrics.all_metrics import chosen
from evolvent.metrics.losses import PairLosses
from evolvent.metrics.metric import How
from evolvent.metrics.options import DEFAULT_METRICS
from evolvent.metrics.score import Scoring
from evolvent.metrics.score import columns_of as columns_in_file
from evolvent.records import Column, Record, Score
from evolvent.runs.inputs import Listed

PAIR = Record("s", "s", 0, "Mend a sock", output="With wool.")
BASE = "hf:x"


@dataclass
class Given:
    """Models of which the base model's losses are given."""

    found: Sequence[PairLosses | str]
    identity: str = "given"
    at_once: int = 1

    def model(self, capability: str, uri: str) -> Any:
        assert (capability, uri) == ("losses", BASE)
        return SimpleNamespace(model=self, window=self.window)

    async def window(self, keys: Sequence[bytes], *_: object) -> Sequence[PairLosses | str]:
        assert len(keys) == len(self.found)
        return self.found

    def chat(self, uri: str) -> Any:
        raise AssertionError(uri)


def work(metrics: str | Sequence[str] = DEFAULT_METRICS) -> Scoring:
    names = tuple(metric.name for metric in chosen(metrics))
    return Scoring(names, {"losses": BASE}, How(), Listed([PAIR], {}))


def scores_of(losses: PairLosses | str, metrics: str | Sequence[str] = DEFAULT_METRICS) -> dict[str, Score]:
    """The score columns of a pair with these losses, but for the base model's name."""

    async def scored() -> dict[str, Score]:
        async with work(metrics).open(Given([losses])) as make:
            [[row]] = await make([PAIR])
        return row.scores

    scores = asyncio.run(scored())
    assert scores.pop("base_model") == BASE
    return scores


def columns_of(metrics: str | Sequence[str] = DEFAULT_METRICS) -> list[Column]:
    """The columns that metrics fill, in their order."""
    return list(columns_in_file(metric.name for metric in chosen(metrics)).values())
