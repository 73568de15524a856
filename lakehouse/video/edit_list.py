"""The boxes of a finished MP4 that say what a player shows, and where its samples lie.

Only patching belongs here: of the edit lists and durations that a muxer wrote, and of chunk
offsets. What is shown is decided by `cut`. Layouts are those of ISO/IEC 14496-12; only files that
were just muxed by this process are read, so their boxes are trusted to be well formed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_PARENTS = {b"mdia", b"minf", b"stbl", b"edts"}


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    content: int
    end: int


def write_exact(muxed: memoryview, shown_ticks: int, target: BinaryIO) -> None:
    """Write an MP4 with its moov first, and no track shown for longer than `shown_ticks`.

    The unit is the movie's time scale. `target` is only written to, in one forward pass.
    """
    top = {box.kind: box for box in _boxes(muxed, 0, len(muxed))}
    before_media = muxed[: top[b"ftyp"].end]
    moov = bytearray(muxed[top[b"moov"].start : top[b"moov"].end])
    media = muxed[top[b"mdat"].start : top[b"mdat"].end]
    _limit_durations(moov, shown_ticks)
    _move_chunks(moov, len(before_media) + len(moov) - top[b"mdat"].start)
    for part in (before_media, moov, media):
        target.write(part)


def _limit_durations(moov: bytearray, limit: int) -> None:
    longest = 0
    for track in _tracks(moov):
        duration = _limit_edits(moov, track[b"elst"], limit)
        _put_duration(moov, track[b"tkhd"], 20, 28, duration)
        longest = max(longest, duration)
    header = next(box for box in _boxes(moov, 8, len(moov)) if box.kind == b"mvhd")
    _put_duration(moov, header, 16, 24, longest)


def _limit_edits(moov: bytearray, edits: _Box, limit: int) -> int:
    """Shorten the last edit until all together last `limit` ticks; return what they last then."""
    wide = moov[edits.content] == 1
    entry = struct.Struct(">QqI" if wide else ">IiI")
    count = int.from_bytes(moov[edits.content + 4 : edits.content + 8])
    ends = edits.content + 8 + count * entry.size
    durations = [fields[0] for fields in entry.iter_unpack(moov[edits.content + 8 : ends])]
    durations[-1] = max(0, min(durations[-1], limit - sum(durations[:-1])))
    struct.pack_into(">Q" if wide else ">I", moov, ends - entry.size, durations[-1])
    return sum(durations)


def _put_duration(moov: bytearray, header: _Box, narrow_at: int, wide_at: int, ticks: int) -> None:
    wide = moov[header.content] == 1
    at = header.content + (wide_at if wide else narrow_at)
    struct.pack_into(">Q" if wide else ">I", moov, at, ticks)


def _move_chunks(moov: bytearray, distance: int) -> None:
    for track in _tracks(moov):
        kind = b"co64" if b"co64" in track else b"stco"
        content = track[kind].content
        count = int.from_bytes(moov[content + 4 : content + 8])
        offsets = struct.Struct(f">{count}{'Q' if kind == b'co64' else 'I'}")
        moved = (offset + distance for offset in offsets.unpack_from(moov, content + 8))
        offsets.pack_into(moov, content + 8, *moved)


def _tracks(moov: bytearray) -> Iterator[dict[bytes, _Box]]:
    """Each track's boxes by kind; those that are patched occur once a track."""
    for track in _boxes(moov, 8, len(moov)):
        if track.kind == b"trak":
            yield {box.kind: box for box in _inside(moov, track)}


def _inside(moov: bytearray, parent: _Box) -> Iterator[_Box]:
    for box in _boxes(moov, parent.content, parent.end):
        yield box
        if box.kind in _PARENTS:
            yield from _inside(moov, box)


def _boxes(data: memoryview | bytearray, start: int, end: int) -> Iterator[_Box]:
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            size = int.from_bytes(data[content : content + 8])
            content += 8
        yield _Box(kind, start, content, start + size)
        start += size
