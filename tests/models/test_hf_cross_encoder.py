"""Cross-encoders of natural language inference, held against plain calls of transformers on random tiny models."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.hf.cross_encoder import BATCH, HFCrossEncoder
from evolvent.models.opening import open_pair_classifier

CONTEXT = 24
PAD, START, SEPARATOR, UNKNOWN = range(4)
# Neither AutoIF's order of labels nor small letters.
LABELS = {0: "CONTRADICTION", 1: "Entailment", 2: "neutral"}
SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": PAD,
    "initializer_range": 0.8,  # wide enough that all three labels come up
    "id2label": LABELS,
    "label2id": {label: index for index, label in LABELS.items()},
}
TEXTS = st.lists(st.integers(4, 96), min_size=1, max_size=12).map(lambda ids: " ".join(f"w{token}" for token in ids))


def bert(**changed: object) -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(**SMALL, max_position_embeddings=CONTEXT, **changed))


def roberta() -> PreTrainedModel:
    """Its positions begin behind the padding token's number: two more than there is room for."""
    return RobertaForSequenceClassification(
        RobertaConfig(**SMALL | {"pad_token_id": 1}, max_position_embeddings=CONTEXT + 2, type_vocab_size=2)
    )


def deberta() -> PreTrainedModel:
    """As the model that AutoIF's code uses: mDeBERTa-v3."""
    return DebertaV2ForSequenceClassification(
        DebertaV2Config(**SMALL, max_position_embeddings=CONTEXT, relative_attention=True, pos_att_type=["p2c", "c2p"])
    )


def balance(model: PreTrainedModel) -> None:
    """Shift the outputs of a random classifier so that no label wins every time."""
    last = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        last.bias -= model(input_ids=torch.randint(4, 97, (64, 8))).logits.mean(0)


