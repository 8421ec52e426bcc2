"""How a pair becomes token sequences, and which of their positions make up which loss.

Notation: Q is the question (the instruction, and on the next line its input if there is one), A the response. Two
sequences are enough for three losses: L(Q) and L(A|Q) come from one pass over Q followed by A, because no token of Q
sees A; L(A) comes from a pass without Q.
"""

from collections.abc import Callable
from dataclasses import dataclass

from evolvent.models.protocols import TokenScorer
from evolvent.records import Message, Record


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as token ids. A span is [start, end) in positions of its sequence; no span holds position 0.

    Attributes:
        full: question and response.
        instruction: the span of ``full`` whose mean loss is L(Q).
        response: the span of ``full`` whose mean loss is L(A|Q); it ends with the sequence.
        direct: the response without the question.
        direct_start: L(A) is the mean loss of ``direct`` from here to its end.
        instruction_tokens: tokens of the question, without those that tokenizer or template add.
        response_tokens: tokens of the response, likewise.
    """

    full: list[int]
    instruction: tuple[int, int]
    response: tuple[int, int]
    direct: list[int]
    direct_start: int
    instruction_tokens: int
    response_tokens: int


Layout = Callable[[TokenScorer, Record], PairTokens | str]


def paper_layout(scorer: TokenScorer, record: Record) -> PairTokens | str:
    """Raw text, exactly as paper 1's code lays it out: Q, a line break, A; no chat template, no end token.

    n is the number of tokens of Q alone, a BOS included where the tokenizer adds one. L(Q) is over positions 1 to n - 1
    of the full text, L(A|Q) from n to its end, so the line break is charged to the response, unless the tokenizer
    merges it into Q's last token. L(A) is over A alone from position 1.

    Args:
        scorer: the base model.
        record: instruction, input and output are used.

    Returns:
        The tokens, or the reason why the pair cannot be scored.

    Source: arXiv 2412.11231, eq. 2, and its published code (Evol_Instruct/eval_loss.py).
    """
    if reason := _empty(record):
        return reason
    added = len(scorer.tokenize(""))
    question = scorer.tokenize(record.question)
    full = scorer.tokenize(f"{record.question}\n{record.output}")
    direct = scorer.tokenize(record.output)
    n = len(question)
    pair = PairTokens(full, (1, n), (n, len(full)), direct, 1, n - added, len(direct) - added)
    return _unscorable(pair, scorer) or pair


def chat_layout(scorer: TokenScorer, record: Record) -> PairTokens | str:
    """The model's chat template: the user's turn, the opening of the assistant's turn, then the tokens of A.

    L(Q) is over the tokens of Q inside the template, L(A|Q) over the tokens of A, neither over the template's own; a
    token into which the tokenizer merges the end of Q and what follows it counts for Q, as in the paper's layout. For
    L(A) the user's turn is empty and everything else stays: the two losses of A then differ in the question alone, not
    in whether the model knows that it answers, and both are over the same tokens. The token that would end the
    assistant's turn is not scored. A system turn of the record stands before all three.

    Args:
        scorer: a base model with a chat template.
        record: instruction, input, output and the system turn of its messages are used.

    Returns:
        The tokens, or the reason why the pair cannot be scored.

    Raises:
        InputError: the model has no chat template.
        CallError: the template refuses the conversation, or the model does not know one of its tokens.
    """
    if reason := _empty(record):
        return reason
    system = [turn for turn in record.messages or [] if turn["role"] == "system"][:1]
    answer = _without_added(scorer, record.output)
    prompt = scorer.chat_tokens([*system, _user(record.question)], generation_prompt=True)
    empty = scorer.chat_tokens([*system, _user("")], generation_prompt=True)
    # What the prompt shares with that of another question is the template's. An empty one will not do here: the line
    # breaks around it may merge into one token. Two others, as a tokenizer joins a space to letters, or to digits not.
    others = [scorer.chat_tokens([*system, _user(text)], generation_prompt=True) for text in _unlike(record.question)]
    shared = [_shared_ends(prompt, other) for other in others]
    start, after = max(before for before, _ in shared), max(behind for _, behind in shared)
    pair = PairTokens(
        full=prompt + answer,
        instruction=(max(1, start), len(prompt) - after),
        response=(len(prompt), len(prompt) + len(answer)),
        direct=empty + answer,
        direct_start=len(empty),
        instruction_tokens=max(0, len(prompt) - after - start),
        response_tokens=len(answer),
    )
    return _unscorable(pair, scorer) or pair


LAYOUTS: dict[str, Layout] = {"paper": paper_layout, "chat": chat_layout}


def _empty(record: Record) -> str | None:
    if not record.output:
        return "empty output"
    return None if record.question else "empty instruction"


def _unscorable(pair: PairTokens, scorer: TokenScorer) -> str | None:
    """Why one of the three losses would be a mean over nothing, or the model cannot take the pair."""
    if max(len(pair.full), len(pair.direct)) > scorer.context:
        return f"longer than the context of {scorer.context} tokens"
    if pair.instruction[0] >= pair.instruction[1]:
        # a single token without a BOS has nothing before it
        return "one-token instruction" if pair.instruction_tokens else "instruction without a token"
    if pair.direct_start >= len(pair.direct):
        return "one-token output" if pair.response_tokens else "output without a token"
    if pair.response[0] >= pair.response[1]:
        return "no token of the output stands apart from the instruction's last"
    return None


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _unlike(question: str) -> list[str]:
    """A letter and a digit, either unlike the question's first and last characters."""
    ends = {question.strip()[:1].lower(), question.strip()[-1:].lower()}
    return [next(text for text in texts if text not in ends) for texts in ("abc", "123")]


def _without_added(scorer: TokenScorer, text: str) -> list[int]:
    """Token ids of a text without those that the tokenizer adds before or behind (BOS, EOS)."""
    tokens, added = scorer.tokenize(text), scorer.tokenize("")
    before = 0
    while before < len(added) and tokens[before] == added[before]:
        before += 1
    return tokens[before : len(tokens) - (len(added) - before)]


def _shared_ends(tokens: list[int], others: list[int]) -> tuple[int, int]:
    """How many tokens two sequences share at their beginning, and how many of the rest at their end."""
    shortest = min(len(tokens), len(others))
    before = 0
    while before < shortest and tokens[before] == others[before]:
        before += 1
    behind = 0
    while behind < shortest - before and tokens[-1 - behind] == others[-1 - behind]:
        behind += 1
    return before, behind
