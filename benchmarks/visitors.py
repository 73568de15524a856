"""Visitors of a web server: each asks one thing after another on one connection, as a browser does,
and notes when the first byte of each answer came. What they ask belongs to the benchmarks.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_PIECE_BYTES = 2**18
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked", re.IGNORECASE)


@dataclass(frozen=True)
class Ask:
    """A path, the range of bytes that is wanted of it, and what kind of thing it is."""

    kind: str
    path: str
    wanted: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer: seconds from sending the request to the first byte of its content, and to the
    last."""

    ask: Ask
    status: int
    first_byte_s: float
    total_s: float
    body: bytes


def visit_once(address: str, ask: Ask) -> Answer:
    """One visitor with one question. Raises OSError where there is no whole answer."""
    return visits(address, [[ask]])[0][0]


def visits(address: str, of_visitors: Sequence[Sequence[Ask]]) -> list[list[Answer]]:
    """All visitors at once; what each was answered."""

    async def all_at_once() -> list[list[Answer]]:
        together = asyncio.Barrier(len(of_visitors))
        return await asyncio.gather(*(_visit(address, asks, together) for asks in of_visitors))

    return asyncio.run(all_at_once())


async def _visit(address: str, asks: Sequence[Ask], together: asyncio.Barrier) -> list[Answer]:
    host = urlsplit(address)
    reader, writer = await asyncio.open_connection(host.hostname, host.port, limit=2**20)
    await together.wait()
    try:
        return [await _answer(reader, writer, host.netloc, ask) for ask in asks]
    finally:
        writer.close()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, ask: Ask
) -> Answer:
    wanted = f"Range: bytes={ask.wanted}\r\n" if ask.wanted else ""
    since = time.perf_counter()
    writer.write(f"GET {ask.path} HTTP/1.1\r\nHost: {host}\r\n{wanted}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    found = _LENGTH.search(head)
    if found is None or _CHUNKED.search(head):
        raise OSError(f"{ask.path}: an answer without its length")
    left, body, first_byte_s = int(found[1]), bytearray(), 0.0
    while left:
        piece = await reader.read(min(left, _PIECE_BYTES))
        if not piece:
            raise OSError(f"{ask.path}: the answer breaks off")
        first_byte_s = first_byte_s or time.perf_counter() - since
        body += piece
        left -= len(piece)
    total_s = time.perf_counter() - since
    return Answer(ask, int(head[9:12]), first_byte_s or total_s, total_s, bytes(body))
