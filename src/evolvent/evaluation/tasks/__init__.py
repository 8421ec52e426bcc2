"""The tasks of evaluate, each a module of verdicts and a file that lm_eval reads."""

from evolvent.evaluation.task import Task
from evolvent.evaluation.tasks.ifeval import IFEVAL

TASKS: dict[str, Task] = {task.name: task for task in (IFEVAL,)}
