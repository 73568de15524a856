"""What the pages show, as models: the templates render them, and /api gives them as JSON.

Addresses in them are paths on this server. What fills them is `listing`, `clip` and `day`.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel

Outcome = Literal["passed", "rejected", "too_short", "failed", "unjudged"]
"""What became of a clip; `unjudged` where its scores have yet to be made."""


class ClipCard(BaseModel):
    """One clip of a list."""

    clip_id: str
    day: date
    camera: str
    key: str
    start_s: float
    end_s: float
    outcome: Outcome
    reasons: list[str]
    text: str | None
    """A caption of it; of a search, the one that matched."""
    score: float | None
    """How similar it is, a cosine, among similar clips."""
    frame_ids: list[str]


class ClipList(BaseModel):
    """One page of the clips that were asked for."""

    clips: list[ClipCard]
    page: int
    has_more: bool
    days: list[date]
    """All days of the lake, the latest first."""
    cameras: list[str]
    """All cameras of the lake, as robot-camera."""
    robots: list[str]
    """All robots of the lake."""


class Signal(BaseModel):
    """What was measured, or judged by a model, beside its threshold."""

    name: str
    column: str
    value: float | None
    at_least: float | None
    at_most: float | None
    scale: float
    """The largest value that a bar of it shows."""
    reason: str | None
    """Why the clip is rejected, if it is for this."""


class Caption(BaseModel):
    """What a captioner says."""

    variant: str
    language: str
    model: str
    text: str | None
    environment: str | None
    objects: list[str]
    signs: list[str]
    conditions: dict[str, str]
    dynamics: list[str]
    risks: list[str]
    error: str | None
    reused_from: str | None


class OtherView(BaseModel):
    """Another camera of the same robot at the same moment."""

    clip: ClipCard
    offset_s: float
    """Where in that clip the moment is."""
    matched_by: Literal["start_time", "name", "order"]
    """How the recordings were laid beside each other: by the time at which they state to start, or
    from their first frames on, those of the same name, or at the same place in the day's order."""


class Made(BaseModel):
    """A row behind the clip: by which stage it was made, in which version and run."""

    table: str
    stage_version: str
    run_id: str
    attempts: int


class Frame(BaseModel):
    """A stored frame."""

    frame_id: str
    time_s: float
    """Since the clip's start."""


class ClipDetail(BaseModel):
    """Everything about one clip."""

    card: ClipCard
    state: str | None
    boundary: str
    profile: str
    error: str | None
    codec: str | None
    width: int | None
    height: int | None
    frame_rate: float | None
    recorded_at: datetime | None
    """When its first frame was recorded, in UTC, as the container states it."""
    has_video: bool
    """Whether there is anything to play."""
    plays: bool
    """Whether most browsers play its codec; otherwise there is a preview."""
    frames: list[Frame]
    signals: list[Signal]
    captions: list[Caption]
    previous: ClipCard | None
    next: ClipCard | None
    others: list[OtherView]
    similar: list[ClipCard]
    recording_id: str
    etag: str
    reused_from: str | None
    lineage: list[Made]


class Totals(BaseModel):
    """Where the seconds of some footage went."""

    duration_s: float
    passed_s: float
    rejected_s: float
    unjudged_s: float
    too_short_s: float
    failed_s: float


class SpanOnDay(BaseModel):
    """One clip in the timeline of its recording."""

    clip_id: str
    start_s: float
    end_s: float
    outcome: Outcome
    why: str
    """The reasons of a rejection, or the error."""


class RecordingOnDay(BaseModel):
    """One recording of a day."""

    recording_id: str
    key: str
    name: str
    """The end of its key."""
    duration_s: float
    recorded_at: datetime | None
    error: str | None
    spans: list[SpanOnDay]


class CameraOnDay(BaseModel):
    """One camera of a day."""

    camera: str
    totals: Totals
    recordings: list[RecordingOnDay]


class DayDetail(BaseModel):
    """The ledger of a day."""

    day: date
    previous: date | None
    next: date | None
    totals: Totals
    longest_s: float
    """Of its recordings."""
    cameras: list[CameraOnDay]


class DayLine(BaseModel):
    """A day in the list of days."""

    day: date
    cameras: int
    recordings: int
    errors: int
    totals: Totals


class Days(BaseModel):
    """All days of the lake, the latest first."""

    days: list[DayLine]


class Example(BaseModel):
    """An example picture that is kept."""

    image: str
    """Its id, as /api/clips takes it."""


class ExportFailure(BaseModel):
    """A clip of an export that has no file."""

    clip_id: str
    error: str


class Export(BaseModel):
    """Clips as files in a folder of the server, under way or done."""

    name: str
    """The same for the same clips."""
    title: str
    """What was asked for, in words."""
    query: str
    """The same as the query of `/`; empty for clips that were ticked."""
    asked_at: datetime
    """When it was first asked for, in UTC."""
    state: Literal["waiting", "running", "done", "stopped"]
    """`stopped` where it can be taken up again: it was cancelled, or ended by an error."""
    total: int
    done: int
    """Of the clips; those that failed count, too."""
    kept: int
    """Of `done`, those whose files were there already; known while it runs."""
    failed: int
    bytes: int
    """Of the files."""
    failures: list[ExportFailure]
    """The first of those that failed."""
    error: str | None
    """What ended the export as a whole."""


class Exports(BaseModel):
    """All exports that were asked for here, the latest first."""

    exports: list[Export]


class Health(BaseModel):
    """Whether the lake can be read."""

    status: Literal["ok"]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
