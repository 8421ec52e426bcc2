"""IFEval's verdicts: the harness' own checks, made deterministic, and NLTK's sentence splitter found before.

Of each instruction whether the reply follows it: strictly, or loosely, when one of eight versions of the reply does
(without its first line, its last, its asterisks). An empty reply follows nothing.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType

from evolvent.errors import InputError, require_extra
from evolvent.evaluation.task import Document, Measure, Task, Tools
from evolvent.records import Score

PUNKT = "tokenizers/punkt_tab"
PACKED = "nltk_punkt_tab"  # NLTK's sentence splitter in a folder of data


async def judge(document: Document, reply: str, _: Tools) -> dict[str, Score]:
    """Which of an item's instructions a reply follows."""
    checks = checks_of_the_harness()
    item = checks.InputExample(*(document[name] for name in ("key", "instruction_id_list", "prompt", "kwargs")))
    with same_random_choices():
        strict = checks.test_instruction_following_strict(item, reply).follow_instruction_list
    with same_random_choices():
        loose = checks.test_instruction_following_loose(item, reply).follow_instruction_list
    return {
        "prompt_strict": float(all(strict)),
        "prompt_loose": float(all(loose)),
        "instructions_strict": float(sum(strict)),
        "instructions_loose": float(sum(loose)),
        "instructions": float(len(strict)),
    }


@contextmanager
def same_random_choices() -> Iterator[None]:
    """A check draws what its item does not say, or says wrongly (four times the letter #, say): always the same."""
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)


def find_splitter(data: Path | None) -> None:
    """Let NLTK find its sentence splitter, in a folder of data if need be; the harness would fetch it at import.

    Raises:
        InputError: it is nowhere, and cannot be fetched.
    """
    require_extra("nltk", "evaluate")
    import nltk

    if data is not None and str(data / PACKED) not in nltk.data.path:
        nltk.data.path.append(str(data / PACKED))
    try:
        nltk.data.find(PUNKT)
    except LookupError:
        with redirect_stdout(StringIO()):
            fetched = nltk.download("punkt_tab", quiet=True)
        if not fetched:
            raise InputError(
                "checks count sentences with NLTK's punkt_tab, which is not on this machine and cannot be fetched",
                fix="Where there is a network: python -m nltk.downloader punkt_tab; then bring nltk_data here, name "
                f"it in NLTK_DATA, or put it into --data DIR as {PACKED}.",
            ) from None


@cache
def checks_of_the_harness() -> ModuleType:
    """The module of checks; the detector of languages draws, and is seeded."""
    import langdetect
    from lm_eval.tasks.ifeval import utils

    langdetect.DetectorFactory.seed = 0
    return utils  # type: ignore[no-any-return]


MEASURES = (
    Measure("prompt strict", "prompt_strict"),
    Measure("instruction strict", "instructions_strict", "instructions"),
    Measure("prompt loose", "prompt_loose"),
    Measure("instruction loose", "instructions_loose", "instructions"),
)
IFEVAL = Task(
    "ifeval",
    "541 prompts with 834 instructions that code can check; zero-shot",
    MEASURES,
    judge,
    find=find_splitter,
)
