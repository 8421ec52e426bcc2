"""What ends an answer in a model's chat template: a student that does not learn it never stops."""

from dataclasses import dataclass
from importlib.util import find_spec

from evolvent.models.token_counts import open_tokenizer, template_of
from evolvent.models.uri import parse_uri

_ANSWER = "zzanswerzz"


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """What ends an answer.

    Attributes:
        token: the special token that the chat template puts behind an answer; None if it puts none.
        end_of_text: the tokenizer's end token; trainers go by it unless they are told of another.
    """

    token: str | None
    end_of_text: str | None


def turn_end(uri: str) -> TurnEnd | None:
    """What ends an answer of a model; None where its tokenizer is not on this machine.

    Raises:
        InputError: a bad URI, or a model without a chat template.
    """
    model = parse_uri(uri)
    if find_spec("transformers") is None:
        return None
    try:
        tokenizer = open_tokenizer(model)
    except Exception:  # absent, damaged or of an unknown kind: transformers and tokenizers raise anything then
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
    text = str(tokenizer.apply_chat_template(turns, chat_template=template_of(model, tokenizer), tokenize=False))
    behind = text.rpartition(_ANSWER)[2].lstrip()
    special = {token.content for token in tokenizer.added_tokens_decoder.values()}
    found = [token for token in special if token and behind.startswith(token)]
    return TurnEnd(max(found, key=len, default=None), tokenizer.eos_token)
