"""Small files that would cost much: huge pictures in few bytes, frames without end.

Only making them belongs here; what is expected of them stays in the tests.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from functools import cache
from typing import cast

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lakehouse.video.mp4.boxes import box, boxes, full_box, only
from tests.videos import moving, record

SMALL = 128, 96
HALF = 4
_MUXERS = {"ts": "mpegts", "mkv": "matroska"}
_OPTIONS = {
    # Without a global header, the size stands before every key frame.
    "libx264": {"preset": "ultrafast", "threads": "1", "x264-params": "repeat-headers=1"},
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "log-level=none:pools=1:repeat-headers=1:bframes=0",
    },
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
}


@cache
def growing(codec: str, suffix: str, size: tuple[int, int]) -> bytes:
    """4 black frames of 128 x 96 pixels, and then 4 of another size."""
    file = io.BytesIO()
    with av.open(file, "w", format=_MUXERS.get(suffix, suffix)) as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=25, options=_OPTIONS.get(codec, {})))
        stream.width, stream.height = SMALL
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for start, (width, height) in ((0, SMALL), (HALF, size)):
            for packet in _black(codec, width, height, stream.pix_fmt, start):
                packet.time_base, packet.stream = Fraction(1, 25), stream
                out.mux_one(packet)
    return file.getvalue()


def repeated(count: int) -> bytes:
    """An MP4 of a few kilobytes whose index names its one key frame so many times."""
    data = record(moving(2), key_frame_every=1)
    top = {found.kind: found for found in boxes(memoryview(data))}
    index = top[b"moov"]
    table = only(index.content, b"trak", b"mdia", b"minf", b"stbl")
    size, start = only(table, b"stsz")[12:16], only(table, b"stco")[8:12]
    ticks = only(table, b"stts")[12:16]
    one, number = struct.pack(">I", 1), struct.pack(">I", count)
    duration = struct.pack(">I", count * int.from_bytes(ticks))
    others = {
        b"stts": full_box(b"stts", one, number, ticks),
        b"stsz": full_box(b"stsz", size, number),
        b"stsc": full_box(b"stsc", one, one, one, one),
        b"stco": full_box(b"stco", number, bytes(start) * count),
        b"edts": b"",
    }

    def rebuilt(content: memoryview) -> bytes:
        parts = []
        for found in boxes(content):
            if found.kind in {b"trak", b"mdia", b"minf", b"stbl"}:
                parts.append(box(found.kind, rebuilt(found.content)))
            elif found.kind == b"mdhd":
                parts.append(box(b"mdhd", found.content[:16], duration, found.content[20:]))
            else:
                parts.append(others.get(found.kind, box(found.kind, found.content)))
        return b"".join(parts)

    return data[: index.start - 8] + box(b"moov", rebuilt(index.content))


def _black(
    codec: str, width: int, height: int, pixel_format: str, start: int
) -> list[Packet[VideoStream]]:
    encoder = cast(VideoCodecContext, av.CodecContext.create(codec, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixel_format
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.gop_size = 3
    encoder.options = _OPTIONS.get(codec, {})
    packets: list[Packet[VideoStream]] = []
    for number in range(start, start + HALF):
        frame = av.VideoFrame(width, height, pixel_format)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += encoder.encode(frame)
    return packets + encoder.encode()
