"""Token losses: equal to the model's own loss, whatever the batch, the order, the padding, the architecture."""

import threading
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from evolvent.errors import CallError, InputError
from evolvent.models.hf import scorer as hf_scorer
from evolvent.models.hf.loading import Weights
from evolvent.models.hf.scorer import CALL_SHARE, HFScorer, batches, splits_cleanly
from evolvent.models.protocols import Stopped
from tests.models.tiny_llama import save_tiny_llama, save_word_without_embedding

TOKENS = st.lists(st.integers(0, 96), min_size=2, max_size=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> HFScorer:
    return HFScorer.load(str(folder), uri="hf:tiny", device="cpu")


def own_loss(model: torch.nn.Module, tokens: list[int], start: int) -> float:
    """The mean loss that transformers itself gives for the tokens from ``start`` on."""
    labels = torch.tensor([tokens])
    labels[:, :start] = -100
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokens]), labels=labels).loss.item()


def test_losses_equal_the_models_own_and_keep_their_order(folder: Path, scorer: HFScorer) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    sequences = [[(7 * i + k) % 97 for k in range(length)] for i, length in enumerate((9, 2, 128, 30, 31, 5))]
    starts = [1, 1, 100, 29, 7, 3]
    losses = scorer.nll(sequences, starts)
    assert [len(loss) for loss in losses] == [8, 1, 28, 1, 24, 2]
    assert all(loss.dtype == np.float64 for loss in losses)
    for tokens, start, loss in zip(sequences, starts, losses, strict=True):
        assert loss.mean() == pytest.approx(own_loss(model, tokens, start), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=12), st.randoms(), st.integers(1, 400))
def test_batching_order_and_padding_never_change_a_loss(
    scorer: HFScorer, sequences: list[list[int]], draw: st.DrawFn, budget: int
) -> None:
    alone = [scorer.nll([sequence], [1])[0].mean() for sequence in sequences]
    order = list(range(len(sequences)))
    draw.shuffle(order)
    scorer.batch_tokens = budget
    together = scorer.nll([sequences[index] for index in order], [1] * len(order))
    for index, losses in zip(order, together, strict=True):
        assert losses.mean() == pytest.approx(alone[index], abs=1e-6)


@given(st.lists(st.integers(1, 600), max_size=80), st.integers(1, 1000))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    made = batches(lengths, budget)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 200))
def test_no_other_cut_of_the_sorted_texts_costs_less(lengths: list[int], budget: int) -> None:
    def cost(groups: list[list[int]]) -> float:
        return sum(len(group) * max(group) + budget / CALL_SHARE for group in groups)

    ordered = sorted(lengths)
    possible = []
    for cuts in product([False, True], repeat=len(ordered) - 1):
        places = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), len(ordered)]
        groups = [ordered[start:end] for start, end in pairwise(places)]
        if all(len(group) == 1 or len(group) * max(group) <= budget for group in groups):
            possible.append(cost(groups))
    made = [[lengths[index] for index in batch] for batch in batches(lengths, budget)]
    assert cost(made) == pytest.approx(min(possible))


def test_nothing_to_score(scorer: HFScorer) -> None:
    assert scorer.nll([], []) == []
    assert [len(losses) for losses in scorer.nll([[5], [5, 6]], [1, 2])] == [0, 0]


SMALL = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA_LIKE = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "pad_token_id": 0}


