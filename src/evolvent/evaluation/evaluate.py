"""The evaluate stage: a model answers the items of benchmarks, one row an item with its verdict."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

import orjson

from evolvent.call_store.ask import ask
from evolvent.contamination import items_within
from evolvent.costs.prices import money
from evolvent.errors import BudgetReachedError, CallError, EvolventError, InputError
from evolvent.evaluation import harness
from evolvent.evaluation.apart import apart
from evolvent.evaluation.figures import CONTAMINATED, Figures, figures_of, replies, task_of
from evolvent.evaluation.options import EVALUATE, Evaluating
from evolvent.evaluation.paired import Difference, asked_otherwise, differences
from evolvent.evaluation.published import Published, published
from evolvent.evaluation.task import NoVerdict, Tools
from evolvent.evaluation.tasks import TASKS
from evolvent.evaluation.tasks.code import LIMITS
from evolvent.models.models import Models, chat_need, opened
from evolvent.models.protocols import ChatModel, Reply, Sampling, StageModels
from evolvent.models.uri import check_evaluated_model, parse_uri
from evolvent.options import Calling, implements
from evolvent.records import CUT, Column, Message, Record, Score, conversation
from evolvent.runs.inputs import Listed, stage_input
from evolvent.runs.local import run
from evolvent.runs.manifest import read_manifest
from evolvent.runs.run import Run
from evolvent.runs.stage import Make, Rehearsed, Stage
from evolvent.runs.training_set import training_set
from evolvent.sandbox.sandbox import Sandbox
from evolvent.stages import file_of

STAGE = "evaluate"
OTHER = "evaluate:against"  # the stage that evaluates another model
ANSWER_TOKENS = 300
JUDGED = Sampling(0.0, max_tokens=2048)
LIBRARIES = ("lm-eval", "langdetect", "math-verify", "nltk")  # what decides verdicts besides replies


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        path: the run folder.
        figures: of each task.
        stages: the run of the stage, by its name.
        against: the evaluated file that it is compared with; ``differences``: of each figure, on the same items;
            ``unlike``: what was asked or judged in another way there, a line each.
        published: figures of paper 1, if they are wanted.
    """

    path: Path
    figures: Sequence[Figures]
    stages: Mapping[str, Run]
    against: Path | None = None
    differences: Sequence[Difference] = ()
    unlike: Sequence[str] = ()
    published: Sequence[Published] = ()


