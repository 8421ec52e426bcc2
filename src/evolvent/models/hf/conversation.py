"""A conversation as the model's chat template writes it."""

from collections.abc import Sequence

import jinja2

from evolvent.errors import CallError, InputError
from evolvent.models.hf.loading import Weights, token_ids
from evolvent.records import Message


def require_template(weights: Weights, uri: str) -> None:
    """Check that the model has a chat template.

    Raises:
        InputError: it has none.
    """
    if weights.template is None:
        raise InputError(
            f"model {uri} has no chat template: it is a base model, or its tokenizer came without one",
            fix="Name a Jinja file that holds one: hf:MODEL?chat_template=FILE",
        )


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
        CallError: the template, or the tokenizer, refuses these messages.
    """
    try:
        text = weights.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=weights.template,
            tokenize=False,
            add_generation_prompt=generation_prompt,
        )
        return token_ids(weights.tokenizer, text, special=False)
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise CallError(f"model {uri}: the chat template refuses this conversation: {error}") from error
