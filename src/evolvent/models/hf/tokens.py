"""From text to tokens and back: texts, conversations in the chat template of a model, and the replies it generates."""

from collections.abc import Sequence

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.hf.batching import Request
from evolvent.models.hf.loading import Weights
from evolvent.models.hf.sampling import TokenTrace
from evolvent.models.protocols import Reply, TokenLogprob, Usage
from evolvent.models.reasoning import PROMPT_END, split_generated
from evolvent.models.stop_texts import before_stop, tokens_before
from evolvent.records import Message


def token_ids(weights: Weights, text: str, *, special: bool) -> list[int]:
    """Token ids of a text; ``special``: with the tokens the tokenizer adds by default (a BOS, say).

    Goes to the Rust tokenizer directly where there is one: the ids of ``tokenizer(text)`` in a third of the time.

    Raises:
        CallError: the model has no embedding for one of the tokens. Many a good model has such tokens, for pictures or
            padding, so it is the text that is refused. The model itself would raise, and on a GPU fail from then on.
    """
    tokenizer = weights.tokenizer
    if tokenizer.is_fast:
        ids = list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=special).ids)
    else:
        ids = list(tokenizer(text, add_special_tokens=special)["input_ids"])
    known = weights.model.get_input_embeddings().weight.shape[0]
    if max(ids, default=0) >= known:
        strange = tokenizer.convert_ids_to_tokens(max(ids))
        raise CallError(f"the text holds the token {strange!r}, number {max(ids)}, and the model knows {known} tokens")
    return ids


def require_template(weights: Weights, uri: str) -> None:
    """Check that the model has a chat template, and that it can write the turn of a user.

    Raises:
        InputError: it has none, or a broken one.
    """
    if weights.template is None:
        raise InputError(
            f"model {uri} has no chat template: it is a base model, or its tokenizer came without one",
            fix="Name one: hf:MODEL?chat_template=alpaca (plain text), =chatml, or a Jinja file",
        )
    try:
        _written(weights, [{"role": "user", "content": "?"}], generation_prompt=True)
    # Templates are programs: beside Jinja's own errors theirs are Python's, ZeroDivisionError or KeyError as well.
    except Exception as error:
        raise InputError(
            f"model {uri}: its chat template cannot write a single turn of a user: {error}",
            fix="Mend the template, or name another: hf:MODEL?chat_template=FILE",
        ) from error


def conversation_tokens(
    weights: Weights, uri: str, messages: Sequence[Message], *, generation_prompt: bool
) -> list[int]:
    """Token ids of a conversation in the model's chat template; special tokens are the template's own.

    Args:
        weights: a model with a chat template.
        uri: its name in messages to the user.
        messages: the conversation.
        generation_prompt: end with what opens the assistant's turn.

    Raises:
        CallError: the template refuses these messages, or they hold a token that the model does not know.
    """
    try:
        text = _written(weights, messages, generation_prompt=generation_prompt)
    except Exception as error:  # see require_template
        raise CallError(f"model {uri}: the chat template refuses this conversation: {error}") from error
    try:
        return token_ids(weights, text, special=False)
    except CallError as error:
        raise CallError(f"model {uri}: {error.message}") from error


def _written(weights: Weights, messages: Sequence[Message], *, generation_prompt: bool) -> str:
    return str(
        weights.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=weights.template,
            tokenize=False,
            add_generation_prompt=generation_prompt,
        )
    )


def end_tokens(weights: Weights, uri: str) -> list[int]:
    """Tokens that end a reply: those of the model's generation config and the tokenizer's own.

    Raises:
        ModelUnavailableError: the config names one that is no number.
    """
    named = weights.model.generation_config.eos_token_id
    if named is None:
        named = weights.model.config.get_text_config().eos_token_id
    ends = list(named) if isinstance(named, list | tuple) else [named]
    try:
        return sorted({int(end) for end in [*ends, weights.tokenizer.eos_token_id] if end is not None})
    except (TypeError, ValueError) as error:
        raise ModelUnavailableError(
            f"model {uri}: its config gives {named!r} as the token that ends a reply",
            fix="eos_token_id in generation_config.json or config.json is a number, or a list of numbers.",
        ) from error


def split_reply(
    weights: Weights, request: Request, tokens: Sequence[int], *, cut: bool = True
) -> tuple[str, str | None]:
    """Answer and reasoning that a row's tokens are so far; ``cut``: there would be more."""
    return split_generated(text_of(weights, tokens), _decoded(weights, request.prompt[-PROMPT_END:]), cut=cut)


def text_of(weights: Weights, tokens: Sequence[int]) -> str:
    """The text of generated tokens, without special ones."""
    return _decoded(weights, tokens, skip_special_tokens=True)


def _decoded(weights: Weights, tokens: Sequence[int], **how: bool) -> str:
    # tokenizers of old may ask to take out spaces before punctuation, which is not what the model said
    return str(weights.tokenizer.decode(tokens, clean_up_tokenization_spaces=False, **how))


def reply(
    weights: Weights, request: Request, tokens: Sequence[int], traces: Sequence[TokenTrace], finish_reason: str
) -> Reply:
    """The reply that a row's tokens are.

    Args:
        weights: the model.
        request: what was asked.
        tokens: what was generated, an end token included.
        traces: log probabilities of the tokens, if they were asked for.
        finish_reason: why it ended with its last token.
    """
    answer, reasoning = split_reply(weights, request, tokens, cut=finish_reason != "stop")
    before = before_stop(answer, request.sampling.stop)
    positions = len(traces)
    if before is not None:
        positions = tokens_before(before, tokens, lambda first: split_reply(weights, request, first)[0])
    elif finish_reason == "stop":
        positions -= 1  # the last one ended the turn
    logprobs = tuple(
        TokenLogprob(
            _decoded(weights, [trace.token]),
            trace.logprob,
            tuple((_decoded(weights, [token]), value) for token, value in trace.top),
        )
        for trace in traces[: max(0, positions)]
    )
    return Reply(
        text=answer if before is None else before,
        finish_reason=finish_reason if before is None else "stop",
        usage=Usage(len(request.prompt), len(tokens)),
        reasoning=reasoning,
        logprobs=logprobs if request.sampling.top_logprobs else None,
        cut_max_tokens=request.max_tokens if request.max_tokens < request.sampling.max_tokens else None,
    )
