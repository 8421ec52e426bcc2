"""The tokenizer of the embedded models: byte-level BPE, digits one by one, one token for each fixed prompt line.

An operator prompt is mostly lines that never change. As single tokens they cost the model 10 steps instead of 150, in
training and in use; a template that words a line differently still works, in ordinary tokens.
"""

import copy
import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tools.embedded import autoif, methods
from tools.embedded.corpus import PROMPTS

SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT = 2048
METHOD_PROMPTS = (
    methods.INITIAL, methods.ANALYSIS, methods.OPTIMISATION, methods.KEYWORD,
    autoif.SELF_INSTRUCT, autoif.FUNCTIONS, autoif.BACK, autoif.ANSWER, autoif.QUALITY,
)  # fmt: skip


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


# What replies of the third stage are full of: pieces of the JSON that holds functions and cases, and of the functions.
IDIOMS = (
    "{instruction}", methods.INPUT_HEAD, methods.NO_STAGE, "[Query]", "```Optimized Method", "```json",
    "No case failed.", "\nScore: ",
    "def evaluate(response):\n    ", '{"func": "def evaluate(response):\\n    ', '", "cases": [{"input": "',
    '", "output": true}', '", "output": false}', ', {"input": "', ']}\n```', "\\n    ",
    "response.split()", "response.strip()", "response.lower()",
    "response.count('", "response.startswith('", "response.endswith('",
    "return True\\n    return False", "return True\n    return False", "import re\\n    ", "import re\n    ",
    " for word in ", " for letter in response", "word.strip('.,!?')", "len(word",
    "Stage 0: ", "\nStage 1: ", "\n\nCase ",
)  # fmt: skip


def method_lines() -> list[str]:
    """The fixed parts of the prompts of Auto Evol-Instruct and AutoIF, and the idioms of their replies."""
    slots = ("cases", "feedback", "method", "way", "seeds", "count", "instruction", "query", "answer")
    found = dict.fromkeys(IDIOMS)
    for prompt in METHOD_PROMPTS:
        text = prompt.render(functions=["\0"], **dict.fromkeys(slots, "\0"))
        text = re.sub(r"Function 1:|JSON list of 1 strings", lambda match: match[0].replace("1", "\0"), text)
        for part in re.split(r"[\n\0]", text.replace("{instruction}", "\0")):
            if len(part.strip()) >= 8:
                found[part.strip()] = None
    return list(found)


def with_method_lines(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tokenizer with the fixed parts of the methods' prompts as further single tokens, behind those it has."""
    grown = copy.deepcopy(tokenizer)
    grown.add_tokens([AddedToken(line, normalized=False) for line in method_lines()])
    return grown


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
