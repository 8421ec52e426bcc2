"""Whether a base model can be trained as the settings say, seen by its layers: they are made without their weights."""

from typing import Any

from evolvent.errors import InputError
from evolvent.training.base_model import Base
from evolvent.training.settings import Lora


def check_layers(base: Base, attention: str, lora: Lora | None) -> None:
    """Check that a model has an attention, and all layers that a LoRA is to be added to.

    Raises:
        InputError: it has not.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    auto: Any = AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model = auto.from_config(
                base.config, attn_implementation=attention, trust_remote_code=base.place["trust_remote_code"]
            )
    except Exception as error:  # ValueError, ImportError, and what the code of a model raises
        raise InputError(
            f"model {base.uri} cannot be trained with attn_implementation {attention}: "
            f"{' '.join(str(error).split())[:300] or type(error).__name__}",
            fix="Leave --set attn_implementation out, or take sdpa or eager.",
        ) from error
    layers = [f".{name}" for name, layer in model.named_modules() if isinstance(layer, (torch.nn.Linear, Conv1D))]
    wanted = [] if lora is None or lora.targets == "all-linear" else lora.targets.split("+")
    lacking = [target for target in wanted if not any(name.endswith(f".{target}") for name in layers)]
    if lacking:
        names = dict.fromkeys(name.rpartition(".")[2] for name in layers)
        raise InputError(
            f"--lora targets: model {base.uri} has no linear layer {lacking[0]!r}",
            fix=f"Its linear layers are {', '.join(names)}: name some with + between them, or all-linear.",
        )
