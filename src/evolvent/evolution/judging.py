"""The judge of rule R1: asked whether an evolution asks for the same as its parent, and tried before it is relied on.

Small models say "Equal" to everything, or never: as judges they throw away every evolution, or cost calls for nothing.
So a judge is first asked about pairs of which the answer is known, each in both orders.
"""

import asyncio
import re
from collections import Counter

from evolvent.call_store.ask import ask
from evolvent.errors import CallError, InputError
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.prompts import Prompt
from evolvent.records import CUT, conversation

# The mean of the shares of equal and of different pairs that a judge has to be right on; who guesses has 0.5.
LEAST_ACCURACY = 0.75

EQUAL = (
    ("Explain how a rainbow forms.", "Explain how a rainbow forms."),
    ("List three uses of baking soda in a kitchen.", "List three uses of baking soda in a kitchen."),
    ("Write a short story about a lost key.", "Compose a brief tale about a key that got lost."),
    ("What is the capital of Australia?", "Name the city that is Australia's capital."),
    ("Give me five tips for sleeping better.", "Suggest five ways to improve my sleep."),
)
DIFFERENT = (
    (
        "Write a short story about a lost key.",
        "Write a short story about a lost key, in at most 100 words and without any dialogue.",
    ),
    (
        "Explain how a rainbow forms.",
        "Explain how a rainbow forms, why a second bow is fainter, and derive the angle of 42 degrees.",
    ),
    (
        "Write a Python function that sorts a list of numbers.",
        "Write a Python function that sorts a list of numbers without sorted() or list.sort(), and prove that it ends.",
    ),
    (
        "A train covers 120 km in 2 hours. What is its average speed?",
        "A train covers 120 km in 2 hours, waits for 30 minutes and covers 90 km more in 1 hour. What is its average "
        "speed over the whole trip, the wait included?",
    ),
)

# What a judge is tried with: each pair in both orders, and what is right.
QUESTIONS = tuple(
    dict.fromkeys(
        (*ordered, equal)
        for pairs, equal in ((EQUAL, True), (DIFFERENT, False))
        for a, b in pairs
        for ordered in ((a, b), (b, a))
    )
)


async def finds_equal(
    judge: ChatModel, equality: Prompt, first: str, second: str, *, max_tokens: int, seed: int, record_id: str
) -> bool | None:
    """A judge's verdict on two instructions; None if its reply holds none.

    Args:
        judge: the model. It is greedy.
        equality: the prompt, with the slots ``first`` and ``second``.
        first, second: the instructions.
        max_tokens: how long the reply may be.
        seed: the run's seed.
        record_id: the record that it is asked for.

    Raises:
        CallError: from the model.
    """
    question = conversation(equality.render(first=first, second=second))
    greedy = Sampling(temperature=0.0, max_tokens=max_tokens)
    return judged_equal(await ask(judge, question, greedy, run_seed=seed, record_id=record_id, stage="judge"))


async def try_judge(judge: ChatModel, equality: Prompt, *, max_tokens: int, seed: int) -> None:
    """Ask a judge about pairs whose answer is known. A call that fails is as good as no verdict, unless all fail.

    Raises:
        InputError: it does not tell equal pairs from different ones.
        CallError: from the model.
    """
    verdicts = await asyncio.gather(
        *(
            finds_equal(judge, equality, first, second, max_tokens=max_tokens, seed=seed, record_id=f"trial/{number}")
            for number, (first, second, _) in enumerate(QUESTIONS)
        ),
        return_exceptions=True,
    )
    failed = [verdict for verdict in verdicts if isinstance(verdict, BaseException)]
    for error in failed:
        if not isinstance(error, CallError) or len(failed) == len(verdicts):
            raise error
    of = Counter(equal for _, _, equal in QUESTIONS)
    right = Counter(equal for verdict, (_, _, equal) in zip(verdicts, QUESTIONS, strict=True) if verdict is equal)
    if sum(right[equal] / of[equal] for equal in of) / len(of) < LEAST_ACCURACY:
        raise InputError(
            f"{judge.uri} cannot be the judge: of pairs whose answer is known it was right on {right[True]} of "
            f"{of[True]} that ask for the same and on {right[False]} of {of[False]} that do not",
            fix="Name a larger model as --judge, or leave it out: the rules need none. For this folder, add --fresh.",
        )


def judged_equal(reply: Reply) -> bool | None:
    """R1: the judge's verdict; None if the reply holds none ("Equal" is part of "Not Equal", hence the order)."""
    if reply.finish_reason in CUT:
        return None
    if re.search(r"(?:\bnot|n['’]t)\W+(?:\w+\W+){0,2}equal\b", reply.text, re.IGNORECASE):
        return False
    if re.search(r"\bequal\b", reply.text, re.IGNORECASE):
        return True
    return None
