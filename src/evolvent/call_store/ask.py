"""Ask a model until its reply can be worked with, and say what is wrong with one that cannot."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from unicodedata import category

from evolvent.call_store.key import call_seed
from evolvent.call_store.stored import StoredChat
from evolvent.call_store.used import Asked, RecordInWork, record_in_work
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Message

ONLY_REASONING, CUT_REASONING = "only reasoning", "cut inside its reasoning"
SWITCH = "switch the model's thinking off, in --extra-body or at the server (docs/models.md)"
# What to do about a model that thinks and comes to no answer.
THINKING = {ONLY_REASONING: SWITCH, CUT_REASONING: f"raise --max-tokens, or {SWITCH}"}


def why_unusable(reply: Reply) -> str | None:
    """Why there is nothing in a reply to work with, or None.

    Returns:
        ``filtered``: a content filter of the server cut or withheld it; ``refused``: no text, and a refusal in the
        field that the server has for it; ``cut inside its reasoning`` at the token limit, ``only reasoning`` where it
        ended by itself: a model that thinks came to no answer; ``loop``: it thought the same again and again;
        ``truncated``: the token limit came before any text; ``empty``: no text, and nothing says why.
    """
    if reply.finish_reason == "content_filter":
        return "filtered"
    if not _is_blank(reply.text):
        return None
    if reply.refusal:
        return "refused"
    if reply.reasoning and reply.finish_reason != "loop":
        return CUT_REASONING if reply.finish_reason == "length" else ONLY_REASONING
    return _why_ended(reply) or "empty"


def is_empty(reply: Reply) -> bool:
    """Whether a reply holds no text, and neither a filter nor a refusal is the cause."""
    return why_unusable(reply) not in (None, "filtered", "refused")


def why_cut(reply: Reply) -> str | None:
    """Why a reply is not whole, or None: ``why_unusable``, ``truncated`` at the token limit, or ``loop``."""
    return why_unusable(reply) or _why_ended(reply)


def _is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen: blanks, control and format characters, what was no character."""
    return all(char == "\ufffd" or char.isspace() or category(char) in ("Cc", "Cf") for char in text)


def _why_ended(reply: Reply) -> str | None:
    return {"length": "truncated", "loop": "loop"}.get(reply.finish_reason)


async def ask(
    model: ChatModel,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    run_seed: int,
    record_id: str,
    stage: str,
    usable: Callable[[Reply], bool] = lambda reply: why_unusable(reply) is None,
    attempts: int = 3,
) -> Reply:
    """Ask until the reply is usable: each attempt draws with another seed; greedy calls have one attempt.

    Args:
        model: the model to ask.
        messages: the conversation.
        sampling: how to draw; its seed is set here.
        run_seed: the run's seed.
        record_id: the record the call is for.
        stage: what the call is for, within the record.
        usable: whether the reply can be worked with; by default any text that no filter of the server has cut.
        attempts: how many to make at the most.

    Returns:
        The first usable reply, or the last one.

    Raises:
        CallError: from the model.
    """
    attempts = attempts if sampling.temperature > 0 else 1

    def draw(attempt: int) -> Sampling:
        seed = call_seed(run_seed, record_id, stage, attempt=attempt)
        return replace(sampling, seed=seed)

    if isinstance(model, StoredChat) and model.retry_empty:
        _forget_empty(model, messages, list(map(draw, range(attempts))), usable)
    record = record_in_work.get(RecordInWork())
    for attempt in range(attempts):
        asked = Asked(record_id, model.uri, messages)
        if record.asked is not None:
            record.asked.append(asked)
        asked.reply = reply = await model.chat(messages, draw(attempt))
        if usable(reply) or attempt == attempts - 1:
            break
        record.used_of(model.uri).unusable += 1
        record.used_of(model.uri).thrown_away += reply.usage.completion_tokens
    record.behind[record_id, model.uri] += reply.usage.completion_tokens
    record.ended_empty = is_empty(reply)
    record.used_of(model.uri).empty += record.ended_empty
    return reply


def note_redrawn(model: ChatModel, record_id: str) -> None:
    """Count, for the record in work, a reply that could not be worked with and is drawn again for this row."""
    record = record_in_work.get(RecordInWork())
    used = record.used_of(model.uri)
    used.unusable += 1
    used.empty -= record.ended_empty  # it does not stay so: another is drawn
    record.throw_away(record_id)


def _forget_empty(
    model: StoredChat, messages: Sequence[Message], draws: Sequence[Sampling], usable: Callable[[Reply], bool]
) -> None:
    """Let replies without text be asked for again, where the attempts so far ended with one."""
    made: list[tuple[Sampling, Reply]] = []
    for drawn in draws:
        reply = model.stored(messages, drawn)
        if reply is None:
            break
        if usable(reply):
            return
        made.append((drawn, reply))
    if made and is_empty(made[-1][1]):
        for drawn, reply in made:
            if is_empty(reply):
                model.forget(messages, drawn)
