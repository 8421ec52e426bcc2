"""A chat model whose replies a test writes down: for the logic around a model, not for the model."""

from collections.abc import Callable, Sequence

from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.records import Message


class Scripted:
    """Answers with ``reply(prompt, sampling)``; keeps what it was asked, and whether it was closed."""

    def __init__(
        self, reply: Callable[[str, Sampling], str | Reply], *, uri: str = "scripted", concurrency: int = 8
    ) -> None:
        self.reply = reply
        self.uri = uri
        self.identity = '{"backend":"scripted"}'
        self.concurrency = concurrency
        self.asked: list[tuple[str, Sampling]] = []
        self.conversations: list[list[Message]] = []
        self.closed = False

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        prompt = messages[-1]["content"]
        self.asked.append((prompt, sampling))
        self.conversations.append(list(messages))
        reply = self.reply(prompt, sampling)
        return reply if isinstance(reply, Reply) else Reply(reply, "stop", Usage(len(prompt), len(reply)))

    async def close(self) -> None:
        self.closed = True
