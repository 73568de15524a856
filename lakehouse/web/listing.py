"""Lists of clips: which ones, in which order, and what their cards show."""

from collections.abc import Mapping, Sequence
from datetime import time

import duckdb

from lakehouse.query.asked import Filters
from lakehouse.query.eligible import time_of_day
from lakehouse.web.asked import Asked
from lakehouse.web.finding import Match, matching
from lakehouse.web.models import ClipCard, ClipList, Outcome
from lakehouse.web.reading import Reading, Refused, Row

PAGE = 24
"""Clips on a page."""

_OF_VERDICT = {
    "passed": "passed",
    "rejected": "NOT passed",
    "too_short": "status = 'too_short'",
    "failed": "status = 'failed'",
}
CARD_COLUMNS = "clip_id, day, camera, key, start_s, end_s, status, passed, reasons"
"""Those of `shown_clips` that a card is made of."""


def clip_list(reading: Reading, asked: Asked, image: bytes | None = None) -> ClipList:
    """One page of the clips that fit; `image` is the example picture that is asked for.

    Raises Refused for a condition or an example that is none.
    """
    matches = _matches(reading, asked, image)
    rows = _rows(reading, asked, matches, PAGE * (asked.page - 1), PAGE + 1)
    partitions = reading.ask("SELECT DISTINCT day, camera, robot FROM recordings")
    return ClipList(
        clips=cards(reading, rows[:PAGE], matches or {}),
        page=asked.page,
        has_more=len(rows) > PAGE,
        days=sorted({row["day"] for row in partitions}, reverse=True),
        cameras=sorted({row["camera"] for row in partitions}),
        robots=sorted({row["robot"] for row in partitions} - {None}),
    )


def clip_ids(reading: Reading, asked: Asked, image: bytes | None, most: int) -> list[str]:
    """The first so many clips that fit, of all pages, in the order of `clip_list`. Raises Refused
    like it."""
    rows = _rows(reading, asked, _matches(reading, asked, image), 0, most)
    return [row["clip_id"] for row in rows]


def known_ids(reading: Reading, ids: Sequence[str]) -> list[str]:
    """Those of the ids that clips have, in their order, once each."""
    rows = reading.ask(
        "SELECT clip_id FROM clips WHERE clip_id IN (SELECT unnest(?::VARCHAR[]))", [list(ids)]
    )
    known = {row["clip_id"] for row in rows}
    return [clip_id for clip_id in dict.fromkeys(ids) if clip_id in known]


def cards(
    reading: Reading, rows: Sequence[Row], matches: Mapping[str, Match] | None = None
) -> list[ClipCard]:
    """The cards of these rows, in their order. A row has the columns that a card shows of clips,
    recordings and verdicts."""
    ids = [row["clip_id"] for row in rows]
    frames, texts = _frame_ids(reading, ids), _texts(reading, ids)
    made = []
    for row in rows:
        match = (matches or {}).get(row["clip_id"])
        made.append(
            ClipCard(
                clip_id=row["clip_id"],
                day=row["day"],
                camera=row["camera"],
                key=row["key"],
                start_s=row["start_s"],
                end_s=row["end_s"],
                outcome=outcome(row["status"], row["passed"]),
                reasons=row["reasons"],
                text=(match.text if match else None) or texts.get(row["clip_id"]),
                score=match.score if match else None,
                frame_ids=frames.get(row["clip_id"], []),
            )
        )
    return made


def rows_of(reading: Reading, clip_ids: Sequence[str]) -> list[Row]:
    """What the cards of these clips show, in their order; of those that lie in the bucket today."""
    rows = reading.ask(
        f"SELECT {CARD_COLUMNS} FROM shown_clips WHERE clip_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(clip_ids)],
    )
    place = {clip_id: number for number, clip_id in enumerate(clip_ids)}
    return sorted(rows, key=lambda row: place[row["clip_id"]])


def outcome(status: str, passed: bool | None) -> Outcome:
    """What became of a clip of this status and verdict."""
    if status == "too_short":
        return "too_short"
    if status == "failed":
        return "failed"
    if passed is None:
        return "unjudged"
    return "passed" if passed else "rejected"


def _matches(reading: Reading, asked: Asked, image: bytes | None) -> dict[str, Match] | None:
    """By clip and best first; none where nothing is asked that clips could be ranked by."""
    if not asked.is_ranked:
        return None
    # What a search can be told; the rest is asked of what it finds.
    filters = Filters(
        first_day=asked.first_day,
        last_day=asked.last_day,
        cameras=asked.cameras,
        robot=asked.robot or None,
        from_time=asked.from_time,
        until_time=asked.until_time,
        verdict=asked.verdict if asked.verdict in ("passed", "rejected") else "any",
        where=asked.where or None,
    )
    return {match.clip_id: match for match in matching(reading, asked, image, filters)}


def _rows(
    reading: Reading, asked: Asked, matches: Mapping[str, Match] | None, skipped: int, most: int
) -> list[Row]:
    """At most so many rows, after the first ones of the order."""
    parts: list[str] = []
    values: list[object] = []
    order = "day DESC, camera, key, start_s"
    if matches is not None:
        parts.append("clip_id IN (SELECT unnest(?::VARCHAR[]))")
        order = "list_position(?::VARCHAR[], clip_id)"
        values.append(list(matches))
    if asked.first_day is not None:
        parts.append("day >= ?")
        values.append(asked.first_day)
    if asked.last_day is not None:
        parts.append("day <= ?")
        values.append(asked.last_day)
    if asked.cameras:
        parts.append("camera IN (SELECT unnest(?::VARCHAR[]))")
        values.append(list(asked.cameras))
    if asked.robot:
        parts.append("robot = ?")
        values.append(asked.robot)
    if asked.from_time is not None or asked.until_time is not None:
        parts.append(f"({time_of_day(asked.from_time or time.min, asked.until_time)})")
    if asked.verdict != "any":
        parts.append(_OF_VERDICT[asked.verdict])
    if asked.where:
        parts.append(f"({_condition(asked.where)}\n)")
    if matches is not None:
        values.append(list(matches))
    query = f"""
        SELECT {CARD_COLUMNS} FROM shown_clips WHERE {" AND ".join(parts) or "true"}
        ORDER BY {order} LIMIT {most} OFFSET {skipped}
    """
    try:
        return reading.ask(query, values)
    except (duckdb.Error, ValueError) as error:
        if not asked.where:
            raise
        said = next(iter(str(error).splitlines()), "")
        raise Refused(f"this condition is no SQL over clips: {said}") from error


def _condition(where: str) -> str:
    """The text, if it is one expression. It could do no harm otherwise, the connection being locked
    and the statement prepared, but its error would be hard to read."""
    try:
        duckdb.SQLExpression(where)
    except (duckdb.Error, ValueError) as error:
        said = next(iter(str(error).splitlines()), "")
        raise Refused(f"this condition is no SQL: {said}") from error
    return where


def _frame_ids(reading: Reading, clip_ids: Sequence[str]) -> dict[str, list[str]]:
    query = """SELECT clip_id, list(frame_id ORDER BY pts) AS frames FROM frames
        WHERE clip_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY clip_id"""
    return {row["clip_id"]: row["frames"] for row in reading.ask(query, [list(clip_ids)])}


def _texts(reading: Reading, clip_ids: Sequence[str]) -> dict[str, str]:
    query = """SELECT clip_id, first(text ORDER BY variant) AS text FROM captions
        WHERE text IS NOT NULL AND clip_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY clip_id"""
    return {row["clip_id"]: row["text"] for row in reading.ask(query, [list(clip_ids)])}
