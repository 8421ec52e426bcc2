"""The tasks of evaluate, each a module of verdicts and a file that lm_eval reads."""

from evolvent.evaluation.task import Task
from evolvent.evaluation.tasks.alpaca_eval import ALPACA_EVAL
from evolvent.evaluation.tasks.choices import CEVAL, MMLU
from evolvent.evaluation.tasks.embedded import EMBEDDED_FORMS, EMBEDDED_SUMS
from evolvent.evaluation.tasks.followbench import FOLLOWBENCH
from evolvent.evaluation.tasks.gsm8k import GSM8K
from evolvent.evaluation.tasks.humaneval import HUMANEVAL
from evolvent.evaluation.tasks.ifbench import IFBENCH
from evolvent.evaluation.tasks.ifeval import IFEVAL
from evolvent.evaluation.tasks.math import MATH
from evolvent.evaluation.tasks.mbpp import MBPP
from evolvent.evaluation.tasks.mt_bench import MT_BENCH

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        IFEVAL,
        IFBENCH,
        GSM8K,
        MATH,
        HUMANEVAL,
        MBPP,
        MMLU,
        CEVAL,
        FOLLOWBENCH,
        MT_BENCH,
        ALPACA_EVAL,
        EMBEDDED_SUMS,
        EMBEDDED_FORMS,
    )
}
