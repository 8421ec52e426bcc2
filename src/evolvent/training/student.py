"""The student: the weights of the last checkpoint in the format of the base model, with all that ``hf:`` needs."""

import shutil
from pathlib import Path
from typing import Any

from evolvent.training.base_model import Base, load_model

ADAPTER = "adapter"


def end_turns_with(tokenizer: Any, model: Any, end: int) -> None:
    """Make a token that ends the answers one at which generation stops, if it is none yet.

    A base model's own is often the end of a text, and its template ends a turn with another.
    """
    named = model.generation_config.eos_token_id
    ends = [named] if isinstance(named, int) else list(named or [])
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ends:
        ends.append(tokenizer.eos_token_id)
    if end not in ends:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
        model.config.get_text_config().eos_token_id = end
    model.generation_config.eos_token_id = ends[0] if [end] == ends else [end, *(one for one in ends if one != end)]


def write_student(base: Base, tokenizer: Any, end: int, checkpoint: Path, out: Path, *, is_adapter: bool) -> None:
    """Write the student; a LoRA is added to the weights, and kept beside them.

    Args:
        base: the base model.
        tokenizer: as it was trained with.
        end: the token that ends an answer.
        checkpoint: the last one.
        out: the folder.
        is_adapter: whether the checkpoint holds a LoRA.
    """
    from transformers import AutoModelForCausalLM

    if is_adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(load_model(base, "sdpa"), str(checkpoint)).merge_and_unload()
        shutil.rmtree(out / ADAPTER, ignore_errors=True)
        (out / ADAPTER).mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy2(checkpoint / name, out / ADAPTER / name)
    else:
        model = AutoModelForCausalLM.from_pretrained(str(checkpoint), dtype="auto")
    end_turns_with(tokenizer, model, end)
    model.to(base.dtype).save_pretrained(out)
    tokenizer.save_pretrained(out)
