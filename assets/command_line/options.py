"""Options that several commands share, checked where they come in."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated

import typer

from lakehouse.errors import UserError
from lakehouse.tables.partition import Partition

DayOption = Annotated[str | None, typer.Option(help="Only this day, YYYY-MM-DD.")]
CameraOption = Annotated[str | None, typer.Option(help="Only this camera, as robot-camera.")]


def parse_day(text: str | None) -> date | None:
    """The day. Raises UserError if it is none."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise UserError(f"{text} is no day; write it as YYYY-MM-DD, such as 2026-03-02")
    return day


def parse_camera(text: str | None) -> str | None:
    """The camera. Raises UserError if no partition can carry it."""
    if text is not None and (not text or "|" in text):
        raise UserError(f"--camera {text!r} can't be a partition: a camera's name holds no '|'")
    return text


def within(
    partitions: Iterable[Partition], day: date | None, camera: str | None
) -> list[Partition]:
    """Those of this day and this camera, where they are named, in order."""
    return sorted(
        partition
        for partition in partitions
        if day in (None, partition.day) and camera in (None, partition.camera)
    )
