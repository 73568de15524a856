"""A relay before a server that counts the bytes that the server sends, headers included."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_PIECE_BYTES = 2**18


class Relay:
    """Passes on what it gets; made by `relay`."""

    def __init__(self, upstream: str) -> None:
        self.bytes_sent = 0
        """By the server, so far."""
        self.connections = 0
        """Opened so far."""
        self.endpoint = ""
        """Where clients find it."""
        self._upstream = urlsplit(upstream)

        self._ready, self._ended = threading.Event(), asyncio.Event()

    async def work(self) -> None:
        """Pass on until `end`."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._ended.wait()

    def wait(self) -> None:
        """Until it accepts connections."""
        self._ready.wait()

    def end(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        theirs, ours = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pass(reader, ours), self._pass(theirs, writer, counted=True))
        ours.close()
        writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, counted: bool = False
    ) -> None:
        while data := await source.read(_PIECE_BYTES):
            self.bytes_sent += len(data) * counted
            to.write(data)
            await to.drain()
        to.close()


@contextmanager
def relay(upstream: str) -> Iterator[Relay]:
    """A running relay before the server at an `http://` address."""
    made = Relay(upstream)
    thread = threading.Thread(target=lambda: asyncio.run(made.work()))
    thread.start()
    made.wait()
    try:
        yield made
    finally:
        made.end()
        thread.join()
