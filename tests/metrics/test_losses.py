"""Losses and scores beside the published golden values and beside plain forward passes, one pair at a time."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from evolvent.metrics.layout import chat_layout, paper_layout
from evolvent.metrics.losses import PairLosses, pair_losses
from evolvent.models.hf.scorer import HFScorer
from evolvent.models.protocols import Stopped
from evolvent.records import Message, Record
from tests.metrics.scoring import scores_of
from tests.models.tiny_llama import save_tiny_llama, words

PAIRS = 220


def pair(instruction: str, output: str, input: str = "") -> Record:
    return Record("a", "a", 0, instruction, input=input, output=output)


def test_golden_values(tmp_path: Path) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path)), uri="hf:tiny", device="cpu")
    (losses,) = pair_losses([pair(words(5, 6, 7, 8), words(20, 21, 22, 23, 24))], scorer, paper_layout)
    scores = scores_of(losses)
    assert scores["ifd"] == pytest.approx(1.0098, abs=5e-5)
    assert scores["ic_ifd"] == pytest.approx(0.2229, abs=5e-5)


def test_the_separator_counts_as_response_and_bos_never_counts(tmp_path: Path) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path)), uri="hf:tiny", device="cpu")
    (losses,) = pair_losses([pair(words(5, 6, 7, 8), words(20, 21))], scorer, paper_layout)
    assert isinstance(losses, PairLosses)
    assert (losses.instruction_count, losses.conditional_count, losses.direct_count) == (4, 3, 2)


def test_pairs_without_a_score_keep_their_place(tmp_path: Path) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path)), uri="hf:tiny", device="cpu")
    good = pair(words(30, 31), words(40))
    first, second, third, fourth = pair_losses([pair("w30", ""), good, pair("", "w40"), good], scorer, paper_layout)
    assert (first, third) == ("empty output", "empty instruction")
    assert isinstance(second, PairLosses)
    assert second == fourth
    assert pair_losses([], scorer, paper_layout) == []


def test_a_pair_that_does_not_fit_into_memory_says_so_and_the_others_have_their_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path)), uri="hf:tiny", device="cpu")
    good, large = pair(words(30, 31), words(40)), pair(words(*range(20, 60)), words(*range(40, 70)))
    (expected,) = pair_losses([good], scorer, paper_layout)
    body = scorer._weights.model.base_model
    forward = body.forward

    def small(input_ids: torch.Tensor, **settings: object) -> object:
        if input_ids.numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(input_ids=input_ids, **settings)

    monkeypatch.setattr(body, "forward", small)
    first, second, third = pair_losses([good, large, good], scorer, paper_layout)
    assert second == "out of memory: the pair has 72 tokens"  # BOS and the separator
    assert scores_of(second)["ifd"] is None and scores_of(second)["score_reason"] == second
    for losses in (first, third):
        assert isinstance(losses, PairLosses)
        assert losses.conditional == pytest.approx(expected.conditional, abs=1e-5)


def test_losses_can_be_stopped(tmp_path: Path) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path)), uri="hf:tiny", device="cpu")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        pair_losses([pair(words(30, 31), words(40))], scorer, paper_layout, stop=stop)


NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turn here') }}{% endif %}"
    "w90 {{ m['content'] }} w92 {% endfor %}{% if add_generation_prompt %}w93 {% endif %}"
)


def test_a_pair_that_the_template_refuses_fails_alone(tmp_path: Path) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path, template=NO_SYSTEM)), uri="hf:tiny", device="cpu")
    good = pair(words(30, 31), words(40, 41))
    turns: list[Message] = [{"role": "system", "content": "w5"}, {"role": "user", "content": words(30, 31)}]
    refused, scored = pair_losses([replace(good, messages=turns), good], scorer, chat_layout)
    assert isinstance(refused, str) and "hf:tiny" in refused and "no system turn here" in refused
    assert scored == pair_losses([good], scorer, chat_layout)[0]


@pytest.mark.parametrize("system", [[], [60, 61]], ids=["no system turn", "system turn"])
def test_chat_layout_equals_plain_forward_passes(tmp_path: Path, system: list[int]) -> None:
    scorer = HFScorer.load(str(save_tiny_llama(tmp_path)), uri="hf:tiny", device="cpu")
    question, answer = [30, 31, 32, 33], [40, 41, 42]
    turns: list[Message] = [{"role": "system", "content": words(*system)}, {"role": "user", "content": "not used"}]
    record = replace(pair(words(*question), words(*answer)), messages=turns if system else None)
    (losses,) = pair_losses([record], scorer, chat_layout)
    assert isinstance(losses, PairLosses)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()

    def loss(before: list[int], scored: list[int], after: list[int]) -> float:
        ids = torch.tensor([[*before, *scored, *after]])
        labels = torch.full_like(ids, -100)
        labels[0, len(before) : len(before) + len(scored)] = torch.tensor(scored)
        with torch.no_grad():
            return model(input_ids=ids, labels=labels).loss.item()

    head = [1, *([90, 93, 91, *system, 92] if system else []), 90, 94, 91]  # 93, 94, 95: the roles' words
    tail = [92, 90, 95, 91]
    assert losses.instruction == pytest.approx(loss(head, question, [*tail, *answer]), rel=1e-5)
    assert losses.conditional == pytest.approx(loss([*head, *question, *tail], answer, []), rel=1e-5)
    assert losses.direct == pytest.approx(loss([*head, *tail], answer, []), rel=1e-5)
    assert (losses.instruction_count, losses.conditional_count, losses.direct_count) == (4, 3, 3)


def without_bos(model: Path, folder: Path) -> Path:
    """The same weights with a tokenizer that adds no special token."""
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(folder)
    content = json.loads((model / "tokenizer.json").read_text(encoding="utf-8")) | {"post_processor": None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)), eos_token="</s>")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("bos", [True, False], ids=["bos", "no-bos"])
def test_real_pairs_equal_plain_forward_passes(bos: bool, tmp_path: Path) -> None:
    data = os.environ.get("EVOLVENT_DATA")
    if not data:
        pytest.skip("EVOLVENT_DATA names no folder with data")
    source = Path(data).parent / "models" / "stories260K"
    if not source.is_dir():
        pytest.skip(f"{source} is not there")
    folder = source if bos else without_bos(source, tmp_path / "model")
    rows = json.loads((Path(data) / "alpaca_subset" / "alpaca_random_9k.json").read_text(encoding="utf-8"))[:PAIRS]
    records = [pair(row["instruction"], row["output"], row["input"]) for row in rows]
    scorer = HFScorer.load(str(folder), uri="hf:stories", device="cpu")
    ours = pair_losses(records, scorer, paper_layout)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer("a").input_ids[0] == 1) is bos
    scored = 0
    for row, losses in zip(rows, ours, strict=True):
        if isinstance(losses, str):
            assert len(tokenizer(f"{question(row)}\n{row['output']}").input_ids) > 512 or not row["output"]
            continue
        scored += 1
        expected = plain_scores(model, tokenizer, row)
        scores = scores_of(losses, ["ifd", "ic_ifd", "grape"])
        for name, value in expected.items():
            assert scores[name] == pytest.approx(value, rel=1e-4), (name, row)
    assert scored >= 200


def question(row: dict[str, str]) -> str:
    return row["instruction"] + "\n" + row["input"] if row["input"] else row["instruction"]


def plain_scores(model: Any, tokenizer: Any, row: dict[str, str]) -> dict[str, float]:
    """The scores by three forward passes of one sequence each and transformers' own loss: nothing of ours in it."""

    def loss(text: str, hidden: Callable[[torch.Tensor], None]) -> float:
        ids = tokenizer(text, return_tensors="pt").input_ids
        labels = ids.clone()
        hidden(labels)
        with torch.no_grad():
            return model(input_ids=ids, labels=labels).loss.item()

    n = len(tokenizer(question(row)).input_ids)
    full = f"{question(row)}\n{row['output']}"
    conditional = loss(full, lambda labels: labels[:, :n].fill_(-100))
    instruction = loss(full, lambda labels: labels[:, n:].fill_(-100))
    direct = loss(row["output"], lambda _: None)
    tokens = tokenizer(full).input_ids
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens])).logits[0]
    ranks, surprisals = [], []
    for place in range(n, len(tokens)):
        before = logits[place - 1]
        ranks.append(min(100, 1 + int((before > before[tokens[place]]).sum())))
        surprisals.append(-float(before.log_softmax(-1)[tokens[place]]))
    exp = torch.tensor([instruction, direct, conditional, conditional - direct], dtype=torch.float64).exp().tolist()
    return {
        "ifd": conditional / direct,
        "ic_ifd": conditional / (instruction * direct),
        "instruction_ppl": exp[0],
        "response_ppl": exp[1],
        "response_loss": sum(surprisals) / len(surprisals),
        "response_rank": sum(ranks) / len(ranks),
        "rsr": sum(ranks) / sum(surprisals),
        "grape": -sum(surprisals) / len(surprisals),
        "conditional_ppl": exp[2],
        "ifd_ppl": exp[3],
    }
