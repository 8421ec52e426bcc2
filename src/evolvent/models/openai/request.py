"""The body of a request, in the dialect that this server turned out to speak."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from evolvent.models.openai.server_errors import ServerError
from evolvent.models.protocols import Sampling
from evolvent.records import Message

# Without one of these a reply is still a reply, drawn otherwise; without any other field it is not what was asked for.
OPTIONAL = ("seed", "top_p", "temperature")

OTHER_LENGTH = "max_completion_tokens"

log = logging.getLogger("evolvent")


@dataclass(slots=True)
class Dialect:
    """Which request fields the server takes for this model; refusals change it for all later calls.

    Attributes:
        model: the model's name at the server.
        uri: the model's URI, for the log.
        extra_body: the user's own fields, merged last.
        length_field: ``max_tokens``, or ``max_completion_tokens`` where the server wants that.
        dropped: fields that the server refused.
    """

    model: str
    uri: str
    extra_body: Mapping[str, object]
    length_field: str = "max_tokens"
    dropped: set[str] = field(default_factory=set)

    @property
    def changes(self) -> int:
        """How many refusals have changed the dialect."""
        return len(self.dropped) + (self.length_field != "max_tokens")

    def body(self, messages: Sequence[Message], sampling: Sampling, without: Collection[str] = ()) -> dict[str, object]:
        """The request body. At temperature 0 neither top_p nor seed decides anything, so neither is sent.

        Args:
            messages: the conversation.
            sampling: what is asked for.
            without: fields to go without on trial, as if they had been refused.
        """
        body: dict[str, object] = {"model": self.model, "messages": messages, "temperature": sampling.temperature}
        if sampling.temperature > 0 and sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.temperature > 0 and sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.top_logprobs:
            body["logprobs"] = True
            body["top_logprobs"] = sampling.top_logprobs
        for name in (*self.dropped, *without):
            body.pop(name, None)
        if "max_tokens" not in self.extra_body and "max_completion_tokens" not in self.extra_body:
            body[OTHER_LENGTH if "max_tokens" in without else self.length_field] = sampling.max_tokens
        body.update(self.extra_body)
        return body

    def refused(self, error: ServerError, body: Mapping[str, object]) -> str | None:
        """The field of this body that the server refuses and that can be sent otherwise or not at all.

        Fields of ``extra_body`` are the user's own and are never left out.
        """
        for name in ("max_tokens", *OPTIONAL):
            if name in body and name not in self.extra_body and error.refuses(name):
                return name
        return None

    def learn(self, name: str, error: ServerError) -> None:
        """Go without a refused field from now on, and say so."""
        if name == "max_tokens":
            self.length_field = OTHER_LENGTH
        else:
            self.dropped.add(name)
            log.warning(
                "model %s: the server refuses %s, so calls go without it from now on (%s)", self.uri, name, error
            )
