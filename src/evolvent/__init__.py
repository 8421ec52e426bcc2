"""evolvent makes instruction-tuning data with small language models: it evolves, answers, scores and selects.

Each function is the command of the same name (those of report and card are ``write_report`` and ``write_card``); its
keyword arguments are the command's options. Importing this package loads neither torch nor pyarrow; a function's
modules are loaded when it is first used.
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers take it for true; typing itself is not needed here

if TYPE_CHECKING:
    from typing import Any

    from evolvent.call_store.log import calls as calls
    from evolvent.datasets.load import load as load
    from evolvent.environment import doctor as doctor
    from evolvent.errors import EvolventError as EvolventError
    from evolvent.evaluation.evaluate import evaluate as evaluate
    from evolvent.evolution.auto_evol_instruct.keywords import keywords as keywords
    from evolvent.evolution.auto_evol_instruct.optimize import optimize_method as optimize_method
    from evolvent.evolution.autoif.verify import verify as verify
    from evolvent.evolution.evolve import evolve as evolve
    from evolvent.evolution.pilot import pilot as pilot
    from evolvent.exporting.export import export as export
    from evolvent.merge_run import merge as merge
    from evolvent.metrics.compare import compare as compare
    from evolvent.metrics.score import score as score
    from evolvent.publishing.card import write_card as write_card
    from evolvent.publishing.push import push as push
    from evolvent.ranking.rank import rank_data as rank_data
    from evolvent.ranking.rank import rank_evolvers as rank_evolvers
    from evolvent.ranking.rank import rank_teachers as rank_teachers
    from evolvent.ranking.validate import rank_validate as rank_validate
    from evolvent.recipe import run as run
    from evolvent.records import Record as Record
    from evolvent.report.page.report import write_report as write_report
    from evolvent.report.show import show as show
    from evolvent.responses.respond import respond as respond
    from evolvent.runs.convert import convert as convert
    from evolvent.runs.progress import Progress as Progress
    from evolvent.runs.run import Run as Run
    from evolvent.selection.select import select as select
    from evolvent.slurm_script import slurm as slurm
    from evolvent.training.train import train as train

_HOME = {
    "EvolventError": "evolvent.errors",
    "Progress": "evolvent.runs.progress",
    "Record": "evolvent.records",
    "Run": "evolvent.runs.run",
    "calls": "evolvent.call_store.log",
    "compare": "evolvent.metrics.compare",
    "convert": "evolvent.runs.convert",
    "doctor": "evolvent.environment",
    "evaluate": "evolvent.evaluation.evaluate",
    "evolve": "evolvent.evolution.evolve",
    "export": "evolvent.exporting.export",
    "keywords": "evolvent.evolution.auto_evol_instruct.keywords",
    "load": "evolvent.datasets.load",
    "merge": "evolvent.merge_run",
    "optimize_method": "evolvent.evolution.auto_evol_instruct.optimize",
    "pilot": "evolvent.evolution.pilot",
    "push": "evolvent.publishing.push",
    "rank_data": "evolvent.ranking.rank",
    "rank_evolvers": "evolvent.ranking.rank",
    "rank_teachers": "evolvent.ranking.rank",
    "rank_validate": "evolvent.ranking.validate",
    "respond": "evolvent.responses.respond",
    "run": "evolvent.recipe",
    "score": "evolvent.metrics.score",
    "select": "evolvent.selection.select",
    "slurm": "evolvent.slurm_script",
    "show": "evolvent.report.show",
    "train": "evolvent.training.train",
    "verify": "evolvent.evolution.autoif.verify",
    "write_card": "evolvent.publishing.card",
    "write_report": "evolvent.report.page.report",
}

__all__ = [
    "EvolventError",
    "Progress",
    "Record",
    "Run",
    "calls",
    "compare",
    "convert",
    "doctor",
    "evaluate",
    "evolve",
    "export",
    "keywords",
    "load",
    "merge",
    "optimize_method",
    "pilot",
    "push",
    "rank_data",
    "rank_evolvers",
    "rank_teachers",
    "rank_validate",
    "respond",
    "run",
    "score",
    "select",
    "show",
    "slurm",
    "train",
    "verify",
    "write_card",
    "write_report",
]


def __getattr__(name: str) -> "Any":
    if name not in _HOME:
        raise AttributeError(f"module 'evolvent' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
