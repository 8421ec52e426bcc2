"""A chat model whose replies a test writes down: for the logic around a model, not for the model."""

from collections.abc import Callable, Sequence

from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.records import Message


class Scripted:
    """Answers with ``reply(prompt, sampling)``; keeps what it was asked."""

    uri = "scripted"
    identity = '{"backend":"scripted"}'
    concurrency = 8

    def __init__(self, reply: Callable[[str, Sampling], str | Reply]) -> None:
        self.reply = reply
        self.asked: list[tuple[str, Sampling]] = []

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        prompt = messages[-1]["content"]
        self.asked.append((prompt, sampling))
        reply = self.reply(prompt, sampling)
        return reply if isinstance(reply, Reply) else Reply(reply, "stop", Usage(len(prompt), len(reply)))

    async def close(self) -> None:
        pass
