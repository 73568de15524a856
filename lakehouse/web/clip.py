"""Everything that the page of one clip shows; its bytes are `streaming` and `previews`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from lakehouse.settings import Settings
from lakehouse.storage.keys import KeyFields, KeyPattern
from lakehouse.web.finding import similar
from lakehouse.web.listing import CARD_COLUMNS, cards, rows_of
from lakehouse.web.models import Caption, ClipCard, ClipDetail, Frame, Made, OtherView
from lakehouse.web.reading import NotFound, Reading, Row
from lakehouse.web.signals import signals

PLAYED = frozenset({"h264", "vp8", "vp9", "av1"})
"""Codecs that most browsers play out of an MP4."""

_SIMILAR = 8
_MADE = ("recordings", "clips", "frames", "scores", "captions")


def clip_detail(reading: Reading, clip_id: str) -> ClipDetail:
    """The clip. Raises NotFound."""
    row = clip_row(reading, clip_id)
    before, after = _neighbours(reading, row)
    beside = _others(reading, row)
    matches = {match.clip_id: match for match in similar(reading, clip_id, _SIMILAR)}
    alike = rows_of(reading, list(matches))
    rows = [row, *before, *after, *(other.row for other in beside)]
    own, *others = cards(reading, rows + alike, matches)
    near, views, likes = _split(others, len(before) + len(after), len(beside))
    start_s, recorded_at = row["start_s"], row["start_time"]
    return ClipDetail(
        card=own,
        state=row["state"],
        boundary=row["boundary"],
        profile=row["profile"],
        error=row["error"],
        codec=row["codec"],
        width=row["width"],
        height=row["height"],
        frame_rate=row["frame_rate"],
        recorded_at=recorded_at + timedelta(seconds=start_s) if recorded_at else None,
        has_video=row["status"] != "failed",
        plays=row["codec"] in PLAYED,
        frames=_frames(reading, clip_id, start_s),
        signals=signals(row, reading.settings),
        captions=_captions(reading, clip_id),
        previous=near[0] if before else None,
        next=near[-1] if after else None,
        others=[
            OtherView(clip=card, offset_s=other.offset_s, matched_by=other.matched_by)
            for card, other in zip(views, beside, strict=True)
        ],
        similar=likes,
        recording_id=row["recording_id"],
        etag=row["etag"],
        reused_from=row["reused_from"],
        lineage=_lineage(reading, row),
    )


def clip_row(reading: Reading, clip_id: str) -> Row:
    """The clip with its recording, scores and verdict. Raises NotFound."""
    rows = reading.ask("SELECT * FROM shown_clips WHERE clip_id = ?", [clip_id])
    if not rows:
        raise NotFound(f"there is no clip {clip_id}, or its footage was removed or replaced")
    return rows[0]


def _split(
    found: list[ClipCard], first: int, second: int
) -> tuple[list[ClipCard], list[ClipCard], list[ClipCard]]:
    return found[:first], found[first : first + second], found[first + second :]


def _frames(reading: Reading, clip_id: str, start_s: float) -> list[Frame]:
    query = "SELECT frame_id, time_s FROM frames WHERE clip_id = ? ORDER BY pts"
    return [
        Frame(frame_id=row["frame_id"], time_s=max(0.0, row["time_s"] - start_s))
        for row in reading.ask(query, [clip_id])
    ]


def _captions(reading: Reading, clip_id: str) -> list[Caption]:
    rows = reading.ask("SELECT * FROM captions WHERE clip_id = ? ORDER BY variant", [clip_id])
    return [
        Caption(
            variant=row["variant"],
            language=row["language"],
            model=row["model"],
            text=row["text"],
            environment=row["environment"],
            objects=[_object(found) for found in row["objects"] or ()],
            signs=row["signs"] or [],
            conditions={k: v for k, v in (row["conditions"] or {}).items() if v},
            dynamics=row["dynamics"] or [],
            risks=row["risks"] or [],
            error=row["error"],
            reused_from=row["reused_from"],
        )
        for row in rows
    ]


def _object(found: dict[str, Any]) -> str:
    rest = ", ".join(said for said in (found["position"], found["state"]) if said)
    return f"{found['name']} ({rest})" if rest else str(found["name"])


def _neighbours(reading: Reading, row: Row) -> tuple[list[Row], list[Row]]:
    """The clips before and after it of this camera and day, at most one each."""
    at = "(coalesce(start_time, TIMESTAMP '1970-01-01'), key, start_s)"
    own = "(coalesce(?, TIMESTAMP '1970-01-01'), ?, ?)"
    of_day = f"SELECT {CARD_COLUMNS} FROM shown_clips WHERE day = ? AND camera = ?"
    where = [row["day"], row["camera"], row["start_time"], row["key"], row["start_s"]]
    before = f"{of_day} AND {at} < {own} ORDER BY {at} DESC LIMIT 1"
    after = f"{of_day} AND {at} > {own} ORDER BY {at} LIMIT 1"
    return reading.ask(before, where), reading.ask(after, where)


_MatchedBy = Literal["start_time", "name", "order"]


@dataclass(frozen=True)
class _Beside:
    """A clip of another camera, and where in it the moment is."""

    row: Row
    offset_s: float
    matched_by: _MatchedBy


def _others(reading: Reading, row: Row) -> list[_Beside]:
    """What the robot's other cameras show at the moment at which this clip starts."""
    if row["robot"] is None:
        return []
    recordings = reading.ask(
        """SELECT recording_id, camera, key, start_time, duration_s FROM recordings
        WHERE day = ? AND robot = ? ORDER BY camera, start_time NULLS FIRST, key""",
        [row["day"], row["robot"]],
    )
    own = next(r for r in recordings if r["recording_id"] == row["recording_id"])
    found: list[_Beside] = []
    for camera in sorted({r["camera"] for r in recordings} - {row["camera"]}):
        theirs = [r for r in recordings if r["camera"] == camera]
        ours = [r for r in recordings if r["camera"] == row["camera"]]
        at = _beside(reading.settings, own, row["start_s"], ours, theirs)
        if at is not None:
            found += _at(reading, *at)
    return found


