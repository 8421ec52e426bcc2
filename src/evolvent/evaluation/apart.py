"""A module that answers lines in a process of its own: it can be ended, and has its alarms to itself."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import IO, Any

from evolvent.errors import RunError
from evolvent.evaluation.task import Ask, NoVerdict

SECONDS = 20.0  # for one answer, on a machine that may be busy
FIRST = 60.0  # until it is ready


@asynccontextmanager
async def apart(module: str) -> AsyncIterator[Ask]:
    """A module that says by a first line that it is ready, then reads a line of JSON and writes one, again and again.

    A process that takes too long, or ends, is replaced. The folder that one happens to stand in is no place of modules.

    Raises:
        RunError: the module cannot be run.
    """
    running: list[Process] = []
    turn = asyncio.Lock()
    with TemporaryFile() as errors:

        async def line_of(process: Process, seconds: float) -> bytes:
            """The next line; nothing if the process ended."""
            assert process.stdout is not None
            return await asyncio.wait_for(process.stdout.readline(), seconds)

        async def start() -> Process:
            command = (sys.executable, "-P", "-m", module)
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=errors, start_new_session=True
            )
            running.append(process)
            try:
                ready = await line_of(process, FIRST)
            except TimeoutError:
                raise RunError(f"{module} was not ready within {FIRST:.0f} s", fix="Try again.") from None
            if not ready:
                fix = "See that the packages of evolvent[evaluate] are whole, then try again."
                raise RunError(f"{module} cannot be run: {_last_line(errors)}", fix=fix)
            return process

        async def ask(value: Any) -> Any:
            async with turn:
                process = running[0] if running else await start()
                assert process.stdin is not None
                try:
                    process.stdin.write(json.dumps(value).encode() + b"\n")
                    line = await line_of(process, SECONDS)
                except TimeoutError:
                    await _end(running)
                    return None
                except ConnectionError:
                    line = b""
                if not line:
                    await _end(running)
                    raise NoVerdict(f"the process that compares ended: {_last_line(errors)}")
                return json.loads(line)

        try:
            yield ask
        finally:
            await _end(running)


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip()
    return said.rpartition("\n")[2] or "it says nothing"


async def _end(running: list[Process]) -> None:
    while running:
        process = running.pop()
        if process.returncode is None:
            process.kill()
        await process.wait()
