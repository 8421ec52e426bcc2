"""A TCP proxy between the tool and its server that does to replies what networks do.

It takes HTTP apart only as far as to know where a request and its reply end.

=================  =================================================================
``refuse``         the connection is reset before the request reaches the server
``cut``            half a reply, then a reset
``cut at a word``  half a reply, then an orderly end
``hang``           the headers and no more, for ever
``drip``           a byte at a time, too slowly for any time-out
``garble``         the body's bytes are others
``trickle``        in small pieces, with pauses: slow, but whole
``twice``          the reply, and the same reply again at its heels
``late``           the reply, and the same reply again when the connection has been idle for a while
``close``          the reply, and then the connection is closed without a word of warning
=================  =================================================================
"""

import asyncio
import contextlib
import re

from tests.faults.draw import Draw

# After these the same request must come again; after the others it must not.
LOSES = ("refuse", "cut", "cut at a word", "hang", "drip", "garble")
HARMLESS = ("trickle", "twice", "late", "close")
PAUSE_S = 0.02
IDLE_S = 0.3


class Proxy:
    """Relays connections to a server on this machine.

    Args:
        target: the server's port.

    Attributes:
        draw: which request meets which fault; replace it to begin anew.
        port: where the proxy listens; the same after a stop and a start.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.draw = Draw()
        self.port = 0
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more and reset all connections: what a killed server looks like from outside."""
        if self._listening is not None:
            self._listening.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream: asyncio.StreamWriter | None = None
        fault: str | None = None
        reply = b"", b""
        try:
            replies, upstream = await asyncio.open_connection("127.0.0.1", self.target)
            while True:
                coming = asyncio.create_task(_message(reader))
                if fault == "late":
                    await asyncio.wait({coming}, timeout=IDLE_S)
                    await asyncio.sleep(0)  # a request that came while this process was held up is read first
                    await asyncio.sleep(0)
                    if not coming.done():
                        writer.write(b"".join(reply))
                request = await coming
                fault = self.draw.fault(request[1])
                if fault == "refuse":
                    break
                upstream.write(b"".join(request))
                reply = await _message(replies)
                if not await _relay(*reply, writer, fault):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            if upstream is not None:
                upstream.transport.abort()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One request or reply: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    return head, await reader.readexactly(int(length[1]) if length else 0)


async def _relay(head: bytes, body: bytes, writer: asyncio.StreamWriter, fault: str | None) -> bool:
    """Give a reply to the client, with its fault; whether the connection lives on."""
    whole = head + body
    match fault:
        case "cut":
            writer.write(whole[: len(head) + len(body) // 2])
            await writer.drain()
            return False
        case "cut at a word":
            writer.write(whole[: len(head) + len(body) // 2])
            await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return False
        case "hang":
            writer.write(head)
            await asyncio.Event().wait()
        case "drip":
            for byte in whole:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(10 * PAUSE_S)
        case "garble":
            writer.write(head + bytes(byte ^ 0x55 for byte in body))
        case "trickle":
            for start in range(0, len(whole), len(whole) // 8 + 1):
                writer.write(whole[start : start + len(whole) // 8 + 1])
                await writer.drain()
                await asyncio.sleep(PAUSE_S)
        case "twice":
            writer.write(whole + whole)
        case "close":
            writer.write(whole)
            await writer.drain()
            writer.close()
            return False
        case _:
            writer.write(whole)
    await writer.drain()
    return True
