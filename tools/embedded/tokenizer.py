"""The tokenizer of the embedded models: byte-level BPE, digits one by one, one token for each fixed prompt line.

An operator prompt is mostly lines that never change. As single tokens they cost the model 10 steps instead of 150, in
training and in use; a template that words a line differently still works, in ordinary tokens.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tools.embedded.corpus import PROMPTS

SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT = 2048


def fixed_lines() -> list[str]:
    """The lines of the shipped prompts that are the same for every seed."""
    lines: dict[str, None] = {}
    for name, prompt in PROMPTS.items():
        slots = {"first": "\0", "second": "\0"} if name == "equality" else {"instruction": "\0", "input": "\0"}
        bare = prompt.render(**(slots | ({"input": ""} if "input" in slots else {})))
        for line in prompt.render(**slots).split("\n"):
            for known in lines:  # The sentence about the input follows another on its line.
                if line.startswith(known):
                    line = line.removeprefix(known)
            if line and "\0" not in line:
                lines[line] = None
        for line in bare.split("\n"):
            if line and "\0" not in line:
                lines[line] = None
    whole = list(lines)
    return sorted({line.removeprefix(other) if (other := _head(line, whole)) else line for line in whole})


def _head(line: str, lines: list[str]) -> str:
    """Another line with which this one begins, or nothing."""
    return next((other for other in lines if other != line and line.startswith(other)), "")


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of ``size`` tokens in all.

    Args:
        texts: what to learn the merges from.
        size: tokens in the vocabulary, special ones and fixed lines included.
    """
    lines = fixed_lines()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size - len(lines),
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bpe.add_tokens([AddedToken(line, normalized=False) for line in lines])
    bos = bpe.token_to_id("<s>")
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=list(SPECIAL[3:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A saved tokenizer."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer
