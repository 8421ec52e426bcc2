"""Reward models of transformers, held against plain forward passes of one conversation on random tiny models."""

import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
    Phi3Config,
    Phi3ForSequenceClassification,
    PreTrainedModel,
)

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.hf.reward import HFReward
from evolvent.models.opening import open_reward_model
from evolvent.models.protocols import Reward, Stopped
from evolvent.records import Message
from tests.models.tiny_llama import BOS, CHATML, EOS, save_tiny_llama, words

PAD = 3
SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
# It ends with the token that ends a turn, as the templates of most models do.
ENDED = CHATML.replace("w92 ", "</s>")
# Real text: other scripts, code. To the tiny tokenizer most of it is unknown words.
TEXTS = (
    "كيف حالك؟",
    "🧦 🎉 👩‍👩‍👧",
    "def f(x):\n    return x  # w9\n\n",
    "w5\n\n\nw6",
    "{{ bos_token }} {% if %}",
    " ",
    "\u0000 w7",
)


def tiny_classifier(pad: int | None = PAD, labels: int = 1, context: int = 128) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(**SMALL, max_position_embeddings=context, pad_token_id=pad, num_labels=labels)
    return spread(LlamaForSequenceClassification(config).eval())


def spread(model: PreTrainedModel) -> PreTrainedModel:
    """A random classifier's rewards lie close together; a larger output layer tells conversations apart."""
    with torch.no_grad():
        model.score.weight *= 20
    return model


def saved(
    folder: Path, model: PreTrainedModel | None = None, *, template: str | None = ENDED, **changed: object
) -> Path:
    """Save a classifier with the words of the tiny Llama; ``changed`` are entries of its config as files hold them."""
    save_tiny_llama(folder, model=model or tiny_classifier(), template=template)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    return folder


def load(folder: Path, **how: object) -> HFReward:
    return HFReward.load(str(folder), uri="hf:tiny", device="cpu", **how)  # type: ignore[arg-type]


def chat(question: str, answer: str, system: str | None = None) -> list[Message]:
    turns: list[Message] = [{"role": "system", "content": system}] if system is not None else []
    return [*turns, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def some_chats(count: int, longest: int = 30) -> list[list[Message]]:
    """Conversations of many lengths; some with a system turn, with the pad token in their text, in other scripts."""
    rng = random.Random(0)

    def text(least: int) -> str:
        return words(*(rng.choice([PAD, *range(4, 93)]) for _ in range(rng.randint(least, longest))))

    chats = [chat(text(0), text(1), rng.choice([None, None, text(1)])) for _ in range(count - len(TEXTS))]
    return chats + [chat(f"{text(1)} {strange}", f"{strange} {text(1)}") for strange in TEXTS]


def plain(folder: Path) -> Callable[[Sequence[Message]], float]:
    """The reward of a conversation alone, by transformers and its tokenizer: nothing of ours in it."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def reward(turns: Sequence[Message]) -> float:
        ids = tokenizer.apply_chat_template([dict(turn) for turn in turns], return_tensors="pt", return_dict=True)
        with torch.no_grad():
            return model(input_ids=ids["input_ids"]).logits[0, 0].item()

    return reward


def values(found: Sequence[Reward | str]) -> list[float]:
    assert all(isinstance(one, Reward) for one in found), found
    return [one.value for one in found if isinstance(one, Reward)]


def phi3() -> PreTrainedModel:
    """Its positions are others for a whole batch as soon as one text of it is longer than 40 tokens (LongRoPE)."""
    torch.manual_seed(0)
    config = Phi3Config(
        **SMALL,
        max_position_embeddings=128,
        original_max_position_embeddings=40,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [8.0] * 4,
            "original_max_position_embeddings": 40,
        },
        pad_token_id=PAD,
        num_labels=1,
    )
    return spread(Phi3ForSequenceClassification(config).eval())


@pytest.mark.parametrize(
    ("build", "changed", "template"),
    [
        pytest.param(tiny_classifier, {}, ENDED, id="own pad token"),
        pytest.param(tiny_classifier, {"pad_token_id": EOS}, ENDED, id="ends with the pad token"),
        pytest.param(tiny_classifier, {"pad_token_id": None}, ENDED, id="no pad token"),
        pytest.param(tiny_classifier, {"pad_token_id": -1}, ENDED, id="pad token that is none"),
        pytest.param(tiny_classifier, {"pad_token_id": 0}, CHATML, id="pad token 0, the unknown word's"),
        pytest.param(phi3, {}, ENDED, id="longrope"),
    ],
)
def test_rewards_equal_plain_forward_passes(
    build: Callable[[], PreTrainedModel], changed: dict[str, object], template: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path, build(), template=template, **changed)
    model, reward = load(folder), plain(folder)
    chats = some_chats(104)
    found = values(model.rewards(chats))
    expected = [reward(turns) for turns in chats]
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.5  # or anything would be near
    alone = [values(model.rewards([turns]))[0] for turns in chats[:8]]
    assert found[:8] == pytest.approx(alone, abs=1e-4)


def test_it_counts_the_tokens_of_the_answer_alone(tmp_path: Path) -> None:
    model = load(saved(tmp_path))
    [reward] = model.rewards([chat(words(5, 6, 7), words(8, 9), "w4")])
    assert isinstance(reward, Reward) and reward.tokens == 2
    assert model.rewards([]) == []


def test_what_is_too_long_says_so_and_the_others_have_their_rewards(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    model, reward = load(folder), plain(folder)
    good = chat("w5", "w6")
    head = len(model._read(good)[0]) - 1  # type: ignore[arg-type]
    just = chat("w5", words(*[7] * (128 - head)))
    over = chat("w5", words(*[7] * (129 - head)))
    found = model.rewards([good, over, just, chat("w5", "w8 " * 350_000)])
    assert found[1] == found[3] == "longer than the reward model's context of 128 tokens"
    assert values([found[0], found[2]]) == pytest.approx([reward(good), reward(just)], abs=1e-5)


def test_a_conversation_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + ENDED
    folder = saved(tmp_path, template=template)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["w97"] = 97
    (folder / "tokenizer.json").write_text(json.dumps(content))
    refused, strange, good = load(folder).rewards([chat("w5", "w6", "w7"), chat("w5", "w97"), chat("w5", "w6")])
    assert isinstance(refused, str) and "hf:tiny" in refused and "no system" in refused
    assert isinstance(strange, str) and "'w97', number 97" in strange
    assert isinstance(good, Reward)


def test_short_memory_halves_the_batch_and_names_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(saved(tmp_path))
    chats = [chat("w5", "w6"), chat("w5", words(*[7] * 60)), chat("w8", "w9")]
    expected = values(model.rewards(chats))
    inner = model._weights.model.forward

    def small(input_ids: torch.Tensor, **settings: object) -> object:
        if input_ids.numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(input_ids=input_ids, **settings)

    monkeypatch.setattr(model._weights.model, "forward", small)
    first, second, third = model.rewards(chats)
    assert isinstance(second, str) and second.startswith("out of memory: the conversation has ")
    assert values([first, third]) == pytest.approx([expected[0], expected[2]], abs=1e-5)


def test_it_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        load(saved(tmp_path)).rewards([chat("w5", "w6")], stop=stop)


def test_a_classifier_of_several_labels_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny_classifier(labels=3))
    with pytest.raises(InputError, match="classifier with the labels LABEL_0, LABEL_1, LABEL_2, and no reward model"):
        load(folder)


def test_a_model_without_the_layer_of_the_reward_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path, template=ENDED)
    with pytest.raises(ModelUnavailableError, match=r"the weights lack 1 tensors .* score\.weight"):
        load(folder)


def test_a_classifier_without_a_chat_template_needs_one(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", template=None)
    with pytest.raises(InputError, match="no chat template"):
        load(folder)
    (tmp_path / "own.jinja").write_text(ENDED)
    assert len(values(load(folder, chat_template=str(tmp_path / "own.jinja")).rewards([chat("w5", "w6")]))) == 1


@pytest.mark.parametrize("uri", ["gguf:x.gguf", "openai:gpt?base_url=http://localhost:1/v1", "embedded", "minilm"])
def test_what_gives_no_rewards_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="gives no rewards") as caught:
        open_reward_model(uri)
    assert "judge_score" in caught.value.fix


# As InternLM's reward models are: registered as AutoModel, a reward token behind the template, its own get_scores.
OWN_CODE = """
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel


class OwnConfig(LlamaConfig):
    model_type = "own_reward"
    reward_token_id = 90


class OwnReward(LlamaPreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.v_head = nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()

    def forward(self, input_ids, attention_mask):
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        ends = attention_mask.sum(1) - 1
        return (self.v_head(states)[torch.arange(len(ends)), ends, 0],)

    @torch.no_grad()
    def get_scores(self, tokenizer, conversations):
        texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in conversations]
        ids = [
            torch.tensor([*tokenizer.encode(text, add_special_tokens=False), self.config.reward_token_id])
            for text in texts
        ]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=tokenizer.pad_token_id)
        masks = nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in ids], batch_first=True)
        scores = self.forward(padded.to(self.device), masks.to(self.device))[0].cpu().tolist()
        return scores if len(conversations) > 1 else scores[0]
