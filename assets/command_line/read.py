"""`lakehouse status`, `sql` and `search`: questions to the lake."""

import json
import math
from enum import StrEnum
from typing import Annotated

import typer

from assets.command_line.console import duration, out, print_table
from assets.command_line.options import CameraOption, DayOption, parse_camera, parse_day
from lakehouse.errors import UserError
from lakehouse.query.hits import By
from lakehouse.query.ledger import rejections
from lakehouse.query.ledger import status as ledger_status
from lakehouse.query.search import Filters
from lakehouse.query.search import search as search_clips
from lakehouse.query.sql import read_only
from lakehouse.query.views import connect
from lakehouse.settings import load_settings
from lakehouse.tables.lake import open_lake


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="For people, or one JSON array.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(sql)
    app.command()(search)


def status() -> None:
    """The ledger: where every second went, per day and camera."""
    settings = load_settings()
    with connect(open_lake(settings), settings) as connection:
        accounts = ledger_status(connection)
        reasons = rejections(connection)
    because: dict[tuple[object, str], list[str]] = {}
    for row in reasons.iter_rows(named=True):
        text = f"{row['reason']} {row['rejected_s']:.1f}"
        because.setdefault((row["day"], row["camera"]), []).append(text)
    print_table(
        ["day", "camera", "files", "footage", "passed", "rejected", "short", "failed", "errors"],
        [
            (
                row["day"],
                row["camera"],
                row["recordings"],
                f"{row['duration_s']:.1f}",
                f"{row['passed_s']:.1f}",
                ", ".join(because.get((row["day"], row["camera"]), [])),
                f"{row['too_short_s']:.1f}",
                f"{row['failed_s']:.1f}",
                row["errors"],
            )
            for row in accounts.iter_rows(named=True)
        ],
        title=f"ledger of {settings.lake}, in seconds",
    )
    total_s, passed_s = (float(accounts[name].sum()) for name in ("duration_s", "passed_s"))
    out.print(f"{duration(total_s)} of footage, {duration(passed_s)} passed", highlight=False)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT statement in DuckDB's SQL.")],
    format_: FormatOption = Format.TABLE,
) -> None:
    """Query the views: recordings, clips, frames, scores, verdicts, captions, embeddings, ledger,
    runs (what each run did), and gone (recordings whose object was removed).

    For instance: lakehouse sql "SELECT camera, count(*) FROM clips GROUP BY camera"
    """
    settings = load_settings()
    with connect(open_lake(settings), settings) as connection:
        names, rows = read_only(connection, query)
    _print(names, rows, format_)


def search(
    text: Annotated[str, typer.Argument(help="Words, in English or Chinese.")],
    by: Annotated[
        By, typer.Option(help="The words of captions, their meaning, or what clips look like.")
    ] = By.WORDS,
    day: DayOption = None,
    camera: CameraOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Clips at most.")] = 10,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Find clips by a text, best first; only clips that pass.

    By words needs nothing. By meaning needs an embedder of captions (the extra `torch` brings one),
    by looks one of clips that knows texts, such as SigLIP: see docs/models.md.
    """
    if not text.strip():
        raise UserError("search for what? give some words, such as: lakehouse search corridor")
    settings = load_settings()
    filters = Filters(parse_day(day), parse_camera(camera))
    found = search_clips(open_lake(settings), settings, text, filters, limit, by)
    if format_ is Format.JSON:
        _print(found.columns, found.rows(), format_)
    elif found.is_empty():
        out.print("nothing found", highlight=False)
    for row in found.iter_rows(named=True) if format_ is Format.TABLE else ():
        when = f"{duration(row['start_s'])} to {duration(row['end_s'])}"
        lines = [f"{row['clip_id']}  {row['key']}, {when}, score {row['score']:.2f}"]
        lines += [f"    {row['text']}"] if row["text"] else []
        for line in lines:
            out.print(line, markup=False, highlight=False, soft_wrap=True)


def _print(names: list[str], rows: list[tuple[object, ...]], format_: Format) -> None:
    if format_ is Format.JSON:
        objects = [dict(zip(names, map(_json_value, row), strict=True)) for row in rows]
        typer.echo(json.dumps(objects, default=str, ensure_ascii=False))
    else:
        print_table(names, rows)


def _json_value(value: object) -> object:
    """JSON has no word for what is not a number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
