"""A module that answers lines in a process of its own: it can be ended, and has its alarms to itself."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

SECONDS = 20.0  # for one answer, on a machine that may be busy; the first needs its imports, too
FIRST = 60.0

# Given a value of JSON, the answer as another; None where it did not come in time.
Ask = Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def apart(module: str) -> AsyncIterator[Ask]:
    """A module that reads a line of JSON on standard input and writes one, again and again.

    A process that takes too long, or ends, is replaced.
    """
    running: list[Process] = []
    turn = asyncio.Lock()

    async def ask(value: Any) -> Any:
        async with turn:
            seconds = SECONDS
            if not running:
                command = (sys.executable, "-m", module)
                running.append(
                    await asyncio.create_subprocess_exec(
                        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
                    )
                )
                seconds = FIRST
            [process] = running
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(value).encode() + b"\n")
                line = await asyncio.wait_for(process.stdout.readline(), seconds)
            except (TimeoutError, ConnectionError):
                line = b""
            if not line:
                await _end(running)
                return None
            return json.loads(line)

    try:
        yield ask
    finally:
        await _end(running)


async def _end(running: list[Process]) -> None:
    while running:
        process = running.pop()
        if process.returncode is None:
            process.kill()
        await process.wait()
