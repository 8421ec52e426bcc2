"""The groups and options that several functions share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.options.fields import option
from evolvent.options.typed import as_json, mapping

# What models cost, as it is given: see evolvent.costs.prices.
Prices = str | Path | Mapping[str, Any] | Sequence[str | Path] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How data is read."""

    format: str | None = option(
        "Its format: alpaca, sharegpt, messages, prompt_completion …; detected if not given.", None, metavar="NAME"
    )
    map: Mapping[str, str] | None = option(
        "Columns of data of no known format: instruction=question,output=answer.",
        None,
        metavar="FIELD=COLUMN,…",
        parse=mapping,
    )
    skip_bad: bool = option("Leave bad rows out, counted, instead of stopping.", False)
    limit: int | None = option("Take the first N rows only.", None, metavar="N", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How a stage makes its model calls and its parts; nothing here but extra_body changes what it writes."""

    concurrency: int | None = option(
        "Requests to a server at once; it finds its own level if not given.", None, metavar="N", least=1
    )
    max_requests_per_minute: float | None = option(
        "Send each server's model no more requests than this, tries that fail included.", None, metavar="N", above=0
    )
    max_tokens_per_minute: float | None = option(
        "Exchange no more tokens, in and out, with each server's model.", None, metavar="N", above=0
    )
    price: Prices = option(
        "What a million tokens cost, or a YAML file of prices.", None, metavar="[MODEL=]IN,OUT", repeatable=True
    )
    budget: float | None = option(
        "Stop in good order before the folder's calls cost more than this.", None, metavar="X"
    )
    dry_run: bool = option("Call nothing: show prompts, calls, tokens, time and cost.", False)
    retry_failed: bool = option("Take the failed records of a finished stage again, and nothing else.", False)
    extra_body: Mapping[str, object] | None = option(
        "Extra request fields for openai: models.", None, metavar="JSON", parse=as_json
    )
    fresh: bool = option(
        "Make the stage anew, whatever the folder holds; calls that are stored are not repeated.", False
    )
    mix_versions: bool = option("Go on although package versions have changed since the stage began.", False)
    progress: bool | Callable[..., Any] = option(
        "Show progress on standard error, or tell it to a function.", False, typed=False
    )


def seed(default: int = 0) -> Any:
    """An option: the run's random seed."""
    return option("The run's random seed.", default, metavar="N")


def temperature(default: float, help: str = "How freely replies are drawn; 0 takes the likeliest token.") -> Any:
    """An option: how freely replies are drawn."""
    return option(help, default, metavar="X", least=0, most=5)


def top_p(
    default: float, help: str = "Draw from the likeliest tokens that have this probability in all (nucleus mass)."
) -> Any:
    """An option: the nucleus mass."""
    return option(help, default, metavar="X", above=0, most=1)


def max_tokens(default: int) -> Any:
    """An option: the bound of a reply's length."""
    return option("Longest reply, in tokens.", default, metavar="N", least=1)
