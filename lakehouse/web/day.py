"""The ledger of a day, and of all days: where every second went."""

from collections.abc import Iterable
from datetime import date

from lakehouse.web.listing import outcome
from lakehouse.web.models import (
    CameraOnDay,
    DayDetail,
    DayLine,
    Days,
    RecordingOnDay,
    SpanOnDay,
    Totals,
)
from lakehouse.web.reading import NotFound, Reading, Row

_SUMS = """sum(duration_s) AS duration_s, sum(passed_s) AS passed_s, sum(rejected_s) AS rejected_s,
    sum(greatest(kept_s - passed_s - rejected_s, 0)) AS unjudged_s,
    sum(too_short_s) AS too_short_s, sum(failed_s) AS failed_s"""
_DAYS = f"""SELECT day, count(DISTINCT camera) AS cameras, count(*) AS recordings,
    count(error) AS errors, {_SUMS} FROM ledger GROUP BY day ORDER BY day DESC"""
_CAMERAS = f"SELECT camera, {_SUMS} FROM ledger WHERE day = ? GROUP BY camera ORDER BY camera"
_RECORDINGS = """SELECT l.recording_id, l.key, l.camera, l.duration_s, l.error, r.start_time
    FROM ledger l JOIN recordings r ON r.recording_id = l.recording_id
    WHERE l.day = ? ORDER BY l.camera, r.start_time, l.key"""
_SPANS = """SELECT c.recording_id, c.clip_id, c.start_s, c.end_s, c.status, c.error, v.passed,
        coalesce(v.reasons, []) AS reasons
    FROM clips c LEFT JOIN verdicts v ON v.clip_id = c.clip_id
    WHERE c.day = ? ORDER BY c.start_s"""


def days(reading: Reading) -> Days:
    """All days that have recordings."""
    return Days(
        days=[
            DayLine(
                day=row["day"],
                cameras=row["cameras"],
                recordings=row["recordings"],
                errors=row["errors"],
                totals=_totals(row),
            )
            for row in reading.ask(_DAYS)
        ]
    )


def day_detail(reading: Reading, day: date) -> DayDetail:
    """One day, its cameras and recordings in order. Raises NotFound where it has none."""
    cameras = reading.ask(_CAMERAS, [day])
    if not cameras:
        raise NotFound(f"there is no footage of {day.isoformat()}")
    spans: dict[str, list[SpanOnDay]] = {}
    for row in reading.ask(_SPANS, [day]):
        spans.setdefault(row["recording_id"], []).append(_span(row))
    recordings: dict[str, list[RecordingOnDay]] = {}
    for row in reading.ask(_RECORDINGS, [day]):
        its_own = spans.get(row["recording_id"], [])
        recordings.setdefault(row["camera"], []).append(_recording(row, its_own))
    all_days = [row["day"] for row in reading.ask("SELECT DISTINCT day FROM recordings")]
    return DayDetail(
        day=day,
        previous=max((other for other in all_days if other < day), default=None),
        next=min((other for other in all_days if other > day), default=None),
        totals=_sum(map(_totals, cameras)),
        longest_s=max(r.duration_s for of_one in recordings.values() for r in of_one),
        cameras=[
            CameraOnDay(
                camera=row["camera"],
                totals=_totals(row),
                recordings=recordings.get(row["camera"], []),
            )
            for row in cameras
        ],
    )


def _span(row: Row) -> SpanOnDay:
    return SpanOnDay(
        clip_id=row["clip_id"],
        start_s=row["start_s"],
        end_s=row["end_s"],
        outcome=outcome(row["status"], row["passed"]),
        why=row["error"] or ", ".join(row["reasons"]),
    )


def _recording(row: Row, spans: list[SpanOnDay]) -> RecordingOnDay:
    return RecordingOnDay(
        recording_id=row["recording_id"],
        key=row["key"],
        name=row["key"].rpartition("/")[2],
        duration_s=row["duration_s"],
        recorded_at=row["start_time"],
        error=row["error"],
        spans=spans,
    )


def _totals(row: Row) -> Totals:
    return Totals(**{name: row[name] or 0.0 for name in Totals.model_fields})


def _sum(totals: Iterable[Totals]) -> Totals:
    parts = list(totals)
    return Totals(
        **{name: sum(getattr(part, name) for part in parts) for name in Totals.model_fields}
    )
