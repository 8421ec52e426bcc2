"""A GGUF file with random weights: one layer, a token for each printable character of ASCII, and the bytes."""

from pathlib import Path

import numpy as np

WIDTH, HEADS, HIDDEN = 32, 2, 64
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)


def write_gguf(
    file: Path,
    *,
    architecture: str = "llama",
    template: str | None = TEMPLATE,
    seed: int = 0,
    scale: float = 1.0,
    space_before: bool = True,
    key_heads: bool = True,
) -> Path:
    """Write the file; its architecture's name may be one that nobody knows.

    Args:
        scale: size of the weights; where they are small, rounding moves what they say little.
        key_heads: whether it says how many heads its keys have.
        space_before: whether its tokenizer puts a space before a text, as llama.cpp does and transformers does not.
    """
    from gguf import GGUFWriter, TokenType

    writer = GGUFWriter(file, architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    if key_heads:
        writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    letters = ["▁", *map(chr, range(33, 127))]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    kinds = [TokenType.UNKNOWN, *[TokenType.CONTROL] * 2, *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * len(letters)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(space_before)
    if template is not None:
        writer.add_chat_template(template)
    noise = np.random.default_rng(seed)

    def add(name: str, *shape: int) -> None:
        weights = scale * noise.standard_normal(shape, dtype=np.float32)
        if name == "output":
            weights[: -len(letters)] = 0  # what it says is mostly letters
        writer.add_tensor(f"{name}.weight", weights)

    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        add(name, WIDTH)
    for name in ("token_embd", "output"):
        add(name, len(tokens), WIDTH)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.0.{name}", WIDTH, WIDTH)
    add("blk.0.ffn_gate", HIDDEN, WIDTH)
    add("blk.0.ffn_up", HIDDEN, WIDTH)
    add("blk.0.ffn_down", WIDTH, HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
