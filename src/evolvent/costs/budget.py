"""What a run folder's calls have cost, and a budget that no new call goes beyond."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evolvent.costs.prices import HOW, Price, money
from evolvent.errors import BudgetReachedError, InputError
from evolvent.models.protocols import Usage
from evolvent.models.uri import parse_uri

# Calls of a model at once while nothing is known of what one costs.
UNKNOWN_AT_ONCE = 8

# Of so many calls the mean cost is taken, about.
RECENT = 50

FREE = Price(0.0, 0.0)


class Spent(NamedTuple):
    """What a stage's calls of one model have used in a run folder, all told; ``seconds`` is the calls' sum."""

    stage: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    seconds: float


def require_prices(models: Iterable[str], prices: Mapping[str, Price]) -> None:
    """Check that every model has a price.

    Raises:
        InputError: one has none; the message says how to give one.
    """
    lacking = [uri for uri in dict.fromkeys(models) if uri not in prices]
    if lacking:
        raise InputError(f"--budget needs the price of {', '.join(lacking)}", fix=HOW)


@dataclass(slots=True)
class _Use:
    """One model: what its calls have used in the folder, and what this stage's recent calls of it cost on average."""

    price: Price
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0
    known: int = 0
    a_call: float = 0.0

    @property
    def cost(self) -> float:
        return self.price.of(self.prompt_tokens, self.completion_tokens)

    def count(self, calls: int, prompt_tokens: int, completion_tokens: int) -> None:
        self.calls += calls
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def learn(self, calls: int, prompt_tokens: int, completion_tokens: int) -> None:
        """What calls of this stage cost: a mean in which those of long ago weigh less and less."""
        self.known = min(self.known + calls, RECENT)
        mean = self.price.of(prompt_tokens, completion_tokens) / calls
        self.a_call += (mean - self.a_call) * min(calls / self.known, 1)


class Budget:
    """A limit on what all calls in a run folder cost together.

    A call begins only if what is spent, what the calls in flight are expected to cost, and what it is expected to cost
    itself stay within the limit. A call is expected to cost what this stage's recent calls of its model cost on average
    (later rounds have longer prompts); while there was none, ``UNKNOWN_AT_ONCE`` of them may be in flight and the
    others wait. So the limit is passed by no more than what the calls in flight cost beyond the average.

    Args:
        limit: the most to be spent in this folder, in the prices' currency.
        prices: by URI as records hold it.
        spent: what the folder's calls have used so far.
        stage: the stage that is about to call.
        models: the models that it will call, by URI.

    Raises:
        InputError: a limit that is none, or a model without a price, be it one of ``models`` or one that the folder
            holds calls of.
    """

    def __init__(
        self, limit: float, prices: Mapping[str, Price], spent: Iterable[Spent], *, stage: str, models: Iterable[str]
    ) -> None:
        if not (math.isfinite(limit) and limit > 0):
            raise InputError(f"the budget is {limit:g}", fix="Give an amount above 0, in the currency of the prices.")
        before = list(spent)
        uris = [*(str(parse_uri(uri)) for uri in models), *(use.model for use in before)]
        require_prices(uris, prices)
        self.limit = limit
        self._uses = {uri: _Use(prices[uri]) for uri in uris}
        self._ended = asyncio.Event()
        for use in before:
            self._uses[use.model].count(use.calls, use.prompt_tokens, use.completion_tokens)
            if use.stage == stage and use.calls:
                self._uses[use.model].learn(use.calls, use.prompt_tokens, use.completion_tokens)

    @property
    def spent(self) -> float:
        """What the calls that have ended cost, those of earlier commands included."""
        return math.fsum(use.cost for use in self._uses.values())

    @property
    def in_flight(self) -> int:
        """Calls that have begun and not ended."""
        return sum(use.in_flight for use in self._uses.values())

    async def begin(self, model: str) -> None:
        """Wait for leave to begin a call; each call that begins must end (``end``), whatever becomes of it.

        Args:
            model: the model's URI as records hold it.

        Raises:
            BudgetReachedError: the limit is reached, or this call is expected to pass it.
        """
        use = self._uses[model]
        while True:
            spent = self.spent
            coming = math.fsum(other.in_flight * other.a_call for other in self._uses.values())
            if spent >= self.limit or spent + coming + use.a_call > self.limit:
                raise self.reached()
            if use.known or use.in_flight < UNKNOWN_AT_ONCE or use.price == FREE:
                break
            await self._ended.wait()
        use.in_flight += 1

    def end(self, model: str, usage: Usage | None) -> None:
        """Account for a call that ended.

        Args:
            model: the model's URI as records hold it.
            usage: the tokens it used; None if it failed and nothing is charged.
        """
        use = self._uses[model]
        use.in_flight -= 1
        if usage is not None:
            use.count(1, usage.prompt_tokens, usage.completion_tokens)
            use.learn(1, usage.prompt_tokens, usage.completion_tokens)
        # wakes whoever waits now, and nobody who comes later
        self._ended.set()
        self._ended.clear()

    def reached(self) -> BudgetReachedError:
        """What to tell the user, with the figures of this moment: made anew once the calls in flight have ended."""
        calls = sum(use.calls for use in self._uses.values())
        flying = f", {self.in_flight:,} more in flight" if self.in_flight else ""
        passing = "; another call would be likely to pass it" if self.spent < self.limit else ""
        return BudgetReachedError(
            f"the budget is reached: {money(self.spent)} of {money(self.limit)} spent in this folder "
            f"on {calls:,} calls{flying}{passing}",
            fix="Nothing is lost. Start the same command with a higher --budget to go on.",
        )
