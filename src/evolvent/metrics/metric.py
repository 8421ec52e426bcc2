"""A metric as a value: what it needs, which columns it fills, and an async function over a window of records."""

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from evolvent.call_store.key import losses_key
from evolvent.call_store.used import RecordInWork, record_in_work
from evolvent.concurrency import together
from evolvent.errors import CallError
from evolvent.metrics.layout import LAYOUTS
from evolvent.metrics.losses import PairLosses, losses_from_json, losses_to_json, pair_losses
from evolvent.models.models import Capability
from evolvent.models.protocols import ChatModel, StageModels
from evolvent.records import Column, Record, Score
from evolvent.runs.inputs import StageInput

# A metric's values for a record, by column.
Values = Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class How:
    """What decides the values of metrics besides the pairs and the models.

    Attributes:
        layout: how a pair is laid out for the base model.
        max_tokens: how long a judge's reply may be.
        strict: whether a judge's reply is read as the published code reads it.
    """

    layout: str = "paper"
    max_tokens: int = 2048
    strict: bool = False


@dataclass(slots=True)
class Window:
    """Records that are scored together, and what they are scored with.

    Attributes:
        records: the records.
        models: the models that the stage has opened.
        supplied: the URI of the model that supplies each capability.
        how: what else decides the values.
        reasons: for each record, why the metric that is computed has no value for it, if it says so.
    """

    records: Sequence[Record]
    models: StageModels
    supplied: Mapping[Capability, str]
    how: How = How()
    reasons: list[str | None] = field(default_factory=list)
    _losses: list[PairLosses | str] | None = None

    def begin(self) -> None:
        """A metric is about to be computed: nothing is known of what it lacks."""
        self.reasons = [None] * len(self.records)

    @property
    def judge(self) -> ChatModel:
        """The model that judges."""
        return self.models.chat(self.supplied["chat"])

    async def losses(self) -> list[PairLosses | str]:
        """The base model's losses of each pair, or why there are none; computed once a window, whoever asks."""
        if self._losses is None:
            scorer = self.models.model("losses", self.supplied["losses"])

            def compute(cancelled: threading.Event) -> list[PairLosses | str]:
                return pair_losses(self.records, scorer.model, LAYOUTS[self.how.layout], stop=cancelled)

            keys = [
                losses_key(scorer.model.identity, self.how.layout, record.question, record.output, record.messages)
                for record in self.records
            ]
            request = orjson.dumps({"layout": self.how.layout}).decode()
            self._losses = await scorer.window(
                keys, [record.id for record in self.records], request, compute, losses_to_json, losses_from_json
            )
        return self._losses

    async def of_each(self, value: Callable[[Record], Awaitable[Values | str]]) -> list[Values]:
        """A metric's values for each record, all asked for at once; where it gives a text, that is why there is none.

        A call that fails leaves its record without a value, with the server's words as the reason.
        """

        whole = record_in_work.get(RecordInWork())  # what the window took is counted together

        async def one(place: int, record: Record) -> Values:
            record_in_work.set(replace(whole, id=record.id))  # each has a task, and so a context, of its own
            try:
                found: Values | str = await value(record)
            except CallError as error:
                found = f"the call failed: {error}"
            if isinstance(found, str):
                self.reasons[place] = found
                return {}
            return found

        return await together(one(place, record) for place, record in enumerate(self.records))


# The values of a metric's columns for each record of a window; with what ``prepare`` found, if it has one.
Compute = Callable[[Window, Any], Awaitable[Sequence[Values]]]


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole set, which a metric may look at before the first window.

    Attributes:
        records: all of it, read anew each time.
        models: the models that the stage has opened.
        supplied: the URI of the model that supplies each capability.
        against: other answers to the same instructions, if the user has named some.
    """

    records: StageInput
    models: StageModels
    supplied: Mapping[Capability, str]
    against: StageInput | None = None


Prepare = Callable[[Whole], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: its name on the command line.
        needs: what models have to be able to do for it.
        columns: the columns that it fills.
        compute: their values; None, or nothing, where a value does not exist.
        prepare: what it has to see of the whole set beforehand.
        always: whether it is computed whatever metrics are asked for, where what it needs is there.
        versions: of the prompts that it asks with.
        against: whether it needs other answers to the same instructions.
        calls: how many times a judge is asked a record, if one is.
        reply_tokens: about how long its replies are, for a dry run.
        packages: what has to be installed for it besides its models, each with the extra that brings it.
    """

    name: str
    needs: tuple[Capability, ...]
    columns: tuple[Column, ...]
    compute: Compute
    prepare: Prepare | None = None
    always: bool = False
    versions: tuple[str, ...] = ()
    against: bool = False
    calls: int = 1
    reply_tokens: int = 8
    packages: tuple[tuple[str, str], ...] = ()


def of_losses(column: Column, function: Callable[[PairLosses], float | int | None], *, always: bool = False) -> Metric:
    """A metric that is a function of a pair's three losses.

    Args:
        column: its column, after which it is named.
        function: its value for a pair; None where it does not exist.
        always: whether it is always computed.
    """

    async def compute(window: Window, _: object) -> list[dict[str, Score]]:
        rows: list[dict[str, Score]] = []
        for place, losses in enumerate(await window.losses()):
            if isinstance(losses, str):
                window.reasons[place] = losses
                rows.append({column.name: None})
            else:
                rows.append({column.name: function(losses)})
        return rows

    return Metric(column.name, ("losses",), (column,), compute, always=always)
