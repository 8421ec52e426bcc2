"""Opens one model, by what it is to do. The one place that knows which back end serves which scheme."""

import os
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from evolvent.errors import InputError, ModelUnavailableError, require_extra
from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.models.gguf.files import find_gguf
from evolvent.models.minilm import find_minilm
from evolvent.models.protocols import ChatModel, Embedder, PairClassifier, RewardModel, TokenScorer
from evolvent.models.smollm2 import ON_HUB, find_smollm2
from evolvent.models.uri import BASE, EMBEDDED, ModelURI, is_gguf, parse_uri, require_answering

OPENAI_URL = "https://api.openai.com/v1"


def open_chat(
    uri: str,
    *,
    extra_body: Mapping[str, object] | None = None,
    concurrency: int | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
) -> ChatModel:
    """Open a model that answers conversations. A server is not contacted before the first call.

    Args:
        uri: the model's URI.
        extra_body: request fields for an OpenAI-compatible server, merged into every request; part of the call key.
        concurrency: requests to a server at once, exactly; None finds the level that suits it. A model in this
            process fills its batches itself and takes no notice.
        requests_per_minute: at most so many requests to a server a minute, tries that fail included.
        tokens_per_minute: at most so many tokens a minute, prompts and replies.

    Raises:
        InputError: a bad URI, a missing extra, a missing key, a number that cannot work, or extra fields or caps for a
            model in this process.
        ModelUnavailableError: the weights cannot be found or read.
    """
    if concurrency is not None and concurrency < 1:
        raise InputError(f"concurrency is {concurrency}", fix="It is at least 1.")
    for name, cap in (("requests", requests_per_minute), ("tokens", tokens_per_minute)):
        if cap is not None and not (isfinite(cap) and cap > 0):
            raise InputError(f"the cap of {name} a minute is {cap:g}", fix="It is a number above 0.")
    parsed = parse_uri(uri)
    require_answering(parsed)
    if parsed.scheme == "openai":
        return _open_openai(parsed, extra_body or {}, concurrency, requests_per_minute, tokens_per_minute)
    if extra_body:
        raise InputError(f"model {parsed} takes no extra request fields", fix="--extra-body is for openai: models.")
    if requests_per_minute is not None or tokens_per_minute is not None:
        raise InputError(
            f"model {parsed} runs in this process: a cap of requests or tokens a minute is for servers",
            fix="Leave out --max-requests-per-minute and --max-tokens-per-minute.",
        )
    if parsed.scheme == "vllm":
        require_extra("vllm", "vllm")
        from evolvent.models.vllm import VLLMChat, engine_numbers

        return VLLMChat.load(**_weights(parsed), **engine_numbers(parsed))
    gguf = _gguf_name(parsed)
    if gguf:
        return _open_gguf(gguf, parsed)
    require_extra("torch", "local")
    require_extra("transformers", "local")
    from evolvent.models.hf.chat import HFChat

    return HFChat.load(**_weights(parsed))


def open_scorer(uri: str, *, device: str = "auto", dtype: str = "auto", batch_tokens: int | None = None) -> TokenScorer:
    """Open a base model that gives token losses.

    Args:
        uri: ``embedded-base`` or another that ships, ``smollm2``, ``hf:…`` or ``gguf:…``, which is converted the
            first time.
        device: auto, cpu or cuda.
        dtype: auto (float32 on CPU, bfloat16 on a GPU), float32 or bfloat16.
        batch_tokens: padded tokens a batch; None for the measured default.

    Raises:
        InputError: a bad URI or a back end that gives no token losses.
        ModelUnavailableError: the weights cannot be found or read.
    """
    parsed = parse_uri(uri)
    if parsed.scheme == "vllm":
        raise InputError(f"model {parsed} cannot score", fix="Score with transformers: --base-model hf:ID-or-folder.")
    if parsed.scheme == "openai":
        raise InputError(
            f"model {parsed} cannot score: OpenAI-compatible servers do not return the losses of a given text reliably",
            fix="Score with the weights themselves: --base-model hf:ID-or-folder, or embedded-base.",
        )
    require_extra("torch", "local")
    require_extra("transformers", "local")
    from evolvent.models.hf.scorer import HFScorer

    return HFScorer.load(**_numbers(_for_transformers(parsed), device, dtype), batch_tokens=batch_tokens)


