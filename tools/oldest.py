"""The oldest releases that pyproject.toml allows, as constraints for pip: ``python tools/oldest.py >oldest.txt``.

torch stays as constraints.txt pins it: an older release may come as another build, with gigabytes beside it.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def oldest() -> list[str]:
    """``NAME==LOWER BOUND`` of each requirement that has one, and torch as it is pinned."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["local"], *extras["hub"], *extras["dev"]]
    bounds = [match for one in required if (match := re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", one))]
    pinned = re.findall(r"(?m)^torch==.*", (ROOT / "constraints.txt").read_text())
    return [*pinned, *(f"{name}=={bound}" for name, bound in (match.groups() for match in bounds) if name != "torch")]


if __name__ == "__main__":
    print("\n".join(oldest()))