@implements(EVALUATE)
def evaluate(model: str, *, given: Evaluating, calling: Calling, models: Models | None = None) -> Evaluation:
    """Evaluate a model on benchmarks: OUT/evaluated.parquet.

    Each item is asked once, greedily, in the model's own chat template (an item of several turns once a turn); replies
    are stored calls. A reply without text is wrong; an item whose call failed (a prompt longer than the context, say)
    has no verdict, and is counted.

    Returns:
        The figures of each task with their intervals, and the run.

    Raises:
        InputError: wrong options, no such task, a task whose data are not there, a model that cannot be asked, or a
            run folder that holds something else.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    check_evaluated_model(model)
    file = _evaluated(given.against) if given.against is not None else None
    with opened(models) as shared:
        done = run(evaluate_stage(model, given, calling), given.out, shared, calling)
        stages = {STAGE: done}
        if given.against is not None and file is None:
            other = replace(given, out=given.out / "against", training_data=None)
            left = replace(calling, budget=_left(calling.budget, given.out))
            stages[OTHER] = run(evaluate_stage(given.against, other, left), other.out, shared, left)
            file = stages[OTHER].output
    if done.estimate is not None:
        return Evaluation(given.out, [], stages)
    found = differences(done.output, file) if file is not None else []
    unlike = asked_otherwise(done.output, file) if file is not None else []
    rows = published() if given.published else []
    return Evaluation(given.out, figures_of(done.output), {STAGE: done}, file, found, unlike, rows)


def _left(budget: float | None, out: Path) -> float | None:
    """What a run folder has left of a budget, for the calls of another one.

    Raises:
        BudgetReachedError: nothing.
    """
    paid = (account for entry in read_manifest(out).values() for account in entry.paid.values())
    spent = sum(account.get("cost") or 0.0 for account in paid)
    if budget is not None and 0 < budget <= spent:
        raise BudgetReachedError(
            f"the budget is reached: {money(spent)} of {money(budget)} spent in {out}, the other model yet to be asked",
            fix="Nothing is lost. Start the same command with a higher --budget to go on.",
        )
    return budget - spent if budget is not None else None


def _evaluated(against: str) -> Path | None:
    """The file of another evaluation; None if a model is named, which has yet to be evaluated.

    Raises:
        InputError: it is neither a folder with such a file nor a model.
    """
    path = Path(against)
    file = path / file_of(STAGE) if path.is_dir() else path
    if file.is_file():
        return file
    try:
        check_evaluated_model(against)
    except InputError as error:
        fix = "Name the run folder of an evaluation, or a model."
        raise InputError(f"there is no {file}, and as a model: {error.message}", fix=fix) from error
    return None


def evaluate_stage(model: str, given: Evaluating, calling: Calling) -> Stage:
    """The stage that evaluates a model.

    Raises:
        InputError: a task whose data are not there.
    """
    tasks = [TASKS[name] for name in given.tasks]
    judged = [task.name for task in tasks if task.judged]
    if judged and given.judge is None:
        raise InputError(f"{judged[0]} needs a model that judges", fix="Name one: --judge URI.")
    for task in tasks:
        task.find(given.data)
    items = [item for task in tasks for item in harness.items(task.name, given.data, given.limit)]
    trained_on = None
    if given.training_data is not None:
        trained_on = stage_input(training_set(given.training_data), before=None, format=given.format, map=given.map)
        held = items_within(map(harness.texts, items), trained_on)
        known = {**dict.fromkeys(held.short), **dict.fromkeys(held.items, 1)}
        items = [
            replace(item, scores={**item.scores, CONTAMINATED: known.get(place, 0)}) for place, item in enumerate(items)
        ]
    digest = hashlib.sha256(orjson.dumps([[item.id, item.instruction, item.messages, item.meta] for item in items]))
    how = {task.name: harness.decoding(task.name, given.max_tokens) for task in tasks}
    libraries = (*LIBRARIES, *(task.library for task in tasks if task.library))
    judge = given.judge if any(task.judged for task in tasks) else None
    work = Answering(str(parse_uri(model)), how, str(parse_uri(judge)) if judge else None, given.unsafe_execution)
    return Stage(
        name=STAGE,
        settings={
            "model": str(parse_uri(model)),
            "tasks": list(given.tasks),
            "limit": given.limit,
            "decoding": {
                name: {"max_tokens": drawn.max_tokens, "stop": list(drawn.stop)} for name, drawn in how.items()
            },
            "judged_by": {name: metadata.version(name) for name in libraries},
            "judge": work.judge,
            "judge_prompts": {task.name: task.judge_version for task in tasks if task.judge_version} or None,
            "training_data": trained_on.about["digest"] if trained_on else None,
            "extra_body": dict(calling.extra_body) if calling.extra_body else None,
        },
        source=Listed(
            items, {"source": f"{given.data or 'the Hub'}", "rows": len(items), "digest": digest.hexdigest()}
        ),
        needs=tuple(chat_need(uri, calling) for uri in dict.fromkeys((model, judge)) if uri),
        work=work,
        columns=columns_of(given.tasks, trained=trained_on is not None),
        group=task_of,
        dry_run=Rehearsed(reply_tokens=ANSWER_TOKENS, work=replace(work, rehearsed=True)),
        calls_each=sum(1 + len(TASKS[task_of(item)].then) + TASKS[task_of(item)].judged for item in items) / len(items),
    )


def columns_of(tasks: Iterable[str], *, trained: bool = False) -> tuple[Column, ...]:
    """The columns of the verdicts of tasks, each once; a row has those of its own task."""
    named = {column.name: column for name in tasks for column in TASKS[name].all_columns}
    return (Column("task", "string"), *([Column(CONTAMINATED, "int64")] if trained else []), *named.values())


@dataclass(frozen=True, slots=True)
class Answering:
    """How items are answered and judged; the work of the evaluate stage.

    Attributes:
        model: the model's URI, as records hold it.
        decoding: for each task how replies are drawn.
        judge: the URI of the model that judges, if any does.
        unsafe_execution: whether code that the model wrote is run without the sandbox's wall.
        rehearsed: whether replies are made up; then they are not judged.
    """

    model: str
    decoding: Mapping[str, Sampling]
    judge: str | None = None
    unsafe_execution: bool = False
    rehearsed: bool = False

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to answer one item at a time."""
        model, columns = models.chat(self.model), columns_of(self.decoding)
        judge = models.chat(self.judge) if self.judge else None
        async with AsyncExitStack() as stack:
            tools = await self._tools(stack)

            async def row(record: Record) -> Record:
                answered = await answer(record, model, self.decoding[task_of(record)], columns)
                if answered.status == "failed" or (self.rehearsed and not TASKS[task_of(record)].judged):
                    return answered
                found = await judged(answered, tools, judge)
                return answered if self.rehearsed else found

            async def answer_all(records: Sequence[Record]) -> list[list[Record]]:
                return [[await row(record)] for record in records]

            yield answer_all

    async def _tools(self, stack: AsyncExitStack) -> Tools:
        """What the verdicts of these tasks need besides a judge; nothing for made-up replies."""
        tasks = [TASKS[name] for name in self.decoding if not self.rehearsed]
        sandbox = Sandbox(LIMITS, unsafe=self.unsafe_execution) if any(task.runs_code for task in tasks) else None
        if sandbox is not None:
            await stack.enter_async_context(sandbox)
        apart_from_all = next((task.apart for task in tasks if task.apart), None)
        asked = await stack.enter_async_context(apart(apart_from_all)) if apart_from_all else None
        return Tools(sandbox, asked)


