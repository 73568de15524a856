"""From looks at frames to spans: one walk over a recording, in the order of time.

Shots, states, sizes, damage and length each end a span; what the spans hold is gathered here too.
Rows and ids belong to `stages.clips`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from lakehouse.settings import ClipSettings
from lakehouse.video.looking import Look
from lakehouse.video.sampling import Grid, Jpeg, Sample, Small, chosen
from lakehouse.video.shots import ShotDetector
from lakehouse.video.signals import Signals
from lakehouse.video.states import State, StateTracker
from lakehouse.video.tiling import Span, Tiler

_QUIET_LEVELS = 3.0
"""Less change of value than this, in levels, is noise: all such frames are equally quiet."""
_LONGEST_LOSS_S = 0.5
"""Footage that is lost for longer is a span of its own."""
_LOSS_LINGERS_S = 1.0
_MOST_RAW_PICTURES = 56


@dataclass(frozen=True)
class Frame:
    """One kept picture: its signals, and an upright JPEG of `width` x `height` pixels.

    `number` tells which of the equal parts of its span it shows, from 0.
    """

    number: int
    pts: int
    signals: Signals
    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class SampledSpan:
    """A span, the state it is in, the signals of all its samples, by pts, and the few frames that
    are kept.

    `state` is none where the span is too short to tell. `left_out` are the ranges of pts in which
    pictures were left out on purpose, and `frames_left_out` how many of them. `packets_lost` were
    refused by the decoder around here, too few or too close to make a span of their own.
    """

    span: Span
    state: State | None
    samples: tuple[tuple[int, Signals], ...]
    frames: tuple[Frame, ...]
    left_out: tuple[tuple[int, int], ...] = ()
    frames_left_out: int = 0
    packets_lost: int = 0


class Segmenter:
    """Takes every look at a recording and gives out its spans as soon as they are final."""

    def __init__(
        self,
        settings: ClipSettings,
        grid: Grid,
        shots: ShotDetector,
        time_base: Fraction,
        frame_ticks: int,
    ) -> None:
        ticks_per_s = 1 / time_base
        self._settings = settings
        self._grid = grid
        self._shots = shots
        self._frame_ticks = frame_ticks
        self._states = _States(StateTracker(settings.states, float(ticks_per_s)))
        self._tiler = Tiler(
            min_ticks=ceil(settings.min_clip_s * ticks_per_s),
            max_ticks=ceil(settings.max_clip_s * ticks_per_s),
            lag_frames=shots.lag_frames,
            lag_ticks=max(
                ceil((self._states.lag_s + settings.sample_interval_s) * ticks_per_s),
                shots.lag_frames * frame_ticks,
            ),
        )
        self._longest_loss = _LONGEST_LOSS_S * ticks_per_s
        self._loss_lingers = _LOSS_LINGERS_S * ticks_per_s
        self._last: Look | None = None
        self._losses: list[tuple[int, int]] = []
        self._packets_lost = 0
        self._lost_pts: int | None = None
        self._samples: list[Sample] = []
        self._left_out: list[tuple[int, int]] = []

    def add(self, look: Look) -> Iterator[SampledSpan]:
        """Take the next look."""
        last, self._last = self._last, look
        if look.packets_lost:
            self._lost_pts = look.pts
            self._note_loss(look.pts, look.packets_lost)
        if last and self._is_loss(last, look):
            self._states.restart(self._end(last))
            yield from self._taken(self._tiler.lose(self._end(last), look.pts))
        if last and last.size is None:
            self._left_out.append((last.pts, look.pts))
        value = look.sight.change.value
        yield from self._taken(
            self._tiler.add_frame(look.pts, 0.0 if value < _QUIET_LEVELS else value)
        )
        if last and last.size and look.size and last.size != look.size:
            yield from self._taken(self._tiler.cut_at(look.pts, "size"))
            self._states.restart(look.pts)
        for cut in self._shots.add(look.pts, look.sight):
            yield from self._taken(self._tiler.cut(cut))
            self._states.restart(self._shots.pts(cut))
        signals = self._kept(look.sample).signals if look.sample else None
        # Once a cell, also of what is left out: states then change where they do without thrift.
        if not last or self._grid.cell(last.pts) != self._grid.cell(look.pts):
            for pts, state in self._states.add(look.pts, signals):
                yield from self._taken(self._tiler.cut_at(pts, state))

    def finish(self, packets_lost: int) -> Iterator[SampledSpan]:
        """No more looks; so many packets were refused in all."""
        if not self._last:
            return
        self._note_loss(self._last.pts, packets_lost - self._packets_lost)
        for cut in self._shots.finish():
            yield from self._taken(self._tiler.cut(cut))
        end_pts = self._end(self._last)
        if self._last.size is None:
            self._left_out.append((self._last.pts, end_pts))
        yield from self._taken(self._tiler.finish(end_pts))

    def _note_loss(self, pts: int, packets: int) -> None:
        self._losses.append((pts, packets))
        self._packets_lost += packets

    def _end(self, look: Look) -> int:
        return look.pts + (look.duration or self._frame_ticks)

    def _is_loss(self, last: Look, look: Look) -> bool:
        """Packets were refused, and time is missing around there."""
        return (
            look.pts - self._end(last) > self._longest_loss
            and self._lost_pts is not None
            and last.pts - self._lost_pts <= self._loss_lingers
        )

    def _kept(self, sample: Sample) -> Sample:
        """The sample with its motion, kept for its span."""
        if self._samples:
            sample = sample.after(self._samples[-1])
        self._samples.append(sample)
        if len(self._samples) > _MOST_RAW_PICTURES:
            raw = self._samples[-_MOST_RAW_PICTURES - 1]
            jpeg = self._jpeg(raw.picture)
            self._samples[-_MOST_RAW_PICTURES - 1] = replace(raw, picture=jpeg)
        return sample

    def _taken(self, spans: Iterator[Span]) -> Iterator[SampledSpan]:
        """What was gathered of spans that have just become final."""
        for span in spans:
            count = sum(sample.pts < span.end_pts for sample in self._samples)
            samples = _from_first(self._samples[:count])
            self._samples = self._samples[count:]
            left_out = [pair for pair in self._left_out if pair[0] < span.end_pts]
            self._left_out = self._left_out[len(left_out) :]
            losses = [count for pts, count in self._losses if pts < span.end_pts]
            self._losses = self._losses[len(losses) :]
            cells = self._grid.cell(span.start_pts), self._grid.cell(span.end_pts - 1)
            yield SampledSpan(
                span,
                self._states.at(span.start_pts),
                tuple((sample.pts, sample.signals) for sample in samples),
                tuple(
                    self._frame(number, sample)
                    for number, sample in chosen(samples, *cells, self._settings.frames_per_clip)
                ),
                _merged(left_out),
                len(left_out),
                sum(losses),
            )

    def _frame(self, number: int, sample: Sample) -> Frame:
        jpeg = self._jpeg(sample.picture)
        return Frame(number, sample.pts, sample.signals, jpeg.data, jpeg.width, jpeg.height)

    def _jpeg(self, picture: Small | Jpeg) -> Jpeg:
        if isinstance(picture, Small):
            return picture.jpeg(self._settings.jpeg_quality)
        return picture


class _States:
    """The states of a recording over time, and how its samples change them."""

    def __init__(self, tracker: StateTracker) -> None:
        self._tracker = tracker
        self._shot_pts: int | None = None
        self._is_first = True
        self._last: Signals | None = None
        self._starts: list[int] = []
        self._states: list[State | None] = []

    @property
    def lag_s(self) -> float:
        return self._tracker.lag_s

    def restart(self, pts: int) -> None:
        """A new shot starts here, maybe some frames ago."""
        self._tracker.restart()
        self._shot_pts, self._is_first = pts, True
        count = bisect_left(self._starts, pts)
        del self._starts[count:], self._states[count:]
        self._note(pts, None)

    def add(self, pts: int, signals: Signals | None) -> Iterator[tuple[int, State]]:
        """The changes, by pts, that this sample makes certain; without signals it shows the same
        as the last one."""
        if signals is None and self._last:
            signals = replace(self._last, motion=0.0, residual_motion=0.0)
        if signals is None:
            return
        self._last = signals
        if self._is_first:
            self._is_first = False
            signals = replace(signals, motion=None, residual_motion=None)
        if self._shot_pts is None:
            self._shot_pts = pts
        known = self._tracker.state
        for change in self._tracker.add(pts, signals):
            self._note(change.pts, change.state)
            yield change.pts, change.state
        if known is None and self._tracker.state:
            self._note(self._shot_pts, self._tracker.state)

    def at(self, pts: int) -> State | None:
        """The state at this moment, as far as it is known."""
        number = bisect_right(self._starts, pts)
        return self._states[number - 1] if number else None

    def _note(self, pts: int, state: State | None) -> None:
        self._starts.append(pts)
        self._states.append(state)


def _from_first(samples: list[Sample]) -> list[Sample]:
    """What precedes the first sample is another span: no motion of this one."""
    if not samples:
        return []
    first = samples[0]
    still = replace(first.signals, motion=None, residual_motion=None)
    return [replace(first, signals=still), *samples[1:]]


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in ranges:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)
