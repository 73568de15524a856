"""Clips of a partition together with their frames, read from the lake a few at a time.

What the model stages feed their models with; no footage is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import polars as pl

from lakehouse.stages.reuse import CLIP_COLUMNS
from lakehouse.stages.stage import of_present_footage
from lakehouse.tables.lake import Lake, among
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, FRAMES

_CLIPS_AT_ONCE = 32
_SEEN = "status = 'kept'"


@dataclass(frozen=True)
class ClipFrames:
    """A clip and its frames in order: pairs of seconds since the clip's start and upright JPEG."""

    clip_id: str
    recording_id: str
    duration_s: float
    frames: tuple[tuple[float, bytes], ...]

    def without_pictures(self) -> "ClipFrames":
        """Itself with empty JPEGs, to be kept at little cost."""
        return replace(self, frames=tuple((time_s, b"") for time_s, _ in self.frames))


def clips_seen(lake: Lake, partition: Partition) -> pl.DataFrame:
    """The kept clips of present footage that have frames, in the columns of `CLIP_COLUMNS`."""
    made = ["clip_id", "fingerprint", "attempts"]
    clips = lake.read(CLIPS, partition, [*CLIP_COLUMNS, *made[1:]], _SEEN)
    seen = clips.join(lake.read(FRAMES, partition, made), on=made, how="semi")
    return of_present_footage(lake, partition, seen)


def clips_with_frames(
    lake: Lake, partition: Partition, clip_ids: Sequence[str]
) -> Iterator[ClipFrames]:
    """These clips, in order of time, with at most a few dozen clips' pictures in memory."""
    wanted = set(clip_ids)
    columns = ["clip_id", "recording_id", "start_s", "end_s", "fingerprint", "attempts"]
    clips = (
        row
        for row in lake.read(CLIPS, partition, columns).sort("clip_id").iter_rows(named=True)
        if row["clip_id"] in wanted
    )
    while batch := list(islice(clips, _CLIPS_AT_ONCE)):
        # Frames that a run has just made wait for their clips to be replaced.
        wanted_of = [among(of, {row[of] for row in batch}) for of in ("clip_id", "fingerprint")]
        pictures = lake.read(
            FRAMES,
            partition,
            ["clip_id", "fingerprint", "attempts", "time_s", "jpeg"],
            " AND ".join(wanted_of),
        ).sort("time_s")
        by_clip = pictures.partition_by("clip_id", "fingerprint", "attempts", as_dict=True)
        for row in batch:
            found = by_clip.get((row["clip_id"], row["fingerprint"], row["attempts"]))
            frames = () if found is None else tuple(found.select("time_s", "jpeg").iter_rows())
            yield ClipFrames(
                clip_id=row["clip_id"],
                recording_id=row["recording_id"],
                duration_s=row["end_s"] - row["start_s"],
                frames=tuple((time_s - row["start_s"], jpeg) for time_s, jpeg in frames),
            )
