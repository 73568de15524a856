"""What the UI shows of columns: of each table its schema, described, and what columns are made of.

The words are `lakehouse.tables.descriptions`.
"""

from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow as pa

from lakehouse.tables.descriptions import describe
from lakehouse.tables.schemas import QUANTILES, Table
from lakehouse.video.signals import SIGNALS

Sources = Mapping[str, Sequence[tuple[str, str]]]

_JPEG = (("frames", "jpeg"),)
_OF_RECORDING = {
    name: (("recordings", name),) for name in ("recording_id", "etag", "day", "camera")
}
_OF_CLIP = {
    name: (("clips", name),) for name in ("clip_id", "recording_id", "etag", "day", "camera")
}
_OF_OBJECT = (("recordings", "key"), ("recordings", "etag"))
"""What a decode reads: the object itself, of which `recordings` holds the address."""
_TIMES = (*_OF_OBJECT, ("recordings", "time_base_num"), ("recordings", "time_base_den"))
_MEASURED = (("clips", "samples"),)
_VERDICT = tuple(
    ("scores", name)
    for name in (
        *(f"{of}_p50" for of in ("darkness", "over_exposed", "sharpness", "noise", "texture")),
        "stillness",
    )
)
_LENGTH = (("clips", "start_s"), ("clips", "end_s"))
_SAID = (*_JPEG, ("frames", "time_s"))

LINEAGE: Mapping[str, Sources] = {
    "clips": {
        **_OF_RECORDING,
        "clip_id": (("recordings", "recording_id"), *_OF_OBJECT),
        **dict.fromkeys(("start_pts", "end_pts", "start_frame", "end_frame"), _OF_OBJECT),
        **dict.fromkeys(("start_s", "end_s"), (*_TIMES, ("recordings", "start_pts"))),
        **dict.fromkeys(
            ("boundary", "state", "left_out", "frames_left_out", "packets_lost"), _OF_OBJECT
        ),
        **dict.fromkeys(("samples", "frames_hash", "packets_hash"), _OF_OBJECT),
        "status": _TIMES,
        "error": (*_OF_OBJECT, ("recordings", "error")),
        "profile": (("recordings", "camera"),),
        "reused_from": (("recordings", "first_packet_hash"), *_OF_OBJECT),
    },
    "frames": {
        **_OF_RECORDING,
        "frame_id": (("recordings", "recording_id"), *_OF_OBJECT),
        "clip_id": (("recordings", "recording_id"), *_OF_OBJECT),
        **dict.fromkeys(("pts", "jpeg", *SIGNALS), _OF_OBJECT),
        "time_s": (*_TIMES, ("recordings", "start_pts")),
        **dict.fromkeys(("width", "height"), (*_OF_OBJECT, ("recordings", "rotation_deg"))),
        "profile": (("recordings", "camera"),),
    },
    "scores": {
        **_OF_CLIP,
        "sample_count": _MEASURED,
        "stillness": _MEASURED,
        **{f"{signal}_{suffix}": _MEASURED for signal in SIGNALS for suffix in QUANTILES},
    },
    "model_scores": {
        **{name: (("scores", name),) for name in _OF_CLIP},
        **dict.fromkeys(("score", "error", "raw_answer"), _SAID),
        **dict.fromkeys(("tokens_in", "tokens_out", "seconds"), _SAID),
        "reused_from": _JPEG,
    },
    "captions": {
        **{name: (("scores", name),) for name in _OF_CLIP},
        "caption_id": (("scores", "clip_id"),),
        **dict.fromkeys(
            ("text", "environment", "objects", "signs", "conditions", "dynamics", "risks"),
            (*_SAID, *_VERDICT),
        ),
        **dict.fromkeys(("tokens_in", "tokens_out", "seconds", "error", "raw_answer"), _SAID),
        **dict.fromkeys(("reused_from", "reuse_distance", "frame_hashes"), _JPEG),
    },
    "embeddings": {**_OF_CLIP, "vector": _JPEG, "reused_from": _JPEG},
    "caption_embeddings": {
        **{name: (("captions", name),) for name in (*_OF_CLIP, "caption_id")},
        "captioner": (("captions", "variant"),),
        "vector": (("captions", "text"),),
    },
    "daily_reports": {
        "report_id": (("recordings", "day"), ("recordings", "camera")),
        "day": (("recordings", "day"),),
        "camera": (("recordings", "camera"),),
        "recordings": (("recordings", "recording_id"),),
        "recordings_failed": (("recordings", "error"), ("clips", "error")),
        "footage_s": (("recordings", "duration_s"), ("clips", "end_s")),
        **dict.fromkeys(("passed_s", "rejected_s", "rejected"), (*_LENGTH, *_VERDICT)),
        **dict.fromkeys(("too_short_s", "failed_s"), (*_LENGTH, ("clips", "status"))),
        "errors": (("recordings", "error"), ("clips", "error")),
        "clips": (("clips", "clip_id"),),
        "clips_passed": _VERDICT,
        **dict.fromkeys(
            ("captions", "captions_failed"), (("captions", "caption_id"), ("captions", "error"))
        ),
    },
}
"""By table: the columns that each column is made from. What a run or the settings say, and the
columns that say of what a row was made, are made of no column."""


def table_metadata(table: Table) -> Mapping[str, dg.TableSchema]:
    """The schema of a table, as the UI draws it. What a column is made of stands in its description
    too: the UI of Dagster's open version draws the lineage of assets, but not that of columns."""
    sources = LINEAGE.get(_family_of(table), {})
    return {
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(
                    field.name,
                    _type(field.type),
                    description=describe(table, field.name) + _made_of(sources.get(field.name, ())),
                    constraints=dg.TableColumnConstraints(
                        nullable=field.nullable, unique=field.name == table.key
                    ),
                )
                for field in table.schema
            ]
        )
    }


def lineage_metadata(family: str) -> Mapping[str, dg.TableColumnLineage]:
    """Which columns of which assets each column of a family's table is made from; nothing of a
    table that no other feeds."""
    sources = LINEAGE.get(family)
    if sources is None:
        return {}
    deps = {
        column: [dg.TableColumnDep(asset, name) for asset, name in made_of]
        for column, made_of in sources.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}


def _family_of(table: Table) -> str:
    """Tables of one family differ in what follows the dash: the name of a model."""
    return table.name.partition("-")[0]


def _type(of: pa.DataType) -> str:
    """Arrow's name of a type, short enough to leave room for the description beside it."""
    if pa.types.is_fixed_size_list(of):
        return f"{_type(of.value_type)}[{of.list_size}]"
    if pa.types.is_list(of):
        return f"list<{_type(of.value_type)}>"
    if pa.types.is_struct(of):
        return f"struct<{', '.join(field.name for field in of)}>"
    return str(of)


def _made_of(sources: Sequence[tuple[str, str]]) -> str:
    by_asset: dict[str, list[str]] = {}
    for asset, column in sources:
        by_asset.setdefault(asset, []).append(f"`{column}`")
    told = [f"{asset} ({', '.join(columns)})" for asset, columns in by_asset.items()]
    return f" *Made of {', '.join(told)}.*" if told else ""
