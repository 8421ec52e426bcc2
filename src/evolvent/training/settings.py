"""The settings of a training: those of a preset, then what the user sets. They are named as TRL names them."""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args, get_type_hints

from evolvent.errors import InputError
from evolvent.training_presets import DEFAULT, PRESETS

# A LoRA learns well at about ten times the learning rate of all weights: where a preset was made for these.
LORA_FACTOR = 10.0

TRUTHS = {"true": True, "false": False}

# The names that need no further setting: of transformers' schedules, and of TRL's losses of DPO.
NAMES = {
    "lr_scheduler_type": (
        *("cosine", "linear", "constant", "constant_with_warmup"),
        *("cosine_with_restarts", "polynomial", "inverse_sqrt"),
    ),
    "loss_type": (
        *("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "nca_pair", "bco_pair", "sppo_hard", "aot"),
        *("aot_unpaired", "apo_zero", "apo_down", "discopop", "sft"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA: low-rank matrices that are trained instead of the weights, and added to them at the end.

    Attributes:
        r: their rank.
        alpha: they are scaled by alpha / r; r where the user sets r alone.
        targets: the modules that have one, ``all-linear`` or names with + between them.
        dropout: of their input.
    """

    r: int = 8
    alpha: int = 8
    targets: str = "all-linear"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check(self, ("r", "alpha"), _is_above_0, "above 0")
        _check(self, ("dropout",), _is_share, "at least 0, and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What decides a training; the defaults are what no paper gives. None is decided by the data or the machine.

    Attributes:
        learning_rate: the highest one.
        num_train_epochs: how often each row is seen.
        batch_size: rows a step, over all devices and accumulated batches.
        per_device_train_batch_size: rows a device takes at once; None: as many as suit the device and divide the batch.
        lr_scheduler_type: how the learning rate falls.
        warmup_steps: how long it rises: below 1 a share of all steps.
        weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm: of AdamW.
        max_length: the longest row in tokens, cut at its end; None: the data's 99.9th percentile, as far as the model's
            context goes.
        padding_free: a device's rows stand in one sequence without padding, where the attention keeps them apart
            (FlashAttention); the rows of a step are the same. SFT's.
        attn_implementation: transformers' attention; None: FlashAttention 2 where it is installed, else sdpa.
        bf16: whether matrix products are made in bfloat16; None: on a GPU that can.
        gradient_checkpointing: less memory, more time; None: on a GPU.
        beta: DPO's: how dear it is to leave the reference model.
        loss_type: DPO's.
    """

    learning_rate: float
    num_train_epochs: float
    batch_size: int
    per_device_train_batch_size: int | None = None
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = 0.0
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    max_length: int | None = None
    padding_free: bool = False
    attn_implementation: str | None = None
    bf16: bool | None = None
    gradient_checkpointing: bool | None = None
    beta: float = 0.1
    loss_type: str = "sigmoid"

    def __post_init__(self) -> None:
        sizes = ("batch_size", "per_device_train_batch_size", "max_length")
        _check(self, ("learning_rate", "num_train_epochs", *sizes, "beta"), _is_above_0, "above 0, and finite")
        _check(self, ("warmup_steps",), _is_at_least_0, "a share below 1, or steps")
        _check(self, ("weight_decay", "adam_epsilon", "max_grad_norm"), _is_at_least_0, "at least 0, and finite")
        _check(self, ("adam_beta1", "adam_beta2"), _is_share, "at least 0, and below 1")
        for name, known in NAMES.items():
            if getattr(self, name) not in known:
                raise InputError(f"there is no {name} {getattr(self, name)!r}", fix=f"Known are: {', '.join(known)}.")


def _check(group: Any, names: tuple[str, ...], fits: Callable[[float], bool], words: str) -> None:
    """Refuse numbers that nothing can be trained with."""
    for name in names:
        value = getattr(group, name)
        if value is not None and not fits(value):
            raise InputError(f"{name} is {value:g}", fix=f"It is {words}.")


def _is_above_0(value: float) -> bool:
    return 0 < value < math.inf


def _is_at_least_0(value: float) -> bool:
    return 0 <= value < math.inf


def _is_share(value: float) -> bool:
    return 0 <= value < 1


def warmup_steps(settings: Settings, steps: int) -> int:
    """In how many of a training's steps the learning rate rises; in the first of them it is 0."""
    if settings.lr_scheduler_type == "constant":
        return 0
    return int(settings.warmup_steps) if settings.warmup_steps >= 1 else math.ceil(steps * settings.warmup_steps)


# What only one method knows.
OF = {"dpo": ("beta", "loss_type"), "sft": ("padding_free",)}


def settings_of(
    method: str, preset: str | None, lora: Mapping[str, str] | None, given: Mapping[str, object] | None
) -> tuple[Settings, Lora | None]:
    """The settings of a training.

    Args:
        method: ``sft`` or ``dpo``.
        preset: a key of PRESETS; None for the method's default.
        lora: a LoRA's own settings, where the user wants one.
        given: what the user sets.

    Raises:
        InputError: the preset is another method's; there is no such setting, or it is of another type.
    """
    chosen = PRESETS[preset or DEFAULT[method]]
    if chosen.method != method:
        fitting = [name for name, one in PRESETS.items() if one.method == method]
        raise InputError(
            f"the preset {preset} is for --method {chosen.method}",
            fix=f"Presets of {method}: {', '.join(fitting)}.",
        )
    values: dict[str, Any] = dict(chosen.values)
    adapter = Lora(**chosen.lora) if chosen.lora else None
    if lora is not None:
        if adapter is None:
            values["learning_rate"] *= LORA_FACTOR
        adapter = Lora(**_read(Lora, lora, "lora"))
        if "alpha" not in lora:
            adapter = dataclasses.replace(adapter, alpha=adapter.r)
    values |= _read(Settings, given or {}, "set")
    for owner, names in OF.items():
        if owner != method and (foreign := [name for name in names if name in values]):
            raise InputError(f"{foreign[0]} is a setting of --method {owner}", fix="Leave it out.")
    return Settings(**values), adapter


def as_noted(settings: Settings, lora: Lora | None, method: str) -> dict[str, Any]:
    """The settings as a note holds them."""
    left_out = {name for owner, names in OF.items() if owner != method for name in names}
    noted = {name: value for name, value in asdict(settings).items() if name not in left_out}
    return {**noted, "lora": None if lora is None else asdict(lora)}


def _read(group: type, given: Mapping[str, object], option: str) -> dict[str, Any]:
    """Values of a group's fields, as texts or as what they are."""
    kinds, known = get_type_hints(group), [one.name for one in fields(group)]
    read = {}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"--{option} has no {name!r}", fix=f"Known are: {', '.join(known)}.")
        read[name] = _value(name, kinds[name], value, option)
    return read


def _value(name: str, kind: Any, value: object, option: str) -> Any:
    kinds = [one for one in get_args(kind) or (kind,) if one is not types.NoneType]
    wanted = kinds[0]
    if value is None or (value in ("none", "None", "auto") and len(kinds) < len(get_args(kind))):
        return None
    try:
        if wanted is bool:
            return value if isinstance(value, bool) else TRUTHS[str(value).lower()]
        if isinstance(value, bool) or (wanted is int and float(str(value)) != int(float(str(value)))):
            raise ValueError
        return int(float(str(value))) if wanted is int else wanted(value)
    except (KeyError, ValueError, TypeError, OverflowError):
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[wanted]
        raise InputError(f"--{option} {name}={value}: {name} is {words}") from None


def replaced(settings: Settings, **values: Any) -> Settings:
    """Settings with what was None decided."""
    return dataclasses.replace(settings, **values)
