"""From conversations to tokens, and which of them carry loss: the assistant's, with the token that ends its turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolvent.errors import InputError
from evolvent.records import Message

IGNORED = -100  # the label of a token without loss


@dataclass(frozen=True, slots=True)
class Tokens:
    """A conversation as tokens.

    Attributes:
        ids: its tokens.
        spans: from where to where they carry loss, one pair an answer.
        last_only: whether earlier answers carry none, since the template writes them otherwise than when they are
            generated.
        shifted: whether the prompt alone is written otherwise than within the conversation: the model is trained in a
            context that it will not see.
    """

    ids: list[int]
    spans: tuple[tuple[int, int], ...]
    last_only: bool = False
    shifted: bool = False

    def labels(self) -> list[int]:
        """The token itself where it carries loss, IGNORED elsewhere."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.spans:
            labels[start:end] = self.ids[start:end]
        return labels


def tokens_of(tokenizer: Any, messages: Sequence[Message]) -> Tokens:
    """The tokens of a conversation that ends with an assistant's turn.

    An answer is what stands between the tokens of all before it, with what opens the assistant's turn, and those up to
    its own end: no template has to mark it.

    Raises:
        InputError: the chat template refuses it.
    """
    ids = _written(tokenizer, messages, opened=False)
    answers = [n for n, turn in enumerate(messages) if turn["role"] == "assistant"]
    last = answers.pop()
    before = _written(tokenizer, messages[:last], opened=True)
    start = _common(before, ids)
    spans = []
    for n in answers:
        prompt = _written(tokenizer, messages[:n], opened=True)
        whole = _written(tokenizer, messages[: n + 1], opened=False)
        if ids[: len(prompt)] != prompt or ids[: len(whole)] != whole:
            return Tokens(ids, ((start, len(ids)),), last_only=True, shifted=start < len(before))
        spans.append((len(prompt), len(whole)))
    return Tokens(ids, (*spans, (start, len(ids))), shifted=start < len(before))


def end_token(ids: Sequence[int], special: frozenset[int]) -> int | None:
    """The token that ends an answer: the last special one of its tokens; None if there is none."""
    return next((token for token in reversed(ids) if token in special), None)


def special_tokens(tokenizer: Any) -> frozenset[int]:
    """The tokens that are no text."""
    added = {token for token, about in tokenizer.added_tokens_decoder.items() if about.special}
    return frozenset({*tokenizer.all_special_ids, *added})


def _written(tokenizer: Any, messages: Sequence[Message], *, opened: bool) -> list[int]:
    try:
        text = tokenizer.apply_chat_template(
            [{"role": turn["role"], "content": turn["content"]} for turn in messages],
            tokenize=False,
            add_generation_prompt=opened,
        )
    except Exception as error:  # templates are programs: they raise Jinja's errors and Python's
        roles = ", ".join(turn["role"] for turn in messages)
        raise InputError(
            f"the chat template refuses a conversation of {roles}: {' '.join(str(error).split())[:300]}",
            fix="Leave such rows out, or name another template: --chat-template FILE.",
        ) from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
