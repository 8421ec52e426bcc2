"""A chat model whose replies a test writes down: for the logic around a model, not for the model."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from evolvent.evolution.judging import QUESTIONS
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.models.stop_texts import before_stop
from evolvent.models.uri import parse_uri
from evolvent.records import Message


def knows(prompt: str) -> str | None:
    """The right answer to what a judge is tried with; None to another prompt."""
    for first, second, equal in QUESTIONS:
        if f"The First Prompt:\n{first}\n\nThe Second Prompt:\n{second}\n" in prompt:
            return "Equal" if equal else "Not Equal"
    return None


class Scripted:
    """Answers with ``reply(prompt, sampling)``; keeps what it was asked, and whether it was closed."""

    def __init__(
        self, reply: Callable[[str, Sampling], str | Reply], *, uri: str = "scripted", concurrency: int = 8
    ) -> None:
        self.reply = reply
        self.uri = uri
        # Two models share no call; that of one without a name has a golden key.
        self.identity = '{"backend":"scripted"}' if uri == "scripted" else f'{{"backend":"scripted","model":"{uri}"}}'
        self.concurrency = concurrency
        self.asked: list[tuple[str, Sampling]] = []
        self.conversations: list[list[Message]] = []
        self.closed = False

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        prompt = messages[-1]["content"]
        self.asked.append((prompt, sampling))
        self.conversations.append(list(messages))
        reply = self.reply(prompt, sampling)
        if isinstance(reply, Reply):
            return reply
        before = before_stop(reply, sampling.stop)
        return Reply(reply if before is None else before, "stop", Usage(len(prompt), len(reply)))

    async def close(self) -> None:
        self.closed = True


class Opened(dict[str, Scripted]):
    """Scripted models by their URIs, opened by a stage as ``open_chat`` opens models.

    Attributes:
        how: the URIs as they were given, each with the options it was opened with.
    """

    def __init__(self, uris: Iterable[str], reply: Callable[[str, Sampling], str | Reply]) -> None:
        super().__init__({uri: Scripted(reply, uri=uri) for uri in uris})
        self.how: list[tuple[str, dict[str, Any]]] = []

    def open_chat(self, uri: str, **how: Any) -> Scripted:
        self.how.append((uri, how))
        model = self[str(parse_uri(uri))]
        model.closed, model.concurrency = False, how["concurrency"] or 8
        return model


def write_both(folder: Path) -> Path:
    """A data file of one row that is a pair of one format and a conversation of another."""
    path = folder / "both.jsonl"
    path.write_text(
        '{"instruction": "a", "output": "b", '
        '"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}]}'
    )
    return path
