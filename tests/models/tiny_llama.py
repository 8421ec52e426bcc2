"""A random Llama of 97 words, saved as transformers saves models: small enough to load in any test."""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

BOS, EOS, NEWLINE = 1, 2, 11
CHATML = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "w90 {{ message['role'] }} w91 {{ message['content'] }} w92 {% endfor %}"
    "{% if add_generation_prompt %}w90 assistant w91 {% endif %}"
)


def words(*tokens: int) -> str:
    """The text whose token ids these are."""
    return " ".join(f"w{token}" for token in tokens)


def tiny_llama(context: int = 128, eos: bool = True) -> LlamaForCausalLM:
    """The random Llama of the golden values."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=context,
        bos_token_id=BOS,
        eos_token_id=EOS if eos else None,
        pad_token_id=EOS,
    )
    return LlamaForCausalLM(config).eval()


def save_tiny_llama(
    folder: Path,
    *,
    bos: bool = True,
    eos: bool = True,
    template: str | None = CHATML,
    context: int = 128,
    model: PreTrainedModel | None = None,
) -> Path:
    """Save the tiny Llama, or another model of 97 tokens, with a tokenizer of a word a token: w0 ... w96, a line break.

    Words 1 and 2 are BOS and EOS, 11 is the line break, 93 to 95 are the roles system, user and assistant.
    """
    (model or tiny_llama(context, eos)).save_pretrained(folder)
    names = {f"w{token}": token for token in range(97)} | {"<s>": BOS, "</s>": EOS, "\n": NEWLINE}
    names |= {"system": 93, "user": 94, "assistant": 95}
    for replaced in ("w1", "w2", "w11", "w93", "w94", "w95"):
        del names[replaced]
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split(Regex("\n"), "isolated")]
    )
    tokenizer.decoder = decoders.Fuse()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>" if bos else None, eos_token="</s>" if eos else None, unk_token="w0"
    )
    saved.chat_template = template
    saved.save_pretrained(folder)
    return folder


def save_word_without_embedding(folder: Path) -> Path:
    """The same model with one word more, w97, in its tokenizer alone."""
    save_tiny_llama(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"]["w97"] = 97
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
