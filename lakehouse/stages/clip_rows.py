"""The rows of one decoded recording: clips that tile it, and their frames.

Every second that was promised is in a clip: what could not be decoded is a failed one. Deciding
which recordings are decoded, and how, belongs to `clips`.
"""

from dataclasses import asdict
from fractions import Fraction
from typing import Any

from lakehouse.settings import Profile
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.partition import Partition
from lakehouse.video.segmenting import SampledSpan
from lakehouse.video.tiling import Span

_MISSING_FROM_FRAMES = 1.0
"""Footage is missing where more than this many frame durations, at both ends together, separate
header and decoded frames: as many as the ledger allows for."""
_SHORT = "the file holds less than its header says"


class RecordingRows:
    """Collects the rows of one recording, from its first to its last promised frame."""

    def __init__(
        self, partition: Partition, recording: dict[str, Any], profile: Profile, min_clip_s: float
    ) -> None:
        self._ids = {
            "recording_id": recording["recording_id"],
            "etag": recording["etag"],
            "day": partition.day,
            "camera": partition.camera,
            "profile": profile,
        }
        self._recording = recording
        self._min_clip_s = min_clip_s
        self._last: Span | None = None
        self._passed_over_s = 0.0
        self._frames: list[dict[str, Any]] = []
        self.frames_bytes = 0
        """Of the JPEGs that were not taken yet."""
        self.clips: list[dict[str, Any]] = []
        self.error: str | None = None
        """The first error among the clips."""

    def add(self, sampled: SampledSpan, reason: str | None) -> None:
        """The rows of the next span. `reason` is what is known of why frames are missing."""
        span = sampled.span
        start_s = self._seconds(span.start_pts)
        if self._last is None and not self._is_missing(start_s):
            self._passed_over_s = start_s
        elif self._last is None:
            error = f"{start_s:.3f} s at the start do not decode: {reason or _SHORT}"
            self._add_without_frames("head", 0.0, start_s, error, 0)
        if span.is_lost:
            self._add_lost(span, reason or _SHORT)
        else:
            self._add_span(sampled)
        self._last = span

    def finish(self, reason: str | None) -> None:
        """No more spans: what was promised beyond the last one failed."""
        promised_s = self._recording["duration_s"] or 0.0
        if self._last is None:
            error = reason or "no frame decodes"
            self._add_without_frames("head", 0.0, promised_s, error, 0)
            return
        end_s = self._seconds(self._last.end_pts)
        if self._is_missing(self._passed_over_s + promised_s - end_s):
            error = f"{promised_s - end_s:.3f} s at the end do not decode: {reason or _SHORT}"
            self._add_without_frames("tail", end_s, promised_s, error, self._last.end_frame)

    def take_frames(self) -> list[dict[str, Any]]:
        """The frames' rows since the last time."""
        frames, self._frames, self.frames_bytes = self._frames, [], 0
        return frames

    def _is_missing(self, seconds: float) -> bool:
        return seconds > _MISSING_FROM_FRAMES / self._recording["frame_rate"] + 1e-6

    def _add_lost(self, span: Span, reason: str) -> None:
        start_s, end_s = self._seconds(span.start_pts), self._seconds(span.end_pts)
        error = f"{end_s - start_s:.3f} s from {start_s:.3f} s on do not decode: {reason}"
        place = f"lost-{span.start_frame:07d}"
        self._add_without_frames(place, start_s, end_s, error, span.start_frame)

    def _add_without_frames(
        self, place: str, start_s: float, end_s: float, error: str, frame: int
    ) -> None:
        self.error = self.error or error
        self.clips.append(
            {
                **self._ids,
                "clip_id": f"{self._recording['recording_id']}-{place}",
                "start_pts": self._pts(start_s),
                "end_pts": self._pts(end_s),
                "start_s": start_s,
                "end_s": end_s,
                "start_frame": frame,
                "end_frame": frame,
                "boundary": "start" if place == "head" else "damage",
                "state": None,
                "left_out": [],
                "frames_left_out": 0,
                "packets_lost": None,
                "status": "failed",
                "error": error,
                "samples": [],
                "frames_hash": fingerprint(),
            }
        )

    def _add_span(self, sampled: SampledSpan) -> None:
        span = sampled.span
        # Exact: the difference of two rounded times may fall short of a clip that is just enough.
        length_s = (span.end_pts - span.start_pts) * time_base_of(self._recording)
        clip_id = f"{self._recording['recording_id']}-{span.start_frame:07d}"
        is_preview = self._ids["profile"] == "preview"
        self.clips.append(
            {
                **self._ids,
                "clip_id": clip_id,
                "start_pts": span.start_pts,
                "end_pts": span.end_pts,
                "start_s": self._seconds(span.start_pts),
                "end_s": self._seconds(span.end_pts),
                "start_frame": span.start_frame,
                "end_frame": span.end_frame,
                "boundary": span.boundary,
                "state": sampled.state,
                "left_out": [{"start_pts": a, "end_pts": b} for a, b in sampled.left_out],
                "frames_left_out": None if is_preview else sampled.frames_left_out,
                "packets_lost": sampled.packets_lost,
                "status": "kept" if length_s >= self._min_clip_s else "too_short",
                "error": None,
                "samples": [{"pts": pts, **asdict(signals)} for pts, signals in sampled.samples],
                "frames_hash": fingerprint([(f.pts, fingerprint(f.jpeg)) for f in sampled.frames]),
            }
        )
        self.frames_bytes += sum(len(frame.jpeg) for frame in sampled.frames)
        self._frames.extend(
            {
                **self._ids,
                "frame_id": f"{clip_id}-{frame.number:03d}",
                "clip_id": clip_id,
                "pts": frame.pts,
                "time_s": self._seconds(frame.pts),
                "width": frame.width,
                "height": frame.height,
                "jpeg": frame.jpeg,
                **asdict(frame.signals),
            }
            for frame in sampled.frames
        )

    def _seconds(self, pts: int) -> float:
        return float((pts - self._recording["start_pts"]) * time_base_of(self._recording))

    def _pts(self, seconds: float) -> int | None:
        if self._recording["start_pts"] is None:
            return None
        ticks = round(seconds / float(time_base_of(self._recording)))
        return int(self._recording["start_pts"]) + ticks


def time_base_of(recording: dict[str, Any]) -> Fraction:
    """Seconds a tick."""
    return Fraction(recording["time_base_num"], recording["time_base_den"])
