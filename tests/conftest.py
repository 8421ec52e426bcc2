"""What every test finds, whatever machine, terminal or shell starts it; and which tests keep together on one worker."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before anything else is imported. Threads that wait for one another on a busy machine make a step of a small model a
# hundred times as long, and workers of pytest-xdist are busy enough.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")

os.environ |= dict.fromkeys(ONE_THREAD, "1") | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
for name in OF_A_TERMINAL:
    os.environ.pop(name, None)

# By the clock an example is slow on a busy machine, and nothing else.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

HERE = Path(__file__).parent
# Handed out first: what is left for the last of several workers is short.
LONG = ("e2e", "faults", "tools", "models", "sandbox")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = (*LONG, "")
    items.sort(key=lambda item: next(n for n, name in enumerate(folders) if item.path.is_relative_to(HERE / name)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests, and those of tests/faults, keep together: what they share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file.rpartition("/")[0] if "/faults/" in file else file

    config.option.loadscopereorder = False
    return Together(config, log)