def save(folder: Path, build: Callable[[], PreTrainedModel], *, more_words: int = 0) -> Path:
    """Save a random model with a tokenizer of a word a token, w4 to w96."""
    torch.manual_seed(0)
    model = build().eval()
    if hasattr(model, "classifier"):
        balance(model)
    model.save_pretrained(folder)
    words = {"[PAD]": PAD, "[CLS]": START, "[SEP]": SEPARATOR, "[UNK]": UNKNOWN}
    words |= {f"w{token}": token for token in range(4, 97 + more_words)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", START), ("[SEP]", SEPARATOR)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[bert, roberta, deberta])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("nli"), request.param)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> HFCrossEncoder:
    return HFCrossEncoder.load(str(folder), uri="hf:nli", device="cpu")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Callable[[str, str], tuple[str, float]]:
    """The label that transformers itself finds for a pair alone, and by how much it wins."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def classify(premise: str, hypothesis: str) -> tuple[str, float]:
        inputs = tokenizer(premise, hypothesis, return_tensors="pt", truncation=True, max_length=CONTEXT)
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        first, second = logits.sort(descending=True).values[:2].tolist()
        return model.config.id2label[int(logits.argmax())].lower(), first - second

    return classify


def test_the_labels_are_read_from_the_config(encoder: HFCrossEncoder) -> None:
    assert encoder.labels == ("contradiction", "entailment", "neutral")
    assert encoder.context == CONTEXT
    assert encoder.uri == "hf:nli"
    assert json.loads(encoder.identity)["dtype"] == "float32"


@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), max_size=9))
def test_relations_are_those_of_plain_calls(
    pairs: list[tuple[str, str]], encoder: HFCrossEncoder, plain: Callable[[str, str], tuple[str, float]]
) -> None:
    for found, (expected, ahead) in zip(encoder.relations(pairs), (plain(*pair) for pair in pairs), strict=True):
        assert found == expected or ahead < 1e-4


def test_more_pairs_than_a_batch_keep_their_order(
    encoder: HFCrossEncoder, plain: Callable[[str, str], tuple[str, float]]
) -> None:
    pairs = [(f"w{4 + 7 * k % 93} w{4 + k % 5}", "w9 " * (1 + k * k % 11)) for k in range(2 * BATCH + 3)]
    expected = [plain(*pair)[0] for pair in pairs]
    assert len(set(expected)) > 1, "a model that always says the same shows nothing"
    assert encoder.relations(pairs) == expected


def test_a_pair_longer_than_the_context_is_cut(
    encoder: HFCrossEncoder, plain: Callable[[str, str], tuple[str, float]]
) -> None:
    pair = ("w5 w6 w7 " * 40, "w8 w9 " * 40)
    assert encoder.relations([pair]) == [plain(*pair)[0]]


def test_nothing_to_compare(encoder: HFCrossEncoder) -> None:
    assert encoder.relations([]) == []


def test_many_threads_at_once(encoder: HFCrossEncoder) -> None:
    lists = [[(f"w{4 + k}", f"w{50 + k}"), (f"w{5 + k} w7", "w8")] for k in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(encoder.relations, lists)) == [encoder.relations(pairs) for pairs in lists]


def test_two_of_one_folder_share_its_weights_and_wait_for_one_another(folder: Path, encoder: HFCrossEncoder) -> None:
    other = HFCrossEncoder.load(str(folder), uri="hf:nli", device="cpu")
    assert other._weights.model is encoder._weights.model
    pairs = [(f"w{4 + k} w5", "w9 " * (1 + k % 11)) for k in range(2 * BATCH)]
    expected = encoder.relations(pairs)
    with ThreadPoolExecutor(2) as pool:  # their tokenizer cannot be set and used at once
        assert list(pool.map(lambda model: model.relations(pairs), [encoder, other] * 6)) == [expected] * 12


def test_a_model_with_other_labels_is_refused(tmp_path: Path) -> None:
    other = {"id2label": {0: "entailment", 1: "not_entailment"}, "label2id": None}
    save(tmp_path, lambda: BertForSequenceClassification(BertConfig(**SMALL | other)))
    with pytest.raises(InputError, match="its labels are entailment, not_entailment") as caught:
        HFCrossEncoder.load(str(tmp_path), uri="hf:nli", device="cpu")
    assert "id2label" in caught.value.fix


def test_a_model_without_a_trained_classifier_is_refused(tmp_path: Path) -> None:
    save(tmp_path, lambda: BertModel(BertConfig(**SMALL)))
    with pytest.raises(ModelUnavailableError, match=r"the weights lack 2 tensors .* classifier\.bias"):
        HFCrossEncoder.load(str(tmp_path), uri="hf:nli", device="cpu")


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    save(tmp_path, bert)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelUnavailableError, match="hf:nli cannot be loaded as a sequence classifier"):
        HFCrossEncoder.load(str(tmp_path), uri="hf:nli", device="cpu")


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    save(tmp_path, bert)
    AutoTokenizer.from_pretrained(tmp_path)
    settings_file = tmp_path / "tokenizer_config.json"
    chosen = json.loads(settings_file.read_text(encoding="utf-8"))
    del chosen["pad_token"]
    settings_file.write_text(json.dumps(chosen), encoding="utf-8")
    with pytest.raises(ModelUnavailableError, match="no padding token"):
        HFCrossEncoder.load(str(tmp_path), uri="hf:nli", device="cpu")


def test_a_token_without_an_embedding_fails_the_call_alone(tmp_path: Path) -> None:
    encoder = HFCrossEncoder.load(str(save(tmp_path, bert, more_words=1)), uri="hf:nli", device="cpu")
    with pytest.raises(CallError, match="token number 97, and the model knows 97 tokens"):
        encoder.relations([("w97", "w5")])
    assert len(encoder.relations([("w96", "w5")])) == 1


def test_opened_by_uri(folder: Path) -> None:
    opened = open_pair_classifier(f"hf:{folder}?device=cpu")
    assert opened.uri == f"hf:{folder}"
    assert opened.relations([("w5", "w5")])[0] in {"entailment", "neutral", "contradiction"}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("embedded", "embedded cannot compare two texts"),
        ("openai:m?base_url=http://127.0.0.1:9/v1", "cannot compare two texts"),
        ("vllm:/no/such", "cannot compare two texts"),
        ("hf:/no/such/folder?chat_template=a.jinja", "takes no chat template"),
        ("hf:/no/such/folder", "there is no folder"),
    ],
)
def test_what_is_no_cross_encoder(uri: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_pair_classifier(uri)
