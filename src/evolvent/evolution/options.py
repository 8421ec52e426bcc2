"""The options of evolve: those of every method, and each method's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from evolvent.evolution import AUTO_EVOL_INSTRUCT, AUTOIF, EVOL_INSTRUCT
from evolvent.evolution.autoif.options import AutoIFOptions
from evolvent.models.uri import MODELS, check_chat_model
from evolvent.options import (
    SHARING,
    Calling,
    Interface,
    Reading,
    argument,
    max_tokens,
    names,
    option,
    preview,
    run_folder,
    seed,
    temperature,
    top_p,
)

PROFILES = ("default", "small", "paper")
TRIED = ("default", "small")  # by a pilot


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolve:
    """How seeds are evolved, whatever the method."""

    model: str = option(f"The evolver: {MODELS}.", metavar="URI", check=check_chat_model)
    out: Path = run_folder()
    method: str = option("How to evolve.", EVOL_INSTRUCT, names=(EVOL_INSTRUCT, AUTO_EVOL_INSTRUCT, AUTOIF))
    judge: str | None = option(
        "The model that eliminates evolutions equal to their parent (rule R1); of AutoIF, that scores answers.",
        None,
        metavar="URI",
        check=check_chat_model,
    )
    seed: int = seed()
    temperature: float = temperature(0.7)
    top_p: float = top_p(0.95)
    max_tokens: int = max_tokens(2048)
    preview: int | None = preview()


def _profile() -> Any:
    help = (
        "default shows the evolver the input and eliminates; small also shows it how, for models of up to some 3 "
        "billion parameters; paper does what the code of arXiv 2412.11231 does."
    )
    return option(help, "default", names=PROFILES)


def _logprobs() -> Any:
    help = "Score how sure the evolver is of what it writes: likeliest token's probability, and entropy."
    return option(help, False)


def _without_rules() -> Any:
    help = "Rules of elimination that are switched off, by their reasons: answered,paraphrase, say."
    return option(help, None, metavar="A,B", parse=names)


def _retry_eliminated() -> Any:
    help = "An eliminated evolution is drawn again so many times before the record goes on."
    return option(help, 0, metavar="N", least=0)


def _rounds(default: int) -> Any:
    return option("How often each seed is evolved.", default, metavar="N", least=1)


def _system() -> Any:
    return option("System prompt of the evolver.", None, metavar="TEXT")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolInstructOptions:
    """Options of Evol-Instruct."""

    profile: str = _profile()
    rounds: int = _rounds(3)
    breadth: bool = option("In-breadth after the four in-depth operators.", True, flag="--breadth/--no-breadth")
    operators: tuple[str, ...] | None = option("These operators only, in this order.", None, metavar="A,B", parse=names)
    templates: str | Path | None = option("Prompt templates of your own: OPERATOR.j2.", None, metavar="DIR")
    system: str | None = _system()
    retry_eliminated: int = _retry_eliminated()
    without_rules: tuple[str, ...] | None = _without_rules()
    logprobs: bool = _logprobs()

    def __post_init__(self) -> None:
        from evolvent.evolution.elimination import check_rules
        from evolvent.evolution.evol_instruct import choose_operators

        check_rules(self.without_rules or ())
        choose_operators(
            self.operators, breadth=self.breadth, templates=self.templates, profile=cast(Any, self.profile)
        )  # what is wrong with them is known before anything begins


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoEvolInstructOptions:
    """Options of Auto Evol-Instruct."""

    profile: str = _profile()
    rounds: int = _rounds(1)
    method_file: str | Path | None = option(
        "What optimize-method wrote; the paper's initial method if not given.", None, metavar="METHOD.yaml"
    )
    system: str | None = _system()
    retry_eliminated: int = _retry_eliminated()
    without_rules: tuple[str, ...] | None = _without_rules()
    logprobs: bool = _logprobs()

    def __post_init__(self) -> None:
        from evolvent.evolution.elimination import check_rules

        check_rules(self.without_rules or ())


METHODS: dict[str, type] = {
    EVOL_INSTRUCT: EvolInstructOptions,
    AUTO_EVOL_INSTRUCT: AutoEvolInstructOptions,
    AUTOIF: AutoIFOptions,
}

SEEDS = argument(
    "A data file (also by URL: s3://, gs://, hf://) or a Hub id; AutoIF has seeds of its own.", "SEEDS", optional=True
)
EVOLVE = Interface(
    "evolvent.evolution.evolve",
    "evolve",
    {"seeds": SEEDS},
    (Evolve, None, Reading, Calling),
    choice="method",
    methods=METHODS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piloting:
    """How a pilot is made."""

    pilot: int = option("How many of the seeds are tried.", 20, metavar="N", least=1)


PILOT = Interface(
    "evolvent.evolution.pilot",
    "pilot",
    {"seeds": SEEDS},
    (Evolve, None, Reading, Calling, Piloting),
    choice="method",
    methods={name: METHODS[name] for name in (EVOL_INSTRUCT, AUTO_EVOL_INSTRUCT)},
    without=("profile", "preview", "dry_run", "retry_failed", "fresh", "mix_versions", "show", *SHARING),
)
