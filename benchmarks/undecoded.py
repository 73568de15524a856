"""The rows of a recording as an ingest writes them, without the hours of decoding: its probe and
all later stages are real, its spans are eight seconds each and show a made-up picture.
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.stored_clips import picture
from lakehouse.engine.local import run_stage
from lakehouse.query.tables import all_tables
from lakehouse.settings import Settings
from lakehouse.stages.chain import chain
from lakehouse.stages.clip_rows import RecordingRows, time_base_of
from lakehouse.storage.address import open_bucket
from lakehouse.tables.commit import add_children, complete
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import CLIPS, FRAMES, RECORDINGS
from lakehouse.video.segmenting import Frame, SampledSpan
from lakehouse.video.signals import SIGNALS, Signals
from lakehouse.video.tiling import Span

CLIP_S = 8
_FRAMES_PER_CLIP = 4
_WIDTH, _HEIGHT = 640, 360
_PICTURES = 16
_PASSING = {"darkness": 0.2, "sharpness": 0.8, "noise": 1.0, "texture": 50.0, "motion": 10.0}


def ingest(settings: Settings, partition: Partition) -> list[str]:
    """Fill the settings' lake with the partition of their bucket; the clips' ids, in order."""
    lake = open_lake(settings)
    lake.bootstrap(all_tables(settings))
    for stage in chain(settings, open_bucket(settings.bucket, settings.s3), lake):
        if stage.name == "clips":
            _write_clips(lake, partition, settings.clips.min_clip_s)
        else:
            run_stage(stage, partition, "benchmark")
    ids = lake.read(CLIPS, partition, ["clip_id", "recording_id", "start_s"])
    return ids.sort("recording_id", "start_s")["clip_id"].to_list()


def _write_clips(lake: Lake, partition: Partition, min_clip_s: float) -> None:
    for recording in lake.read(RECORDINGS, partition, RECORDINGS.schema.names).to_dicts():
        if recording["error"]:
            raise RuntimeError(f"{recording['key']}: {recording['error']}")
        rows = RecordingRows(partition, recording, "exact", min_clip_s)
        for span in _spans(recording):
            rows.add(span, None)
        made = {"fingerprint": "made", "stage_version": "made", "run_id": "benchmark"}
        for table, of_table in ((FRAMES, rows.take_frames()), (CLIPS, rows.clips)):
            add_children(lake, table, (complete(row, **made, attempts=1) for row in of_table))


def _spans(recording: dict[str, Any]) -> Iterator[SampledSpan]:
    time_base, frame_rate = time_base_of(recording), recording["frame_rate"]
    signals = Signals(**{name: _PASSING.get(name, 0.0) for name in SIGNALS})

    def pts(second: int) -> int:
        return int(recording["start_pts"] + second / time_base)

    for number in range(int(recording["duration_s"] // CLIP_S)):
        start_s, end_s = number * CLIP_S, (number + 1) * CLIP_S
        frames = tuple(
            Frame(
                index,
                pts(start_s + index * CLIP_S // _FRAMES_PER_CLIP),
                signals,
                picture((number * _FRAMES_PER_CLIP + index) % _PICTURES, _WIDTH, _HEIGHT),
                _WIDTH,
                _HEIGHT,
            )
            for index in range(_FRAMES_PER_CLIP)
        )
        first, last = round(start_s * frame_rate), round(end_s * frame_rate)
        span = Span(first, last, pts(start_s), pts(end_s), "length" if number else "start")
        yield SampledSpan(span, "moving", tuple((f.pts, signals) for f in frames), frames)
