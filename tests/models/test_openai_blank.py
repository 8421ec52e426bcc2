"""Blank replies at temperature 0: a server's fault, asked for again with the same body."""

import pytest

from evolvent.models.protocols import Reply, Sampling, Usage
from tests.models.openai_server import GREEDY, OK, ask, completion, says

BLANK = completion({"role": "assistant", "content": None})


@pytest.mark.parametrize(
    ("steps", "sampling", "text", "requests"),
    [
        ([BLANK], GREEDY, "hello", 2),
        ([BLANK, BLANK], GREEDY, "hello", 3),
        ([BLANK, BLANK, BLANK], GREEDY, "", 3),  # it stays blank: that is the reply
        ([BLANK], Sampling(temperature=0.7, seed=1), "", 1),  # another seed may draw something: its caller's business
        ([completion({"content": None, "refusal": "No."})], GREEDY, "", 1),
        ([completion({"content": None, "reasoning_content": "Hm."})], GREEDY, "", 1),
        ([completion({"content": None}, finish_reason="content_filter")], GREEDY, "", 1),
    ],
)
def test_a_blank_reply(steps: list[dict[str, object]], sampling: Sampling, text: str, requests: int) -> None:
    reply, server = ask(*(says(step) for step in steps), OK, sampling=sampling)
    assert isinstance(reply, Reply)
    assert (reply.text, len(server.bodies)) == (text, requests)
    assert all(body == server.bodies[0] for body in server.bodies)
    assert reply.usage == Usage(5 * requests, 2 * requests)  # what was given up is paid, too
