"""The single decode pass: spans, signals and JPEG frames of a recording from one decode of it.

Which frames are decoded is a profile's choice; how a stream is decoded, looked at and segmented
is in `decode`, `parts`, `thrift`, `looking` and `segmenting`, put together here.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Lock
from typing import BinaryIO, Self

import cv2
from av.container import InputContainer
from av.video.stream import VideoStream

from lakehouse.settings import ClipSettings, Profile
from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.decode import (
    Decoded,
    every_frame,
    key_frames_for_groups,
    spaced_key_frames,
)
from lakehouse.video.digest import StreamDigest
from lakehouse.video.looking import Look, joined, looks_at
from lakehouse.video.packets import Damage, Reading
from lakehouse.video.parts import CannotSplit, Part, every_frame_of, parts_of
from lakehouse.video.picture_size import MOST_PIXELS
from lakehouse.video.probe import Probe, open_container, video_stream
from lakehouse.video.sampling import Grid, Sampler
from lakehouse.video.segmenting import SampledSpan, Segmenter
from lakehouse.video.shots import ShotDetector, watcher
from lakehouse.video.thrift import frames_with_news

_SHORTEST_PART_S, _LONGEST_PART_S = 10.0, 30.0
"""A part is looked at as a whole before the next is joined to it: its length bounds memory."""
_SPLIT_DETECTORS = {"content", "adaptive"}
"""The others want every picture kept until parts are joined."""
_PREVIEW_INTERVAL_S = 1.0
"""Key frames that follow each other faster are passed over in a preview."""
_PREVIEW_THRESHOLD = 45.0
"""ContentDetector's score between key frames: seconds apart, one shot changes by up to this."""

OpenSource = Callable[[], BinaryIO]
_Opened = tuple[BinaryIO, InputContainer, VideoStream]
_Looked = tuple[list[Look], bytearray]


@dataclass(frozen=True)
class StreamFacts:
    """What the pass needs to know of a stream beforehand, as the probe found it."""

    container: str
    time_base: Fraction
    start_pts: int
    duration_s: float
    frame_rate: float
    rotation_deg: int

    @property
    def end_pts(self) -> int:
        """Where the last frame ends, by what the container promises."""
        return self.start_pts + round(self.duration_s / self.time_base)


def facts_of(probed: Probe) -> StreamFacts:
    """The part of a probe that the pass needs."""
    return StreamFacts(
        container=probed.container,
        time_base=probed.time_base,
        start_pts=probed.start_pts,
        duration_s=probed.duration_s,
        frame_rate=probed.frame_rate,
        rotation_deg=probed.rotation_deg,
    )


@dataclass(frozen=True)
class OnePass:
    """The result of decoding one recording. `spans` tile its frames; none if no frame decodes.
    `packets_hash` is none of a preview."""

    spans: tuple[SampledSpan, ...]
    damage: Damage
    packets_hash: str | None


def run_one_pass(
    open_source: OpenSource,
    facts: StreamFacts,
    settings: ClipSettings,
    profile: Profile = "exact",
    workers: int = 1,
    most_pixels: int = MOST_PIXELS,
) -> OnePass:
    """All spans of a recording at once; see `stream_spans`."""
    reading = Reading()
    spans = tuple(
        stream_spans(open_source, facts, settings, reading, profile, workers, most_pixels)
    )
    return OnePass(spans, reading.damage, reading.packets_hash)


def stream_spans(
    open_source: OpenSource,
    facts: StreamFacts,
    settings: ClipSettings,
    reading: Reading,
    profile: Profile = "exact",
    workers: int = 1,
    most_pixels: int = MOST_PIXELS,
) -> Generator[SampledSpan, None, None]:
    """Decode the recording once; spans come as soon as they are final, and tile its frames.

    `reading.damage` grows meanwhile; `reading.packets_hash` comes after the last span, unless it
    is a preview. Larger pictures than `most_pixels` are damage. Raises ProbeError if the recording
    can't be opened.

    `open_source` is called once a worker, for a reader of its own. With several workers, parts of
    the recording are decoded side by side and the result is the same; only `exact` is split.
    Pictures are dropped as soon as they are measured, so that memory doesn't grow with the length
    of the recording. OpenCV is kept to one thread in the whole process: it is the workers that
    share the cores.
    """
    cv2.setNumThreads(1)
    one_pass = _Pass(open_source, facts, settings, profile, most_pixels)
    given = 0
    if workers > 1 and profile == "exact" and settings.detector in _SPLIT_DETECTORS:
        try:
            for span in one_pass.side_by_side(reading, workers):
                yield span
                given += 1
            return
        except CannotSplit:
            pass  # decoding in one go gives the same spans, and finds out what is wrong
    yield from islice(one_pass.in_one_go(reading), given, None)


