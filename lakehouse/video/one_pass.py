"""The single decode pass: spans, signals and JPEG frames of a recording from one decode of it.

Rows and ids belong to `stages.clips`; what each measurement means to `signals`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import BinaryIO, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame

from lakehouse.settings import ClipSettings
from lakehouse.video import signals
from lakehouse.video.content import Picture
from lakehouse.video.decode import Damage, Decoder
from lakehouse.video.probe import Probe, open_container, video_stream
from lakehouse.video.shots import ShotDetector
from lakehouse.video.signals import Signals
from lakehouse.video.tiling import Span, Tiler

_UPRIGHT = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True)
class StreamFacts:
    """What the pass needs to know of a stream beforehand, as the probe found it."""

    container: str
    time_base: Fraction
    start_pts: int
    frame_rate: float
    rotation_deg: int


def facts_of(probed: Probe) -> StreamFacts:
    """The part of a probe that the pass needs."""
    return StreamFacts(
        container=probed.container,
        time_base=probed.time_base,
        start_pts=probed.start_pts,
        frame_rate=probed.frame_rate,
        rotation_deg=probed.rotation_deg,
    )


@dataclass(frozen=True)
class Frame:
    """One sampled picture: its signals, and an upright JPEG of `width` x `height` pixels."""

    pts: int
    signals: Signals
    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class SampledSpan:
    """A span with the signals of all its samples, by pts, and the few frames that are kept."""

    span: Span
    samples: tuple[tuple[int, Signals], ...]
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class OnePass:
    """The result of decoding one recording. `spans` tile its decoded frames; none if no frame."""

    spans: tuple[SampledSpan, ...]
    damage: Damage


def run_one_pass(
    source: BinaryIO, facts: StreamFacts, settings: ClipSettings, threads: int
) -> OnePass:
    """Decode every frame of the recording once. Raises ProbeError if it can't be opened.

    Pictures are dropped as soon as they are measured: memory grows with the frames kept
    (`frames_per_clip` JPEGs a clip), not with the frames decoded.
    """
    with open_container(source, facts.container) as container:
        decoder = Decoder(container, video_stream(container), threads)
        return OnePass(tuple(_spans(decoder, facts, settings)), decoder.damage)


def chosen(frames: Sequence[Frame], count: int) -> tuple[Frame, ...]:
    """At most `count` of them, spread evenly: the middle one of each of `count` equal parts."""
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[(2 * n + 1) * len(frames) // (2 * count)] for n in range(count))


def _spans(decoder: Decoder, facts: StreamFacts, settings: ClipSettings) -> Iterator[SampledSpan]:
    ticks_per_s = 1 / facts.time_base
    shots = ShotDetector(
        settings.detector, settings.detector_threshold, facts.time_base, facts.frame_rate
    )
    tiler = Tiler(
        min_ticks=ceil(settings.min_clip_s * ticks_per_s),
        max_ticks=ceil(settings.max_clip_s * ticks_per_s),
        lag_frames=shots.lag_frames,
    )
    sampler = _Sampler(
        settings, facts.rotation_deg, settings.sample_interval_s * float(ticks_per_s)
    )
    end_pts = facts.start_pts
    for pts, frame in decoder.frames():
        yield from map(sampler.take, tiler.add_frame(pts))
        for cut in shots.add_frame(pts, frame):
            yield from map(sampler.take, tiler.cut(cut))
        sampler.add_frame(pts, frame)
        end_pts = pts + (frame.duration or round(ticks_per_s / facts.frame_rate))
    for cut in shots.finish():
        yield from map(sampler.take, tiler.cut(cut))
    yield from map(sampler.take, tiler.finish(end_pts))


class _Sampler:
    """Measures a picture every `interval` ticks and hands the samples out span by span."""

    def __init__(self, settings: ClipSettings, rotation_deg: int, interval: float) -> None:
        self._settings = settings
        self._rotation_deg = rotation_deg
        self._interval = interval
        self._due: float | None = None
        self._previous: signals.Gray | None = None
        self._frames: list[Frame] = []

    def add_frame(self, pts: int, frame: VideoFrame) -> None:
        """Measure the picture if it is time to."""
        if self._due is None:
            self._due = pts
        if pts < self._due:
            return
        # The grid stays where it began unless the stream jumped over a point of it.
        self._due = max(self._due + self._interval, pts + self._interval / 2)
        small = _upright(_fit(frame, self._settings.frame_longest_px), self._rotation_deg)
        luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        measured = signals.measure(luma, self._previous)
        self._previous = signals.coarse(luma)
        height, width = luma.shape
        jpeg = _jpeg(small, self._settings.jpeg_quality)
        self._frames.append(Frame(pts, measured, jpeg, width, height))

    def take(self, span: Span) -> SampledSpan:
        """The frames of a span that has just become final."""
        count = sum(frame.pts < span.end_pts for frame in self._frames)
        frames, self._frames = self._frames[:count], self._frames[count:]
        if frames:
            # What precedes the first sample is another clip: no motion of this one.
            frames[0] = replace(frames[0], signals=replace(frames[0].signals, motion=None))
        return SampledSpan(
            span,
            samples=tuple((frame.pts, frame.signals) for frame in frames),
            frames=chosen(frames, self._settings.frames_per_clip),
        )


def _fit(frame: VideoFrame, longest_px: int) -> Picture:
    scale = min(1.0, longest_px / max(frame.width, frame.height))
    fitted = frame.reformat(
        width=max(1, round(frame.width * scale)),
        height=max(1, round(frame.height * scale)),
        format="bgr24",
        # FFmpeg's bilinear widens with the scale, so that every pixel counts.
        interpolation="BILINEAR",
        threads=1,
    )
    return cast(Picture, fitted.to_ndarray())


def _upright(picture: Picture, rotation_deg: int) -> Picture:
    turn = _UPRIGHT.get(rotation_deg)
    return picture if turn is None else cv2.rotate(picture, turn)


def _jpeg(picture: Picture, quality: int) -> bytes:
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "libjpeg refuses no 8-bit picture"
    return np.asarray(encoded).tobytes()