"""


@pytest.fixture(scope="module")
def own_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_llama(tmp_path_factory.mktemp("own") / "own_reward", template=CHATML)
    (folder / "modeling_own.py").write_text(OWN_CODE)
    classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnReward"}
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": classes, "model_type": "own_reward", "architectures": ["OwnReward"], "pad_token_id": PAD}
    (folder / "config.json").write_text(json.dumps(config))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": "w3"}))
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["v_head.weight"] = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    weights.pop("lm_head.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_model_of_its_own_code_scores_as_its_code_does(own_code: Path) -> None:
    model = open_reward_model(f"hf:{own_code}?trust_remote_code=true", device="cpu")
    chats = some_chats(104)
    found = model.rewards(chats)
    inner, tokenizer = model._weights.model, model._weights.tokenizer  # type: ignore[attr-defined]
    assert values(found) == pytest.approx([inner.get_scores(tokenizer, [turns]) for turns in chats], abs=1e-5)
    assert "LlamaForSequenceClassification" not in type(inner).__name__


def test_code_that_gives_more_than_one_number_is_refused(own_code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = open_reward_model(f"hf:{own_code}?trust_remote_code=true", device="cpu")
    monkeypatch.setattr(model._weights.model, "get_scores", lambda _, chats: [[1.0, 2.0] for _ in chats])
    with pytest.raises(ModelUnavailableError, match="get_scores gives 4 numbers for 2 conversations"):
        model.rewards([chat("w5", "w6"), chat("w5", "w7")])


def test_code_of_its_own_is_not_run_unasked(own_code: Path) -> None:
    with pytest.raises(InputError, match="Python code of its own, which is not run unasked") as caught:
        open_reward_model(f"hf:{own_code}", device="cpu")
    assert "trust_remote_code=true" in caught.value.fix


def test_a_model_that_writes_its_own_conversations_takes_no_template(own_code: Path, tmp_path: Path) -> None:
    (tmp_path / "other.jinja").write_text(ENDED)
    with pytest.raises(InputError, match="takes no chat template"):
        open_reward_model(f"hf:{own_code}?trust_remote_code=true&chat_template={tmp_path}/other.jinja", device="cpu")