def loud(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough for logits to differ, and for a softcap to bend them."""
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(40)
    return model.eval()


@pytest.mark.parametrize(
    ("build", "split"),
    [
        (lambda: GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4)), True),
        (lambda: OPTForCausalLM(OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=16)), True),
        (lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, intermediate_size=64)), True),
        (lambda: Gemma2ForCausalLM(Gemma2Config(**LLAMA_LIKE, head_dim=8, final_logit_softcapping=2.0)), False),
        (lambda: CohereForCausalLM(CohereConfig(**LLAMA_LIKE, logit_scale=0.25)), False),
        (lambda: GraniteForCausalLM(GraniteConfig(**LLAMA_LIKE, logits_scaling=4.0)), False),
    ],
    ids=["gpt2", "opt", "gpt-neox", "gemma2", "cohere", "granite"],
)
def test_architectures(build: object, split: bool) -> None:
    torch.manual_seed(0)
    model = loud(build())
    assert splits_cleanly(model) is split
    scorer = HFScorer(Weights(model, None, None, "{}", 512), "hf:x", 64)
    sequences = [[(5 * i + k * k) % 97 for k in range(length)] for i, length in enumerate((3, 20, 33))]
    for tokens, losses in zip(sequences, scorer.nll(sequences, [1, 2, 5]), strict=True):
        start = len(tokens) - len(losses)
        assert losses.mean() == pytest.approx(own_loss(model, tokens, start), rel=1e-5)


def test_a_change_of_logits_that_no_list_names_is_found() -> None:
    torch.manual_seed(0)
    model = loud(GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4)))
    plain = model.forward
    assert splits_cleanly(model)

    def scaled(**inputs: object) -> object:
        output = plain(**inputs)
        output.logits = output.logits / 3
        return output

    model.forward = scaled
    assert not splits_cleanly(model)


def test_chat_tokens_need_a_template(folder: Path, scorer: HFScorer, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "w20"}]
    assert scorer.chat_tokens(turns, generation_prompt=True) == [1, 90, 94, 91, 20, 92, 90, 95, 91]
    assert scorer.chat_tokens(turns, generation_prompt=False) == [1, 90, 94, 91, 20, 92]
    base = HFScorer.load(str(save_tiny_llama(tmp_path, template=None)), uri="hf:base", device="cpu")
    with pytest.raises(InputError, match="no chat template"):
        base.chat_tokens(turns, generation_prompt=True)


def test_logits_come_in_parts_and_whole_ones_within_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both bounds are of memory alone: as small as they may be, they change no loss."""
    torch.manual_seed(0)
    model = loud(CohereForCausalLM(CohereConfig(**LLAMA_LIKE, logit_scale=0.25)))
    sequences = [[(5 * i + k * k) % 97 for k in range(length)] for i, length in enumerate((7, 20, 33, 7))]
    weights = Weights(model, None, None, "{}", 512)
    expected = HFScorer(weights, "hf:x", 4096).nll(sequences, [1, 2, 5, 1])
    monkeypatch.setattr(hf_scorer, "WHOLE_LOGITS", 97 * 21)
    monkeypatch.setattr(hf_scorer, "LOGIT_ROWS", 3)
    scorer = HFScorer(weights, "hf:x", 4096)
    shapes: list[tuple[int, ...]] = []
    model.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.logits.shape)))
    for losses, values in zip(scorer.nll(sequences, [1, 2, 5, 1]), expected, strict=True):
        assert losses == pytest.approx(values, abs=1e-5)
    assert scorer.batch_tokens == 21
    assert sorted(shapes) == [(1, 20, 97), (1, 33, 97), (2, 7, 97)]  # only a single text may be more


def test_a_broken_template_is_the_users_to_mend(folder: Path, tmp_path: Path) -> None:
    template = tmp_path / "broken.jinja"
    template.write_text("{% for x in %}", encoding="utf-8")
    scorer = HFScorer.load(str(folder), uri="hf:tiny", device="cpu", chat_template=str(template))
    with pytest.raises(InputError, match="cannot write a single turn"):
        scorer.chat_tokens([{"role": "user", "content": "w20"}], generation_prompt=True)


def test_a_token_without_an_embedding_is_refused_with_its_text(tmp_path: Path) -> None:
    scorer = HFScorer.load(str(save_word_without_embedding(tmp_path)), uri="hf:tiny", device="cpu")
    assert scorer.tokenize("w20") == [1, 20]
    with pytest.raises(CallError, match=r"holds the token 'w97', number 97, and the model knows 97 tokens"):
        scorer.tokenize("w20 w97")
    with pytest.raises(CallError, match=r"model hf:tiny: the text holds the token 'w97'"):
        scorer.chat_tokens([{"role": "user", "content": "w97"}], generation_prompt=True)


