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


def write_student(base: Base, end: int, checkpoint: Path, folder: Path, *, is_adapter: bool) -> None:
    """Write the student to a folder of its own; a LoRA is added to the weights, and kept beside them.

    Args:
        base: the base model, with the tokenizer that was trained with.
        end: the token that ends an answer.
        checkpoint: the last one.
        folder: where.
        is_adapter: whether the checkpoint holds a LoRA.
    """
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]  # ZeRO-3 would have every process load its share
    shutil.rmtree(folder, ignore_errors=True)
    if is_adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(load_model(base, "sdpa"), str(checkpoint)).merge_and_unload()
        (folder / ADAPTER).mkdir(parents=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy2(checkpoint / name, folder / ADAPTER / name)
    else:
        model = AutoModelForCausalLM.from_pretrained(str(checkpoint), dtype="auto")
    end_turns_with(base.tokenizer, model, end)
    model.to(base.dtype).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)


def put_in_place(made: Path, out: Path) -> None:
    """Move what was written for a student into its folder."""
    for path in made.iterdir():
        if path.is_dir():
            shutil.rmtree(out / path.name, ignore_errors=True)
        path.replace(out / path.name)
