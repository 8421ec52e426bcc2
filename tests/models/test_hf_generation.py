"""Continuous batching: rows come and go, and each is what it would be alone."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoConfig,
    LlamaForCausalLM,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
)

import evolvent
from evolvent.models.hf.batching import Limits, Request, newcomers, whole_batch
from evolvent.models.hf.chat import HFChat
from evolvent.models.hf.endings import LOOK_EVERY, Ending, finish_reason
from evolvent.models.hf.generation import ContinuousBatch, takes_slots
from evolvent.models.protocols import Reply, Sampling
from evolvent.models.repetition import has_looped
from evolvent.records import Message
from tests.models.tiny_llama import EOS, save_tiny_llama, tiny_llama, words

SIZES = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = {**SIZES, "intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 128}
WINDOWED = {**WIDE, "sliding_window": 8, "bos_token_id": 1, "eos_token_id": EOS}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small are slower on two threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    return tiny_llama()


def request(prompt: list[int], max_tokens: int = 12, seed: int = 0, temperature: float = 1.0) -> Request:
    return Request(prompt, Sampling(temperature, 0.9, max_tokens, seed), max_tokens)


def until(*ends: int) -> Ending:
    """Ends a reply at these tokens, or at its limit."""
    return partial(finish_reason, ends, lambda _: "", lambda *_: "")


def plain(model: LlamaForCausalLM, asked: Request) -> list[int]:
    """The request alone, from its first step to its last."""
    batch = ContinuousBatch(model, until(EOS), call=10**6)
    batch.admit([asked])
    while True:
        for row in batch.step():
            return row.tokens


def greedy(model: LlamaForCausalLM, asked: Request) -> list[int]:
    """The likeliest tokens, by a pass without a cache for each."""
    tokens: list[int] = []
    while len(tokens) < asked.max_tokens and EOS not in tokens:
        tokens.append(int(model(torch.tensor([[*asked.prompt, *tokens]])).logits[0, -1].argmax()))
    return tokens


def test_one_request_gets_the_tokens_of_a_plain_loop(llama: LlamaForCausalLM) -> None:
    for length in (1, 2, 9):
        asked = request(list(range(20, 20 + length)), temperature=0)
        assert plain(llama, asked) == greedy(llama, asked)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_request_gets_the_same_tokens_whoever_comes_and_goes_beside_it(llama: LlamaForCausalLM, data: st.DataObject):
    asked = [
        request(
            data.draw(st.lists(st.integers(12, 90), min_size=1, max_size=20)),
            data.draw(st.integers(1, 15)),
            seed,
            data.draw(st.sampled_from([0.0, 0.7, 1.5])),
        )
        for seed in range(data.draw(st.integers(1, 9)))
    ]
    expected = [plain(llama, one) for one in asked]
    batch = ContinuousBatch(llama, until(EOS), call=data.draw(st.sampled_from([1, 20, 10**6])))
    batch._weights = 0
    waiting, said, gone = list(enumerate(asked)), {}, set()
    while waiting or batch.rows:
        joining = [waiting.pop(0) for _ in range(data.draw(st.integers(0 if batch.rows else 1, 3))) if waiting]
        if joining:
            batch.admit([one for _, one in joining])
        if batch.rows and data.draw(st.integers(0, 9)) == 0:
            leaver = data.draw(st.sampled_from(batch.rows))
            gone.add(asked.index(leaver.request))
            batch.remove([leaver])
        if batch.rows:
            for row in batch.step():
                said[asked.index(row.request)] = row.tokens
    assert said == {number: tokens for number, tokens in enumerate(expected) if number not in gone}


def test_what_a_broken_row_leaves_in_its_slot_harms_nobody(llama: LlamaForCausalLM) -> None:
    first, second, third = request([20] * 9), request([30] * 3), request([40] * 2, seed=3)
    expected = plain(llama, third)
    batch = ContinuousBatch(llama, until(), call=10**6)
    batch.admit([first, second])
    batch.step()
    assert batch._short._cache is not None
    with torch.inference_mode():
        for layer in batch._short._cache.layers:
            layer.keys[1] = layer.values[1] = torch.nan
    batch.remove([batch.rows[1]])
    batch.admit([third])
    for _ in range(12):
        ended = batch.step()
    tokens = next(row.tokens for row in ended if row.request is third)
    assert tokens[: len(expected)] == expected


@pytest.mark.parametrize(
    ("config", "slots"),
    [
        (Qwen2Config(**WIDE), True),
        (MistralConfig(**{**WIDE, "sliding_window": None}), True),
        (GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=4), True),  # positions that are learned
        (OPTConfig(**SIZES, ffn_dim=64, word_embed_proj_dim=32), True),
        (MistralConfig(**WINDOWED), False),
        (MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2), False),  # a state
        (BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4), False),  # takes no mask of this form
        (GPTNeoConfig(**SIZES, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]), False),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bool) else "",
)
def test_which_models_decode_in_slots_is_found_out(config: object, slots: bool) -> None:
    torch.manual_seed(0)
    assert takes_slots(AutoModelForCausalLM.from_config(config).eval().requires_grad_(False), 64) is slots


def test_a_model_whose_positions_are_wrong_in_slots_is_found_out(
    llama: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert takes_slots(llama, 128)
    forward = llama.forward

    def without_positions(position_ids: object = None, **settings: object) -> object:
        return forward(**settings)

    monkeypatch.setattr(llama, "forward", without_positions)
    assert not takes_slots(llama, 128)


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def ask(model: HFChat, calls: list[tuple[list[Message], Sampling]]) -> list[Reply]:
    async def together() -> list[Reply]:
        try:
            return await asyncio.gather(*(model.chat(*call) for call in calls))
        finally:
            await model.close()

    return asyncio.run(together())


CALLS = [
    (user(words(*range(20, 21 + number % 9))), Sampling(1.0, 0.95, 4 + number % 20, seed=number))
    for number in range(40)
]


def test_a_model_with_a_sliding_window_answers_in_whole_batches_with_the_same_texts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_tiny_llama(tmp_path, model=AutoModelForCausalLM.from_config(MistralConfig(**WINDOWED)))
    large, small = (HFChat.load(str(tmp_path), uri="hf:tiny", batch_rows=rows) for rows in (32, 7))
    assert not large._continuous
    replies = ask(large, CALLS)
    assert replies == ask(small, CALLS)
    assert len({reply.text for reply in replies}) > 30


def test_whole_batches_and_continuous_ones_give_the_same_replies(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path)
    continuous, whole = (HFChat.load(str(tmp_path), uri="hf:tiny") for _ in range(2))
    assert continuous._continuous
    whole._continuous = False
    assert ask(continuous, CALLS) == ask(whole, CALLS)


def test_rows_leave_when_tokens_are_short_and_come_back_with_the_same_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_llama(tmp_path, eos=False)
    calls = [(user("w20 w21"), Sampling(1.0, 1.0, 50, seed=seed)) for seed in range(6)]
    expected = ask(HFChat.load(str(tmp_path), uri="hf:tiny"), calls)
    widest, admitted = 0, 0
    step, admit = ContinuousBatch.step, ContinuousBatch.admit

    def watched(batch: ContinuousBatch) -> object:
        nonlocal widest
        if len(batch.rows) > 1:
            widest = max(widest, batch.padded())
        return step(batch)

    def counted(batch: ContinuousBatch, requests: list[Request]) -> None:
        nonlocal admitted
        admitted += len(requests)
        admit(batch, requests)

    monkeypatch.setattr(ContinuousBatch, "step", watched)
    monkeypatch.setattr(ContinuousBatch, "admit", counted)
    short = HFChat.load(str(tmp_path), uri="hf:tiny", batch_tokens=150)
    assert ask(short, calls) == expected
    assert admitted > 6
    assert widest <= 150


def test_a_short_request_is_answered_while_a_long_one_runs(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path, context=8192, eos=False)
    model = HFChat.load(str(tmp_path), uri="hf:long")

    async def run() -> tuple[int, bool]:
        long = asyncio.create_task(model.chat(user("w20"), Sampling(max_tokens=8000, seed=1)))
        while not any(thread.name == "evolvent hf:long" for thread in threading.enumerate()):
            await asyncio.sleep(0)
        for seed in range(20):
            await model.chat(user("w21"), Sampling(max_tokens=5, seed=seed))
        done = long.done()
        long.cancel()
        await model.close()
        return seed, done

    assert asyncio.run(run()) == (19, False)


def test_one_that_is_cancelled_leaves_and_the_others_get_their_replies(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path, context=8192, eos=False)
    model = HFChat.load(str(tmp_path), uri="hf:long")
    calls = [(user("w20 w21"), Sampling(1.0, 1.0, 60, seed=seed)) for seed in range(4)]
    expected = ask(model, calls)

    async def run() -> list[Reply]:
        long = asyncio.create_task(model.chat(user("w20"), Sampling(max_tokens=8000, seed=1)))
        others = [asyncio.create_task(model.chat(*call)) for call in calls]
        await others[0]
        long.cancel()
        try:
            return await asyncio.gather(*others)
        finally:
            await model.close()

    assert asyncio.run(run()) == expected


def test_the_embedded_model_decodes_in_slots() -> None:
    folder = Path(evolvent.__file__).parent / "models" / "embedded" / "instruct"
    assert HFChat.load(str(folder), uri="embedded")._continuous


def waits(prompt: int, reply: int = 10) -> Request:
    return Request([0] * prompt, Sampling(max_tokens=reply), reply)


def lengths(batch: list[Request]) -> list[int]:
    return [len(one.prompt) for one in batch]


WAITING = [waits(50), waits(10), waits(52), waits(49), waits(300)]


def test_whole_batches_hold_the_oldest_and_its_neighbours_in_length_within_the_budget() -> None:
    assert lengths(whole_batch(WAITING, Limits(rows=3, tokens=10_000, prefill=0))) == [49, 50, 52]
    assert lengths(whole_batch(WAITING, Limits(rows=9, tokens=2 * 62, prefill=0))) == [49, 50]
    assert lengths(whole_batch([waits(500)], Limits(rows=9, tokens=100, prefill=0))) == [500]


def rows_of(held: int, longest: int) -> Callable[[int, int], int]:
    return lambda joining, prompt: (held + joining) * max(longest, prompt)


def test_newcomers_are_the_oldest_and_its_neighbours_in_length_as_many_as_fit() -> None:
    limits = Limits(rows=16, tokens=2000, prefill=160)
    assert lengths(newcomers(WAITING, 0, rows_of(0, 0), limits)) == [49, 50, 52]  # prefilled: 160 tokens at most
    assert lengths(newcomers(WAITING, 14, rows_of(14, 60), limits)) == [49, 50]  # 16 rows at most
    assert newcomers(WAITING, 15, rows_of(15, 60), limits) == []  # waits until two rows of 16 are free
    assert lengths(newcomers(WAITING, 6, rows_of(6, 200), limits)) == [49, 50]  # 8 rows of 200 and a quarter
    assert newcomers(WAITING, 8, rows_of(8, 200), limits) == []
    assert newcomers([], 0, rows_of(0, 0), limits) == []
    assert lengths(newcomers([waits(5000), waits(1)], 0, rows_of(0, 0), limits)) == [5000]  # beyond all, but alone
    assert newcomers([waits(5000), waits(1)], 1, rows_of(1, 9), limits) == []  # and nobody overtakes it for ever


def test_a_row_much_longer_than_the_others_gets_a_lane_of_its_own_and_comes_back(llama: LlamaForCausalLM) -> None:
    asked = [request([20] * 60, 40), *(request([30 + n] * 3, 5 + 2 * n, seed=n) for n in range(12))]
    expected = [plain(llama, one) for one in asked]
    call = 12 * 40  # what the long row costs the short ones, but for the last few of them
    batch = ContinuousBatch(llama, until(EOS), call=call)
    batch._weights = 0  # this model's weights are much beside its keys and values
    batch.admit(asked)
    lanes: list[tuple[int, int]] = []
    said: dict[int, list[int]] = {}
    while batch.rows:
        for row in batch.step():
            said[asked.index(row.request)] = row.tokens
        lanes.append((len(batch._short.rows), len(batch._long.rows)))
        assert batch.padded() <= 12 * 40 + 100
    assert said == dict(enumerate(expected))
    assert lanes[0][1] == 1
    assert any(short and not long for short, long in lanes)


def test_when_one_lane_fails_no_row_of_the_other_is_lost(
    llama: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ContinuousBatch(llama, until(), call=1)
    batch._weights = 0
    asked = [request([20] * 60, 40), request([30] * 3, 2), request([40] * 3, 40)]
    batch.admit(asked)
    batch.step()
    assert [len(batch._short.rows), len(batch._long.rows)] == [2, 1]

    def fail() -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(batch._long, "step", fail)
    with pytest.raises(RuntimeError):
        batch.step()  # the second request has its last token with it
    assert {id(row.request) for row in batch.rows} == set(map(id, asked))


@pytest.mark.parametrize("continuous", [True, False], ids=["in slots", "in whole batches"])
def test_a_reply_ends_before_the_first_stop_text_and_the_others_go_on(tmp_path: Path, continuous: bool) -> None:
    model = HFChat.load(str(save_tiny_llama(tmp_path, eos=False)), uri="hf:tiny")
    model._continuous = continuous
    turn: list[Message] = [{"role": "user", "content": "w20 w21"}]
    drawn = Sampling(temperature=1, max_tokens=30, seed=1)
    [whole] = ask(model, [(turn, drawn)])
    # within a token, over two of them, the earlier of two, and one that does not come
    stops = (("nowhere",), (whole.text[21:23],), (whole.text[20:25],), (whole.text[28:33], whole.text[14:19]))
    other, *cut = ask(model, [(turn, replace(drawn, stop=stop)) for stop in stops])
    assert other == whole
    for reply, stop in zip(cut, stops[1:], strict=True):
        first = min(whole.text.find(each) for each in stop)
        assert (reply.text, reply.finish_reason) == (whole.text[:first], "stop")
        assert reply.usage.completion_tokens < whole.usage.completion_tokens
    assert cut[2].usage.completion_tokens <= 8  # it ended at once


@pytest.mark.parametrize("continuous", [True, False], ids=["in slots", "in whole batches"])
def test_a_loop_ends_a_reply_and_the_others_go_on(tmp_path: Path, continuous: bool) -> None:
    model = HFChat.load(str(save_tiny_llama(tmp_path, eos=False, context=1024)), uri="hf:tiny")
    model._continuous = continuous
    turn: list[Message] = [{"role": "user", "content": "w20 w21"}]
    looping, other = ask(
        model,
        [(turn, Sampling(temperature=0, max_tokens=600)), (turn, Sampling(temperature=2, max_tokens=600, seed=1))],
    )
    assert looping.finish_reason == "loop"
    assert has_looped(looping.text)
    assert looping.usage.completion_tokens % LOOK_EVERY == 0
    assert (other.finish_reason, other.usage.completion_tokens) == ("length", 600)
