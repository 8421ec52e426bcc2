"""Load a model and its tokenizer from a folder or the Hub, once a process, and say exactly which weights they are."""

import hashlib
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypedDict, Unpack
from weakref import WeakKeyDictionary, WeakValueDictionary

import orjson
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from evolvent.errors import EvolventError, InputError, ModelUnavailableError
from evolvent.models.chat_template import read_template
from evolvent.models.fingerprint import fingerprint
from evolvent.models.folders import Place, find_model, wholly_cached

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# transformers' class for a kind of model.
CAUSAL, CLASSIFIER, ENCODER = AutoModelForCausalLM, AutoModelForSequenceClassification, AutoModel

# Which models somebody holds; and what belongs to each, its tokenizer and its lock, for as long as it is held.
_held: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()
_belongings: WeakKeyDictionary[Any, tuple[Any, Lock]] = WeakKeyDictionary()

# One load at a time: transformers patches classes of the whole process while it loads. It guards the two above as well.
_loading = Lock()


@dataclass(frozen=True, slots=True)
class Weights:
    """A loaded model. Whoever loads the same again while somebody holds it gets the same model, tokenizer and lock.

    Attributes:
        model: the transformers model, in evaluation mode on its device.
        tokenizer: its tokenizer.
        template: the chat template, or None.
        identity: canonical JSON text: back end, dtype, hash of config, tokenizer, template and weights; not the device.
        context: the longest sequence in tokens, prompt and reply together.
        lock: whoever runs the model has it meanwhile. Some models keep in themselves how long the last text was
            (LongRoPE), and threads that run one model would only take its cores from one another.
    """

    model: Any
    tokenizer: Any
    template: str | None
    identity: str
    context: int
    lock: Lock = field(default_factory=Lock)


class Loading(TypedDict, total=False):
    """How a model is loaded; all of it may be left out.

    Attributes:
        revision: branch, tag or commit on the Hub.
        device: auto (a GPU if there is one), cpu, cuda or cuda:N.
        dtype: auto (float32 on a CPU, bfloat16 on a GPU), float32 or bfloat16.
        chat_template: a file with a Jinja chat template, instead of the model's own.
        trust_remote_code: run Python code that comes with the model.
    """

    revision: str | None
    device: str
    dtype: str
    chat_template: str | None
    trust_remote_code: bool


def load_weights(name: str, *, uri: str, kind: Any = CAUSAL, **how: Unpack[Loading]) -> Weights:
    """Load a model for inference, or share it with those who hold it already.

    Args:
        name: a folder, or an id on the Hugging Face Hub.
        uri: the model's name in messages to the user.
        kind: ``CAUSAL``, ``CLASSIFIER``, or ``ENCODER``, which has no chat template.
        how: see ``Loading``.

    Raises:
        InputError: an unknown device or dtype, an unreadable template file, code that the user has not allowed.
        ModelUnavailableError: no such model, no weights, no network, weights that are not of this kind.
    """
    device = chosen_device(how.get("device", "auto"), uri)
    number = chosen_dtype(how.get("dtype", "auto"), device, uri)
    file = how.get("chat_template")
    template = read_template(file, uri) if file else None
    found = find_model(name, how.get("revision"), uri)
    try:
        mark = fingerprint(found)
        trust = how.get("trust_remote_code", False)
        model, tokenizer, lock = _shared(name, found, mark, number, device, uri, trust, kind)
        if template is None and kind is not ENCODER and tokenizer.chat_template:
            template = tokenizer.get_chat_template()
        identity = identity_of(mark, str(number).removeprefix("torch."), template)
        return Weights(model, tokenizer, template, identity, trained_context(model.config, tokenizer), lock)
    except EvolventError:
        raise
    # A model that is absent, gated or of an unknown kind, a damaged file of whatever format, a number that makes no
    # sense in a config: transformers, tokenizers, safetensors, torch raise anything then, ZeroDivisionError too.
    except Exception as error:
        raise _unavailable(found, uri, error, kind) from error


def _shared(
    name: str,
    found: Place,
    mark: str,
    number: torch.dtype,
    device: torch.device,
    uri: str,
    trust_remote_code: bool,
    kind: Any,
) -> tuple[Any, Any, Lock]:
    """The model, its tokenizer and its lock: those that somebody holds, or newly loaded.

    Args:
        name: a folder, or an id on the Hub.
        found: where it is.
        mark: its fingerprint: a folder whose files have changed is another model.
        number: the weights' dtype.
        device: where it runs.
        uri: the model's name in messages to the user.
        trust_remote_code: run Python code that comes with the model.
        kind: ``CAUSAL``, ``CLASSIFIER`` or ``ENCODER``.
    """
    key = (found.folder.resolve(), mark, number, device, trust_remote_code, kind)
    with _loading:
        model = _held.get(key)
        if model is None:
            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the terminal shows the stage's
            model, tokenizer = _read(name, found, number, uri, trust_remote_code, kind)
            model = model.to(device).eval().requires_grad_(False)
            if tokenizer.is_fast:
                # tokenizer.json may ask for either; a text here is always taken whole and alone
                tokenizer.backend_tokenizer.no_truncation()
                tokenizer.backend_tokenizer.no_padding()
            _held[key], _belongings[model] = model, (tokenizer, Lock())
        return model, *_belongings[model]


