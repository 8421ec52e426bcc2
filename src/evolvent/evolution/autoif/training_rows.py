"""What is trained on: SFT rows of the answers that pass, and DPO pairs of answers that follow and answers that do not.

An SFT row is a conversation, ``{"messages": […], "meta": {…}}``. A DPO row is TRL's preference row with an explicit
prompt, ``{"prompt": [user turn], "chosen": [assistant turn], "rejected": [assistant turn]}``, as conversations because
it is those that a trainer puts into the model's chat template. Our own columns stand in ``meta``, which trainers leave
alone.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, product
from typing import Any

from evolvent.call_store.key import call_seed
from evolvent.datasets.render import render
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.autoif.settings import noted
from evolvent.records import Message, Record


def sft_rows(responses: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """The answers that pass, one conversation each, in their order.

    Args:
        responses: the rows of responses.parquet.
    """
    for record in responses:
        if record.status == "ok":
            row = render(record, "messages")
            assert row is not None  # one question and one answer: messages holds it
            row["meta"]["autoif"] = row.pop("autoif")
            yield row


def dpo_rows(responses: Iterable[Record], rules: Rules, seed: int) -> Iterator[dict[str, Any]]:
    """Preference pairs: for each instruction and query some answers that follow, each with some that do not.

    An answer follows if its accuracy passes ``rules.chosen_share``, and does not if no function with a verdict says
    True. One without a verdict is neither: AutoIF's script takes it for one that does not. Answers that say the same
    count once. Of each side ``rules.pair_samples`` are drawn for this instruction and query alone, and every one is
    paired with every other; where a side has none there is no pair. Quality is not asked for.

    Args:
        responses: the rows of responses.parquet, eliminated ones too; those of one instruction and query in a row.
        rules: what follows, and how many of each side are paired.
        seed: the run's seed.
    """
    for asked, group in groupby(responses, _asked_as):
        answers: dict[str, tuple[Record, float]] = {}
        for record in group:
            accuracy = noted(record)["accuracy"]
            if accuracy is not None:
                answers.setdefault(record.output, (record, accuracy))
        follow = [(record, share) for record, share in answers.values() if rules.chosen_share.passes(share)]
        miss = [(record, share) for record, share in answers.values() if share == 0]
        chosen = _sample(follow, rules.pair_samples, call_seed(seed, asked, "chosen"))
        rejected = _sample(miss, rules.pair_samples, call_seed(seed, asked, "rejected"))
        for (better, share), (worse, _) in product(chosen, rejected):
            yield {
                "prompt": [Message(role="user", content=better.question)],
                "chosen": [Message(role="assistant", content=better.output)],
                "rejected": [Message(role="assistant", content=worse.output)],
                "meta": {
                    "seed_id": better.seed_id,
                    "chosen_id": better.id,
                    "rejected_id": worse.id,
                    "autoif": {
                        "instruction": noted(better)["instruction"],
                        "query": noted(better)["query"],
                        "chosen_accuracy": share,
                        "rejected_accuracy": 0.0,
                    },
                },
            }


def _asked_as(record: Record) -> str:
    """The id of the instruction and query that a row answers: its own without the teacher's and the answer's part."""
    return record.id.rsplit("/", 2)[0]


def _sample(answers: Sequence[tuple[Record, float]], count: int, seed: int) -> list[tuple[Record, float]]:
    """So many of the answers, in their order."""
    kept = sorted(random.Random(seed).sample(range(len(answers)), min(count, len(answers))))
    return [answers[index] for index in kept]
