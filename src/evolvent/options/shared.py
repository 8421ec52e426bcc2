"""The groups and options that several functions share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.options.fields import argument, as_json, mapping, option
from evolvent.shard import Shard

# What an argument of type runs.inputs.Data is to a user: data of any kind, and data that is no run's.
DATA = argument(
    "A run folder or a data file (also by URL: s3://, gs://, hf://), or a Hub id.",
    "DATA",
    more="Or a Run, an iterable of dicts, or a datasets.Dataset.",
)
SEEDS = argument(
    "A data file (also by URL: s3://, gs://, hf://) or a Hub id.",
    "SEEDS",
    more="Or an iterable of dicts, or a datasets.Dataset.",
)

# What models cost, as it is given: see evolvent.costs.prices.
Prices = str | Path | Mapping[str, Any] | Sequence[str | Path] | None


# Who makes a stage, and the options of sharing it out: those that stages which have no shards do without.
ENGINES = ("local", "ray")
OF_RAY = ("shards", "ray_address", "gpus_per_shard")
SHARING = ("shard", "engine", *OF_RAY)


def run_folder(default: Any = MISSING) -> Any:
    """An option: the run folder that is written to."""
    return option("The run folder, on a disk or in a bucket (s3://, gs://).", default, metavar="DIR")


def fresh(what: str) -> Any:
    """An option: whether to begin again. ``what`` is made anew."""
    return option(f"Make {what} anew, whatever the folder holds; calls and losses that are stored are used.", False)


def progress() -> Any:
    """An option of Python: whether, or to whom, progress is shown."""
    more = "The function is given an ``evolvent.Progress``: calls, tokens, records done, what became of their rows."
    return option("Show progress on standard error, or tell it to a function.", False, more=more, typed=False)


def dry_run() -> Any:
    """An option: whether to make no call."""
    return option("Call nothing: show prompts, calls, tokens, time and cost.", False)


def preview() -> Any:
    """An option: whether to make the first records only, to be looked at."""
    help = "Make the first N records only, and show of each prompt, reply and verdict; the run does not pay them again."
    return option(help, None, metavar="N", least=1)


def retry_failed() -> Any:
    """An option: whether to take failed records again."""
    return option("Take the failed records of a finished stage again, and nothing else.", False)


def retry_empty() -> Any:
    """An option: whether to ask again for replies without text."""
    return option("Ask again for replies without text, also where the stage is finished or they are stored.", False)


def unsafe_execution() -> Any:
    """An option: whether code that a model wrote is run where it can do harm."""
    return option("Run code that a model wrote without the sandbox's wall.", False)


def mix_versions() -> Any:
    """An option: whether parts of several package versions may stand in one file."""
    return option("Go on although package versions have changed since the stage began.", False)


def shard() -> Any:
    """An option: which share of a stage is made."""
    return option(
        "Make one shard of many: 3/64 makes each 64th part of the stage, from the third on, in a folder of its own; "
        "merge joins them.",
        None,
        metavar="K/N",
        check=Shard.parse,
    )


def engine() -> Any:
    """An option: who makes a stage."""
    return option("Who makes the stage: this process, or shards as tasks of a Ray cluster.", "local", names=ENGINES)


def shards() -> Any:
    """An option: how many shards there are."""
    return option("How many shards Ray makes.", None, metavar="N", least=1)


def ray_address() -> Any:
    """An option: where the Ray cluster is."""
    return option("The Ray cluster; one is started here if not given.", None, metavar="ADDRESS")


def gpus_per_shard() -> Any:
    """An option: the GPUs of a shard."""
    return option("GPUs that a shard has for itself, of the Ray cluster's.", 0.0, metavar="X", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How data is read."""

    format: str | None = option(
        "The data's format: alpaca, sharegpt, messages, prompt_completion …; detected if not given.",
        None,
        metavar="NAME",
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
    dry_run: bool = dry_run()
    retry_failed: bool = retry_failed()
    retry_empty: bool = retry_empty()
    extra_body: Mapping[str, object] | None = option(
        "Extra request fields for openai: models.", None, metavar="JSON", parse=as_json
    )
    fresh: bool = fresh("the stage")
    mix_versions: bool = mix_versions()
    shard: str | None = shard()
    engine: str = engine()
    shards: int | None = shards()
    ray_address: str | None = ray_address()
    gpus_per_shard: float = gpus_per_shard()
    show: int = option(
        "Show so many sample rows while it runs, on standard error or to the function of progress.",
        0,
        metavar="N",
        least=0,
    )
    progress: bool | Callable[..., Any] = progress()

    def __post_init__(self) -> None:
        if self.engine == "ray":
            if self.shards is None:
                raise InputError("--engine ray needs to know how many shards to make", fix="Give --shards N.")
            if self.shard is not None:
                raise InputError("--engine ray makes all shards", fix="Leave --shard out.")
            return
        given = [name for name in OF_RAY if getattr(self, name) not in (None, 0.0)]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is for --engine ray", fix="Add it, or leave this out.")


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
