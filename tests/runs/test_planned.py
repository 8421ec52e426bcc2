"""Planned calls: what they come to, expected and at the most."""

import pytest

from evolvent.costs.budget import Spent
from evolvent.costs.prices import Price
from evolvent.models.token_counts import open_counter
from evolvent.records import Message
from evolvent.runs.planned import Planned, estimate
from evolvent.runs.rehearsal import Rates

SERVER = "openai:m?base_url=http://host:1/v1"
PROMPTS = [[Message(role="user", content=text)] for text in ("How do I mend a sock?", "And two of them, at once?")]


def test_what_planned_calls_come_to() -> None:
    counter = open_counter("embedded")
    one, two = (counter.prompt(prompt) for prompt in PROMPTS)
    planned = [
        Planned("embedded", PROMPTS[0], 50, 100, times=3, shown=True),
        Planned("embedded", PROMPTS[1], 500, 100, held=2, times=4),
    ]
    rates = Rates(concurrency=2)
    found = estimate("s", 7, planned, ["embedded"], prices={"embedded": Price(1, 2)}, spent=[], rates=rates, said=["x"])
    (model,) = found.models
    assert (model.calls, model.prompt_tokens, model.completion_tokens) == (7, 3 * one + 4 * two, 3 * 50 + 4 * 100)
    assert (model.prompt_tokens_at_most, model.completion_tokens_at_most) == (3 * one + 4 * (two + 200), 700)
    assert model.cost == pytest.approx((model.prompt_tokens + 2 * model.completion_tokens) / 1e6)
    assert (model.exact, model.call_lengths, model.seconds) == (False, 3.5, None)
    assert found.prompts == (("embedded", tuple(PROMPTS[0])),)
    assert "x" in found.notes()


def test_calls_that_the_folder_holds_say_how_long_replies_are() -> None:
    spent = [Spent("s", "embedded", 10, 1000, 300, False, 1.0), Spent("other", "embedded", 1, 1, 9999, False, 1.0)]
    planned = [Planned("embedded", PROMPTS[0], 50, 100, times=4)]
    found = estimate("s", 1, planned, ["embedded"], prices={}, spent=spent, rates=Rates(), said=())
    assert (found.models[0].completion_tokens, found.stored) == (120, 10)
    assert found.models[0].exact


def test_two_models_and_the_caps_of_a_server() -> None:
    planned = [Planned(SERVER, PROMPTS[0], 1, 1, times=60), Planned("embedded", PROMPTS[0], 1, 1)]
    uris = [SERVER, "embedded", SERVER]
    found = estimate("s", 1, planned, uris, prices={}, spent=[], rates=Rates(requests_per_minute=30), said=())
    assert [(model.model, model.calls, model.seconds) for model in found.models] == [
        (SERVER, 60, 120.0),
        ("embedded", 1, None),
    ]
