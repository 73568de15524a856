"""The schemas of all tables, in one place: names, types, units.

What fills a table is its stage; where it lies and how it is written is `lake` and `commit`.
Every table has one string primary key, and `day` and `camera` for partitioning. Rows made from
footage have the columns of `PROVENANCE`, which explain what they were made from, and the `etag`
of the object: queries show only rows of the object that lies in the bucket today.
"""

from dataclasses import dataclass

import pyarrow as pa

from lakehouse.video.signals import SIGNALS

QUANTILES = {"p10": 0.10, "p50": 0.50, "p90": 0.90}
"""Suffix and quantile of the columns that a per-sample signal becomes in `scores`."""


@dataclass(frozen=True)
class Table:
    """A table of the lake: `parent` names the column whose rows are replaced as a whole, and
    `full_text` the columns that can be searched for words."""

    name: str
    key: str
    parent: str
    schema: pa.Schema
    full_text: tuple[str, ...] = ()


PROVENANCE = (
    pa.field("fingerprint", pa.string(), nullable=False),  # hash of what the row was made from
    pa.field("stage_version", pa.string(), nullable=False),
    pa.field("content_hash", pa.string(), nullable=False),  # of the row's values but `IDENTITY`
    pa.field("attempts", pa.int32(), nullable=False),  # in a row, the last one made this row
    pa.field("run_id", pa.string(), nullable=False),  # of the run that wrote the row
)
IDENTITY = frozenset(
    {
        "recording_id",
        "clip_id",
        "frame_id",
        "caption_id",
        "frame_vector_id",
        "day",
        "camera",
        "etag",
        "packets_hash",
        "reused_from",
        "reuse_distance",
    }
)
"""Columns that say whose row it is and where it comes from, not what is in it: equal content under
another key has an equal `content_hash`."""
_PARTITION = (
    pa.field("day", pa.date32(), nullable=False),
    pa.field("camera", pa.string(), nullable=False),  # robot-camera
)
_PTS_RANGE = pa.struct([("start_pts", pa.int64()), ("end_pts", pa.int64())])
_SIGNAL_FIELDS = tuple(pa.field(name, pa.float32()) for name in SIGNALS)


def _key(name: str) -> pa.Field:
    # Lance guards a merge against concurrent inserts of the same key only with this mark.
    return pa.field(
        name,
        pa.string(),
        nullable=False,
        metadata={"lance-schema:unenforced-primary-key": "true"},
    )


