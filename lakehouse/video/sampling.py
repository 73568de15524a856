"""Samples: the pictures that are measured, twice a second or so, and kept if they are chosen.

When a picture is due and what is kept of it belong here; what is measured is `signals`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from lakehouse.video import signals
from lakehouse.video.signals import Gray, Signals

_UPRIGHT = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class Small:
    """A scaled picture that can still become a JPEG, and how to turn it upright."""

    frame: VideoFrame
    rotation_deg: int
    to_bgr: VideoReformatter

    @property
    def luma(self) -> Gray:
        """Upright, in full range."""
        plane = self.frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        return self._upright(rows[:, : plane.width])

    def jpeg(self, quality: int) -> "Jpeg":
        """Upright."""
        converted = self.to_bgr.reformat(self.frame, format="bgr24", threads=1)
        picture = self._upright(cast(Gray, converted.to_ndarray()))
        done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done, "libjpeg refuses no 8-bit picture"
        height, width = picture.shape[:2]
        return Jpeg(encoded.tobytes(), width, height)

    def _upright(self, picture: Gray) -> Gray:
        turn = _UPRIGHT.get(self.rotation_deg)
        return picture if turn is None else cv2.rotate(picture, turn)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A compressed picture of `width` x `height` pixels."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A measured picture in its `cell` of the grid of times; `coarse` is for the motion to the
    next sample."""

    pts: int
    cell: int
    signals: Signals
    coarse: Gray
    picture: Small | Jpeg

    def after(self, before: "Sample") -> "Sample":
        """With the motion since the sample before it."""
        moved = signals.with_motion(self.signals, before.coarse, self.coarse)
        return replace(self, signals=moved)


@dataclass(frozen=True)
class Grid:
    """Cells of time, `interval` ticks each, counted from the stream's first pts."""

    start_pts: int
    interval: float

    def cell(self, pts: int) -> int:
        """The cell that this moment lies in."""
        return int((pts - self.start_pts) // self.interval)


class Sampler:
    """Samples the first picture in each cell of the grid. One a decoder."""

    def __init__(self, grid: Grid, longest_px: int, rotation_deg: int) -> None:
        self._grid = grid
        self._longest_px = longest_px
        self._rotation_deg = rotation_deg
        self._reformatter = VideoReformatter()
        self._to_bgr = VideoReformatter()
        self._cell: int | None = None

    def add(self, pts: int, frame: VideoFrame) -> Sample | None:
        """The sample that this picture becomes, if it does."""
        cell = self._grid.cell(pts)
        if cell == self._cell:
            return None
        self._cell = cell
        picture = Small(self._scaled(frame), self._rotation_deg, self._to_bgr)
        luma = picture.luma
        return Sample(pts, cell, signals.measure(luma), signals.coarse(luma), picture)

    def _scaled(self, frame: VideoFrame) -> VideoFrame:
        scale = min(1.0, self._longest_px / max(frame.width, frame.height))
        return self._reformatter.reformat(
            frame,
            width=max(1, round(frame.width * scale)),
            height=max(1, round(frame.height * scale)),
            format="yuv420p",
            dst_color_range="JPEG",
            interpolation="AREA",  # every pixel counts
            threads=1,
        )


def chosen(
    samples: Sequence[Sample], first_cell: int, last_cell: int, count: int
) -> Iterator[tuple[int, Sample]]:
    """At most `count` of them, spread evenly over the cells from the first to the last.

    The cells are divided into `count` equal parts, and of each part the sample nearest to its
    middle is chosen, after the part's number: what is missing in one part changes no other.
    """
    cells = last_cell - first_cell + 1
    parts: dict[int, list[tuple[float, Sample]]] = {}
    for sample in samples:
        place = sample.cell - first_cell
        part = place * count // cells
        off_middle = abs(place + 0.5 - (part + 0.5) * cells / count)
        parts.setdefault(part, []).append((off_middle, sample))
    for part, members in sorted(parts.items()):
        yield part, min(members, key=itemgetter(0))[1]
