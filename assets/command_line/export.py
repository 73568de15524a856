"""`lakehouse export`: a selection of clips as MP4s in a folder, with a manifest."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from assets.command_line.console import err, out, progress
from assets.command_line.options import CameraOption, DayOption, parse_camera, parse_day
from lakehouse.errors import UserError
from lakehouse.export.folder import Progress
from lakehouse.export.folder import export as export_clips
from lakehouse.export.manifest import JSON_NAME, Entry
from lakehouse.export.selection import by_ids, by_search, by_sql
from lakehouse.query.asked import By, Filters, Query
from lakehouse.settings import Settings, load_settings
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import Lake, open_lake

_FAILURES_TOLD = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    folder: Annotated[Path, typer.Argument(help="Where the MP4s and the manifest go.")],
    clip_ids: Annotated[
        list[str] | None, typer.Argument(help="Clips by id; `-` reads them from stdin.")
    ] = None,
    sql: Annotated[
        str | None, typer.Option(help="A SELECT over the views that yields `clip_id`.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="What a search for this text finds.")] = None,
    by: Annotated[
        list[By] | None, typer.Option(help="How --search matches; may be repeated. Else all ways.")
    ] = None,
    day: DayOption = None,
    camera: CameraOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Clips that --search finds at most.")] = 100,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Clips written at once.")] = 4,
) -> None:
    """Write many clips as MP4s, lossless and exact to the frame, with manifest.json and .csv.

    Choose them by id, with --sql, or with --search (which --by, --day, --camera and --limit
    narrow). Run it again to go on after a kill, or to add clips: what is there is left alone. Exit
    code 1 if some clips failed; why is in the manifest.
    """
    settings = load_settings()
    lake = open_lake(settings)
    only_day, only_camera = parse_day(day), parse_camera(camera)
    filters = Filters(only_day, only_day, (only_camera,) if only_camera else ())
    if sum([bool(clip_ids), sql is not None, search is not None]) != 1:
        raise UserError("export which clips? give ids, or --sql, or --search")
    if search is None and filters != Filters():
        raise UserError("--day and --camera narrow a --search; say it in the SQL, or leave it out")
    if search is not None:
        query = Query(search, by=tuple(by or ()))
        chosen = by_search(lake, settings, query, filters, limit)
    elif sql is not None:
        chosen = by_sql(lake, settings, sql)
    else:
        chosen = by_ids(sys.stdin if clip_ids == ["-"] else clip_ids or ())
    done, failed = _write(lake, settings, chosen, folder, workers)
    out.print(
        f"{folder / JSON_NAME}: {done.done - done.kept - done.failed} clips written, "
        f"{done.bytes_written} bytes; {done.kept} were there, {done.failed} failed",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for entry in failed[:_FAILURES_TOLD]:
        err.print(f"  {entry.clip_id}: {entry.error}", markup=False, highlight=False, style="red")
    if failed:
        raise typer.Exit(1)


def _write(
    lake: Lake, settings: Settings, chosen: list[str], folder: Path, workers: int
) -> tuple[Progress, list[Entry]]:
    failed: list[Entry] = []
    with progress() as bar:
        task = bar.add_task(f"exporting to {folder}", total=len(chosen))

        def on_done(_: Progress, entry: Entry) -> None:
            bar.advance(task)
            if entry.error is not None:
                failed.append(entry)

        bucket = open_bucket(settings.bucket, settings.s3)
        done = export_clips(
            lake, settings, bucket, chosen, folder, workers=workers, on_done=on_done
        )
    return done, failed