def short_of_memory(scorer: HFScorer, monkeypatch: pytest.MonkeyPatch, tokens: int, error: Exception) -> list[int]:
    """Let the model raise above so many padded tokens. Returns: the padded tokens of every pass, as they come."""
    tried: list[int] = []
    body = scorer._weights.model.base_model
    forward = body.forward

    def small(input_ids: torch.Tensor, **settings: object) -> object:
        tried.append(input_ids.numel())
        if input_ids.numel() > tokens:
            raise error
        return forward(input_ids=input_ids, **settings)

    monkeypatch.setattr(body, "forward", small)
    return tried


CPU_IS_SHORT = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."
TEXTS = [[(7 * i + k) % 97 for k in range(length)] for i, length in enumerate((9, 20, 128, 30, 31, 5, 100))]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), RuntimeError(CPU_IS_SHORT), MemoryError()],
    ids=["gpu", "cpu", "python"],
)
def test_a_batch_that_runs_out_of_memory_is_halved_and_a_text_that_does_not_fit_alone_has_no_losses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    scorer = HFScorer.load(str(folder), uri="hf:tiny", device="cpu", batch_tokens=2000)
    expected = [scorer.nll([text], [1])[0] for text in TEXTS]
    tried = short_of_memory(scorer, monkeypatch, 64, error)
    for _ in range(2):
        losses = scorer.nll(TEXTS, [1] * len(TEXTS))
        assert [number for number, found in enumerate(losses) if found is None] == [2, 6]
        for found, alone in zip(losses, expected, strict=True):
            assert found is None or found == pytest.approx(alone, abs=1e-5)
    half = len(tried) // 2
    assert tried[:half] == tried[half:]  # nothing is remembered: the same list is cut in the same way
    assert max(tried) > 128 and 2 * 31 in tried


def test_the_real_error_of_a_cpu_without_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert hf_scorer.out_of_memory(caught.value)
    assert not hf_scorer.out_of_memory(RuntimeError("shape '[2, 3]' is invalid"))


def test_any_other_error_is_raised(scorer: HFScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(scorer, monkeypatch, 0, RuntimeError("shape '[2, 3]' is invalid"))
    with pytest.raises(RuntimeError, match="is invalid"):
        scorer.nll([[5, 6]], [1])


def test_the_work_stops_before_its_next_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = HFScorer.load(str(folder), uri="hf:tiny", device="cpu", batch_tokens=128)
    stop = threading.Event()
    expected = scorer.nll(TEXTS, [1] * len(TEXTS))
    for found, losses in zip(scorer.nll(TEXTS, [1] * len(TEXTS), stop=stop), expected, strict=True):
        assert np.array_equal(found, losses)
    passes: list[int] = []
    forward = scorer._forward

    def stopped(*batch: list[list[int]]) -> list[np.ndarray]:
        passes.append(len(batch[0]))
        if len(passes) == 2:
            stop.set()
        return forward(*batch)

    monkeypatch.setattr(scorer, "_forward", stopped)
    with pytest.raises(Stopped):
        scorer.nll(TEXTS, [1] * len(TEXTS), stop=stop)
    assert len(passes) == 2
    with pytest.raises(Stopped):
        scorer.nll(TEXTS, [1] * len(TEXTS), stop=stop)
    assert len(passes) == 2


def test_ranks_are_those_of_a_plain_loop_over_logits(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path)
    scorer = HFScorer.load(str(folder), uri="hf:tiny", device="cpu", batch_tokens=64)
    generator = torch.Generator().manual_seed(7)
    lengths = torch.randint(2, 40, (120,), generator=generator).tolist()
    sequences = [torch.randint(3, 97, (length,), generator=generator).tolist() for length in lengths]
    model = AutoModelForCausalLM.from_pretrained(folder)
    for tokens, found in zip(sequences, scorer.nll(sequences, [1] * len(sequences), ranked=True), strict=True):
        assert found is not None
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([tokens])).logits[0]
        for place in range(1, len(tokens)):
            of_token = logits[place - 1][tokens[place]]
            rank = 1 + sum(1 for other in logits[place - 1].tolist() if other > float(of_token))
            surprisal = float(torch.logsumexp(logits[place - 1], 0) - of_token)
            assert found[1, place - 1] == rank
            assert found[0, place - 1] == pytest.approx(surprisal, abs=1e-4)
