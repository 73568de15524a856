"""`lakehouse report`: what became of a day's footage, and what that took."""

from typing import Annotated

import typer

from assets.command_line.console import out
from assets.command_line.options import parse_day
from lakehouse.errors import UserError
from lakehouse.query.daily_report import latest_day
from lakehouse.query.daily_report import report as report_of
from lakehouse.query.report_text import as_markdown
from lakehouse.query.views import connect
from lakehouse.settings import load_settings
from lakehouse.tables.lake import open_lake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    day: Annotated[
        str | None, typer.Argument(help="YYYY-MM-DD; the latest day with footage if left out.")
    ] = None,
) -> None:
    """Print the report of a day, as Markdown: footage by camera, what passed, what failed and why,
    captions, and what the runs took.

    It is made from the lake as it is, with today's thresholds. The report as of the last ingest of
    each day is in the view `daily_reports`.
    """
    settings = load_settings()
    with connect(open_lake(settings), settings) as connection:
        chosen = parse_day(day) or latest_day(connection)
        if chosen is None:
            raise UserError("the lake holds no footage yet; run `lakehouse ingest` first")
        text = as_markdown(report_of(connection, chosen))
    out.print(text.rstrip("\n"), markup=False, highlight=False, soft_wrap=True)
