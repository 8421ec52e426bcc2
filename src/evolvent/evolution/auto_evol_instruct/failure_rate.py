"""The failure rate of an evolving method (arXiv 2406.00770, Eq. 2): it evolves the dev set, and the answers are judged.

    rate = failures / rows of the dev set

An answer fails in one of three kinds (App. A and Table 5); the first that holds is counted:

================  ==========================================================================================
``stagnant``      begins with Understood, Thank you, What, That is correct or Great, and ends with a question mark
``insufficient``  begins with Sure, and ends with a question mark
``loss``          holds "please provide" anywhere
================  ==========================================================================================

Letter case does not matter, runs of blanks and line ends count as one blank, and blanks, quotes and markdown marks
before the first word and after the last sign are ignored. "Begins with" means whole words: "Whatever …?" and
"Surely …?" do not count, "What's …?" does. The paper says *begins with* in its appendix and *contains* in its §3.3; the
appendix is followed, whose Table 5 shows the cases. An answer that is empty, refused or cut fails in none of the kinds:
no rule of the paper sees these, and ``set_apart`` tells them apart, so that they are counted and seen.

The denominator is the whole dev set, always. What counts as a failure besides the paper's three kinds is where the
profiles differ. A row that was not evolved (its reply was unparsed, unchanged, cut …) or whose calls failed for good
has no answer to judge. In ``default`` it is a failure: otherwise the search would prefer methods whose replies cannot
be read, for they have fewer answers. In ``paper`` it is none, for the paper's sum runs over answers only; there also an
evolution that is merely unchanged or leaks is answered. Both are shown apart in either profile.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evolvent.call_store.ask import CUT_REASONING, ONLY_REASONING, ask, why_cut, why_unusable
from evolvent.call_store.used import RecordInWork, Used, record_in_work
from evolvent.concurrency import together
from evolvent.errors import CallError
from evolvent.evolution.auto_evol_instruct.applied import Applied
from evolvent.evolution.auto_evol_instruct.method import Method
from evolvent.evolution.elimination import RULES
from evolvent.evolution.trajectory import Evolution, Profile, trajectory
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Record, conversation

Kind = Literal["stagnant", "insufficient", "loss"]
KINDS: tuple[Kind, ...] = ("stagnant", "insufficient", "loss")

APART = ("filtered", "refused", "empty", ONLY_REASONING, CUT_REASONING, "truncated", "loop")

# A refusal in words: rule R2 of WizardLM (arXiv 2304.12244).
SORRY, SHORT = "sorry", 80

_STAGNANT = re.compile(r"(?:understood|thank you|what|that is correct|great)\b", re.IGNORECASE)
_INSUFFICIENT = re.compile(r"sure\b", re.IGNORECASE)
_LOSS = re.compile(r"please provide\b", re.IGNORECASE)

_QUOTES = "\"'`“”„‘’«»"
_BEFORE = _QUOTES + "*_#>~- "
_AFTER = _QUOTES + "*_~ "

NOT_EVOLVED, NOT_ANSWERED, ANSWERED = "not evolved", "not answered", "answered"

# What a reason begins with where it is that a call failed for good; the server's words follow.
CALL_FAILED = "call failed: "

# The share of such intervals that hold the true rate.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Evolving:
    """How the evolver evolves and answers.

    Attributes:
        evolver: the model.
        sampling: how its replies are drawn.
        seed: the run's seed.
        system: its system prompt when it evolves.
        profile: what counts as a failure.
        at_once: bounds the rows in work.
    """

    evolver: ChatModel
    sampling: Sampling
    seed: int
    system: str | None
    profile: Profile
    at_once: asyncio.Semaphore

    def by(self, method: Method, rounds: int) -> Evolution:
        """The way that a method is applied with."""
        return Evolution(
            evolver=self.evolver.uri,
            rewritings=(Applied(method),),
            rounds=rounds,
            profile="default",
            sampling=self.sampling,
            seed=self.seed,
            system=self.system,
        )


@dataclass(slots=True)
class Evaluation:
    """What became of the dev set with one method.

    Attributes:
        fates: rows by what became of them: a kind of failure, ``not evolved``, ``not answered``, what is set apart
            (empty, refused …), or ``answered``.
        reasons: why rows were not evolved or not answered.
        profile: what counts as a failure.
    """

    fates: Counter[str]
    reasons: Counter[str]
    profile: Profile

    @property
    def rows(self) -> int:
        return self.fates.total()

    @property
    def failures(self) -> dict[str, int]:
        """Failed rows by kind."""
        kinds = (*KINDS, NOT_EVOLVED, NOT_ANSWERED) if self.profile == "default" else KINDS
        return {kind: self.fates[kind] for kind in kinds}

    @property
    def apart(self) -> dict[str, int]:
        """Rows that are no failure and have no answer as it should be."""
        kinds = APART if self.profile == "default" else (*APART, NOT_EVOLVED, NOT_ANSWERED)
        return {kind: self.fates[kind] for kind in kinds}

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def unmeasured(self) -> bool:
        """Whether no row came to an answer that could be judged."""
        return self.fates[NOT_EVOLVED] + self.fates[NOT_ANSWERED] == self.rows

    @property
    def calls_failed(self) -> int:
        """Rows of which a call failed for good."""
        return sum(rows for reason, rows in self.reasons.items() if reason.startswith(CALL_FAILED))

    @property
    def rate(self) -> float:
        return self.failed / self.rows

    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the rate, at ``CONFIDENCE``."""
        from scipy.stats import binomtest

        found = binomtest(self.failed, self.rows).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)