def trainable_weights(uri: str) -> dict[str, Any]:
    """Where the weights of a model are that is to be trained: arguments as ``hf.loading.load_weights`` has them.

    Args:
        uri: ``embedded-base`` or another that ships, ``smollm2``, ``hf:…`` or ``gguf:…``, which is converted the
            first time.

    Raises:
        InputError: a bad URI, or a model that is no language model in this process.
        ModelUnavailableError: the weights cannot be found or read.
    """
    parsed = parse_uri(uri)
    if parsed.scheme not in ("hf", "gguf", "smollm2", "embedded", *BASE):
        raise InputError(
            f"model {parsed} cannot be trained: what is trained are weights in a folder or on the Hub",
            fix="Name them: --base-model hf:ID-or-folder, gguf:FILE, smollm2, embedded or embedded-base.",
        )
    return _weights(_for_transformers(parsed))


def open_reward_model(
    uri: str, *, device: str = "auto", dtype: str = "auto", batch_tokens: int | None = None
) -> RewardModel:
    """Open a model that says how good an answer is.

    Args:
        uri: ``embedded-reward`` or ``hf:…``, a sequence classifier with one label, or a model of its own code that has
            ``get_scores``.
        device: auto, cpu or cuda.
        dtype: auto (float32 on CPU, bfloat16 on a GPU), float32 or bfloat16.
        batch_tokens: padded tokens a batch; None for the default.

    Raises:
        InputError: a bad URI or a back end that gives no rewards.
        ModelUnavailableError: the weights cannot be found or read, or are no reward model's.
    """
    parsed = parse_uri(uri)
    if parsed.scheme not in ("hf", "embedded-reward"):
        raise InputError(
            f"model {parsed} gives no rewards",
            fix="Name a reward model on the Hub or in a folder, --reward-model hf:ID-or-folder, or embedded-reward. "
            "A model that chats can judge instead: --metrics judge_score --judge URI.",
        )
    require_extra("torch", "local")
    require_extra("transformers", "local")
    from evolvent.models.hf.reward import HFReward

    return HFReward.load(**_numbers(parsed, device, dtype), batch_tokens=batch_tokens)


def open_embedder(uri: str, *, device: str = "auto", dtype: str = "auto", batch_tokens: int | None = None) -> Embedder:
    """Open a model that turns texts into vectors.

    Args:
        uri: ``minilm`` or ``hf:…``, an encoder as sentence-transformers has them.
        device: auto, cpu or cuda.
        dtype: auto (float32 on CPU, bfloat16 on a GPU), float32 or bfloat16.
        batch_tokens: padded tokens a batch; None for the default.

    Raises:
        InputError: a bad URI or a back end that gives no vectors.
        ModelUnavailableError: the weights cannot be found or read.
    """
    parsed = parse_uri(uri)
    if parsed.scheme not in ("hf", "minilm"):
        raise InputError(
            f"model {parsed} embeds no texts",
            fix="Name an encoder: --embedder hf:sentence-transformers/all-mpnet-base-v2, a folder with one, or minilm.",
        )
    require_extra("torch", "local")
    require_extra("transformers", "local")
    from evolvent.models.hf.embedder import HFEmbedder

    return HFEmbedder.load(**_numbers(parsed, device, dtype), batch_tokens=batch_tokens)


def _numbers(uri: ModelURI, device: str, dtype: str) -> dict[str, Any]:
    """The arguments with which local weights are loaded, where options say on which device and in which type."""
    return _weights(uri) | {key: value for key, value in (("device", device), ("dtype", dtype)) if value != "auto"}


