"""Make the embedded models: the corpus, the tokenizer, the base model, the tuned model, its third stage.

    python -m tools.embedded.train

Whatever is already in the work folder is used again; a broken-off training goes on from its last checkpoint.
"""

import argparse
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from tools.embedded.chats import Chat
from tools.embedded.corpus import chats, documents
from tools.embedded.mixture import method_chats
from tools.embedded.tokenizer import CONTEXT, load_tokenizer, train_tokenizer, with_method_lines

VOCABULARY, HIDDEN, INNER, LAYERS, HEADS = 2048, 192, 512, 5, 6
SMALL = (96, 256, 3, 3)  # hidden, inner, layers, heads of a model half as wide
LONGEST = 1152  # tokens; longer texts are left out
SEED = 20
IGNORED = -100
SHIPPED = Path(__file__).parents[2] / "src/evolvent/models/embedded"


class Texts(torch.utils.data.Dataset[dict[str, Any]]):
    """Token sequences on disk; a loss is taken from ``starts`` on."""

    def __init__(self, folder: Path) -> None:
        self.tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self.ends = np.load(folder / "ends.npy")
        self.starts = np.load(folder / "starts.npy")
        self.lengths = np.diff(self.ends, prepend=0)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> dict[str, Any]:
        end, length = int(self.ends[index]), int(self.lengths[index])
        return {"tokens": np.asarray(self.tokens[end - length : end], dtype=np.int64), "start": int(self.starts[index])}


class Batches(torch.utils.data.Sampler[list[int]]):
    """Batches of texts of like length, about ``budget`` tokens each, in an order fixed by the seed."""

    def __init__(self, lengths: np.ndarray, budget: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(lengths))
        batches: list[list[int]] = []
        for part in range(0, len(order), 4096):
            batch: list[int] = []
            by_length = sorted(order[part : part + 4096], key=lambda index: lengths[index])
            for index in by_length:
                if batch and (len(batch) + 1) * lengths[index] > budget:
                    batches.append(batch)
                    batch = []
                batch.append(int(index))
            batches.append(batch)
        self.batches = [batches[index] for index in generator.permutation(len(batches))]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows padded on the right; under a causal mask that needs no attention mask, and padding takes no loss."""
    longest = max(len(row["tokens"]) for row in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full_like(tokens, IGNORED)
    for place, row in enumerate(rows):
        size = len(row["tokens"])
        tokens[place, :size] = torch.from_numpy(row["tokens"])
        labels[place, row["start"] : size] = tokens[place, row["start"] : size]
    return {"input_ids": tokens, "labels": labels}


class TextTrainer(Trainer):
    """A trainer that takes its batches from ``Batches``."""

    def get_train_dataloader(self) -> Any:
        texts = self.train_dataset
        assert isinstance(texts, Texts)
        sampler = Batches(texts.lengths, self.token_budget, self.args.seed)
        return self.accelerator.prepare(torch.utils.data.DataLoader(texts, batch_sampler=sampler, collate_fn=collate))

    token_budget = 4096

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,  # noqa: ARG002 - the signature is the parent's
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Cross entropy where there is a label; the logits of other places are never computed."""
        labels = inputs["labels"][:, 1:].reshape(-1)
        kept = labels != IGNORED
        with self.accelerator.autocast():
            hidden = model.model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
            logits = model.lm_head(hidden.reshape(-1, hidden.shape[-1])[kept])
        return torch.nn.functional.cross_entropy(logits.float(), labels[kept])


def save_texts(folder: Path, rows: Iterator[tuple[list[int], int]], budget: int) -> int:
    """Write token sequences until there are ``budget`` tokens; the number of tokens written."""
    tokens: list[np.ndarray] = []
    ends, starts, total = [], [], 0
    for ids, start in rows:
        if len(ids) > LONGEST:
            continue
        tokens.append(np.asarray(ids, dtype=np.uint16))
        total += len(ids)
        ends.append(total)
        starts.append(start)
        if total >= budget:
            break
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", np.concatenate(tokens))
    np.save(folder / "starts.npy", np.asarray(starts, dtype=np.int32))
    np.save(folder / "ends.npy", np.asarray(ends, dtype=np.int64))
    return total


def base_rows(tokenizer: PreTrainedTokenizerFast, plain: Iterator[str]) -> Iterator[tuple[list[int], int]]:
    """Plain texts as tokens, with the end-of-text token; all of a text is learnt."""
    for texts in _batched(plain, 1000):
        for ids in tokenizer(list(texts))["input_ids"]:
            yield [*ids, tokenizer.eos_token_id], 1


def chat_rows(tokenizer: PreTrainedTokenizerFast, exchanges: Iterator[Chat]) -> Iterator[tuple[list[int], int]]:
    """Chats as tokens; only the reply is learnt."""
    for batch in _batched(exchanges, 1000):
        prompts = []
        for chat in batch:
            turns = [{"role": "system", "content": chat.system}] if chat.system else []
            prompts.append(
                "".join(
                    [
                        "<s>",
                        *(f"<|{turn['role']}|>{turn['content'].strip()}" for turn in turns),
                        f"<|user|>{chat.user.strip()}<|assistant|>",
                    ]
                )
            )
        given = tokenizer(prompts, add_special_tokens=False)["input_ids"]
        said = tokenizer([chat.reply for chat in batch], add_special_tokens=False)["input_ids"]
        for before, after in zip(given, said, strict=True):
            yield [*before, *after, tokenizer.eos_token_id], len(before)