async def evaluate(
    method: Method,
    dev: Sequence[Record],
    run: Evolving,
    calls_of: str,
    used: dict[str, Used],
    advance: Callable[..., None],
) -> Evaluation:
    """Evolve the dev set once with a method, let the evolver answer, and judge the answers.

    Args:
        method: the method.
        dev: the dev set.
        run: how the evolver is asked.
        calls_of: whose calls these are, in the call store: a step and a candidate of it, for example.
        used: what they use is added to it, by the models' URIs.
        advance: told of every row that ends.
    """

    async def one(row: Record) -> tuple[str, str | None]:
        record_in_work.set(RecordInWork(f"{calls_of}/{row.id}", used))  # each row has a task of its own
        async with run.at_once:
            fate, reason = await fate_of(row, method, run)
        lost = fate in (NOT_EVOLVED, NOT_ANSWERED)
        advance(ok=int(not lost), eliminated=int(lost))
        return fate, reason

    ended = await together(one(row) for row in dev)
    return Evaluation(
        Counter(fate for fate, _ in ended), Counter(reason for _, reason in ended if reason is not None), run.profile
    )


async def fate_of(row: Record, method: Method, run: Evolving) -> tuple[str, str | None]:
    """What becomes of one row of the dev set, and why it has no answer if it has none."""
    *_, evolved = await trajectory(row, run.by(method, rounds=1), run.evolver)
    if evolved.status == "failed":
        return NOT_EVOLVED, f"{CALL_FAILED}{evolved.reason}"
    passes = run.profile == "paper" and evolved.reason in RULES  # the paper eliminates nothing
    if evolved.status == "eliminated" and not passes:
        return NOT_EVOLVED, evolved.reason
    question = evolved.messages or conversation(evolved.question)  # as a teacher is asked
    try:
        reply = await ask(run.evolver, question, run.sampling, run_seed=run.seed, record_id=evolved.id, stage="answer")
    except CallError as error:
        return NOT_ANSWERED, f"{CALL_FAILED}{error}"
    return failure_of(reply.text) or set_apart(reply) or ANSWERED, None


def failure_of(answer: str) -> Kind | None:
    """The kind of failure that an answer to an evolved instruction shows, or None if it shows none."""
    said = " ".join(answer.split()).lstrip(_BEFORE).rstrip(_AFTER)
    asks = said.endswith("?")
    if asks and _STAGNANT.match(said):
        return "stagnant"
    if asks and _INSUFFICIENT.match(said):
        return "insufficient"
    if _LOSS.search(said):
        return "loss"
    return None


def set_apart(reply: Reply) -> str | None:
    """What the paper's rules do not see in an answer that shows no failure, or None if there is nothing.

    ``filtered``: a content filter of the server cut or withheld it. ``refused``: the server gave a refusal and no
    text, or the text holds "sorry" and has fewer than 80 words. ``empty``: there is no text; ``only reasoning`` and
    ``cut inside its reasoning`` where there are thoughts. ``truncated``: it was cut at the token limit; ``loop``: it
    ended in one.
    """
    why = why_unusable(reply)
    if why is None and SORRY in reply.text.lower() and len(reply.text.split()) < SHORT:
        return "refused"
    return why or why_cut(reply)


def used_json(used: Mapping[str, Used]) -> dict[str, dict[str, int]]:
    """What was used of each model, by its URI: calls and tokens, those that came from the store included."""
    return {
        uri: {
            "calls": one.calls,
            "prompt_tokens": one.prompt_tokens,
            "completion_tokens": one.completion_tokens,
        }
        for uri, one in sorted(used.items())
    }
