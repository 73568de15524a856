"""Clips and frames: one decode pass over each recording.

The pass itself is `video.one_pass`; here its result becomes rows that tile the recording, with a
failed span where footage was promised and could not be decoded.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import polars as pl

from lakehouse.engine.threads import at_once
from lakehouse.errors import UserError
from lakehouse.settings import ClipSettings
from lakehouse.stages.stage import Made, version_of, what_is_wrong
from lakehouse.storage.bucket import Bucket
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import parents_frame
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS, Table
from lakehouse.video.one_pass import OnePass, SampledSpan, StreamFacts, run_one_pass

_CODE = 1
_MISSING_FROM_FRAMES = 1.5
"""Footage is missing where this many frame durations separate header and decoded frames."""
_CONSUMED = (
    "recording_id",
    "key",
    "etag",
    "error",
    "container",
    "rotation_deg",
    "time_base_num",
    "time_base_den",
    "start_pts",
    "duration_s",
    "frame_rate",
)


def version(settings: ClipSettings) -> str:
    """Every clip setting decides what is cut, measured or kept."""
    return version_of(_CODE, fingerprint(settings.model_dump()))


@dataclass(frozen=True)
class ClipsStage:
    """Decodes recordings that are new or changed, several at once."""

    lake: Lake
    bucket: Bucket
    settings: ClipSettings
    workers: int

    name = "clips"
    table = CLIPS
    side_tables: tuple[Table, ...] = (FRAMES,)

    @cached_property
    def version(self) -> str:
        """See the module's `version`."""
        return version(self.settings)

    def parents(self, partition: Partition) -> pl.DataFrame:
        """All recordings; those that can't be opened become one failed clip."""
        recordings = self.lake.read(RECORDINGS, partition, _CONSUMED)
        return parents_frame(
            (row["recording_id"], fingerprint(self.version, row), True)
            for row in recordings.iter_rows(named=True)
        )

    def children(self, partition: Partition) -> pl.DataFrame:
        """The clips of the partition."""
        clips = self.lake.read(CLIPS, partition, ["recording_id", "fingerprint", "error"])
        return clips.select(
            parent_id="recording_id",
            fingerprint="fingerprint",
            failed=pl.col("error").is_not_null(),
        )

    def make(self, partition: Partition, parent_ids: Sequence[str]) -> Iterator[Made]:
        """Decode each recording once. A single one gets all decoder threads."""
        wanted = set(parent_ids)
        recordings = [
            row
            for row in self.lake.read(RECORDINGS, partition, _CONSUMED).iter_rows(named=True)
            if row["recording_id"] in wanted
        ]
        threads = max(1, self.workers // max(1, len(recordings)))
        yield from at_once(
            lambda row: self._made(partition, row, threads), recordings, self.workers
        )

    def _made(self, partition: Partition, recording: dict[str, Any], threads: int) -> Made:
        rows = _Rows(partition, recording, self.settings.min_clip_s)
        error = recording["error"]
        if error is None:
            try:
                with closing(self.bucket.open(recording["key"])) as source:
                    result = run_one_pass(source, _facts(recording), self.settings, threads)
                error = rows.add(result)
            except UserError:
                raise
            except Exception as problem:  # footage is untrusted: its errors are rows
                error = what_is_wrong(problem)
        if not rows.clips:
            rows.add_failed(0.0, recording["duration_s"] or 0.0, error or "no frame decodes")
        return Made(
            parent_id=recording["recording_id"],
            rows={CLIPS.name: rows.clips, FRAMES.name: rows.frames},
            footage_s=recording["duration_s"] or 0.0,
            error=error,
        )


class _Rows:
    """Collects the rows of one recording, from its first to its last promised frame."""

    def __init__(self, partition: Partition, recording: dict[str, Any], min_clip_s: float) -> None:
        self._ids = {
            "recording_id": recording["recording_id"],
            "day": partition.day,
            "camera": partition.camera,
        }
        self._recording = recording
        self._min_clip_s = min_clip_s
        self.clips: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []

    def add(self, result: OnePass) -> str | None:
        """Rows of all spans; returns the error of what is missing before, or after them."""
        if not result.spans:
            return result.damage.first_error or "no frame decodes"
        reason = result.damage.first_error or "the file holds less than its header says"
        first, last = result.spans[0].span, result.spans[-1].span
        start_s, end_s = self._seconds(first.start_pts), self._seconds(last.end_pts)
        promised_s = self._recording["duration_s"]
        missing = _MISSING_FROM_FRAMES / self._recording["frame_rate"]
        error = None
        if start_s > missing:
            error = f"{start_s:.3f} s at the start do not decode: {reason}"
            self.add_failed(0.0, start_s, error)
        for span in result.spans:
            self._add_span(span)
        if promised_s - end_s > missing:
            error = f"{promised_s - end_s:.3f} s at the end do not decode: {reason}"
            self.add_failed(end_s, promised_s, error, last.end_frame)
        return error

    def add_failed(self, start_s: float, end_s: float, error: str, frame: int = 0) -> None:
        """A span without a single decoded frame."""
        place = "start" if start_s == 0.0 else "damage"
        clip_id = f"{self._recording['recording_id']}-{'head' if place == 'start' else 'tail'}"
        self.clips.append(
            {
                **self._ids,
                "clip_id": clip_id,
                "start_pts": self._pts(start_s),
                "end_pts": self._pts(end_s),
                "start_s": start_s,
                "end_s": end_s,
                "start_frame": frame,
                "end_frame": frame,
                "boundary": place,
                "status": "failed",
                "error": error,
                "samples": [],
                "frames_hash": fingerprint(),
            }
        )

    def _add_span(self, sampled: SampledSpan) -> None:
        span = sampled.span
        start_s, end_s = self._seconds(span.start_pts), self._seconds(span.end_pts)
        # Exact: the difference of two rounded times may fall short of a clip that is just enough.
        length_s = (span.end_pts - span.start_pts) * _time_base(self._recording)
        clip_id = f"{self._recording['recording_id']}-{span.start_frame:07d}"
        self.clips.append(
            {
                **self._ids,
                "clip_id": clip_id,
                "start_pts": span.start_pts,
                "end_pts": span.end_pts,
                "start_s": start_s,
                "end_s": end_s,
                "start_frame": span.start_frame,
                "end_frame": span.end_frame,
                "boundary": span.boundary,
                "status": "kept" if length_s >= self._min_clip_s else "too_short",
                "error": None,
                "samples": [{"pts": pts, **asdict(signals)} for pts, signals in sampled.samples],
                "frames_hash": fingerprint([(f.pts, fingerprint(f.jpeg)) for f in sampled.frames]),
            }
        )
        self.frames.extend(
            {
                **self._ids,
                "frame_id": f"{clip_id}-{number:03d}",
                "clip_id": clip_id,
                "pts": frame.pts,
                "time_s": self._seconds(frame.pts),
                "width": frame.width,
                "height": frame.height,
                "jpeg": frame.jpeg,
                **asdict(frame.signals),
            }
            for number, frame in enumerate(sampled.frames)
        )

    def _seconds(self, pts: int) -> float:
        return float((pts - self._recording["start_pts"]) * _time_base(self._recording))

    def _pts(self, seconds: float) -> int | None:
        if self._recording["start_pts"] is None:
            return None
        ticks = round(seconds / float(_time_base(self._recording)))
        return int(self._recording["start_pts"]) + ticks


def _time_base(recording: dict[str, Any]) -> Fraction:
    return Fraction(recording["time_base_num"], recording["time_base_den"])


def _facts(recording: dict[str, Any]) -> StreamFacts:
    return StreamFacts(
        container=recording["container"],
        time_base=_time_base(recording),
        start_pts=recording["start_pts"],
        frame_rate=recording["frame_rate"],
        rotation_deg=recording["rotation_deg"],
    )
