"""Everything that the page of one clip shows; its bytes are `streaming` and `previews`."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal

from lakehouse.settings import Settings
from lakehouse.storage.keys import KeyFields, KeyPattern
from lakehouse.web.finding import similar
from lakehouse.web.listing import CLIPS_SHOWN, cards, cards_of
from lakehouse.web.models import Caption, ClipDetail, Frame, Made, OtherView
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
    own, *others = cards(reading, [row, *before, *after])
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
        previous=others[0] if before else None,
        next=others[-1] if after else None,
        others=_others(reading, row),
        similar=cards_of(reading, similar(reading, clip_id, _SIMILAR)),
        recording_id=row["recording_id"],
        etag=row["etag"],
        reused_from=row["reused_from"],
        lineage=_lineage(reading, row),
    )


def clip_row(reading: Reading, clip_id: str) -> Row:
    """The clip with its recording, scores and verdict. Raises NotFound."""
    query = f"""SELECT a.*, c.etag, c.start_pts, c.end_pts, c.reused_from, r.container,
            r.size_bytes
        FROM ({CLIPS_SHOWN}) a JOIN clips c ON c.clip_id = a.clip_id
        JOIN recordings r ON r.recording_id = c.recording_id WHERE a.clip_id = ?"""
    rows = reading.ask(query, [clip_id])
    if not rows:
        raise NotFound(f"there is no clip {clip_id}, or its footage was removed or replaced")
    return rows[0]


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
    of_day = f"SELECT * FROM ({CLIPS_SHOWN}) WHERE day = ? AND camera = ?"
    where = [row["day"], row["camera"], row["start_time"], row["key"], row["start_s"]]
    before = f"{of_day} AND {at} < {own} ORDER BY {at} DESC LIMIT 1"
    after = f"{of_day} AND {at} > {own} ORDER BY {at} LIMIT 1"
    return reading.ask(before, where), reading.ask(after, where)


def _others(reading: Reading, row: Row) -> list[OtherView]:
    """What the robot's other cameras show at the moment at which this clip starts."""
    if row["robot"] is None:
        return []
    recordings = reading.ask(
        """SELECT recording_id, camera, key, start_time, duration_s FROM recordings
        WHERE day = ? AND robot = ? ORDER BY camera, start_time NULLS FIRST, key""",
        [row["day"], row["robot"]],
    )
    own = next(r for r in recordings if r["recording_id"] == row["recording_id"])
    found: list[OtherView] = []
    for camera in sorted({r["camera"] for r in recordings} - {row["camera"]}):
        theirs = [r for r in recordings if r["camera"] == camera]
        ours = [r for r in recordings if r["camera"] == row["camera"]]
        at = _beside(reading.settings, own, row["start_s"], ours, theirs)
        if at is not None:
            found += _at(reading, *at)
    return found


_MatchedBy = Literal["start_time", "name", "order"]


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
) -> Iterable[OtherView]:
    query = f"""SELECT * FROM ({CLIPS_SHOWN})
        WHERE recording_id = ? AND start_s <= ? AND end_s > ? ORDER BY start_s DESC LIMIT 1"""
    rows = reading.ask(query, [recording_id, offset_s, offset_s])
    for row, card in zip(rows, cards(reading, rows), strict=True):
        yield OtherView(clip=card, offset_s=offset_s - row["start_s"], matched_by=matched_by)


def _lineage(reading: Reading, row: Row) -> list[Made]:
    """The rows behind the clip, one for each table and version."""
    made = []
    for table in _MADE:
        whose = "recording_id" if table == "recordings" else "clip_id"
        query = f"SELECT DISTINCT stage_version, run_id, attempts FROM {table} WHERE {whose} = ?"
        rows = reading.ask(query, [row[whose]])
        made += [Made(table=table, **found) for found in rows]
    return made