def _read(
    name: str, found: Place, number: torch.dtype, uri: str, trust_remote_code: bool, kind: Any
) -> tuple[Any, Any]:
    """The model and its tokenizer, from the user's folder, the Hub's cache or the Hub."""
    if found.commit is None:
        return _pretrained(str(found.folder), None, number, uri, trust_remote_code, kind)
    if wholly_cached(name, found.commit):
        # by its folder: even at a commit that is cached transformers would ask the Hub for lists of files
        with suppress(OSError):  # a file has been deleted, or its download was cut
            return _pretrained(str(found.folder), None, number, uri, trust_remote_code, kind)
    return _pretrained(name, found.commit, number, uri, trust_remote_code, kind)


def _pretrained(
    name: str, revision: str | None, number: torch.dtype, uri: str, trust_remote_code: bool, kind: Any
) -> tuple[Any, Any]:
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    config = AutoConfig.from_pretrained(name, **options)
    tokenizer = AutoTokenizer.from_pretrained(name, **options)
    own = getattr(config, "auto_map", None) or {}
    if kind is CLASSIFIER and "AutoModel" in own and kind.__name__ not in own:
        kind = AutoModel  # InternLM's reward models say so
    model, report = kind.from_pretrained(name, config=config, dtype=number, output_loading_info=True, **options)
    missing = sorted(key for key in report["missing_keys"] if kind is not ENCODER or not key.startswith("pooler."))
    if missing:
        # transformers would fill them with random numbers, and the model would babble
        raise ModelUnavailableError(
            f"model {uri}: the weights lack {len(missing)} tensors of a {type(model).__name__}, {missing[0]} for one",
            fix="Name a model of this kind whose weights are complete.",
        )
    return model, tokenizer


def chosen_device(device: str, uri: str) -> torch.device:
    """The device that a user's word means."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise InputError(f"model {uri}: unknown device {device!r}", fix="Devices: auto, cpu, cuda, cuda:N.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"model {uri}: device {device} asked for, but torch sees {torch.cuda.device_count()} GPUs",
            fix="Use --device cpu, or see what torch finds: evolvent doctor.",
        )
    return torch.device("cuda", int(index or 0)) if kind == "cuda" else torch.device("cpu")


def chosen_dtype(dtype: str, device: torch.device, uri: str) -> torch.dtype:
    """The dtype that a user's word means on a device."""
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if dtype not in DTYPES:
        raise InputError(f"model {uri}: unknown dtype {dtype!r}", fix="Dtypes: auto, float32, bfloat16.")
    return DTYPES[dtype]


def _unavailable(found: Place, uri: str, error: Exception, kind: Any) -> InputError:
    words = " ".join(str(error).split()) or type(error).__name__
    if "trust_remote_code" in words:
        return InputError(
            f"model {uri} brings Python code of its own, which is not run unasked",
            fix="If you trust its authors: hf:MODEL?trust_remote_code=true",
        )
    if kind is CLASSIFIER:
        return ModelUnavailableError(
            f"model {uri} cannot be loaded as a sequence classifier: {words[:300]}",
            fix="Name a classifier whose weights are complete: a reward model, or a cross-encoder of natural language "
            "inference. For a gated model set HF_TOKEN.",
        )
    if found.commit is None:
        return ModelUnavailableError(
            f"model {uri}: the folder {found.folder} cannot be loaded: {words[:300]}",
            fix="It must hold config.json, tokenizer files and *.safetensors of a causal language model.",
        )
    return ModelUnavailableError(
        f"model {uri} cannot be loaded: {words[:300]}",
        fix="Check the name and the network; for a gated model set HF_TOKEN.",
    )


def identity_of(mark: str, dtype: str, template: str | None) -> str:
    """Canonical JSON text that changes when the replies may; ``mark``: the weights' fingerprint."""
    content = {
        "backend": "hf",
        "dtype": dtype,
        "template": hashlib.sha256(template.encode()).hexdigest() if template else None,
        "weights": mark,
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()


def trained_context(config: Any, tokenizer: Any) -> int:
    """The trained context: what the config says under any of its names, else the tokenizer's limit, else none."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"):
        length = getattr(text, name, None)
        if isinstance(length, int) and length > 0:
            return length
    limit = int(tokenizer.model_max_length)
    return limit if limit < 10**9 else sys.maxsize
