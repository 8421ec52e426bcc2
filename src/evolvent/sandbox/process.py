"""One sandbox process: start it, ask it once, end it."""

import asyncio
import contextlib
import json
import os
import signal
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from typing import Any

from evolvent.errors import RunError
from evolvent.sandbox.interpreter import interpreter
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.wall import environment, harness_command, map_users, walled_command

START_SECONDS = 30.0  # for a process to start, on a machine that is busy


async def start(limits: Limits, *, walled: bool) -> Process:
    """Start the harness, in the wall or without one, and wait until it is ready.

    Raises:
        RunError: it did not start; its words.
    """
    info = ready = -1
    theirs: tuple[int, ...] = ()
    if walled and os.getuid() == 0:
        info, info_end = os.pipe()
        ready_end, ready = os.pipe()
        theirs = (info_end, ready_end)
        command = walled_command(limits, info_end, ready_end)
    elif walled:
        command = walled_command(limits)
    else:
        command = harness_command(interpreter().executable, walled=False)
    process = None
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment(),
                pass_fds=theirs,
                start_new_session=True,
            )
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        assert process.stdout is not None and process.stderr is not None
        async with asyncio.timeout(START_SECONDS):
            if theirs:
                await asyncio.to_thread(map_users, info, ready)
            if await _frame(process.stdout, 2) is None:
                words = (await process.stderr.read(2000)).decode(errors="replace").strip()
                raise RunError(f"a sandbox process did not start: {words}")
    except BaseException:
        if process is not None:
            await end(process)
        raise
    finally:
        if theirs:
            os.close(info)
            os.close(ready)
    return process


async def ask(process: Process, request: dict[str, Any], most: int, seconds: float) -> list[dict[str, Any]]:
    """Send a request and take the answers, until the process ends or the time is over.

    Args:
        process: from ``start``.
        request: see ``harness.py``.
        most: bytes that one answer may have.
        seconds: for all together.
    """
    assert process.stdin is not None and process.stdout is not None
    answers: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            process.stdin.write(json.dumps(request).encode())
            process.stdin.write_eof()
            while (answer := await _frame(process.stdout, most)) is not None:
                answers.append(answer)
    return answers


async def end(process: Process) -> None:
    """Kill the process, and with it all that is in its sandbox."""
    if process.returncode is None:
        # Not process.kill(), which waits for a process that has just ended and takes its status from asyncio.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())


async def _frame(stream: StreamReader, most: int) -> Any:
    """The next JSON text, or None at the end."""
    try:
        length = int.from_bytes(await stream.readexactly(4), "big")
        return json.loads(await stream.readexactly(length)) if length <= most else None
    except asyncio.IncompleteReadError:
        return None
