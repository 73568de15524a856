"""`lakehouse status` and `sql`: questions to the lake. Finding clips is `search`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assets.command_line.console import out, print_table
from lakehouse.errors import UserError
from lakehouse.query.answers import save, write_csv, write_json
from lakehouse.query.clock import clock
from lakehouse.query.ledger import rejections
from lakehouse.query.ledger import status as ledger_status
from lakehouse.query.sql import Answer, answering, shown_rows
from lakehouse.query.views import connect
from lakehouse.settings import QuerySettings, load_settings
from lakehouse.tables.lake import open_lake


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


class AnswerFormat(StrEnum):
    """How the answer to SQL is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


FormatOption = Annotated[Format, typer.Option("--format", help="For people, or one JSON array.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(sql)


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
    out.print(f"{clock(total_s)} of footage, {clock(passed_s)} passed", highlight=False)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT statement in DuckDB's SQL.")],
    format_: Annotated[
        AnswerFormat, typer.Option("--format", help="For people, or for programs.")
    ] = AnswerFormat.TABLE,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Write csv, json or parquet into this file.")
    ] = None,
) -> None:
    """Query the views: recordings, clips, frames, scores, verdicts, captions, embeddings,
    frame_embeddings, ledger, runs (what each run did), daily_reports (as of each day's last
    ingest), and gone (recordings whose object was removed).

    For instance: lakehouse sql "SELECT camera, count(*) FROM clips GROUP BY camera"
    """
    settings = load_settings()
    if format_ is AnswerFormat.PARQUET and out_ is None:
        raise UserError("Parquet is not for a terminal; name a file with --out")
    if format_ is AnswerFormat.TABLE and out_ is not None:
        raise UserError("--out takes --format csv, json or parquet")
    with (
        connect(open_lake(settings), settings) as connection,
        answering(connection, query, settings.query) as answer,
    ):
        if out_ is not None:
            save(answer, format_.value, out_)
        else:
            _print(answer, format_, settings.query)


def _print(answer: Answer, format_: AnswerFormat, limits: QuerySettings) -> None:
    if format_ is AnswerFormat.JSON:
        write_json(answer, sys.stdout)
    elif format_ is AnswerFormat.CSV:
        write_csv(answer, sys.stdout)
    else:
        print_table(answer.names, shown_rows(answer, limits))
