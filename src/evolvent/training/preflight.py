"""Preflight: what a training would train on, looked at before its first step; what cannot learn is refused."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from evolvent.datasets.training_examples import Example, control_words
from evolvent.errors import InputError, printable
from evolvent.training.order import steps_of
from evolvent.training.settings import Settings, warmup_steps
from evolvent.training.tokens import IGNORED, end_token, special_tokens, tokens_of
from evolvent.words import number_of

PERCENTILE = 99.9
SAMPLES = 3
# Characters of a stretch of a sample; a longer one is cut in its middle.
SHOWN = 160

Words = Callable[[Sequence[int]], str]


@dataclass(slots=True)
class Prepared:
    """The rows as they are trained on.

    Attributes:
        ids: the tokens of each.
        labels: the same with IGNORED where a token carries no loss.
        rejected: for DPO the tokens and labels of each with its worse answer.
        kept: the examples that they are of.
        end: the token that ends an answer; None if nothing does.
        found: what was found of them.
    """

    ids: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    rejected: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    kept: list[Example] = field(default_factory=list)
    end: int | None = None
    found: "Preflight" = field(default_factory=lambda: Preflight())


@dataclass(slots=True)
class Preflight:
    """What was found of the rows.

    Attributes:
        rows: rows that are trained on.
        rounds: how many of them are of each round of evolution, and ``evolvers`` by each model that evolved them.
        left_out: others, by reason.
        notes: what there is to say of rows that are trained on, counted.
        max_length: the longest row in tokens; what is longer is cut at its end.
        truncated: rows that were cut.
        tokens, loss_tokens: of all rows once, and those that carry loss.
        end: the text of the token that ends an answer.
        ended: rows whose last answer ends with it, after cutting.
        epochs, batch_size, steps: how often they are seen, how many a step, and the steps in all.
        warmup: the steps in which the learning rate rises.
        samples: of some rows, and for DPO of their worse answers, by name the stretches of text, each with whether it
            carries loss.
    """

    rows: int = 0
    rounds: dict[str, int] = field(default_factory=dict)
    evolvers: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    max_length: int = 0
    truncated: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    end: str = ""
    ended: int = 0
    epochs: float = 0.0
    batch_size: int = 0
    steps: int = 0
    warmup: int = 0
    samples: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """What a note holds of it: all but the samples."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "samples"}

    def lines(self) -> Iterator[str]:
        """It in words, a line each."""
        for name, sample in self.samples.items():
            text = "".join(f"[[{_short(text)}]]" if carries else _short(text) for text, carries in sample)
            yield f"{name}, [[with loss]]: {printable(text)}"
        share = self.loss_tokens / max(1, self.tokens)
        rows, tokens = number_of(self.rows, "rows"), number_of(self.tokens, "tokens")
        yield f"{rows}, {tokens}, {self.loss_tokens:,} of them with loss ({share:.1%})"
        for reason, count in self.left_out.items():
            yield f"left out: {number_of(count, f'rows {reason}')}"
        for note, count in self.notes.items():
            yield number_of(count, f"rows {note}")
        cut = f"{self.truncated:,} ({self.truncated / self.rows:.1%})"
        yield f"longest row {number_of(self.max_length, 'tokens')}; cut at that: {cut}"
        yield f"answers that end with {self.end}, with loss: {self.ended:,} of {self.rows:,}"
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs:g} epochs"
        yield f"{number_of(self.steps, 'steps')}: {rows} x {epochs}, {number_of(self.batch_size, 'rows')} a step"
        if self.warmup >= self.steps:
            yield (
                f"the learning rate rises for {number_of(self.warmup, 'steps')} and the training ends before: it never "
                "gets as high as it is set (--set warmup_steps=0.03 is a share)"
            )


