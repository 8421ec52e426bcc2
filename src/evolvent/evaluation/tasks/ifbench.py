"""IFBench: which of an item's instructions a reply follows, of 58 kinds that no training data were made for.

Source: arXiv 2507.02833. The checks are its published ones, in the package if-verifiable: as in IFEval strictly, or
loosely, when one of eight versions of the reply follows an instruction.
"""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType

from evolvent.errors import require_extra
from evolvent.evaluation.task import Document, NoVerdict, Task, Tools
from evolvent.evaluation.tasks.ifeval import MEASURES, find_splitter, same_random_choices
from evolvent.records import Score

LACKS = (
    "its check needs NLTK's stopwords or averaged_perceptron_tagger_eng, which are not on this machine: "
    "python -m nltk.downloader stopwords averaged_perceptron_tagger_eng"
)


def find_checks(data: Path | None) -> None:
    """Find the checks, and what of NLTK most of them need.

    Raises:
        InputError: the package, or NLTK's sentence splitter, is not there.
    """
    require_extra("if_verifiable", "ifbench")
    find_splitter(data)
    checks()


def checks() -> ModuleType:
    """The package's checks; it tries to fetch what NLTK lacks, and says so."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        import if_verifiable.ifbench

    return if_verifiable.ifbench  # type: ignore[no-any-return]


async def judge(document: Document, reply: str, _: Tools) -> dict[str, Score]:
    """Which of an item's instructions a reply follows.

    Raises:
        NoVerdict: there is no such check, or NLTK lacks what it needs.
    """
    known = checks().INSTRUCTION_DICT
    from if_verifiable.common import evaluate_instructions

    names = document["instruction_id_list"]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NoVerdict(f"if-verifiable has no check {unknown[0]}")
    try:
        with same_random_choices():
            found, _scores = evaluate_instructions(reply, names, document["kwargs"], document["prompt"], known)
    except LookupError as error:
        if "nltk" not in str(error):
            raise
        raise NoVerdict(LACKS) from error
    strict, loose = (sum(getattr(one, how) for one in found) for how in ("strict_pass", "loose_pass"))  # none if empty
    return {
        "prompt_strict": float(strict == len(names)),
        "prompt_loose": float(loose == len(names)),
        "instructions_strict": float(strict),
        "instructions_loose": float(loose),
        "instructions": float(len(names)),
    }


IFBENCH = Task(
    "ifbench",
    "prompts with instructions of kinds that IFEval has not, which code can check; zero-shot",
    MEASURES,
    judge,
    library="if-verifiable",
    find=find_checks,
)
