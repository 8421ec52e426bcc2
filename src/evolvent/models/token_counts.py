"""How many tokens a text has, without the model: by its tokenizer alone where that is on this machine, else about.

Nothing is downloaded and no weights are read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from evolvent.errors import CallError, InputError
from evolvent.hub import without_telemetry
from evolvent.models.chat_template import read_template
from evolvent.models.folders import EMBEDDED_FOLDER, cached_folder, own_folder
from evolvent.models.uri import EMBEDDED, ModelURI, is_gguf, parse_uri
from evolvent.records import Message

# English in the tokenizers of today; what is counted so is marked as an estimate.
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts the tokens of a model.

    Attributes:
        prompt: tokens of a conversation as the model is given it. Raises CallError where its template refuses it.
        text: tokens of a text alone.
        exact: whether the model's own tokenizer counts.
        how: what counts, in words.
    """

    prompt: Callable[[Sequence[Message]], int]
    text: Callable[[str], int]
    exact: bool
    how: str


def open_counter(uri: str) -> TokenCounter:
    """What counts a model's tokens.

    Args:
        uri: the model's URI.

    Raises:
        InputError: a bad URI, an unreadable template file, or a model in this process without a chat template.
    """
    model = parse_uri(uri)
    if model.scheme == "openai":
        return _about("the server's tokenizer is not known here")
    if is_gguf(model) or model.scheme == "smollm2":
        return _about("the tokenizer of a GGUF file is llama.cpp's")
    if find_spec("transformers") is None:
        return _about("transformers is not installed")
    try:
        tokenizer = open_tokenizer(model)
    # A tokenizer that is absent, damaged or of an unknown kind: transformers and tokenizers raise anything then.
    except Exception as error:
        return _about(f"its tokenizer is not on this machine: {' '.join(str(error).split())[:100]}")
    template = template_of(model, tokenizer)
    return TokenCounter(
        partial(_prompt_tokens, tokenizer, template, str(model)),
        partial(_text_tokens, tokenizer),
        exact=True,
        how="the model's tokenizer",
    )


def _about(why: str) -> TokenCounter:
    return TokenCounter(
        lambda messages: _by_length(sum(len(message["content"]) for message in messages)),
        lambda text: _by_length(len(text)),
        exact=False,
        how=f"about {CHARACTERS_A_TOKEN} characters a token: {why}",
    )


def _by_length(characters: int) -> int:
    return -(-characters // CHARACTERS_A_TOKEN)


def open_tokenizer(model: ModelURI) -> Any:
    """A model's tokenizer, where it is on this machine; it or its absence raises anything."""
    without_telemetry()
    from transformers import AutoTokenizer

    if model.scheme in EMBEDDED:
        folder = EMBEDDED_FOLDER / EMBEDDED[model.scheme]
    else:
        # looked up by hand: even for a cached model transformers would ask the Hub for something
        own = own_folder(model.name, str(model), model.revision)
        found = own or cached_folder(model.name, model.revision)
        if found is None:
            raise FileNotFoundError(f"{model.name} is neither a folder nor in the Hub's cache")
        folder = found
    trust = model.options.get("trust_remote_code") == "true"
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust, local_files_only=True)
    if tokenizer.is_fast:
        # as when the model is loaded: a text is taken whole and alone
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def template_of(model: ModelURI, tokenizer: Any) -> str:
    """The chat template that a model is used with.

    Raises:
        InputError: it has none.
    """
    file = model.options.get("chat_template")
    if file:
        return read_template(file, str(model))
    if not tokenizer.chat_template:
        raise InputError(
            f"model {model} has no chat template: it is a base model, or its tokenizer came without one",
            fix="Name a model that follows instructions, or a template: hf:MODEL?chat_template=FILE",
        )
    return str(tokenizer.get_chat_template())


def _prompt_tokens(tokenizer: Any, template: str, uri: str, messages: Sequence[Message]) -> int:
    """Special tokens are the template's own, as when the model is asked."""
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages], chat_template=template, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # a template is a program: it raises what Python can
        raise CallError(f"model {uri}: the chat template refuses this conversation: {error}") from error
    return _text_tokens(tokenizer, str(text))


def _text_tokens(tokenizer: Any, text: str) -> int:
    if tokenizer.is_fast:
        return len(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
