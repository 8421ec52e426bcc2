"""The base model: found without its weights, which a dry run does not need, then loaded to be trained."""

from dataclasses import dataclass
from typing import Any

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.hub import without_telemetry
from evolvent.models.chat_template import read_template
from evolvent.models.fingerprint import fingerprint
from evolvent.models.folders import find_model, wholly_cached
from evolvent.models.opening import trainable_weights


@dataclass(frozen=True, slots=True)
class Base:
    """A base model.

    Attributes:
        uri: its name to the user.
        place: how transformers finds it: a folder, or an id with a revision.
        mark: which weights it has.
        config, tokenizer: transformers'; the tokenizer has the chat template that is trained.
        context: the longest sequence in tokens.
        dtype: the number format of its weights, in which the student's are written, too.
    """

    uri: str
    place: dict[str, Any]
    mark: str
    config: Any
    tokenizer: Any
    context: int
    dtype: Any


def find_base(uri: str, chat_template: str | None) -> Base:
    """Find a base model, and give it a chat template if the user names one.

    Args:
        uri: its URI.
        chat_template: a name of ours, or a Jinja file; None for the model's own.

    Raises:
        InputError: it cannot be trained, has no chat template, or the named one does not suit it.
        ModelUnavailableError: it cannot be found or read.
    """
    where = trainable_weights(uri)
    for option in ("dtype", "device"):
        if option in where:
            raise InputError(
                f"model {uri}: {option} is not decided by the URI of a model that is trained",
                fix="Leave it out; --set bf16=true computes in bfloat16, CUDA_VISIBLE_DEVICES chooses GPUs.",
            )
    without_telemetry()
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from evolvent.models.hf.loading import trained_context

    found = find_model(where["name"], where.get("revision"), where["uri"])
    place: dict[str, Any] = {"pretrained_model_name_or_path": str(found.folder)}
    if found.commit is not None and not wholly_cached(where["name"], found.commit):
        place = {"pretrained_model_name_or_path": where["name"], "revision": found.commit}
    place["trust_remote_code"] = where.get("trust_remote_code", False)
    try:
        config, tokenizer = AutoConfig.from_pretrained(**place), AutoTokenizer.from_pretrained(**place)
        mark = fingerprint(found)
    except Exception as error:  # as in models.hf.loading: libraries raise anything for a damaged or absent file
        raise ModelUnavailableError(
            f"model {where['uri']} cannot be loaded: {' '.join(str(error).split())[:300] or type(error).__name__}",
            fix="Name a causal language model with its tokenizer: hf:ID-or-folder.",
        ) from error
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    named = chat_template or where.get("chat_template")
    if named:
        tokenizer.chat_template = _template(named, tokenizer, where["uri"])
    elif tokenizer.chat_template:
        tokenizer.chat_template = tokenizer.get_chat_template()  # the default one of several
    else:
        raise InputError(
            f"model {where['uri']} has no chat template: it is a base model, or its tokenizer came without one",
            fix="Choose the one that it learns: hf:MODEL?chat_template=alpaca (plain text, for any model), =chatml (if "
            "it knows <|im_start|> and <|im_end|>: Qwen, SmolLM2), or your own Jinja file. Of train --chat-template "
            "alpaca is the same.",
        )
    dtype = getattr(config, "dtype", None) or torch.float32
    return Base(where["uri"], place, mark, config, tokenizer, trained_context(config, tokenizer), dtype)


def _template(name: str, tokenizer: Any, uri: str) -> str:
    """The chat template that the user names, if a model with this tokenizer can learn it.

    Raises:
        InputError: it cannot, or the template cannot be read.
    """
    if name == "chatml":
        known = tokenizer.get_vocab()
        lacking = [token for token in ("<|im_start|>", "<|im_end|>") if token not in known]
        if lacking:
            # New tokens would be rows of random numbers, which no LoRA trains.
            raise InputError(
                f"model {uri} does not know the tokens of chatml: {', '.join(lacking)}",
                fix="Take alpaca, which needs no token but the end of the text.",
            )
    if name == "alpaca" and not tokenizer.eos_token:
        raise InputError(f"model {uri} has no token that ends a text", fix="Name a Jinja file.")
    return read_template(name, uri)


def load_model(base: Base, attention: str) -> Any:
    """The weights in float32, to be trained.

    Raises:
        ModelUnavailableError: they cannot be read.
    """
    import torch
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    try:
        model, report = auto.from_pretrained(
            **base.place, dtype=torch.float32, attn_implementation=attention, output_loading_info=True
        )
    except Exception as error:  # see find_base
        raise ModelUnavailableError(
            f"model {base.uri} cannot be loaded: {' '.join(str(error).split())[:300] or type(error).__name__}",
            fix="Name a causal language model with its weights: hf:ID-or-folder.",
        ) from error
    if report["missing_keys"]:
        raise ModelUnavailableError(
            f"model {base.uri}: the weights lack {len(report['missing_keys'])} tensors, "
            f"{sorted(report['missing_keys'])[0]} for one",
            fix="Name a model whose weights are complete.",
        )
    return model
