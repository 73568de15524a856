"""Frames that carry a number which survives JPEG, so that a server can tell which clip it sees."""

import cv2
import numpy as np

from lakehouse.models.clip_view import ClipView, FrameView

_BITS = 16
_BLOCK_PX = 16


def numbered_jpeg(number: int) -> bytes:
    """A row of blocks, white for each bit of the number that is set."""
    bits = [255 * (number >> bit & 1) for bit in range(_BITS)]
    row = np.repeat(np.array(bits, np.uint8), _BLOCK_PX)
    return bytes(cv2.imencode(".jpg", np.tile(row, (_BLOCK_PX, 1)))[1])


def number_of(jpeg: bytes) -> int:
    """The number that `numbered_jpeg` drew."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    blocks = picture.reshape(_BLOCK_PX, _BITS, _BLOCK_PX).mean(axis=(0, 2))
    return sum(1 << bit for bit in range(_BITS) if blocks[bit] > 127)


def numbered_clip(number: int, frames: int = 1) -> ClipView:
    """The clip with the number as its id, and on each of its frames, which are half a second
    apart."""
    jpeg = numbered_jpeg(number)
    views = tuple(FrameView(0.5 * index, jpeg) for index in range(frames))
    return ClipView(str(number), "rex-front", 0.5 * frames, views, {})
