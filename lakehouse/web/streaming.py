"""Clips as byte ranges: read from the recording while they are sent, with nothing in between.

What is sent of an MP4 is planned in `plans`; files that can't be planned are made by `previews`.
Which parts of it a request wants is answered here as well.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from typing import BinaryIO

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.mp4.media import Range
from lakehouse.video.mp4.slicer import Plan

_PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):  # noqa: N818, it is an answer
    """The range lies past the end of so many bytes."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the video has {size_bytes} bytes")
        self.size_bytes = size_bytes


def respond(
    request: Request,
    source: BinaryIO,
    plan: Plan,
    tag: str,
    name: str,
    limiter: CapacityLimiter,
) -> Response:
    """The video, or the part of it that the request wants; closes `source` in the end.

    `tag` names the bytes: a range of other bytes is answered with the whole. Threads of `limiter`
    read them. Raises Unsatisfiable.
    """
    etag = f'"{hashlib.sha256(tag.encode()).hexdigest()[:32]}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{name}"',
    }
    if request.headers.get("if-none-match") == etag:
        source.close()
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range")
    if request.headers.get("if-range", etag) != etag:
        wanted = None
    try:
        part = _part(wanted or "", plan.size_bytes)
    except Unsatisfiable:
        source.close()
        raise
    start, end = part or (0, plan.size_bytes)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{plan.size_bytes}"
    pieces = _read_in_threads(_pieces(source, plan, start, end), limiter)
    return StreamingResponse(pieces, 206 if part else 200, headers, "video/mp4")


def _part(wanted: str, size_bytes: int) -> tuple[int, int] | None:
    """Start and end of the one range of a Range header; none where all is to be sent: without the
    header, or with one of another form. Raises Unsatisfiable."""
    found = _RANGE.fullmatch(wanted)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size_bytes - int(found[2])), size_bytes
    elif found[2] and int(found[2]) < int(found[1]):
        return None
    else:
        start = int(found[1])
        end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    if start >= end:
        raise Unsatisfiable(size_bytes)
    return start, end


async def _read_in_threads(
    pieces: Generator[bytes, None, None], limiter: CapacityLimiter
) -> AsyncIterator[bytes]:
    with closing(pieces):
        while (piece := await run_sync(next, pieces, None, limiter=limiter)) is not None:
            yield piece


def _pieces(source: BinaryIO, plan: Plan, start: int, end: int) -> Generator[bytes, None, None]:
    with closing(source):
        ranges = list(_ranges(plan, start, end))
        if isinstance(source, ReadsAhead):
            source.expect(ranges)
        if start < len(plan.head):
            yield plan.head[start:end]
        for first, last in ranges:
            source.seek(first)
            left = last - first
            while left:
                piece = source.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise OSError("the recording ends before its clip")
                left -= len(piece)
                yield piece


def _ranges(plan: Plan, start: int, end: int) -> Iterator[Range]:
    """The ranges of the recording within this part of the clip."""
    at = len(plan.head)
    for first, last in plan.ranges:
        shown_from, shown_to = max(start, at), min(end, at + last - first)
        if shown_from < shown_to:
            yield first + shown_from - at, first + shown_to - at
        at += last - first