def _batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def new_model(
    tokenizer: PreTrainedTokenizerFast, size: tuple[int, int, int, int] = (HIDDEN, INNER, LAYERS, HEADS)
) -> LlamaForCausalLM:
    """An untrained model of a size: hidden, inner, layers, heads."""
    torch.manual_seed(SEED)
    hidden, inner, layers, heads = size
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.02,
        attention_dropout=0.0,
    )
    return LlamaForCausalLM(config)


def widened(model: LlamaForCausalLM, old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The model with an embedding for each token more; it begins as the mean of the old tokens of its text."""
    known = len(old)
    model.resize_token_embeddings(len(new), mean_resizing=False)
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        for token in range(known, len(new)):
            parts = old(new.decode([token]), add_special_tokens=False)["input_ids"]
            weight[token] = weight[parts].mean(dim=0)
    return model


def bf16_is_fast() -> bool:
    """Whether bf16 is faster: on a CPU without instructions for it a step takes 2.7 times as long."""
    flags = Path("/proc/cpuinfo")
    return torch.cuda.is_available() or (flags.exists() and "avx512_bf16" in flags.read_text())


def fit(model: LlamaForCausalLM, texts: Texts, folder: Path, rate: float, budget: int) -> None:
    """Train for one pass over the texts, from the last checkpoint in the folder if there is one."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        learning_rate=rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.02},
        warmup_steps=100,
        weight_decay=0.1,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        use_cpu=not torch.cuda.is_available(),
        bf16=bf16_is_fast(),
        seed=SEED,
        logging_steps=50,
        save_steps=400,
        save_total_limit=3,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        optim="adamw_torch_fused",
    )
    # In bf16 on one core the plain kernel is the faster one on short texts, in fp32 the fused one.
    model.set_attn_implementation("eager" if arguments.bf16 else "sdpa")
    trainer = TextTrainer(model=model, args=arguments, train_dataset=texts)
    trainer.token_budget = budget
    folder.mkdir(parents=True, exist_ok=True)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    (folder / "losses.json").write_text(
        json.dumps([row for row in trainer.state.log_history if "loss" in row], indent=0)
    )


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a model in bf16 with its tokenizer; the folder changes in one step."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    copy = type(model)(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    if isinstance(copy, LlamaForCausalLM):
        # do_sample: servers that take it from the file (transformers serve) would answer greedily whatever is asked.
        copy.generation_config = GenerationConfig(
            do_sample=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    copy.config.use_cache = True
    copy.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    settings = fresh / "tokenizer_config.json"
    kept = {
        key: value
        for key, value in json.loads(settings.read_text()).items()
        if key not in ("is_local", "local_files_only")
    }
    settings.write_text(json.dumps(kept | {"tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n")
    for file in fresh.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def main() -> None:
    """The whole recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder for base/ and instruct/")
    parser.add_argument("--work", type=Path, default=Path("build/embedded"), help="corpus, checkpoints, losses")
    parser.add_argument("--base-tokens", type=int, default=3_500_000)
    parser.add_argument("--chat-tokens", type=int, default=22_000_000)
    parser.add_argument("--method-tokens", type=int, default=14_400_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work = options.work
    if not (work / "tokenizer" / "tokenizer.json").exists():
        texts = itertools.chain(
            itertools.islice(documents(SEED + 1), 12_000),
            (chat.reply for chat in itertools.islice(chats(SEED + 2), 12_000)),
        )
        train_tokenizer(texts, VOCABULARY).save_pretrained(work / "tokenizer")
    tokenizer = load_tokenizer(work / "tokenizer")
    methods = with_method_lines(tokenizer)
    stages = (
        ("base", tokenizer, base_rows(tokenizer, documents(SEED + 3)), options.base_tokens, 3e-3),
        ("instruct", tokenizer, chat_rows(tokenizer, chats(SEED + 3)), options.chat_tokens, 3e-3),
        ("methods", methods, chat_rows(methods, method_chats(SEED + 6)), options.method_tokens, 1.5e-3),
    )
    model = new_model(tokenizer)
    for name, words, rows, budget, rate in stages:
        if not (work / name / "texts" / "ends.npy").exists():
            save_texts(work / name / "texts", rows, budget)
        done = work / name / "model"
        if (done / "config.json").exists():
            model = LlamaForCausalLM.from_pretrained(done, dtype=torch.float32)
        else:
            if name == "methods":
                model = widened(model, tokenizer, methods)
            fit(model, Texts(work / name / "texts"), work / name / "checkpoints", rate, budget=4096)
            model.save_pretrained(done)
        if name != "instruct":  # What ships as "instruct" is the model after the third stage.
            export(model, words, options.out / ("base" if name == "base" else "instruct"))


if __name__ == "__main__":
    main()