def _short(text: str) -> str:
    text = text.replace("\n", "\\n")
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} … {text[-SHOWN // 2 :]}"


def prepare(
    examples: Iterable[Example], tokenizer: Any, settings: Settings, context: int, left_out: Counter[str]
) -> Prepared:
    """Make the rows that are trained on, and look at them.

    Args:
        examples: the examples.
        tokenizer: with the chat template.
        settings: how long a row may be, how many a step has.
        context: the model's.
        left_out: examples left out before, by reason; complete when all are read.

    Raises:
        InputError: nothing is left, no token carries loss, or no answer is ended.
    """
    special, ends = special_tokens(tokenizer), Counter[int | None]()
    rows: list[tuple[Example, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    notes: Counter[str] = Counter()
    controls: list[set[str]] = []
    for example in examples:
        controls.append(example.control())
        tokens = tokens_of(tokenizer, example.turns)
        notes["trained on their last answer only: the template writes the earlier ones otherwise"] += tokens.last_only
        shifted, worse_ids, worse_labels = tokens.shifted, [], []
        if example.rejected is not None:
            answer = {**example.turns[-1], "content": example.rejected}
            worse = tokens_of(tokenizer, [*example.turns[:-1], answer])  # type: ignore[list-item]
            shifted |= worse.shifted
            # As TRL has it: both begin where the prompt ends in both.
            start, worse_ids = min(tokens.spans[-1][0], worse.spans[-1][0]), worse.ids
            labels, worse_labels = ([IGNORED] * start + ids[start:] for ids in (tokens.ids, worse.ids))
        else:
            labels = tokens.labels()
        notes["with a prompt that the template writes otherwise once it is answered"] += shifted
        ends[end_token(tokens.ids[tokens.spans[-1][0] :], special)] += 1
        numbers = (np.array(one, np.int32) for one in (tokens.ids, labels, worse_ids, worse_labels))
        rows.append((example, *numbers))  # type: ignore[arg-type]
    if not rows:
        why = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise InputError(
            f"there is no row to train on{f': {why}' if why else ': the data is empty'}",
            fix="Training data are instructions with their answers: evolvent respond, then evolvent select.",
        )
    end = ends.most_common(1)[0][0]
    if end is None:
        raise InputError(
            "the chat template writes no token after an answer: the model would never learn to end its turn",
            fix="Name a template that ends the assistant's turn with a special token, the end of text say: "
            "--chat-template alpaca, or a Jinja file.",
        )
    notes[f"with {control_words(set().union(*controls))}"] = sum(map(bool, controls))
    lengths = [max(len(ids), len(worse)) for _, ids, _, worse, _ in rows]
    longest = settings.max_length or int(np.ceil(np.percentile(lengths, PERCENTILE)))
    longest = min(longest, context, max(lengths))
    return _cut(rows, longest, end, tokenizer, settings, left_out, notes)


def _cut(
    rows: list[tuple[Example, np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    longest: int,
    end: int,
    tokenizer: Any,
    settings: Settings,
    left_out: Counter[str],
    notes: Counter[str],
) -> Prepared:
    """The rows, none longer than it may be, and those without loss left out."""
    made = Prepared(end=end)
    found, dropped = made.found, 0
    for example, ids, labels, worse_ids, worse_labels in rows:
        cut, worse_cut = labels[:longest], worse_labels[:longest]
        if not _carries(cut) or (len(worse_ids) and not _carries(worse_cut)):
            dropped += 1
            continue
        found.truncated += max(len(ids), len(worse_ids)) > longest
        made.kept.append(example)
        made.ids.append(ids[:longest])
        made.labels.append(cut)
        if len(worse_ids):
            made.rejected.append((worse_ids[:longest], worse_cut))
        found.ended += bool((cut[_last_start(cut) :] == end).any())
    if not made.ids:
        raise InputError(
            f"no token carries loss: the prompt alone fills the {number_of(longest, 'tokens')} of every row "
            f"({number_of(len(rows), 'rows')})",
            fix="Raise --set max_length, as far as the model's context goes, or take data with shorter prompts.",
        )
    if not found.ended:
        raise InputError(
            f"no answer is trained to its end: every row is cut at {number_of(longest, 'tokens')} before it",
            fix="Raise --set max_length, as far as the model's context goes, or take data with shorter answers.",
        )
    if dropped:
        left_out["whose prompt alone fills the row"] += dropped
    found.rows, found.max_length, found.end = len(made.ids), longest, str(tokenizer.convert_ids_to_tokens(end))
    found.rounds = dict(sorted(Counter(str(example.round) for example in made.kept).items()))
    found.evolvers = dict(Counter(example.evolver for example in made.kept if example.evolver))
    found.left_out = {reason: count for reason, count in left_out.items() if count}
    found.notes = {note: count for note, count in notes.items() if count}
    found.tokens = sum(map(len, made.ids)) + sum(len(ids) for ids, _ in made.rejected)
    every = [*made.labels, *(labels for _, labels in made.rejected)]
    found.loss_tokens = int(sum((labels != IGNORED).sum() for labels in every))
    found.epochs, found.batch_size = settings.num_train_epochs, settings.batch_size
    found.steps = steps_of(found.rows, settings.num_train_epochs, settings.batch_size)
    found.warmup = warmup_steps(settings, found.steps)
    if found.steps == 1 and found.warmup:
        raise InputError(
            f"the training is one step, {number_of(found.rows, 'rows')} of a batch of {settings.batch_size:,}, and the "
            "learning rate, which rises from 0, is 0 in it: nothing would be trained",
            fix="Take more data or a smaller --set batch_size, or --set warmup_steps=0.",
        )
    some = np.linspace(0, found.rows - 1, min(SAMPLES, found.rows)).astype(int)
    for number, n in enumerate(dict.fromkeys(some), 1):
        found.samples[f"row {number}"] = list(_stretches(made.ids[n], made.labels[n], tokenizer.decode))
        if made.rejected:
            ids, labels = made.rejected[n]
            found.samples[f"row {number}, rejected"] = list(_stretches(ids, labels, tokenizer.decode))
    return made


def _carries(labels: np.ndarray) -> bool:
    return bool((labels != IGNORED).any())


def _last_start(labels: np.ndarray) -> int:
    """Where the last stretch with loss begins: behind the last token without."""
    return int(np.flatnonzero(labels == IGNORED).max(initial=-1)) + 1


def _stretches(ids: np.ndarray, labels: np.ndarray, words: Words) -> Iterator[tuple[str, bool]]:
    """The text of a row in stretches, each with whether it carries loss."""
    carries = labels != IGNORED
    borders = [0, *(np.flatnonzero(np.diff(carries)) + 1).tolist(), len(ids)]
    for start, end in pairwise(borders):
        yield words(ids[start:end].tolist()), bool(carries[start])
