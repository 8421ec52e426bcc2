"""A conversation as the model's chat template writes it."""

from collections.abc import Sequence

from evolvent.errors import CallError, InputError
from evolvent.models.hf.loading import Weights, token_ids
from evolvent.records import Message


def require_template(weights: Weights, uri: str) -> None:
    """Check that the model has a chat template, and that it can write the turn of a user.

    Raises:
        InputError: it has none, or a broken one.
    """
    if weights.template is None:
        raise InputError(
            f"model {uri} has no chat template: it is a base model, or its tokenizer came without one",
            fix="Name a Jinja file that holds one: hf:MODEL?chat_template=FILE",
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
