"""`lakehouse search`: finding clips by words, meaning, looks or an example."""

import sys
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assets.command_line.console import out
from assets.command_line.options import parse_camera, parse_day
from assets.command_line.read import Format, FormatOption
from lakehouse.errors import UserError
from lakehouse.query.answers import write_objects
from lakehouse.query.asked import By, Filters, Query
from lakehouse.query.clock import clock
from lakehouse.query.search import search as search_clips
from lakehouse.settings import load_settings
from lakehouse.tables.lake import open_lake


class Verdict(StrEnum):
    """Which verdict clips must have."""

    PASSED = "passed"
    REJECTED = "rejected"
    ANY = "any"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(search)


def search(
    text: Annotated[str | None, typer.Argument(help="Words, in English or Chinese.")] = None,
    image: Annotated[Path | None, typer.Option(help="Clips like this picture.")] = None,
    like: Annotated[str | None, typer.Option(help="Clips like this one, by its id.")] = None,
    by: Annotated[
        list[By] | None,
        typer.Option(help="Only these ways of matching; may be repeated. Else all there are."),
    ] = None,
    day: Annotated[str | None, typer.Option(help="Only this day, YYYY-MM-DD.")] = None,
    first_day: Annotated[str | None, typer.Option(help="From this day on.")] = None,
    last_day: Annotated[str | None, typer.Option(help="Until this day.")] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this robot-camera; may be repeated.")
    ] = None,
    robot: Annotated[str | None, typer.Option(help="Only this robot.")] = None,
    from_time: Annotated[str | None, typer.Option(help="Time of day in UTC, HH:MM.")] = None,
    until_time: Annotated[str | None, typer.Option(help="Time of day in UTC, HH:MM.")] = None,
    verdict: Annotated[Verdict, typer.Option(help="Today's verdict.")] = Verdict.PASSED,
    where: Annotated[
        str | None,
        typer.Option(help="A condition in SQL, such as: sharpness_p50 > 0.6 AND state = 'moving'"),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Fold no clips that look the same.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Clips at most.")] = 10,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Find clips, best first; without anything to look for, the newest.

    Words and examples need nothing. Meaning needs an embedder of captions (the extra `torch` brings
    one), looks one of clips that knows texts, such as SigLIP: see docs/models.md.
    """
    if text is not None and not text.strip():
        raise UserError("search for what? give some words, such as: lakehouse search corridor")
    settings = load_settings()
    query = Query(text, _bytes_of(image), like, tuple(by or ()), fold=not all_)
    filters = Filters(
        first_day=parse_day(day or first_day),
        last_day=parse_day(day or last_day),
        cameras=tuple(c for c in map(parse_camera, camera or ()) if c is not None),
        robot=robot,
        from_time=_time(from_time),
        until_time=_time(until_time),
        verdict=verdict.value,
        where=where,
    )
    found = search_clips(open_lake(settings), settings, query, filters, limit)
    if format_ is Format.JSON:
        write_objects(found.columns, found.iter_rows(), sys.stdout)
        return
    if found.is_empty():
        out.print("nothing found", highlight=False)
    for row in found.iter_rows(named=True):
        for line in _lines(row):
            out.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(row: dict[str, object]) -> list[str]:
    start_s, end_s, ways, duplicates = (
        row[name] for name in ("start_s", "end_s", "ways", "duplicates")
    )
    assert isinstance(start_s, float)
    assert isinstance(end_s, float)
    assert isinstance(ways, list)
    assert isinstance(duplicates, list)
    line = f"{row['clip_id']}  {row['key']}, {clock(start_s)} to {clock(end_s)}"
    line += "".join(f", {way['way']} {way['rank']}" for way in ways)
    if duplicates:
        line += f", and {len(duplicates)} that look the same"
    return [line, *([f"    {row['text']}"] if row["text"] else [])]


def _bytes_of(image: Path | None) -> bytes | None:
    if image is None:
        return None
    try:
        return image.read_bytes()
    except OSError as error:
        raise UserError(f"--image {image} can't be read: {error.strerror}") from error


def _time(text: str | None) -> time | None:
    if text is None:
        return None
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"{text} is no time of day; write it as HH:MM, such as 18:30") from error
