"""What stages that call chat models have in common: what they need, which settings that makes, who owns the models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import orjson

from evolvent.models.models import Calls, Models, Need
from evolvent.options import Calling


class Drawing(Protocol):
    """How replies are drawn, among a stage's options."""

    @property
    def seed(self) -> int: ...

    @property
    def temperature(self) -> float: ...

    @property
    def top_p(self) -> float: ...

    @property
    def max_tokens(self) -> int: ...


def chat_need(uri: str, calling: Calling) -> Need:
    """A chat model that a stage calls."""
    body = orjson.dumps(dict(calling.extra_body), option=orjson.OPT_SORT_KEYS).decode() if calling.extra_body else None
    calls = Calls(body, calling.concurrency, calling.max_requests_per_minute, calling.max_tokens_per_minute)
    return Need("chat", uri, calls)


def chat_settings(given: Drawing, calling: Calling) -> dict[str, Any]:
    """The settings that decide what chat models reply."""
    drawing = {name: getattr(given, name) for name in ("seed", "temperature", "top_p", "max_tokens")}
    return {**drawing, "extra_body": dict(calling.extra_body) if calling.extra_body else None}


@contextmanager
def opened(models: Models | None) -> Iterator[Models]:
    """The models of a caller who owns them; models of this call's own, closed when it ends, if there are none."""
    if models is not None:
        yield models
        return
    with Models() as own:
        yield own