def _id(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


_RECORDING = (_id("recording_id"), _id("etag"))

RECORDINGS = Table(
    "recordings",
    key="recording_id",
    parent="recording_id",
    schema=pa.schema(
        [
            _key("recording_id"),
            *_PARTITION,
            pa.field("robot", pa.string()),
            pa.field("key", pa.string(), nullable=False),
            pa.field("etag", pa.string(), nullable=False),
            pa.field("size_bytes", pa.int64(), nullable=False),
            pa.field("container", pa.string()),
            pa.field("codec", pa.string()),
            pa.field("pixel_format", pa.string()),
            pa.field("width", pa.int32()),  # as coded, before rotation
            pa.field("height", pa.int32()),
            pa.field("rotation_deg", pa.int32()),  # clockwise, to be upright
            pa.field("time_base_num", pa.int32()),
            pa.field("time_base_den", pa.int32()),
            pa.field("start_pts", pa.int64()),
            pa.field("duration_s", pa.float64()),  # of the video stream, first to end of last frame
            pa.field("frame_count", pa.int64()),
            pa.field("frame_rate", pa.float64()),  # mean, frames per second
            pa.field("variable_frame_rate", pa.bool_()),
            pa.field("key_frame_interval", pa.float64()),  # median, frames
            pa.field("has_audio", pa.bool_()),
            pa.field("start_time", pa.timestamp("us")),  # in UTC, as the container states it
            pa.field("first_packet_hash", pa.string()),  # a hint at which recordings are the same
            pa.field("gone_since", pa.timestamp("us")),  # in UTC; the object is no longer there
            pa.field("error", pa.string()),
            *PROVENANCE,
        ]
    ),
)

CLIPS = Table(
    "clips",
    key="clip_id",
    parent="recording_id",
    schema=pa.schema(
        [
            _key("clip_id"),
            *_RECORDING,
            *_PARTITION,
            pa.field("start_pts", pa.int64()),  # null where the recording has no time base
            pa.field("end_pts", pa.int64()),  # exclusive
            pa.field("start_s", pa.float64(), nullable=False),  # since the recording's first frame
            pa.field("end_s", pa.float64(), nullable=False),
            pa.field("start_frame", pa.int64(), nullable=False),  # decoded frames before the clip
            pa.field("end_frame", pa.int64(), nullable=False),
            # Why it starts: start, cut, size, length, damage, or the state that begins.
            pa.field("boundary", pa.string(), nullable=False),
            pa.field("state", pa.string()),  # moving, dark, covered, blurred, still; null: unknown
            pa.field("profile", pa.string(), nullable=False),  # exact, thrifty, preview
            # Where pictures were left out on purpose, and how many; null where nobody counted.
            pa.field("left_out", pa.list_(_PTS_RANGE)),
            pa.field("frames_left_out", pa.int64()),
            pa.field("packets_lost", pa.int64()),  # refused by the decoder, out of damage
            pa.field("status", pa.string(), nullable=False),  # kept, too_short, failed
            pa.field("error", pa.string()),
            pa.field("samples", pa.list_(pa.struct([("pts", pa.int64()), *_SIGNAL_FIELDS]))),
            pa.field("frames_hash", pa.string(), nullable=False),  # of the frames' pts and JPEGs
            # Of all packets of the recording and how they are shown; null if not all were read.
            pa.field("packets_hash", pa.string()),
            pa.field("reused_from", pa.string()),  # clip of a recording of the same packets
            *PROVENANCE,
        ]
    ),
)

FRAMES = Table(
    "frames",
    key="frame_id",
    parent="recording_id",
    schema=pa.schema(
        [
            _key("frame_id"),  # ends in what it was made from, see engine.writer
            _id("clip_id"),
            *_RECORDING,
            *_PARTITION,
            pa.field("pts", pa.int64(), nullable=False),
            pa.field("time_s", pa.float64(), nullable=False),  # since the recording's first frame
            pa.field("width", pa.int32(), nullable=False),  # upright
            pa.field("height", pa.int32(), nullable=False),
            pa.field("jpeg", pa.large_binary(), nullable=False),
            pa.field("profile", pa.string(), nullable=False),
            *_SIGNAL_FIELDS,
            *PROVENANCE,
        ]
    ),
)

SCORES = Table(
    "scores",
    key="clip_id",
    parent="clip_id",
    schema=pa.schema(
        [
            _key("clip_id"),
            *_RECORDING,
            *_PARTITION,
            pa.field("sample_count", pa.int32(), nullable=False),
            *(
                pa.field(f"{signal}_{suffix}", pa.float32())
                for signal in SIGNALS
                for suffix in QUANTILES
            ),
            pa.field("stillness", pa.float32()),  # share of sample intervals without motion, 0 to 1
            *PROVENANCE,
        ]
    ),
)

CAPTIONS = Table(
    "captions",
    key="caption_id",
    parent="caption_id",
    full_text=("text",),
    schema=pa.schema(
        [
            _key("caption_id"),  # clip_id:variant
            _id("clip_id"),
            *_RECORDING,
            *_PARTITION,
            pa.field("variant", pa.string(), nullable=False),
            pa.field("language", pa.string(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("prompt_version", pa.string()),
            pa.field("text", pa.string()),
            pa.field("environment", pa.string()),
            pa.field(
                "objects",
                pa.list_(
                    pa.struct(
                        [("name", pa.string()), ("position", pa.string()), ("state", pa.string())]
                    )
                ),
            ),
            pa.field("signs", pa.list_(pa.string())),  # key signs and anomalies
            pa.field(
                "conditions",
                pa.struct([("light", pa.string()), ("floor", pa.string()), ("space", pa.string())]),
            ),
            pa.field("dynamics", pa.list_(pa.string())),
            pa.field("risks", pa.list_(pa.string())),
            pa.field("tokens_in", pa.int32()),
            pa.field("tokens_out", pa.int32()),
            pa.field("seconds", pa.float32()),  # from request to answer
            pa.field("error", pa.string()),
            pa.field("raw_answer", pa.string()),  # kept where it could not be read
            # Caption of the same frames under another key, or of a clip that looks the same.
            pa.field("reused_from", pa.string()),
            # Of the latter: most bits by which a frame's perceptual hash differs; else null.
            pa.field("reuse_distance", pa.int32()),
            # Perceptual, 64 bits; null if not looked at. Signed, since a filter that DuckDB hands
            # to Lance fails on tables with unsigned columns.
            pa.field("frame_hashes", pa.list_(pa.int64())),
            *PROVENANCE,
        ]
    ),
)


RUNS = Table(
    "runs",
    key="stage_run_id",
    parent="stage_run_id",
    schema=pa.schema(
        [
            _key("stage_run_id"),  # run, stage, partition and start
            *_PARTITION,
            _id("run_id"),
            _id("stage"),
            _id("stage_version"),
            pa.field("started_at", pa.timestamp("us"), nullable=False),  # in UTC
            pa.field("wall_s", pa.float64(), nullable=False),
            pa.field("made", pa.int64(), nullable=False),  # parents whose rows were written
            pa.field("failed", pa.int64(), nullable=False),  # of them, with an error
            pa.field("reused", pa.int64(), nullable=False),  # of them, copied
            pa.field("removed", pa.int64(), nullable=False),
            pa.field("rows_written", pa.int64(), nullable=False),
            pa.field("footage_s", pa.float64(), nullable=False),
            pa.field("tokens", pa.int64(), nullable=False),
            pa.field("model_s", pa.float64(), nullable=False),  # of a model's time: GPU-seconds
            pa.field(
                "tokens_saved", pa.int64(), nullable=False
            ),  # what was copied would have taken
            pa.field("model_s_saved", pa.float64(), nullable=False),
        ]
    ),
)
"""What every run did that had something to do, one row a stage and partition."""


DAILY_REPORTS = Table(
    "daily_reports",
    key="report_id",
    parent="report_id",
    schema=pa.schema(
        [
            _key("report_id"),  # day:camera; of all cameras, day:
            *_PARTITION,
            pa.field(
                "is_total", pa.bool_(), nullable=False
            ),  # of all cameras; camera is then empty
            pa.field("recordings", pa.int64(), nullable=False),
            pa.field("recordings_failed", pa.int64(), nullable=False),  # with an error in some part
            pa.field("footage_s", pa.float64(), nullable=False),
            pa.field("passed_s", pa.float64(), nullable=False),
            pa.field("rejected_s", pa.float64(), nullable=False),
            # A clip counts under each of its reasons.
            pa.field(
                "rejected",
                pa.list_(pa.struct([("reason", pa.string()), ("seconds", pa.float64())])),
                nullable=False,
            ),
            pa.field("too_short_s", pa.float64(), nullable=False),
            pa.field("failed_s", pa.float64(), nullable=False),
            pa.field(
                "errors",
                pa.list_(
                    pa.struct(
                        [
                            ("error", pa.string()),
                            ("recordings", pa.int64()),
                            ("failed_s", pa.float64()),
                        ]
                    )
                ),
                nullable=False,
            ),
            pa.field("clips", pa.int64(), nullable=False),
            pa.field("clips_passed", pa.int64(), nullable=False),
            pa.field("captions", pa.int64(), nullable=False),
            pa.field("captions_failed", pa.int64(), nullable=False),
            pa.field("runs", pa.int64(), nullable=False),
            pa.field("wall_s", pa.float64(), nullable=False),
            pa.field("tokens", pa.int64(), nullable=False),
            pa.field("model_s", pa.float64(), nullable=False),
            pa.field("tokens_saved", pa.int64(), nullable=False),
            pa.field("model_s_saved", pa.float64(), nullable=False),
            pa.field("content_hash", pa.string(), nullable=False),
        ]
    ),
)
"""What became of each day's footage when it was last reported, one row a camera and one of all."""


def model_scores(scorer: str) -> Table:
    """The table of one model that scores clips: no scorer's rows touch another's."""
    return Table(
        f"model_scores-{scorer}",
        key="clip_id",
        parent="clip_id",
        schema=pa.schema(
            [
                _key("clip_id"),
                *_RECORDING,
                *_PARTITION,
                pa.field("model", pa.string(), nullable=False),
                pa.field("score", pa.float32()),  # null where there is an error
                pa.field("tokens_in", pa.int32()),
                pa.field("tokens_out", pa.int32()),
                pa.field("seconds", pa.float32()),  # from request to answer
                pa.field("error", pa.string()),
                pa.field("raw_answer", pa.string()),  # kept where it could not be read
                pa.field("reused_from", pa.string()),  # clip of the same frames
                *PROVENANCE,
            ]
        ),
    )


def embeddings(variant: str, dimensions: int) -> Table:
    """The table of one embedder: vectors of one length, so that an index can be built on them."""
    return _vectors("embeddings", variant, dimensions, [_key("clip_id")], parent="clip_id")


def frame_embeddings(variant: str, dimensions: int) -> Table:
    """The vectors of single frames, where an embedder keeps them; they count beside their clip's
    vector that has the same fingerprint."""
    columns = [
        _key("frame_vector_id"),  # ends in what it was made from, see engine.writer
        _id("clip_id"),
        pa.field("time_s", pa.float64(), nullable=False),  # since the clip's start
    ]
    return _vectors("frame_embeddings", variant, dimensions, columns, parent="clip_id")


def caption_embeddings(variant: str, dimensions: int) -> Table:
    """The vectors of the texts of captions, by one embedder."""
    columns = [
        _key("caption_id"),
        _id("clip_id"),
        pa.field("captioner", pa.string(), nullable=False),  # the caption's variant
    ]
    return _vectors("caption_embeddings", variant, dimensions, columns, parent="caption_id")


def _vectors(
    name: str, variant: str, dimensions: int, columns: list[pa.Field], parent: str
) -> Table:
    return Table(
        f"{name}-{variant}-{dimensions}",
        key=columns[0].name,
        parent=parent,
        schema=pa.schema(
            [
                *columns,
                *_RECORDING,
                *_PARTITION,
                pa.field("variant", pa.string(), nullable=False),
                pa.field("model", pa.string(), nullable=False),
                pa.field("reused_from", pa.string()),  # row that was made of the same
                pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
                *PROVENANCE,
            ]
        ),
    )
