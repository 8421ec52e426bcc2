"""A candidate method (arXiv 2406.00770, Figs. 7 and 8): an analysis of trajectories, and a method mended by it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evolvent.call_store.ask import CUT_REASONING, ONLY_REASONING, ask
from evolvent.call_store.used import Used
from evolvent.errors import CallError
from evolvent.evolution.auto_evol_instruct.method import Method, candidate_of
from evolvent.evolution.trajectory import UNPARSED
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.prompts import Prompt
from evolvent.records import Record, conversation

NO_STAGE = "(no instruction: {why})"

# Why there is none, for the optimizer; of a reply it is shown the beginning.
WHY = {
    UNPARSED: "the reply did not keep to the format",
    "truncated": "the reply was cut at its token limit",
    "loop": "the reply repeated itself without end",
}
REPLY_SHOWN = 300
FAILED = "its calls failed: "
HOW_CUT = {
    "length": " (the reply was cut at the token limit, --max-tokens)",
    "loop": " (the reply ended in a loop)",
}

# Why a stage has no instruction that could be shown.
WITHOUT_TEXT = (UNPARSED, "empty", "refused", "filtered", "truncated", "loop", ONLY_REASONING, CUT_REASONING)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How the optimizer is asked.

    Attributes:
        model: the model.
        sampling: how its replies are drawn.
        seed: the run's seed.
        analysis, optimization: the prompts.
    """

    model: ChatModel
    sampling: Sampling
    seed: int
    analysis: Prompt
    optimization: Prompt


@dataclass(slots=True)
class Candidate:
    """What the optimizer made of the current method, once.

    Attributes:
        number: from 1 on, within its step.
        feedback: its analysis of the trajectories.
        text: the method, or the reply that holds none.
        method: the method if it is usable.
        problem: why it is not, in words.
        used: what it took from its models, by their URIs.
    """

    number: int
    feedback: str = ""
    text: str = ""
    method: Method | None = None
    problem: str | None = None
    used: dict[str, Used] = field(default_factory=dict)


def cases_of(trajectories: Sequence[Sequence[Record]]) -> str:
    """Trajectories as the analysis shows them: numbered cases, a line a stage, inputs not shown.

    A case of which every round's call failed is left out. A stage without an instruction says why, and how the reply
    began: where a method yields nothing at all, that is what it can be mended by.
    """
    shown: list[str] = []
    for records in trajectories:
        stages = [record for record in records if record.status != "failed"]
        if len(stages) > 1:
            lines = [f"Stage {stage}: {_line(record)}" for stage, record in enumerate(stages)]
            shown.append("\n".join([f"Case {len(shown) + 1}", *lines]))
    return "\n\n".join(shown)


def _line(record: Record) -> str:
    text = " ".join(record.instruction.split())
    if record.status != "eliminated" or record.reason not in WITHOUT_TEXT:
        return text
    why = WHY.get(record.reason, "the reply held no text")
    if not text:
        return NO_STAGE.format(why=why)
    begun = f"{text[:REPLY_SHOWN]} …" if len(text) > REPLY_SHOWN else text
    return NO_STAGE.format(why=f"{why}; it was: {begun}")


async def propose(number: int, name: str, method: Method, cases: str, run: Optimizer) -> Candidate:
    """Let the optimizer analyse the cases and mend the method, once.

    Args:
        number: which of its step's candidates it is.
        name: of the step and the candidate: decides the seeds of its calls.
        method: the current method.
        cases: the trajectories that it made (see ``cases_of``).
        run: how the optimizer is asked.

    Returns:
        The candidate; if a call failed or the reply holds no usable method, with the problem.
    """
    candidate = Candidate(number)
    question = run.analysis.render(cases=cases)
    try:
        candidate.feedback = _plain((await _reply(question, name, "analysis", run)).text)
        if not candidate.feedback:
            candidate.problem = "its feedback is empty"
            return candidate
        question = run.optimization.render(feedback=candidate.feedback, method=method.text)
        reply = await _reply(question, name, "optimization", run)
    except CallError as error:
        candidate.problem = f"{FAILED}{error}"
        return candidate
    candidate.text = _plain(reply.text)
    candidate.method, candidate.problem = candidate_of(candidate.text)
    if candidate.problem:
        candidate.problem += HOW_CUT.get(reply.finish_reason, "")
    if candidate.method is not None:
        candidate.text = candidate.method.text
    return candidate


async def _reply(question: str, name: str, stage: str, run: Optimizer) -> Reply:
    return await ask(run.model, conversation(question), run.sampling, run_seed=run.seed, record_id=name, stage=stage)


def _plain(text: str) -> str:
    """A text without blanks at the ends of its lines: nobody sees them, and YAML shows the rest as it is."""
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))