@dataclass(frozen=True)
class _Pass:
    open_source: OpenSource
    facts: StreamFacts
    settings: ClipSettings
    profile: Profile
    most_pixels: int

    @property
    def detector(self) -> tuple[str, float | None]:
        """Name and threshold."""
        if self.profile == "preview":
            return "content", _PREVIEW_THRESHOLD
        return self.settings.detector, self.settings.detector_threshold

    @property
    def grid(self) -> Grid:
        interval = self.settings.sample_interval_s / self.facts.time_base
        return Grid(self.facts.start_pts, float(interval))

    def in_one_go(self, reading: Reading) -> Iterator[SampledSpan]:
        damage = reading.damage
        with self._opened() as (source, container, stream):
            digest = StreamDigest(stream)
            if self.profile == "exact":
                frames = every_frame(container, stream, damage, digest)
            elif self.profile == "thrifty":
                frames = frames_with_news(container, stream, damage, digest)
            else:
                frames = self._key_frames(source, container, stream, damage)
            spans = self._segmented(self._looks(frames, damage, is_part=False), damage)
            if self.profile == "preview":
                spans = self._from_the_start(spans, damage)
            yield from spans
            reading.packets_hash = digest.value()

    def _from_the_start(
        self, spans: Iterator[SampledSpan], damage: Damage
    ) -> Iterator[SampledSpan]:
        """The first one stands for what an edit list shows before the first whole key frame."""
        for first in islice(spans, 1):
            start_pts = first.span.start_pts if damage.packets else self.facts.start_pts
            yield replace(first, span=replace(first.span, start_pts=start_pts))
        yield from spans

    def side_by_side(self, reading: Reading, workers: int) -> Iterator[SampledSpan]:
        """Raises CannotSplit unless the parts add up, without any damage, to the whole."""
        with _Readers(self._opened) as readers, ThreadPoolExecutor(workers) as pool:
            with readers.reader() as (container, stream):
                limits = _SHORTEST_PART_S, _LONGEST_PART_S
                ticks = [float(limit / self.facts.time_base) for limit in limits]
                parts = parts_of(container, stream, *ticks)
                digest = StreamDigest(stream)
            if len(parts) < 2:
                raise CannotSplit

            def look_at(part: Part) -> _Looked:
                damage, digests = Damage(), bytearray()
                with readers.reader() as (container, stream):
                    frames = every_frame_of(container, stream, part, damage, digests)
                    looks = list(self._looks(frames, damage, is_part=True))
                if damage.packets:
                    raise CannotSplit
                return looks, digests

            def looks_of(looked: Iterable[_Looked]) -> Iterator[list[Look]]:
                for looks, digests in looked:
                    digest.join(digests)
                    yield looks

            with closing(_in_order(pool, look_at, parts, workers)) as in_order:
                yield from self._segmented(joined(looks_of(in_order), self.grid), Damage())
            reading.packets_hash = digest.value()

    def _looks(self, frames: Iterable[Decoded], damage: Damage, *, is_part: bool) -> Iterator[Look]:
        return looks_at(
            frames,
            watcher(*self.detector, is_part=is_part),
            Sampler(self.grid, self.settings.frame_longest_px, self.facts.rotation_deg),
            damage,
            self.facts.start_pts,
        )

    def _segmented(self, looks: Iterable[Look], damage: Damage) -> Iterator[SampledSpan]:
        facts = self.facts
        shots = ShotDetector(*self.detector, facts.time_base, facts.frame_rate)
        frame_ticks = round(1 / (facts.time_base * Fraction(facts.frame_rate)))
        segmenter = Segmenter(self.settings, self.grid, shots, facts.time_base, frame_ticks)
        for look in looks:
            yield from segmenter.add(look)
        yield from segmenter.finish(damage.packets)

    def _key_frames(
        self, source: BinaryIO, container: InputContainer, stream: VideoStream, damage: Damage
    ) -> Iterator[Decoded]:
        interval = round(_PREVIEW_INTERVAL_S / self.facts.time_base)
        indexed = spaced_key_frames(container, stream, interval)
        if isinstance(source, ReadsAhead):
            source.expect([(entry.pos, entry.pos + entry.size) for entry in indexed])
        return key_frames_for_groups(
            container,
            stream,
            damage,
            indexed=indexed,
            interval=interval,
            end_pts=self.facts.end_pts,
        )

    @contextmanager
    def _opened(self) -> Iterator[_Opened]:
        with closing(self.open_source()) as source:
            if self.profile == "preview" and isinstance(source, ReadsAhead):
                source.expect([(0, 1)])  # from here on nothing is fetched but what is asked for
            with open_container(
                source, self.facts.container, most_pixels=self.most_pixels
            ) as container:
                yield source, container, video_stream(container)


class _Readers:
    """Open containers, each used by one worker at a time and then by the next that needs one."""

    def __init__(self, opened: Callable[[], AbstractContextManager[_Opened]]) -> None:
        self._opened = opened
        self._stack = ExitStack()
        self._idle: SimpleQueue[tuple[InputContainer, VideoStream]] = SimpleQueue()
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def reader(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        try:
            reader = self._idle.get_nowait()
        except Empty:
            with self._lock:
                _, container, stream = self._stack.enter_context(self._opened())
            reader = container, stream
        yield reader
        self._idle.put(reader)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Part], _Looked], parts: list[Part], ahead: int
) -> Generator[_Looked, None, None]:
    """The results of all parts, at most `ahead` of them waiting to be taken."""
    waiting = iter(parts)
    running: deque[Future[_Looked]] = deque(
        pool.submit(work, part) for part in islice(waiting, ahead + 1)
    )
    try:
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(work, part) for part in islice(waiting, 1))
    finally:
        for future in running:
            future.cancel()
