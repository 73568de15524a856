"""`lakehouse plan`: what a run would do and take, before anything runs.

How that is known is `lakehouse.engine.forecast`, and what it takes `lakehouse.engine.costs`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer

from assets.command_line.console import err, out, print_table, progress
from assets.command_line.options import CameraOption, DayOption, parse_camera, parse_day, within
from assets.command_line.read import Format, FormatOption
from lakehouse.engine.costs import Cost, cost_of, history_of
from lakehouse.engine.forecast import Forecast, StageForecast, forecast
from lakehouse.engine.retry import Retry
from lakehouse.engine.scan import partitions_of, scan
from lakehouse.engine.supposed import supposing
from lakehouse.query.clock import clock
from lakehouse.settings import load_settings
from lakehouse.stages.chain import chain
from lakehouse.storage.address import open_bucket
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.schemas import RECORDINGS

Told = tuple[Forecast, StageForecast, Cost]

_ALWAYS = ("new", "stale", "failed", "orphaned")
_IF_ANY = ("retried", "given_up", "waiting", "reusable")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    day: DayOption = None,
    camera: CameraOption = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As if what failed before were tried again.")
    ] = False,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Tell what `lakehouse ingest` would do, stage by stage, and what it would take at most.

    Nothing is written. new: to be made. stale: made of something else, or by other settings.
    failed: holds an error, and is left unless you ask; given_up: failed too often for that.
    orphaned: its footage or clip is gone. waiting: still being uploaded. pending: belongs to
    recordings that a stage before changes, so that nobody knows yet. reusable: may need no
    decoding, since the same footage was decoded before under another key.

    Seconds of footage are measured, or estimated (~) from sizes of files. Time, tokens and model
    seconds (GPU-seconds, where the model runs on a GPU) are those of earlier runs, as if all that
    is pending had to be made and nothing could be reused; what never ran is unknown.
    """
    settings = load_settings()
    bucket = open_bucket(settings.bucket, settings.s3)
    lake = supposing(open_lake(settings))
    only = parse_day(day), parse_camera(camera)
    retry = Retry() if retry_failed else None
    with progress() as bar:
        task = bar.add_task(f"listing {settings.bucket}", total=None)
        pattern = KeyPattern.parse(settings.key_pattern)
        listed = scan(bucket.list(), pattern, settings.first_day).partitions.keys()
        chosen = within(listed | partitions_of(lake), *only)
        bar.update(task, description="planning", total=len(chosen))
        forecasts = []
        for partition in chosen:
            forecasts.append(forecast(settings, bucket, lake, partition, retry=retry))
            bar.advance(task)
        history = history_of(chain(settings, bucket, lake))
    told = [
        (of, stage, cost_of(stage, history, of.partition.camera))
        for of in forecasts
        for stage in of.stages
        if not stage.is_up_to_date
    ]
    if format_ is Format.JSON:
        typer.echo(json.dumps([_as_json(*each) for each in told], ensure_ascii=False))
    else:
        _print_rows(told)
        _print_costs(told)
    removed = _removed(lake, forecasts) if settings.removed_footage == "remove" else 0
    if removed:
        err.print(f"{removed} recordings that are gone will be removed with all their rows")
    elif all(of.is_empty for of in forecasts):
        err.print(f"nothing to do in {len(chosen)} partitions", highlight=False)
    if chosen and not listed:
        err.print(
            f"no footage lies in {settings.bucket}: all of the lake's counts as gone; if that is "
            "wrong, mount it or correct LAKEHOUSE_BUCKET before the next run",
            style="yellow",
            markup=False,
        )


def _removed(lake: Lake, forecasts: Sequence[Forecast]) -> int:
    """The recordings that will be gone after the run, those included that were before."""
    gone = set(lake.read(RECORDINGS, None, ["recording_id"], "gone_since IS NOT NULL").to_series())
    for of in forecasts:
        first = of.stages[0].plan
        gone = (gone | set(first.orphaned)) - set(first.work)
    return len(gone)


def _counts(stage: StageForecast) -> dict[str, int]:
    return {**stage.plan.counts(), "reusable": len(stage.reusable), "pending": len(stage.pending)}


def _as_json(of: Forecast, stage: StageForecast, cost: Cost) -> dict[str, Any]:
    """`pending` counts recordings, all others parents; null is unknown."""
    return {
        "day": of.partition.day.isoformat(),
        "camera": of.partition.camera,
        "stage": stage.stage,
        **_counts(stage),
        "rows": cost.rows,
        "footage_s": cost.footage_s,
        "rows_are_known": cost.rows_are_known,
        "footage_is_known": cost.footage_is_known,
        "wall_s": cost.wall_s,
        "tokens": cost.tokens,
        "model_s": cost.model_s,
    }


def _print_rows(told: Sequence[Told]) -> None:
    """One line for each partition and stage that is not up to date."""
    counts = [(of, stage, _counts(stage), cost) for of, stage, cost in told]
    if not counts:
        return
    shown = [*_ALWAYS, *(name for name in _IF_ANY if any(count[name] for *_, count, _ in counts))]
    rows = [
        (
            of.partition.day,
            of.partition.camera,
            stage.stage,
            *(count[name] or "" for name in shown),
            _pending(stage, cost),
        )
        for of, stage, count, cost in counts
    ]
    print_table(["day", "camera", "stage", *shown, "pending"], rows)


def _pending(stage: StageForecast, cost: Cost) -> str:
    if not stage.pending:
        return ""
    recordings = f"{len(stage.pending)} recordings"
    if stage.stage == "clips":
        return recordings
    rows = "? rows" if cost.rows is None else f"~{cost.rows - len(stage.plan.work):.0f} rows"
    return f"{recordings}, {rows}"


def _print_costs(told: Sequence[Told]) -> None:
    """What each stage takes in all."""
    totals: dict[str, Cost] = {}
    for _, stage, cost in told:
        if stage.plan.work or stage.pending:
            totals[stage.stage] = totals.get(stage.stage, Cost()) + cost
    if totals:
        print_table(
            ["stage", "rows", "footage", "tokens", "model s", "time"],
            [(name, *_shown(cost)) for name, cost in totals.items()],
            title="at most, by earlier runs",
        )
        known = [cost.wall_s for cost in totals.values() if cost.wall_s is not None]
        unknown = "" if len(known) == len(totals) else ", and what is unknown"
        if known:
            out.print(f"~{clock(sum(known))} in all{unknown}", highlight=False)


def _shown(cost: Cost) -> Iterator[str]:
    yield _or_unknown(cost.rows, "{:.0f}".format, is_known=cost.rows_are_known)
    yield _or_unknown(cost.footage_s, clock, is_known=cost.footage_is_known)
    yield _or_unknown(cost.tokens, "{:.0f}".format, is_known=not cost.tokens)
    yield _or_unknown(cost.model_s, "{:.1f}".format, is_known=not cost.model_s)
    yield _or_unknown(cost.wall_s, clock)


def _or_unknown(
    amount: float | None, written: Callable[[float], str], *, is_known: bool = False
) -> str:
    """A number as people read it; `~` says that it is an estimate."""
    if amount is None:
        return "unknown"
    return written(amount) if is_known else f"~{written(amount)}"
