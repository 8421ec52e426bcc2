import subprocess
import sys

import pytest

import evolvent

HEAVY = ("torch", "transformers", "datasets", "pyarrow", "numpy", "aiohttp")


@pytest.mark.parametrize("code", ["import evolvent; dir(evolvent)", "import evolvent.cli"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_help_loads_no_torch() -> None:
    script = """
import sys
sys.argv = ["evolvent", "--help"]
from evolvent.cli import main
try:
    main()
except SystemExit:
    pass
assert "torch" not in sys.modules and "pyarrow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)


def test_the_public_names_are_there() -> None:
    assert all(callable(getattr(evolvent, name)) for name in evolvent.__all__)
    assert dir(evolvent) == evolvent.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        evolvent.nonsense  # noqa: B018
