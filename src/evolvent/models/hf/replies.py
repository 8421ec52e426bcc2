"""What a chat model's tokens say: where a reply ends, its text, and its reasoning."""

from collections.abc import Sequence
from functools import partial

from evolvent.errors import ModelUnavailableError
from evolvent.models.hf.batching import Request
from evolvent.models.hf.loading import Weights
from evolvent.models.hf.sampling import TokenTrace
from evolvent.models.protocols import Reply, TokenLogprob, Usage
from evolvent.models.reasoning import PROMPT_END, split_generated


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


def reply(
    weights: Weights, request: Request, tokens: Sequence[int], traces: Sequence[TokenTrace], ends: Sequence[int]
) -> Reply:
    """The reply that a row's tokens are.

    Args:
        weights: the model.
        request: what was asked.
        tokens: what was generated; what stands after an end token or the request's limit is cut off.
        traces: log probabilities of the tokens, if they were asked for.
        ends: tokens that end a reply.
    """
    end = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    stopped = end < request.max_tokens
    tokens = tokens[: end + 1] if stopped else tokens[: request.max_tokens]
    # tokenizers of old may ask to take out spaces before punctuation, which is not what the model said
    decode = partial(weights.tokenizer.decode, clean_up_tokenization_spaces=False)
    logprobs = tuple(
        TokenLogprob(
            decode([trace.token]), trace.logprob, tuple((decode([token]), value) for token, value in trace.top)
        )
        for trace in traces[: len(tokens)]
    )
    text = decode(tokens, skip_special_tokens=True)
    answer, reasoning = split_generated(text, decode(request.prompt[-PROMPT_END:]))
    return Reply(
        text=answer,
        finish_reason="stop" if stopped else "length",
        usage=Usage(len(request.prompt), len(tokens)),
        reasoning=reasoning,
        logprobs=logprobs if request.sampling.top_logprobs else None,
        cut_max_tokens=request.max_tokens if request.max_tokens < request.sampling.max_tokens else None,
    )
