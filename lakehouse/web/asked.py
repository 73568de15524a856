"""What a visitor asks for: the fields of the search form, as they stand in an address.

Which clips fit is `listing`; example pictures, of which an address holds only the id, are
`examples`.
"""

from dataclasses import dataclass
from datetime import date, time
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query
from pydantic import BeforeValidator

from lakehouse.query.asked import By

Verdict = Literal["any", "passed", "rejected", "too_short", "failed"]

_CLIP_ID = r"^([0-9a-z][0-9a-z-]{0,127})?$"
_IMAGE_ID = r"^([0-9a-f]{32})?$"


@dataclass(frozen=True)
class Asked:
    """What a visitor wants to see; none, and empty, mean any.

    `like` is the id of a clip and `image` that of an example picture. `by` names the ways that
    count, without any all. Times of day are in UTC, the end exclusive. `where` is SQL over the
    columns of clips, recordings, scores and verdicts.
    """

    text: str = ""
    like: str = ""
    image: str = ""
    by: tuple[By, ...] = ()
    first_day: date | None = None
    last_day: date | None = None
    cameras: tuple[str, ...] = ()
    robot: str = ""
    from_time: time | None = None
    until_time: time | None = None
    verdict: Verdict = "any"
    where: str = ""
    page: int = 1

    @property
    def is_ranked(self) -> bool:
        """Whether clips should be like something, so that some fit better than others."""
        return bool(self.text or self.like or self.image)

    @property
    def query(self) -> str:
        """The same as the query of an address, of the first page."""
        given: dict[str, object] = {
            "q": self.text,
            "like": self.like,
            "image": self.image,
            "by": self.by,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "camera": self.cameras,
            "robot": self.robot,
            "from_time": self.from_time and self.from_time.isoformat(),
            "until_time": self.until_time and self.until_time.isoformat(),
            "verdict": "" if self.verdict == "any" else self.verdict,
            "where": self.where,
        }
        return urlencode({name: value for name, value in given.items() if value}, doseq=True)

    def __str__(self) -> str:
        """The same in words."""
        days = [day.isoformat() if day else "" for day in (self.first_day, self.last_day)]
        times = [at.isoformat("minutes") if at else "" for at in (self.from_time, self.until_time)]
        said = (
            self.text and f"“{self.text}”",
            self.like and f"like clip {self.like}",
            self.image and "like a picture",
            self.by and f"by {', '.join(self.by)}",
            _span(*days),
            _span(*times),
            ", ".join(self.cameras),
            self.robot,
            "" if self.verdict == "any" else self.verdict.replace("_", " "),
            self.where and f"where {self.where}",
        )
        return " · ".join(part for part in said if part) or "all clips"


def _span(first: str, last: str) -> str:
    if first == last:
        return first
    return " ".join(part for part in (first and f"from {first}", last and f"to {last}") if part)


def _unless_empty(value: object) -> object:
    """Forms send empty fields, too."""
    return value or None


Day = Annotated[date | None, BeforeValidator(_unless_empty), Query(description="YYYY-MM-DD.")]
TimeOfDay = Annotated[
    time | None,
    BeforeValidator(_unless_empty),
    Query(description="HH:MM in UTC, of recordings that say when they began."),
]


def _asked(
    q: Annotated[str, Query(max_length=500, description="Words of a caption.")] = "",
    like: Annotated[str, Query(pattern=_CLIP_ID, description="The id of an example clip.")] = "",
    image: Annotated[
        str, Query(pattern=_IMAGE_ID, description="An example picture, as /api/examples names it.")
    ] = "",
    by: Annotated[
        list[By], Query(max_length=len(By), description="Only these ways count; else all.")
    ] = [],  # noqa: B006, FastAPI copies it
    first_day: Day = None,
    last_day: Day = None,
    camera: Annotated[
        list[Annotated[str, Query(max_length=300)]],
        Query(max_length=200, description="Any of these."),
    ] = [],  # noqa: B006
    robot: Annotated[str, Query(max_length=300, description="Only this robot.")] = "",
    from_time: TimeOfDay = None,
    until_time: TimeOfDay = None,
    verdict: Annotated[Verdict, Query(description="What became of the clip.")] = "any",
    where: Annotated[
        str,
        Query(max_length=2000, description="SQL over clips, recordings, scores and verdicts."),
    ] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Asked:
    return Asked(
        text=q.strip(),
        like=like,
        image=image,
        by=tuple(dict.fromkeys(by)),
        first_day=first_day,
        last_day=last_day,
        cameras=tuple(name for name in camera if name),
        robot=robot.strip(),
        from_time=_in_utc(from_time),
        until_time=_in_utc(until_time),
        verdict=verdict,
        where=where.strip(),
        page=page,
    )


def _in_utc(of_day: time | None) -> time | None:
    """A zone that somebody writes behind a time would be part of the SQL."""
    return None if of_day is None else of_day.replace(tzinfo=None)


AskedFor = Annotated[Asked, Depends(_asked)]
