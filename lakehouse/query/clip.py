"""One clip as an MP4: from its id to the bytes, read from the bucket on demand."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from lakehouse.errors import UserError
from lakehouse.storage.bucket import Bucket, ObjectNotFound, ObjectReplaced
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import CLIPS, RECORDINGS
from lakehouse.video.cut import CutReport, cut_clip

_ID_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-")


def export_clip(lake: Lake, bucket: Bucket, clip_id: str, target: Path) -> CutReport:
    """Write the clip to `target`, losslessly and exact to the frame; whole or not at all.

    Raises UserError for a clip that doesn't exist or can't be cut, a recording that was removed
    or replaced since, and a target that can't be written.
    """
    clip = _clip(lake, clip_id)
    return cut(bucket, clip_id, clip, _recording(lake, clip["recording_id"]), target)


def cut(
    bucket: Bucket,
    clip_id: str,
    clip: Mapping[str, Any],
    recording: Mapping[str, Any],
    target: Path,
) -> CutReport:
    """The same for rows of `clips` and `recordings` that have been read already."""
    if clip["status"] == "failed":
        raise UserError(f"clip {clip_id} holds no frames: {clip['error']}")
    key = recording["key"]
    try:
        source = bucket.open(key, clip["etag"])
    except ObjectReplaced as error:
        raise UserError(
            f"{key} was replaced since; run `lakehouse ingest`, then choose again"
        ) from error
    except ObjectNotFound as error:
        raise UserError(f"{key}, which holds clip {clip_id}, is gone from the bucket") from error
    with closing(source):
        return _write(
            target,
            lambda file: cut_clip(
                source, recording["container"], clip["start_pts"], clip["end_pts"], file
            ),
        )


def is_clip_id(text: str) -> bool:
    """Whether a clip could have this id: only then may it be part of a filter or a file's name."""
    return bool(text) and _ID_CHARACTERS.issuperset(text)


def _clip(lake: Lake, clip_id: str) -> dict[str, Any]:
    columns = ["recording_id", "etag", "start_pts", "end_pts", "status", "error"]
    known = is_clip_id(clip_id)
    rows = lake.read(CLIPS, None, columns, f"clip_id = '{clip_id}'") if known else None
    if rows is None or rows.is_empty():
        raise UserError(no_clip(clip_id))
    return rows.row(0, named=True)


def no_clip(clip_id: str) -> str:
    """What is said of an id that no clip has."""
    return f'there is no clip {clip_id}; `lakehouse sql "SELECT clip_id FROM clips"` lists them'


def _recording(lake: Lake, recording_id: str) -> dict[str, Any]:
    columns = ["key", "etag", "container"]
    rows = lake.read(RECORDINGS, None, columns, f"recording_id = '{recording_id}'")
    return rows.row(0, named=True)


def _write(target: Path, write: Callable[[BinaryIO], CutReport]) -> CutReport:
    """Through a file beside the target, so that nobody sees half a clip."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        try:
            with partial.open("wb") as file:
                report = write(file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{target} can't be written: {error.strerror or error}") from error
    return report
