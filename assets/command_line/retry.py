"""`lakehouse retry`: try again what failed, or some of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated

import typer

from assets.command_line.console import err, progress
from assets.command_line.ingest import run_ingest
from assets.command_line.options import CameraOption, DayOption, parse_camera, parse_day, within
from lakehouse.engine.retry import Retry, retried
from lakehouse.engine.scan import partitions_of
from lakehouse.engine.supposed import supposing
from lakehouse.errors import UserError
from lakehouse.settings import load_settings
from lakehouse.stages.chain import FAMILIES, chain
from lakehouse.stages.stage import Stage
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import open_lake
from lakehouse.tables.plan import make_plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retry)


def retry(
    stage: Annotated[
        str,
        typer.Option(help="Only this stage, such as captions:zh, or all of a family: captions."),
    ] = "",
    key: Annotated[
        str, typer.Option(help="Only of recordings whose key fits, such as 'rex/*/broken*.mp4'.")
    ] = "*",
    error: Annotated[
        str, typer.Option(help="Only errors that hold this text, such as 'timed out'.")
    ] = "",
    day: DayOption = None,
    camera: CameraOption = None,
    given_up: Annotated[
        bool, typer.Option("--given-up", help="Also what failed limits.attempts times.")
    ] = False,
) -> None:
    """Try again what failed, and bring everything else up to date, as `lakehouse ingest` does.

    Without options, all that failed and was not given up. A row that failed limits.attempts times
    is given up; --given-up tries it all the same. A file that was replaced, and whatever other
    settings or another version of the code would make anew, needs no retry. To see the errors:

    lakehouse sql "SELECT key, error FROM recordings WHERE error IS NOT NULL"

    Exit code 1 if a run failed.
    """
    wanted = Retry(stage=stage, key=key, error=error, given_up=given_up)
    only = parse_day(day), parse_camera(camera)
    tried, left = _count(wanted, *only)
    attempts = load_settings().limits.attempts
    if left:
        err.print(
            f"left alone, having failed {attempts} times: {_listed(left)}; add --given-up to try "
            "them, or raise limits.attempts",
            style="yellow",
            highlight=False,
        )
    if not tried:
        err.print("nothing else failed that fits" if left else "nothing failed that fits")
        return
    err.print(f"tried again: {_listed(tried)}", highlight=False)
    outcome = run_ingest(*only, wanted)
    if outcome.failed:
        raise typer.Exit(1)


def _count(
    wanted: Retry, day: date | None, camera: str | None
) -> tuple[Counter[str], Counter[str]]:
    """By stage, how many rows are tried again, and how many are not for their attempts alone."""
    settings = load_settings()
    lake = supposing(open_lake(settings))
    stages = chain(settings, open_bucket(settings.bucket, settings.s3), lake)
    concerned = _concerned(stages, wanted)
    chosen = within(partitions_of(lake), day, camera)
    tried, all_that_fit = Counter[str](), Counter[str]()
    with progress() as bar:
        for partition in bar.track(chosen, description="planning"):
            for stage in concerned:
                children = stage.children(partition)
                parents = stage.parents(partition)
                for counts, retry in (
                    (tried, wanted),
                    (all_that_fit, replace(wanted, given_up=True)),
                ):
                    is_retried = retried(retry, stage, partition, settings.limits.attempts)
                    counts[stage.name] += len(make_plan(parents, children, is_retried).retried)
    return +tried, all_that_fit - tried


def _concerned(stages: Sequence[Stage], retry: Retry) -> list[Stage]:
    """The stages that a filter names. Raises UserError if it names none."""
    found = [stage for stage in stages if retry.concerns(stage.name)]
    if not found:
        known = ", ".join([*FAMILIES, *(stage.name for stage in stages if ":" in stage.name)])
        raise UserError(f"--stage {retry.stage} is no stage; known are {known}")
    return found


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} of {stage}" for stage, count in counts.items())
