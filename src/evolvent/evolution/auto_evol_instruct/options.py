"""The options of the method search, and of keywords."""

from dataclasses import dataclass
from pathlib import Path

from evolvent import options
from evolvent.files import output_path
from evolvent.models.uri import MODELS, check_chat_model
from evolvent.options import (
    SEEDS,
    SHARING,
    Calling,
    Interface,
    Reading,
    argument,
    max_tokens,
    option,
    seed,
    temperature,
    top_p,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizing:
    """How a better method is searched for."""

    evolver: str = option(f"Evolves instructions and answers them: {MODELS}.", metavar="URI", check=check_chat_model)
    optimizer: str = option("Analyses trajectories and mends the method.", metavar="URI", check=check_chat_model)
    out: str | Path = option("The file to write.", metavar="METHOD.yaml")
    profile: str = option(
        "default counts a row that could not be evolved or answered as a failure; paper does not.",
        "default",
        names=("default", "paper"),
    )
    steps: int = option("Steps at the most.", 10, metavar="N", least=1)
    candidates: int = option("New methods a step.", 5, metavar="N", least=1)
    batch: int = option("Instructions whose trajectories a step analyses.", 10, metavar="N", least=1)
    rounds: int = option("How often these are evolved.", 1, metavar="N", least=1)
    dev: int = option("Rows that a method's failure rate is measured on.", 50, metavar="N", least=1)
    pool: int = option(
        "Rows of the seeds that the search draws from, the dev set's among them.", 2000, metavar="N", least=1
    )
    system: str | None = option("System prompt of the evolver when it evolves.", None, metavar="TEXT")
    seed: int = seed()
    temperature: float = temperature(0.0, "How freely the evolver's replies are drawn; 0 takes the likeliest token.")
    top_p: float = top_p(1.0, "The evolver's nucleus mass.")
    optimizer_temperature: float = options.temperature(0.6, "How freely the optimizer's replies are drawn.")
    optimizer_top_p: float = options.top_p(0.95, "The optimizer's nucleus mass.")
    max_tokens: int = max_tokens(2048)


OPTIMIZE_METHOD = Interface(
    "evolvent.evolution.auto_evol_instruct.optimize",
    "optimize_method",
    {"seeds": SEEDS},
    (Optimizing, Reading, Calling),
    without=("retry_failed", *SHARING),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How ways are named."""

    model: str = option(f"Names the ways: {MODELS}.", metavar="URI", check=check_chat_model)
    out: str | Path | None = option(
        "Write the counts and all keywords, with the ways that each one names, to a file.",
        None,
        metavar="FILE.json",
        check=output_path,
    )
    max_tokens: int = max_tokens(512)


KEYWORDS = Interface(
    "evolvent.evolution.auto_evol_instruct.keywords",
    "keywords",
    {"run": argument("The folder of an Auto Evol-Instruct run.", "RUN", more="Or the Run.")},
    (Naming, Calling),
    without=SHARING,
)
