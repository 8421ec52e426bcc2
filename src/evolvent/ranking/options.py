"""The options of rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.evaluation.options import check_tasks
from evolvent.evolution.options import PROFILES
from evolvent.metrics.car import BETA
from evolvent.metrics.options import shift_rewards
from evolvent.models.uri import JUDGES, MODELS, check_chat_model, check_judge, check_local_model, parse_uri
from evolvent.options import (
    DATA,
    SEEDS,
    SHARING,
    Calling,
    Interface,
    Reading,
    argument,
    mapping,
    max_tokens,
    names,
    option,
    pairs,
    run_folder,
    seed,
    temperature,
    top_p,
)


def check_candidates(uris: Sequence[str]) -> None:
    """Check that candidates can be asked, and that none is named twice.

    Raises:
        InputError: one cannot, or one is.
    """
    for uri in uris:
        check_chat_model(uri)
    if twice := _twice(uris):
        raise InputError(
            f"a candidate is named twice: {twice}", fix="Name each once; it would be ranked against itself."
        )


def _twice(uris: Sequence[str]) -> str:
    """The models that are named twice, as text."""
    names = [str(parse_uri(uri)) for uri in uris]
    return ", ".join(sorted({name for name in names if names.count(name) > 1}))


def check_base_models(uris: Sequence[str]) -> None:
    """Check that base models can score.

    Raises:
        InputError: one cannot, none is named, or one is twice.
    """
    if not uris:
        raise InputError("no base model is named", fix="Name one: --base-model URI.")
    for uri in uris:
        check_local_model(uri)
    if twice := _twice(uris):
        raise InputError(f"a base model is named twice: {twice}", fix="Name each once: it gets one ranking.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """For which base models candidates are ranked, and with what."""

    base_model: tuple[str, ...] = option(
        "The model to be tuned: embedded-base, smollm2, hf:ID-or-folder, gguf:FILE; one ranking each.",
        metavar="URI",
        repeatable=True,
        check=check_base_models,
    )
    out: Path = run_folder()
    judge: str | None = option(f"Also rank by what a judge says: {JUDGES}.", None, metavar="URI", check=check_judge)
    reward_model: str | None = option(
        "Also rank by a reward model (answers by CAR, too): embedded-reward, hf:ID-or-folder.",
        None,
        metavar="URI",
        check=check_local_model,
    )
    sample: int = option("How many of the instructions, drawn by the seed.", 200, metavar="N", least=2)
    beta: float = option("How much the loss counts in CAR.", BETA, metavar="X", least=0)
    shift_rewards: bool = shift_rewards()
    seed: int = seed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Whether students are trained, how, and on what they are evaluated."""

    trial: bool = option("Train students on the rows of each candidate and evaluate them: these decide.", False)
    trial_tasks: tuple[str, ...] = option(
        "What the students are evaluated on, the tasks of evaluate.", (), metavar="A,B", parse=names, check=check_tasks
    )
    trial_data: Path | None = option(
        "The folder that holds the data of these tasks; the Hub, if not given.", None, metavar="DIR"
    )
    trial_limit: int | None = option(
        "Evaluate the students on the first N items of each task only.", None, metavar="N", least=2
    )
    trial_rows: int = option("Rows that a student is trained on, as many for each.", 200, metavar="N", least=20)
    trial_seeds: int = option("Students of each candidate, each trained with a seed.", 3, metavar="N", least=3)
    trial_set: Mapping[str, Any] | None = option(
        "Replace a setting of the students' training, as --set of train does: num_train_epochs=20, say.",
        None,
        metavar="KEY=VALUE",
        repeatable=True,
        parse=pairs,
    )
    trial_lora: Mapping[str, Any] | None = option(
        "Train LoRAs instead of all weights of the students: r=8,alpha=8.", None, metavar="KEY=VALUE,…", parse=mapping
    )

    def __post_init__(self) -> None:
        if self.trial and not self.trial_tasks:
            raise InputError("a trial evaluates its students, and no task is named", fix="Name one: --trial-tasks A,B.")
        given = [one.name for one in fields(self) if one.name != "trial" and getattr(self, one.name) != one.default]
        if given and not self.trial:
            raise InputError(f"--{given[0].replace('_', '-')} is for a trial", fix="Add --trial, or leave it out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTeachers:
    """The teachers, and how they answer."""

    teacher: tuple[str, ...] = option(
        f"A teacher to rank: {MODELS}.", (), metavar="URI", repeatable=True, check=check_candidates
    )
    responses: Mapping[str, str] | None = option(
        "A candidate whose answers exist: its name and a file of instructions with them.",
        None,
        metavar="NAME=FILE",
        repeatable=True,
        parse=pairs,
    )
    system: str | None = option("System prompt of the teachers.", None, metavar="TEXT")
    temperature: float = temperature(0.0)
    top_p: float = top_p(1.0)
    max_tokens: int = max_tokens(2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankEvolvers:
    """The evolvers, how they evolve, and who answers."""

    model: tuple[str, ...] = option(
        f"An evolver to rank: {MODELS}.", metavar="URI", repeatable=True, check=check_candidates
    )
    teacher: str | None = option(
        f"Who answers all evolutions, so that pairs can be scored: {MODELS}.",
        None,
        metavar="URI",
        check=check_chat_model,
    )
    embedder: str | None = option(
        "Also rank by diversity: minilm, hf:ID-or-folder.", None, metavar="URI", check=check_local_model
    )
    profile: str = option("How the evolvers are asked, as for evolve.", "default", names=PROFILES)
    rounds: int = option("Rounds of evolution.", 1, metavar="N", least=1)
    logprobs: bool = option("Also rank by how sure the evolver is of its tokens: the less, the broader.", False)
    temperature: float = temperature(0.7)
    top_p: float = top_p(0.95)
    max_tokens: int = max_tokens(2048)


# How many rows is the sample's; the rest is asked of a candidate's folder, by the command of its stage.
WITHOUT = ("limit", "retry_failed", "dry_run", "show", *SHARING)

RANK_TEACHERS = Interface(
    "evolvent.ranking.rank",
    "rank_teachers",
    {"instructions": replace(DATA, optional=True)},
    (RankTeachers, Ranking, Trial, Reading, Calling),
    without=WITHOUT,
)
RANK_EVOLVERS = Interface(
    "evolvent.ranking.rank",
    "rank_evolvers",
    {"seeds": SEEDS},
    (RankEvolvers, Ranking, Trial, Reading, Calling),
    without=WITHOUT,
)
RANK_DATA = Interface(
    "evolvent.ranking.rank",
    "rank_data",
    {"data": argument("Each data set's name, and its file or run folder.", "NAME=DATA…", repeatable=True, parse=pairs)},
    (Ranking, Trial, Reading, Calling),
    without=WITHOUT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validating:
    """How measurements are looked at."""

    beta: float = option("How much the loss counts in the CAR of measurements.", BETA, metavar="X", least=0)
    draws: int = option("How often the candidates are drawn again, for the intervals.", 2_000, metavar="N", least=100)


RANK_VALIDATE = Interface(
    "evolvent.ranking.validate",
    "rank_validate",
    {
        "measurements": argument(
            "A JSON file of candidates, their scores and their students' performance, or one that ships: "
            "rank_surprisal_ratio, stronger_models.",
            "FILE",
        )
    },
    (Validating,),
)
