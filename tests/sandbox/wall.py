"""A mark for tests that need the sandbox's wall: skipped, with the reason, where there is none."""

import pytest

from evolvent.sandbox.requirements import missing

_problem = missing()
needs_wall = pytest.mark.skipif(_problem is not None, reason=f"no sandbox here: {_problem[0] if _problem else ''}")
