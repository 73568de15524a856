"""What is done for the browser in a worker process: footage is cut by a demuxer or encoded anew,
pictures of visitors are decoded.

Imports neither the lake nor the server: a worker starts quickly. When a task is needed, and where
its result goes, is `previews` and `examples`.
"""

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from av.error import FFmpegError

from lakehouse.errors import UserError
from lakehouse.storage.bucket import Bucket
from lakehouse.video.cut import cut_clip
from lakehouse.video.playable import playable
from lakehouse.video.probe import ProbeError

_PIECE_BYTES = 2**20
_EXAMPLE_PX = 640


class NotShowable(Exception):  # noqa: N818, it is an answer
    """The clip can't be made into a video; the message says why."""


@dataclass(frozen=True)
class Footage:
    """The bytes behind one clip. `end_pts` is exclusive."""

    bucket: Bucket
    key: str
    etag: str
    container: str
    start_pts: int
    end_pts: int


@dataclass(frozen=True)
class ReadyTask:
    """Yields nothing: a worker that has done it has all that the others would wait for."""

    bucket: Bucket

    def __call__(self) -> Iterator[bytes]:
        """See the class."""
        next(self.bucket.list(), None)
        return iter(())


@dataclass(frozen=True)
class CutTask:
    """Yields the clip as the MP4 that `lakehouse clip` writes, in pieces. Raises NotShowable."""

    footage: Footage

    def __call__(self) -> Iterator[bytes]:
        """See the class."""
        made = _cut(self.footage)
        while piece := made.read(_PIECE_BYTES):
            yield piece


@dataclass(frozen=True)
class PreviewTask:
    """Yields the clip as every browser plays it, in pieces. Raises NotShowable."""

    footage: Footage
    longest_px: int

    def __call__(self) -> Iterator[bytes]:
        """See the class."""
        try:
            yield from playable(_cut(self.footage), self.longest_px)
        except (ProbeError, FFmpegError) as error:
            raise NotShowable(f"its pictures can't be decoded: {error}") from error


@dataclass(frozen=True)
class ExampleTask:
    """Yields an example picture as a JPEG that is no larger than stored frames need to be. Raises
    NotShowable."""

    picture: bytes

    def __call__(self) -> Iterator[bytes]:
        """See the class."""
        coded = np.frombuffer(self.picture, np.uint8)
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR) if self.picture else None
        if picture is None:
            raise NotShowable("this is no picture; choose a JPEG or PNG")
        height, width = picture.shape[:2]
        scale = min(1.0, _EXAMPLE_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _cut(footage: Footage) -> io.BytesIO:
    target = io.BytesIO()
    with closing(footage.bucket.open(footage.key, footage.etag)) as source:
        try:
            cut_clip(source, footage.container, footage.start_pts, footage.end_pts, target)
        except UserError as error:
            raise NotShowable(str(error)) from error
    target.seek(0)
    return target
