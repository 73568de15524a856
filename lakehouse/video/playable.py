"""A clip in a form that every browser plays: H.264 of a limited size, encoded anew.

Only for looking: whoever wants the footage takes the lossless cut of `cut`. Sound is left out.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from av.video.frame import VideoFrame

from lakehouse.video.probe import ProbeError, open_container, video_stream

_TICKS_PER_S = 90_000
_PIECE_BYTES = 2**20
_OPTIONS = {"preset": "veryfast", "crf": "26", "g": "48", "bf": "0", "x264-params": "threads=1"}


def playable(clip: BinaryIO, longest_px: int) -> Iterator[bytes]:
    """The frames that a cut MP4 shows, as an upright MP4 of H.264.

    No side is longer than `longest_px`, and none is made longer. Comes in pieces of at most 1 MiB.
    Raises ProbeError, and PyAV's FFmpegError, where the clip can't be read or shows no frame.
    """
    encoded = io.BytesIO()
    with open_container(clip, "mov") as source, av.open(encoded, "w", format="mp4") as target:
        stream = None
        for frame in source.decode(video_stream(source)):
            picture = _upright(frame, longest_px)
            if stream is None:
                stream = target.add_stream("libx264", options=_OPTIONS)
                stream.width, stream.height = picture.width, picture.height
                stream.pix_fmt = "yuv420p"
                stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
            if (picture.width, picture.height) != (stream.width, stream.height):
                picture = picture.reformat(stream.width, stream.height)
            picture.pts = round((frame.time or 0.0) * _TICKS_PER_S)
            picture.time_base = Fraction(1, _TICKS_PER_S)
            target.mux(stream.encode(picture))
        if stream is None:
            raise ProbeError("it shows no frame")
        target.mux(stream.encode(None))
    made = encoded.getbuffer()
    for start in range(0, len(made), _PIECE_BYTES):
        yield bytes(made[start : start + _PIECE_BYTES])


def _upright(frame: VideoFrame, longest_px: int) -> VideoFrame:
    """The picture, smaller and turned; its sides are even, as H.264 wants them."""
    scale = min(1.0, longest_px / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    turns = frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0
    if not turns:
        return frame.reformat(width, height, "yuv420p")
    picture = frame.reformat(width, height, "rgb24").to_ndarray().astype(np.uint8, copy=False)
    turned = np.ascontiguousarray(np.rot90(picture, turns))
    return VideoFrame.from_ndarray(turned, format="rgb24").reformat(format="yuv420p")
