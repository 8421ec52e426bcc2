"""AutoIF, step 6: the queries that an instruction is asked with; step 9: the text of an instruction and a query."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from evolvent.call_store.key import call_seed
from evolvent.datasets.load import load
from evolvent.errors import InputError
from evolvent.evolution.autoif.rules import Rules
from evolvent.records import Record
from evolvent.runs.inputs import Data
from evolvent.runs.run import Run

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


class Queries(NamedTuple):
    """The queries of a dataset, in memory whole: each instruction draws some of them at random.

    Attributes:
        texts: each query once, in the data's order.
        left_out: how many records gave none, by why: ``too short``, ``too long``, ``duplicate``.
    """

    texts: list[str]
    left_out: dict[str, int]


def read_queries(
    data: Data, mapping: Mapping[str, str] | None, rules: Rules, *, skip_bad: bool = False
) -> tuple[Queries, str]:
    """The queries of a dataset, and its digest.

    Args:
        data: the dataset.
        mapping: which column is the instruction, where that is not known.
        rules: the bounds of a query's length.
        skip_bad: leave bad rows out (counted) instead of stopping.

    Raises:
        InputError: the data cannot be read, or holds no query of the right length.
    """
    if isinstance(data, Run):
        raise InputError(f"{data.path} is a run folder, not queries", fix="Name a data file or a Hub id.")
    loaded = load(data, map=mapping, skip_bad=skip_bad)
    found = eligible(loaded, rules)
    if not found.texts:
        why = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
        raise InputError(
            f"{loaded.name} has no query of more than {rules.query_longer_than} and fewer than "
            f"{rules.query_shorter_than} characters: {why}",
            fix="Name other data with --queries, or set --rule query_longer_than=N.",
        )
    if loaded.skipped:
        found.left_out["bad rows"] = loaded.skipped
    return found, loaded.digest


def eligible(records: Iterable[Record], rules: Rules) -> Queries:
    """The questions of a dataset that can be queries: long enough, short enough, each once.

    A record's question is its instruction with its input; a conversation's is its first user turn. Blanks around it
    are cut off before its characters are counted.

    Args:
        records: the dataset.
        rules: the bounds of a query's length, both exclusive.
    """
    texts: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    for record in records:
        text = record.question.strip()
        if len(text) <= rules.query_longer_than:
            left_out["too short"] += 1
        elif len(text) >= rules.query_shorter_than:
            left_out["too long"] += 1
        elif text in texts:
            left_out["duplicate"] += 1
        else:
            texts[text] = None
    return Queries(list(texts), dict(left_out))


def drawn(instruction_id: str, queries: Sequence[str], count: int, seed: int) -> list[str]:
    """The queries of one instruction: drawn without replacement, whatever other instructions there are.

    Args:
        instruction_id: the instruction's id.
        queries: all queries.
        count: how many to draw; all of them are drawn where there are fewer.
        seed: the run's seed.
    """
    draw = random.Random(call_seed(seed, instruction_id, "queries"))
    return draw.sample(queries, min(count, len(queries)))


def combined(query: str, instruction: str) -> str:
    """The text of a query and the instruction that its answer has to follow (step 9 of AutoIF's code).

    Both begin with a capital. A query that holds "?" or "." anywhere is followed by a blank, any other by a period and
    a blank; a period ends the whole. AutoIF's code writes it also after an instruction that ends a sentence itself
    ("Use no commas.."), and breaks on an empty part: here one period stands, and an empty part is left out.
    """
    query, instruction = _capitalised(query.strip()), _capitalised(instruction.strip())
    if instruction and not instruction.endswith(SENTENCE_ENDS):
        instruction += "."
    if not query or not instruction:
        return query or instruction
    return f"{query}{' ' if '?' in query or '.' in query else '. '}{instruction}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
