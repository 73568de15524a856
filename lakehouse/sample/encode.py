"""Frames to an MP4 as a recorder writes it: long groups of pictures, B-frames, moov last."""

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av

from lakehouse.sample.surface import Image

_KEY_FRAME_INTERVAL = 48
_ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": (
        "libx264",
        "avc1",
        {
            "preset": "ultrafast",
            "crf": "20",
            "bf": "2",
            "sc_threshold": "0",
            "x264-params": "cabac=1:deblock=0,0:8x8dct=1:subme=2",
        },
    ),
    "hevc": (
        "libx265",
        "hvc1",
        {
            "preset": "ultrafast",
            "crf": "23",
            "x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0:bframes=2",
        },
    ),
}


def write_mp4(
    path: Path,
    frames: Iterable[tuple[int, Image]],
    size: tuple[int, int],
    fps: int,
    codec: Literal["h264", "hevc"],
    start: datetime,
) -> None:
    """Encode BGRA frames, each with its place in time in units of 1/fps (gaps make it variable).

    `size` is width and height; `start` becomes the container's creation time.
    """
    encoder, tag, options = _ENCODERS[codec]
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["creation_time"] = start.isoformat()
        added = container.add_stream(encoder, rate=fps, options=options)
        stream = cast(av.VideoStream, added)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.codec_tag = tag
        stream.codec_context.gop_size = _KEY_FRAME_INTERVAL
        stream.codec_context.thread_count = 1
        for place, image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="bgra")
            frame.pts, frame.time_base = place, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
