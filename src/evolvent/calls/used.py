"""What records take from models: counted for each reply, whether it was paid for now or found in the store."""

from dataclasses import dataclass

from evolvent.models.protocols import Reply


@dataclass(slots=True)
class Used:
    """What records took from one model, whether it was paid for now or found in the store.

    Attributes:
        calls: replies.
        prompt_tokens, completion_tokens: of these replies.
        estimated: whether some of the tokens were not counted by the server.
        unusable: replies that could not be worked with (empty, say), so that another was asked for.
        cut_max_tokens: replies whose bound was lowered to fit the context.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    unusable: int = 0
    cut_max_tokens: int = 0

    def count(self, reply: Reply) -> None:
        """Count one reply."""
        self.calls += 1
        self.prompt_tokens += reply.usage.prompt_tokens
        self.completion_tokens += reply.usage.completion_tokens
        self.estimated |= reply.usage.estimated
        self.cut_max_tokens += reply.cut_max_tokens is not None

    def add(self, other: "Used") -> None:
        """Add what others took."""
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.estimated |= other.estimated
        self.unusable += other.unusable
        self.cut_max_tokens += other.cut_max_tokens
