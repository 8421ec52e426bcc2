"""For tests that run code in the sandbox: they are skipped, with the reason, where there can be none."""

import pytest

from evolvent.sandbox.requirements import missing

_problem = missing()
needs_wall = pytest.mark.skipif(_problem is not None, reason=": ".join(_problem or ()))