def open_pair_classifier(uri: str) -> PairClassifier:
    """Open a model of natural language inference, a cross-encoder.

    Args:
        uri: ``hf:…``.

    Raises:
        InputError: a bad URI, or a model that does not tell entailment, neutral and contradiction apart.
        ModelUnavailableError: the weights cannot be found or read.
    """
    parsed = parse_uri(uri)
    if parsed.scheme != "hf":
        raise InputError(
            f"model {parsed} cannot compare two texts",
            fix="Name a cross-encoder of natural language inference on the Hub or in a folder: --nli hf:ID-or-folder.",
        )
    if "chat_template" in parsed.options:
        raise InputError(f"model {parsed} compares texts: it takes no chat template", fix="Leave out chat_template.")
    require_extra("torch", "local")
    require_extra("transformers", "local")
    from evolvent.models.hf.cross_encoder import HFCrossEncoder

    return HFCrossEncoder.load(**_weights(parsed))


def _open_openai(
    uri: ModelURI,
    extra_body: Mapping[str, object],
    concurrency: int | None,
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
) -> ChatModel:
    from evolvent.models.openai import OpenAIChat

    base_url = uri.options.get("base_url") or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    variable = uri.options.get("api_key_env", "OPENAI_API_KEY")
    key = os.environ.get(variable)
    if not key and ("api_key_env" in uri.options or OPENAI_URL in (base_url.rstrip("/"), *uri.more_base_urls)):
        raise ModelUnavailableError(
            f"model {uri}: the environment variable {variable} holds no key",
            fix=f"Set it (export {variable}=…), or name a server that needs none with ?base_url=http://host:port/v1.",
        )
    try:
        timeout = float(uri.options.get("timeout", 600))
    except ValueError as error:
        raise InputError(f"model {uri}: timeout={uri.options['timeout']} is not a number of seconds") from error
    return OpenAIChat(
        uri.name,
        uri=str(uri),
        base_url=base_url,
        more_base_urls=uri.more_base_urls,
        api_key=key,
        extra_body=extra_body,
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        timeout_s=timeout,
        api_key_env=variable,
    )


def _gguf_name(uri: ModelURI) -> str | None:
    """The GGUF file that a model is read from, as the user named it or as smollm2 was found; None if from none."""
    if uri.scheme == "smollm2":
        found = find_smollm2()
        return str(found) if isinstance(found, Path) else None
    return uri.name if is_gguf(uri) else None


def _open_gguf(name: str, uri: ModelURI) -> ChatModel:
    require_extra("xllamacpp", "gguf")
    from evolvent.models.gguf.chat import GGUFChat

    numbers = {}
    for option in ("context", "slots"):
        if option in uri.options:
            if not uri.options[option].isdecimal() or not int(uri.options[option]):
                raise InputError(f"model {uri}: {option}={uri.options[option]} is not a whole number above 0")
            numbers[option] = int(uri.options[option])
    template = uri.options.get("chat_template")
    return GGUFChat.load(name, uri=str(uri), chat_template=template, **numbers)


def _for_transformers(uri: ModelURI) -> ModelURI:
    """A model as transformers finds it: a GGUF file as the folder that is made of it, once."""
    gguf = _gguf_name(uri)
    if not gguf:
        return uri
    from evolvent.models.gguf.convert import transformers_folder

    return replace(uri, name=str(transformers_folder(find_gguf(gguf, str(uri)), str(uri))))


def _weights(uri: ModelURI) -> dict[str, Any]:
    """The arguments with which a back end of local weights loads this model."""
    if uri.scheme in EMBEDDED:
        return {"name": str(EMBEDDED_FOLDER / EMBEDDED[uri.scheme]), "uri": uri.scheme}
    if uri.scheme == "smollm2":
        return {"name": uri.name or ON_HUB, "uri": uri.scheme}
    if uri.scheme == "minilm":
        return {"name": find_minilm(), "uri": uri.scheme}
    trust = uri.options.get("trust_remote_code", "false")
    if trust not in ("true", "false"):
        raise InputError(f"model {uri}: trust_remote_code={trust} is neither true nor false")
    chosen = {key: value for key, value in uri.options.items() if key in ("device", "dtype", "chat_template")}
    return {"name": uri.name, "uri": str(uri), "revision": uri.revision, "trust_remote_code": trust == "true", **chosen}
