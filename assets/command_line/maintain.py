"""`lakehouse maintain`: keep every table small and quick."""

from datetime import timedelta
from typing import Annotated

import typer

from assets.command_line.console import err, out, print_table, progress
from lakehouse.errors import UserError
from lakehouse.query.tables import all_tables
from lakehouse.settings import load_settings
from lakehouse.tables.lake import open_lake
from lakehouse.tables.maintenance import maintain as maintain_table

_BYTES_PER_MB = 1e6


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(maintain)


def maintain(
    keep_versions_s: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Keep what was the latest version at most so long ago, instead of "
            "maintenance.keep_versions_s. 0 breaks whoever reads or writes right now.",
        ),
    ] = None,
) -> None:
    """Refresh the indices of all tables, merge their small files and remove old versions.

    Rows and tagged versions stay. Runs beside everything else, and again whenever you like.
    """
    settings = load_settings()
    lake = open_lake(settings)
    tables = [table for table in all_tables(settings) if lake.exists(table)]
    if not tables:
        raise UserError(f"the lake {lake.url} has no tables yet; run `lakehouse ingest` first")
    seconds = settings.maintenance.keep_versions_s if keep_versions_s is None else keep_versions_s
    reports = []
    with progress() as bar:
        task = bar.add_task("tables", total=len(tables))
        for table in tables:
            bar.update(task, description=table.name)
            reports.append(maintain_table(lake, table, timedelta(seconds=seconds)))
            bar.advance(task)
    print_table(
        ["table", "versions", "fragments", "indices refreshed", "MB freed", "s"],
        [
            (
                report.table,
                f"{report.versions_before} -> {report.versions_after}",
                f"{report.fragments_before} -> {report.fragments_after}",
                ", ".join(report.indices),
                f"{report.bytes_removed / _BYTES_PER_MB:.1f}",
                f"{report.wall_s:.1f}",
            )
            for report in reports
        ],
        title=f"maintenance of {lake.url}",
    )
    freed_mb = sum(report.bytes_removed for report in reports) / _BYTES_PER_MB
    out.print(f"{freed_mb:.1f} MB freed", highlight=False)
    for report in reports:
        for conflict in report.deferred:
            err.print(f"{report.table}: left to the next time, {conflict}", markup=False)
