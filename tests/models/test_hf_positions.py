"""Models whose positions depend on the longest text of a batch: every text is what it would be alone."""

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, PreTrainedModel

from evolvent.models.hf.batching import Limits, Request, alike, original_context, whole_batch
from evolvent.models.hf.chat import HFChat
from evolvent.models.hf.loading import Weights
from evolvent.models.hf.scorer import HFScorer
from evolvent.models.protocols import Reply, Sampling
from tests.models.tiny_llama import save_tiny_llama, tiny_llama, words

ORIGINAL, CONTEXT = 40, 256
# weights large enough for positions to matter
SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "initializer_range": 0.3,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small are slower on two threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def longrope() -> PreTrainedModel:
    torch.manual_seed(0)
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": ORIGINAL,
    }
    config = Phi3Config(
        **SHAPE,
        sliding_window=None,
        max_position_embeddings=CONTEXT,
        original_max_position_embeddings=ORIGINAL,
        rope_parameters=rope,
    )
    return Phi3ForCausalLM(config).eval()


def dynamic() -> PreTrainedModel:
    torch.manual_seed(0)
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    return LlamaForCausalLM(LlamaConfig(**SHAPE, max_position_embeddings=ORIGINAL, rope_parameters=rope)).eval()


# w-tokens of the content and of the reply; the template adds 8. Short ones, some that grow beyond the original context
# (two of them as long as one another), long ones.
SIZES = [(3, 9), (9, 5), (20, 8), (20, 30), (20, 25), (14, 40), (40, 9), (90, 12), (3, 20)]
CALLS = [
    ([{"role": "user", "content": words(*range(20, 20 + content % 60), *[30 + content] * (content // 60))}], reply)
    for content, reply in SIZES
]


def ask(model: HFChat, calls: list) -> list[Reply]:
    async def together() -> list[Reply]:
        try:
            asked = [Sampling(temperature=0, max_tokens=reply) for _, reply in calls]
            return await asyncio.gather(
                *(model.chat(messages, one) for (messages, _), one in zip(calls, asked, strict=True))
            )
        finally:
            await model.close()

    return asyncio.run(together())


@pytest.mark.parametrize(("make", "continuous"), [(longrope, False), (dynamic, True)])
def test_a_reply_is_the_same_beside_others_and_alone(make: object, continuous: bool, tmp_path: Path) -> None:
    model = HFChat.load(str(save_tiny_llama(tmp_path, eos=False, model=make())), uri="hf:tiny")
    assert model._continuous is continuous
    calls = CALLS if not continuous else [CALLS[place] for place in (0, 1, 2, 3, 5, 8)]  # no more fits its context
    alone = [ask(model, [call])[0] for call in calls]
    assert ask(model, calls) == alone
    assert len({reply.text for reply in alone}) == len(alone)


def test_the_positions_of_this_model_do_change_beyond_its_original_context() -> None:
    model = longrope()
    ids = torch.arange(60)[None]
    with torch.no_grad():
        before = model(ids[:, :ORIGINAL]).logits[0, -1]
        beside = model(ids).logits[0, ORIGINAL - 1]
    assert not torch.allclose(before, beside, atol=0.01)


def test_the_losses_of_a_short_text_are_the_same_beside_a_long_one() -> None:
    scorer = HFScorer(Weights(longrope(), None, None, "{}", CONTEXT), "hf:x", 4096)
    texts = [[(7 * row + place) % 97 for place in range(length)] for row, length in enumerate((60, 9, 40, 41, 100))]
    together = scorer.nll(texts, [1] * len(texts))
    for text, losses in zip(texts, together, strict=True):
        assert np.allclose(losses, scorer.nll([text], [1])[0], atol=1e-5)


def test_whole_batches_stay_on_one_side_of_the_original_context() -> None:
    def waits(prompt: int, reply: int) -> Request:
        return Request([0] * prompt, Sampling(max_tokens=reply), reply)

    def sizes(waiting: list[Request]) -> list[tuple[int, int]]:
        limits = Limits(rows=9, tokens=10_000, prefill=0, original=100)
        return [(len(one.prompt), one.max_tokens) for one in whole_batch(waiting, limits)]

    short, grows = [waits(50, 50), waits(49, 50)], [waits(52, 50), waits(52, 90)]
    long = [waits(101, 9), waits(200, 9)]
    assert sizes([*short, *grows, *long]) == [(49, 50), (50, 50)]
    assert sizes([*grows, *short, *long]) == [(52, 50), (52, 90)]
    assert sizes([*long, *grows, *short]) == [(101, 9), (200, 9)]
    # each ends within the context, but the padding of one and the reply of the other together do not
    assert sizes([waits(90, 10), waits(20, 50)]) == [(90, 10)]


@pytest.mark.parametrize(
    ("shortest", "longest", "end", "may"),
    [(5, 9, 40, True), (5, 9, 41, False), (9, 9, 99, True), (40, 41, 41, False), (41, 99, 120, True)],
)
def test_rows_that_may_share_a_batch(shortest: int, longest: int, end: int, may: bool) -> None:
    assert alike(ORIGINAL, shortest, longest, end) is may
    assert alike(math.inf, shortest, longest, end)


def test_the_original_context_is_read_from_the_config() -> None:
    assert original_context(longrope()) == ORIGINAL
    assert original_context(dynamic()) == original_context(tiny_llama()) == math.inf
    nested = Gemma3TextConfig()
    nested.rope_parameters = {"full_attention": longrope().config.rope_parameters, "sliding_attention": {}}
    assert original_context(type("Model", (), {"config": nested})) == ORIGINAL
