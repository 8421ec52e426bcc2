"""Models opened by URI, as far as that loads nothing."""

import pytest

from evolvent.errors import InputError
from evolvent.models.opening import open_chat

SERVER = "openai:m?base_url=http://127.0.0.1:9/v1"


def test_concurrency_of_a_server_is_the_number_of_open_calls() -> None:
    assert open_chat(SERVER, concurrency=8).concurrency == 24
    assert open_chat(SERVER, requests_per_minute=60, tokens_per_minute=1e6).concurrency == 1024


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"requests_per_minute": 0.0}, "requests a minute is 0"),
        ({"tokens_per_minute": float("nan")}, "tokens a minute is nan"),
    ],
)
def test_numbers_that_cannot_work(options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_chat(SERVER, **options)  # type: ignore[arg-type]


def test_caps_are_for_servers() -> None:
    with pytest.raises(InputError, match="embedded runs in this process: a cap"):
        open_chat("embedded", tokens_per_minute=1000)
