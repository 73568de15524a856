"""The boxes of a finished MP4 that say what a player shows, and where its samples lie.

Only patching belongs here: of the edit lists and durations that a muxer wrote, and of chunk
offsets. What is shown is decided by `cut`. Layouts are those of ISO/IEC 14496-12; only files that
were just muxed by this process are read, so their boxes are trusted to be well formed.
"""

import struct
from collections.abc import Sequence
from typing import BinaryIO

from lakehouse.video.mp4.boxes import box, boxes, media_header, only, optional, version


def write_exact(muxed: memoryview, shown_ticks: int, target: BinaryIO) -> None:
    """Write an MP4 with its moov first, and no track shown for longer than `shown_ticks`.

    The unit is the movie's time scale. `target` is only written to, in one forward pass.
    """
    top = {found.kind: found for found in boxes(muxed)}
    file_type = box(b"ftyp", top[b"ftyp"].content)
    moov = bytearray(box(b"moov", top[b"moov"].content))
    media = top[b"mdat"]
    before_media = media_header(len(media.content))
    index = memoryview(moov)[-len(top[b"moov"].content) :]
    tracks = [found.content for found in boxes(index) if found.kind == b"trak"]
    _limit_durations(only(index, b"mvhd"), tracks, shown_ticks)
    moved = len(file_type) + len(moov) + len(before_media) - media.start
    for track in tracks:
        _move_chunks(only(track, b"mdia", b"minf", b"stbl"), moved)
    for part in (file_type, moov, before_media, media.content):
        target.write(part)


def _limit_durations(header: memoryview, tracks: Sequence[memoryview], limit: int) -> None:
    longest = 0
    for track in tracks:
        duration = _limit_edits(only(track, b"edts", b"elst"), limit)
        _put_duration(only(track, b"tkhd"), 20, 28, duration)
        longest = max(longest, duration)
    _put_duration(header, 16, 24, longest)


def _limit_edits(edits: memoryview, limit: int) -> int:
    """Shorten the last edit until all together last `limit` ticks; return what they last then."""
    wide = version(edits) == 1
    entry = struct.Struct(">QqI" if wide else ">IiI")
    ends = 8 + int.from_bytes(edits[4:8]) * entry.size
    durations = [fields[0] for fields in entry.iter_unpack(edits[8:ends])]
    durations[-1] = max(0, min(durations[-1], limit - sum(durations[:-1])))
    struct.pack_into(">Q" if wide else ">I", edits, ends - entry.size, durations[-1])
    return sum(durations)


def _put_duration(header: memoryview, narrow_at: int, wide_at: int, ticks: int) -> None:
    wide = version(header) == 1
    struct.pack_into(">Q" if wide else ">I", header, wide_at if wide else narrow_at, ticks)


def _move_chunks(table: memoryview, distance: int) -> None:
    wide = optional(table, b"co64")
    chunks = only(table, b"stco") if wide is None else wide
    count = int.from_bytes(chunks[4:8])
    offsets = struct.Struct(f">{count}{'I' if wide is None else 'Q'}")
    moved = (offset + distance for offset in offsets.unpack_from(chunks, 8))
    offsets.pack_into(chunks, 8, *moved)
