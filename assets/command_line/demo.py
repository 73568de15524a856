"""`lakehouse demo`: the main job on sample footage, from nothing to an answer."""

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from assets.command_line.console import out
from assets.command_line.ingest import run_ingest
from assets.command_line.instance import dagster_configuration, program, ui_command
from assets.command_line.read import AnswerFormat, sql, status
from assets.command_line.sample import make_sample
from assets.command_line.search import search
from lakehouse.errors import UserError
from lakehouse.sample.footage import BUCKET_FOLDER, SampleOptions
from lakehouse.settings import SETTINGS_VARIABLE

_QUERY = """SELECT camera, count(*) AS clips, count(*) FILTER (passed) AS passed,
    round(avg(sharpness_p50), 2) AS sharpness, round(avg(motion_p50), 1) AS motion
FROM scores JOIN verdicts USING (clip_id, recording_id, day, camera)
GROUP BY camera ORDER BY camera"""
_SEARCH = "strong motion"
_BROWSER_URL = "http://127.0.0.1:8765"
"""Where `lakehouse serve` listens unless it is told another port."""
_LINKED = ("LAKEHOUSE_BUCKET", "LAKEHOUSE_LAKE", "LAKEHOUSE_KEY_PATTERN")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    folder: Annotated[Path, typer.Argument(help="A folder for everything it makes.")] = Path(
        "demo"
    ),
) -> None:
    """Sample footage, ingest, ledger, a query and a search, all in one folder.

    Leaves everything there: run it again and nothing is computed twice.
    """
    today = datetime.now(UTC).date()
    # Recent days, since the UI plots the latest partitions.
    days = (today - timedelta(days=1), today)
    home = _prepare(folder.absolute(), days[0])
    if not (folder / BUCKET_FOLDER).is_dir():
        make_sample(folder, SampleOptions(days=days))
    outcome = run_ingest(None, None)
    if outcome.failed:
        raise typer.Exit(1)
    status()
    out.print(f"\n$ lakehouse sql '{_QUERY}'", markup=False, highlight=False)
    sql(_QUERY, AnswerFormat.TABLE)
    out.print(f"\n$ lakehouse search '{_SEARCH}' --limit 3", markup=False, highlight=False)
    search(_SEARCH, limit=3)
    out.print("\nAsk on:", style="bold")
    _say(f"  export {SETTINGS_VARIABLE}={folder.absolute() / 'lakehouse.toml'}")
    _say(f'  {program("lakehouse")} search "画面 运动"')
    _say(f"Watch the clips, at {_BROWSER_URL}:")
    _say(f"  {program('lakehouse')} serve")
    _say("And how they were made in the Dagster UI, which links to them, at http://127.0.0.1:3000:")
    _say(f"  {ui_command(home)}")


def _prepare(folder: Path, first_day: date) -> Path:
    """Settings and a Dagster instance of the demo's own; returns the instance's folder.

    Settings that are there already stay as they are.
    """
    home = folder / "dagster_home"
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dagster_configuration(), home / "dagster.yaml")
        settings = folder / "lakehouse.toml"
        if not settings.exists():
            settings.write_text(
                f'bucket = "{(folder / BUCKET_FOLDER).as_posix()}"\n'
                f'lake = "{(folder / "lake").as_posix()}"\n'
                f'first_day = "{first_day.isoformat()}"\n'
                f'browser_url = "{_BROWSER_URL}"\n',
                encoding="utf-8",
            )
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror}; name another") from error
    for variable in _LINKED:
        os.environ.pop(variable, None)
    os.environ[SETTINGS_VARIABLE] = str(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)