async def ask_judge(judge: ChatModel, id: str, turns: Sequence[Message]) -> Reply:
    """What a judge says in a conversation.

    Raises:
        NoVerdict: the call failed.
    """
    try:
        return await ask(judge, turns, JUDGED, run_seed=0, record_id=id, stage="judge")
    except CallError as error:
        raise NoVerdict(f"the judge: {error}") from error


async def answer(record: Record, model: ChatModel, sampling: Sampling, columns: Sequence[Column]) -> Record:
    """A model's reply to an item, without a verdict yet; in a conversation to each of its turns."""
    unknown: dict[str, Score] = {**dict.fromkeys(column.name for column in columns), **record.scores}
    answered = replace(record, teacher=model.uri, scores=unknown)
    turns: list[Message] = record.messages or conversation(record.instruction)
    document, then = orjson.loads(record.meta or "{}"), TASKS[task_of(record)].then
    for number, question in enumerate([None, *(document[field] for field in then)]):
        turns = [*turns, Message(role="user", content=question)] if question is not None else turns
        try:
            reply = await ask(model, turns, sampling, run_seed=0, record_id=record.id, stage=STAGE)
        except CallError as error:
            return replace(answered, status="failed", reason=str(error))
        turns = [*turns, Message(role="assistant", content=reply.text)]
        answered.output = answered.output if number else reply.text
        answered.finish_reason = answered.finish_reason if answered.finish_reason in CUT else reply.finish_reason
    if record.messages or then:
        answered.messages = turns
    return answered


async def judged(record: Record, tools: Tools, judge: ChatModel | None = None) -> Record:
    """A row with the verdict on its reply; failed if there can be none, or none of a part."""
    task = TASKS[task_of(record)]
    document, (reply, *further) = orjson.loads(record.meta or "{}"), replies(task, record)
    asking = partial(ask_judge, judge, record.id) if judge else None
    try:
        verdict = await task.judge(document, reply, tools._replace(judge=asking, further=further))
    except EvolventError:
        raise
    except NoVerdict as error:
        scores = {**record.scores, **error.known}
        return replace(record, status="failed", reason=f"no verdict: {error}", scores=scores)
    except Exception as error:  # of a library's check, on a text that it did not expect
        return replace(record, status="failed", reason=f"no verdict: {type(error).__name__}: {error}")
    return replace(record, scores={**record.scores, **verdict})
