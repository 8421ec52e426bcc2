"""All metrics by name. To add one: a file with its formula, and an entry here."""

from collections.abc import Iterable

from evolvent.errors import InputError
from evolvent.metrics.difficulty import DIFFICULTY_LEVEL, DIFFICULTY_SCORE
from evolvent.metrics.evolution_reward import EVOLUTION_REWARD
from evolvent.metrics.ic_ifd import ic_ifd
from evolvent.metrics.ifd import ifd
from evolvent.metrics.ifd_ppl import ifd_ppl
from evolvent.metrics.judge_score import JUDGE_SCORE
from evolvent.metrics.length import instruction_tokens, response_tokens
from evolvent.metrics.metric import Metric, of_losses
from evolvent.metrics.mnd import MND
from evolvent.metrics.perplexity import conditional_ppl, instruction_ppl, response_ppl
from evolvent.metrics.response_loss import grape, response_loss
from evolvent.metrics.reward import REWARD
from evolvent.metrics.rsr import response_rank, rsr
from evolvent.metrics.win import WIN
from evolvent.models.models import Capability
from evolvent.records import Column

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        of_losses(Column("instruction_ppl", "double", "perplexity", "lower"), instruction_ppl, always=True),
        of_losses(Column("response_ppl", "double", "perplexity"), response_ppl, always=True),
        of_losses(Column("conditional_ppl", "double", "perplexity"), conditional_ppl, always=True),
        of_losses(Column("ifd", "double", "ratio of losses", "higher"), ifd),
        of_losses(Column("ic_ifd", "double", "1/nat", "higher"), ic_ifd),
        of_losses(Column("ifd_ppl", "double", "ratio of perplexities", "higher"), ifd_ppl, always=True),
        of_losses(Column("response_loss", "double", "nat/token", "lower"), response_loss, always=True),
        of_losses(Column("response_rank", "double", "rank"), response_rank, always=True),
        of_losses(Column("rsr", "double", "1/nat", "lower"), rsr, always=True),
        of_losses(Column("grape", "double", "nat/token", "higher"), grape),
        of_losses(Column("instruction_tokens", "int64", "tokens", "lower"), instruction_tokens, always=True),
        of_losses(Column("response_tokens", "int64", "tokens"), response_tokens, always=True),
        DIFFICULTY_LEVEL,
        DIFFICULTY_SCORE,
        MND,
        REWARD,
        EVOLUTION_REWARD,
        JUDGE_SCORE,
        WIN,
    )
}


# The option that supplies what a metric needs, and what it is called.
SUPPLIED_BY: dict[Capability, tuple[str, str]] = {
    "losses": ("base_model", "a base model: --base-model URI"),
    "chat": ("judge", "a judge: --judge URI"),
    "reward": ("reward_model", "a reward model: --reward-model URI"),
    "embed": ("embedder", "an embedder: --embedder URI"),
}

# The column that says which model a metric's values are by.
MODELS: dict[Capability, str] = {need: option for need, (option, _) in SUPPLIED_BY.items()}


def chosen(names: str | Iterable[str]) -> list[Metric]:
    """The metrics named (one name may stand alone) and those that are always computed, in the order of their columns.

    Raises:
        InputError: a name that no metric has.
    """
    wanted = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(wanted - set(METRICS)):
        raise InputError(f"unknown metric {', '.join(unknown)}", fix=f"Metrics: {', '.join(METRICS)}.")
    needs = {need for name in wanted for need in METRICS[name].needs}
    return [
        metric
        for metric in METRICS.values()
        if metric.name in wanted or (metric.always and needs.issuperset(metric.needs))
    ]


def supplied(metrics: Iterable[Metric], options: object) -> dict[Capability, str]:
    """The models that metrics need, by what they need them for, as options name them.

    Args:
        metrics: the metrics.
        options: a group with the options of ``SUPPLIED_BY``.

    Raises:
        InputError: one is not given; the message names a metric that was asked for before one that is always computed.
    """
    found: dict[Capability, str] = {}
    for metric in sorted(metrics, key=lambda one: one.always):
        for capability in metric.needs:
            option, words = SUPPLIED_BY[capability]
            uri = getattr(options, option)
            if uri is None:
                raise InputError(f"{metric.name} needs {words.partition(':')[0]}", fix=f"Name {words}.")
            found[capability] = uri
        if metric.against and getattr(options, "against", None) is None:
            raise InputError(f"{metric.name} needs other answers", fix="Name them: --against DATA.")
    return found


def columns_by_name() -> dict[str, Column]:
    """Every metric's columns."""
    return {column.name: column for metric in METRICS.values() for column in metric.columns}
