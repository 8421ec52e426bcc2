"""An event loop whose clock stands still while anything can run, and then jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: adds what it should have waited to the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set")
        self.now += max(0.0, timeout)
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """``asyncio.run`` in simulated time: an hour of sleeping takes no time, and is exact."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)