def _beside(
    settings: Settings, own: Row, start_s: float, ours: list[Row], theirs: list[Row]
) -> tuple[str, float, _MatchedBy] | None:
    """Another camera's recording of this moment, how far into it, and how that is known."""
    timed = [r for r in theirs if r["start_time"] is not None and r["duration_s"] is not None]
    if own["start_time"] is not None and timed:
        moment = own["start_time"] + timedelta(seconds=start_s)
        for recording in timed:
            offset_s = (moment - recording["start_time"]).total_seconds()
            if 0 <= offset_s < recording["duration_s"]:
                return recording["recording_id"], offset_s, "start_time"
        return None
    pattern = KeyPattern.parse(settings.key_pattern)
    for recording in theirs:
        if _name(pattern, recording["key"]) == _name(pattern, own["key"]):
            return recording["recording_id"], start_s, "name"
    place = ours.index(own)
    if len(theirs) == len(ours):
        return theirs[place]["recording_id"], start_s, "order"
    return None


def _name(pattern: KeyPattern, key: str) -> str:
    said = pattern.match(key)
    return said.name if isinstance(said, KeyFields) else key


def _at(
    reading: Reading, recording_id: str, offset_s: float, matched_by: _MatchedBy
) -> Iterable[_Beside]:
    query = f"""SELECT {CARD_COLUMNS} FROM shown_clips
        WHERE recording_id = ? AND start_s <= ? AND end_s > ? ORDER BY start_s DESC LIMIT 1"""
    for row in reading.ask(query, [recording_id, offset_s, offset_s]):
        yield _Beside(row, offset_s - row["start_s"], matched_by)


def _lineage(reading: Reading, row: Row) -> list[Made]:
    """The rows behind the clip, one for each table and version."""
    parts, values = [], []
    for number, table in enumerate(_MADE):
        whose = "recording_id" if table == "recordings" else "clip_id"
        parts.append(
            f"SELECT DISTINCT {number} AS place, '{table}' AS \"table\", stage_version, run_id, "
            f"attempts FROM {table} WHERE {whose} = ?"
        )
        values.append(row[whose])
    rows = reading.ask(f"{' UNION ALL '.join(parts)} ORDER BY place", values)
    return [Made(**{name: made[name] for name in Made.model_fields}) for made in rows]
