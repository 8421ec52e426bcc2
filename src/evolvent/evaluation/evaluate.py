"""The evaluate stage: a model answers the items of benchmarks, one row an item with its verdict."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from evolvent.call_store.ask import ask
from evolvent.errors import CallError
from evolvent.evaluation import harness
from evolvent.evaluation.apart import apart
from evolvent.evaluation.figures import Figures, figures_of
from evolvent.evaluation.options import EVALUATE, Evaluating
from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks import TASKS
from evolvent.evaluation.tasks.code import LIMITS
from evolvent.evaluation.tasks.ifeval import find_splitter
from evolvent.models.models import Models, chat_need, opened
from evolvent.models.protocols import ChatModel, Sampling, StageModels
from evolvent.models.uri import check_chat_model, parse_uri
from evolvent.options import Calling, implements
from evolvent.records import Column, Message, Record, conversation
from evolvent.runs.inputs import Listed
from evolvent.runs.local import run
from evolvent.runs.run import Run
from evolvent.runs.stage import Make, Rehearsed, Stage
from evolvent.sandbox.sandbox import Sandbox

STAGE = "evaluate"
ANSWER_TOKENS = 300


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        path: the run folder.
        figures: of each task.
        stages: the run of the stage, by its name.
    """

    path: Path
    figures: Sequence[Figures]
    stages: Mapping[str, Run]


@implements(EVALUATE)
def evaluate(model: str, *, given: Evaluating, calling: Calling, models: Models | None = None) -> Evaluation:
    """Evaluate a model on benchmarks: OUT/evaluated.parquet.

    Each item is asked once, greedily, in the model's own chat template; the reply is a stored call. A reply without
    text is wrong; an item whose call failed (a prompt longer than the context, say) has no verdict, and is counted.

    Returns:
        The figures of each task with their intervals, and the run.

    Raises:
        InputError: wrong options, no such task, a task whose data are not there, a model that cannot be asked, or a
            run folder that holds something else.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    check_chat_model(model)
    with opened(models) as shared:
        done = run(evaluate_stage(model, given, calling), given.out, shared, calling)
    figures = [] if done.estimate is not None else figures_of(done.output)
    return Evaluation(given.out, figures, {STAGE: done})


def evaluate_stage(model: str, given: Evaluating, calling: Calling) -> Stage:
    """The stage that evaluates a model.

    Raises:
        InputError: a task whose data are not there.
    """
    tasks = [TASKS[name] for name in given.tasks]
    if "ifeval" in given.tasks:
        find_splitter(given.data)
    items = [item for task in tasks for item in harness.items(task.name, given.data, given.limit)]
    digest = hashlib.sha256(orjson.dumps([[item.id, item.instruction, item.messages, item.meta] for item in items]))
    how = {task.name: harness.decoding(task.name, given.max_tokens) for task in tasks}
    return Stage(
        name=STAGE,
        settings={
            "model": str(parse_uri(model)),
            "tasks": list(given.tasks),
            "limit": given.limit,
            "max_tokens": given.max_tokens,
            "extra_body": dict(calling.extra_body) if calling.extra_body else None,
        },
        source=Listed(
            items, {"source": f"{given.data or 'the Hub'}", "rows": len(items), "digest": digest.hexdigest()}
        ),
        needs=(chat_need(model, calling),),
        work=Answering(str(parse_uri(model)), how, given.unsafe_execution),
        columns=columns_of(given.tasks),
        group=by_task,
        dry_run=Rehearsed(reply_tokens=ANSWER_TOKENS),
        calls_each=1,
        grows=("max_tokens",),
    )


def columns_of(tasks: Iterable[str]) -> tuple[Column, ...]:
    """The columns of the verdicts of tasks, each once; a row has those of its own task."""
    named = {column.name: column for name in tasks for column in TASKS[name].all_columns}
    return (Column("task", "string"), *named.values())


def by_task(record: Record) -> str:
    """What a row is counted under."""
    return str(record.scores["task"])


@dataclass(frozen=True, slots=True)
class Answering:
    """How items are answered and judged; the work of the evaluate stage.

    Attributes:
        model: the model's URI, as records hold it.
        decoding: for each task how replies are drawn.
        unsafe_execution: whether code that the model wrote is run without the sandbox's wall.
    """

    model: str
    decoding: Mapping[str, Sampling]
    unsafe_execution: bool = False

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to answer one item at a time."""
        model, columns = models.chat(self.model), columns_of(self.decoding)
        async with AsyncExitStack() as stack:
            tools = await self._tools(stack)

            async def answer_all(records: Sequence[Record]) -> list[list[Record]]:
                how = self.decoding
                return [[await answer(one, model, how[by_task(one)], tools, columns)] for one in records]

            yield answer_all

    async def _tools(self, stack: AsyncExitStack) -> Tools:
        """What the verdicts of these tasks need."""
        tasks = [TASKS[name] for name in self.decoding]
        sandbox = Sandbox(LIMITS, unsafe=self.unsafe_execution) if any(task.runs_code for task in tasks) else None
        if sandbox is not None:
            await stack.enter_async_context(sandbox)
        apart_from_all = next((task.apart for task in tasks if task.apart), None)
        return Tools(sandbox, await stack.enter_async_context(apart(apart_from_all)) if apart_from_all else None)


async def answer(
    record: Record, model: ChatModel, sampling: Sampling, tools: Tools, columns: Sequence[Column]
) -> Record:
    """A model's reply to an item, with its verdict."""
    task = by_task(record)
    unknown = {column.name: None for column in columns} | {"task": task}
    answered = replace(record, teacher=model.uri, scores=dict(unknown))
    turns: list[Message] = record.messages or conversation(record.instruction)
    try:
        reply = await ask(model, turns, sampling, run_seed=0, record_id=record.id, stage=STAGE)
    except CallError as error:
        return replace(answered, status="failed", reason=str(error))
    verdict = await TASKS[task].judge(orjson.loads(record.meta or "{}"), reply.text, tools)
    return replace(
        answered,
        output=reply.text,
        messages=[*turns, Message(role="assistant", content=reply.text)] if record.messages else None,
        finish_reason=reply.finish_reason,
        scores={**unknown, **verdict},
    )
