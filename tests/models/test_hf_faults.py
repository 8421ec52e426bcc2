"""What goes wrong in the thread of a local model: no call waits for ever, and the model goes on as before."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evolvent.errors import RunError
from evolvent.models.hf import chat, lane
from evolvent.models.hf.batching import Request
from evolvent.models.hf.chat import HFChat
from evolvent.models.protocols import Reply, Sampling
from tests.models.tiny_llama import save_tiny_llama, words
from tests.processes import LONG_S

CALLS = [([{"role": "user", "content": words(*range(20, 21 + n % 9))}], 4 + n % 12) for n in range(12)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small are slower on two threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model(tmp_path: Path) -> HFChat:
    return HFChat.load(str(save_tiny_llama(tmp_path, eos=False)), uri="hf:faulty")


def ask(model: HFChat, calls: list[Any]) -> list[Reply | BaseException]:
    async def together() -> list[Reply | BaseException]:
        asked = (model.chat(messages, Sampling(0, max_tokens=tokens)) for messages, tokens in calls)
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), LONG_S)

    return asyncio.run(together())


def failing(times: int, work: Callable[..., Any]) -> Callable[..., Any]:
    """Work that fails at its first calls."""
    left = [times]

    def fails(*args: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("out of memory")
        return work(*args, **named)

    return fails


@pytest.mark.parametrize("place", ["newcomers", "_taken"])
def test_an_error_outside_the_model_fails_every_call_and_the_next_one_finds_a_new_thread(
    model: HFChat, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    expected = ask(model, CALLS)
    broken = model._worker
    with monkeypatch.context() as patched:
        patched.setattr(chat, place, failing(1, getattr(chat, place)))
        replies = ask(model, CALLS)
    assert [type(reply) for reply in replies] == [RunError] * len(CALLS)
    assert str(replies[0]).startswith("model hf:faulty: its thread ended: RuntimeError: out of memory")
    assert ask(model, CALLS) == expected
    assert broken is not model._worker
    asyncio.run(model.close())
    assert not [thread for thread in threading.enumerate() if thread.name == "evolvent hf:faulty"]


def test_calls_made_after_the_thread_has_ended_do_not_wait(model: HFChat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are under way, some wait, some come when the thread has taken its last look."""
    monkeypatch.setattr(chat, "newcomers", failing(10**6, chat.newcomers))

    async def many() -> list[Reply | BaseException]:
        calls = []
        for messages, tokens in CALLS * 20:
            calls.append(asyncio.create_task(model.chat(messages, Sampling(0, max_tokens=tokens))))
            await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), LONG_S)

    assert {type(reply) for reply in asyncio.run(many())} == {RunError}
    asyncio.run(model.close())


@pytest.mark.parametrize("layers", [1, 3], ids=["in the first layer", "in the second"])
def test_memory_that_was_short_once_does_not_end_continuous_batching(
    model: HFChat, monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    expected = ask(model, CALLS)
    whole: list[int] = []
    generate, larger = chat.generate, lane._larger

    def counted(run: Any, batch: list[Request], *rest: Any) -> Any:
        whole.append(len(batch))
        return generate(run, batch, *rest)

    monkeypatch.setattr(chat, "generate", counted)
    made = [0]

    def once(*args: Any) -> Any:
        made[0] += 1
        if made[0] == layers:
            raise RuntimeError("out of memory")
        return larger(*args)

    monkeypatch.setattr(lane, "_larger", once)
    assert ask(model, CALLS) == expected
    assert sum(whole) == len(CALLS)
    for call, reply in zip(CALLS, expected, strict=True):
        assert ask(model, [call]) == [reply]
    assert sum(whole) == len(CALLS)


@torch.inference_mode()
def test_memory_that_is_short_beside_others_leaves_their_slots_whole(
    model: HFChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second group joins; the second layer cannot grow for it. Afterwards the first layer has more room."""
    batch = lane.Lane(model._weights.model)
    first, second = [Request([20 + n] * 5, Sampling(0), 9) for n in range(2)], [Request([40] * 90, Sampling(0), 9)]
    batch.admit(first)
    before = batch.logits()
    made = [0]
    larger = lane._larger

    def second_layer(*args: Any) -> Any:
        made[0] += 1
        if made[0] == 3:
            raise RuntimeError("out of memory")
        return larger(*args)

    with monkeypatch.context() as patched:
        patched.setattr(lane, "_larger", second_layer)
        with pytest.raises(RuntimeError):
            batch.admit(second)
    assert len(batch.rows) == 2
    assert torch.equal(batch.logits(), before)
    batch.admit(second)
    assert torch.allclose(batch.logits()[:2], before, atol=1e-5)


def test_who_begins_again_after_an_error_keeps_to_the_token_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HFChat.load(str(save_tiny_llama(tmp_path, eos=False)), uri="hf:faulty", batch_tokens=200)
    expected = ask(model, CALLS)
    sizes: list[tuple[int, int]] = []
    generate = chat.generate

    def watched(run: Any, batch: list[Request], *rest: Any) -> Any:
        longest = max(len(request.prompt) for request in batch) + max(request.max_tokens for request in batch)
        sizes.append((len(batch), len(batch) * longest))
        return generate(run, batch, *rest)

    monkeypatch.setattr(chat, "generate", watched)
    monkeypatch.setattr(lane.Lane, "step", failing(1, lane.Lane.step))
    assert ask(model, CALLS) == expected
    assert sum(rows for rows, _ in sizes) > 6
    assert all(tokens <= 200 or rows == 1 for rows, tokens in sizes)
