"""What a forecast would take, by what earlier runs took.

Only the lake's own history is asked. Where it says nothing, the answer is none, never a guess.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import polars as pl

from lakehouse.engine.forecast import Footage, StageForecast
from lakehouse.stages.stage import Stage
from lakehouse.tables.schemas import RECORDINGS, RUNS

_RUNS_READ = 1000
_RUNS_COUNTED = 20
_DECODES = "clips"
"""The stage that takes time by the length of footage; all others do by the number of rows."""


@dataclass(frozen=True)
class Cost:
    """What the work of a stage takes at most: as if all that is pending were made, and nothing
    reused. None is unknown.

    `rows` counts parents. `model_s` is time of the model: GPU-seconds, where it runs on a GPU.
    `rows_are_known` and `footage_is_known` tell whether these two are exact; time and tokens are
    never.
    """

    rows: float | None = 0.0
    footage_s: float | None = 0.0
    wall_s: float | None = 0.0
    tokens: float | None = 0.0
    model_s: float | None = 0.0
    rows_are_known: bool = True
    footage_is_known: bool = True

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            _plus(self.rows, other.rows),
            _plus(self.footage_s, other.footage_s),
            _plus(self.wall_s, other.wall_s),
            _plus(self.tokens, other.tokens),
            _plus(self.model_s, other.model_s),
            self.rows_are_known and other.rows_are_known,
            self.footage_is_known and other.footage_is_known,
        )


@dataclass(frozen=True)
class Rates:
    """What a stage took in its latest runs: of this version if there are any, else of others. None
    where it never ran, or only copied rows."""

    wall_s_per_row: float | None = None
    wall_s_per_footage_s: float | None = None
    tokens_per_row: float | None = None
    model_s_per_row: float | None = None


@dataclass(frozen=True)
class History:
    """What the lake knows of its past: runs and rows by stage, recordings of known length."""

    runs: Mapping[str, pl.DataFrame]
    rows: Mapping[str, int]
    recordings: pl.DataFrame

    def rates(self, stage: str, stage_version: str) -> Rates:
        """See Rates. What was copied counts for nothing."""
        runs = self.runs[stage].filter(pl.col("made") > pl.col("reused"))
        same = runs.filter(pl.col("stage_version") == stage_version)
        latest = (runs if same.is_empty() else same).top_k(_RUNS_COUNTED, by="started_at")
        if latest.is_empty():
            return Rates()
        rows = _total(latest, pl.col("made") - pl.col("reused"))
        wall_s = _total(latest, pl.col("wall_s"))
        footage_s = _total(latest, pl.col("footage_s") * (1 - pl.col("reused") / pl.col("made")))
        return Rates(
            wall_s / rows,
            wall_s / footage_s if footage_s else None,
            _total(latest, pl.col("tokens")) / rows,
            _total(latest, pl.col("model_s")) / rows,
        )

    def rows_per_footage_s(self, stage: str) -> float | None:
        """How many parents the stage has for a second of recordings; none where it has none."""
        total_s = _total(self.recordings, pl.col("duration_s"))
        return self.rows[stage] / total_s if total_s and self.rows[stage] else None

    def bytes_per_s(self, camera: str) -> float | None:
        """Of the camera's footage; of all footage for a camera that was never seen."""
        own = self.recordings.filter(pl.col("camera") == camera)
        known = self.recordings if own.is_empty() else own
        total_s = _total(known, pl.col("duration_s"))
        return _total(known, pl.col("size_bytes")) / total_s if total_s else None


def history_of(stages: Iterable[Stage]) -> History:
    """The past of these stages' lake."""
    chain = tuple(stages)
    lake = chain[0].lake
    columns = ["camera", "size_bytes", "duration_s"]
    return History(
        runs={stage.name: _latest_runs(stage) for stage in chain},
        rows={stage.name: _row_count(stage) for stage in chain},
        recordings=lake.read(RECORDINGS, None, columns, "duration_s > 0"),
    )


def cost_of(forecast: StageForecast, history: History, camera: str) -> Cost:
    """What a stage's work in a partition of this camera takes at most."""
    bytes_per_s = history.bytes_per_s(camera)
    pending_s = _length_s(forecast.pending_footage, bytes_per_s)
    footage_s = _plus(_length_s(forecast.work_footage, bytes_per_s), pending_s)
    rows = _plus(len(forecast.plan.work), _pending_rows(forecast, history, pending_s))
    rates = history.rates(forecast.stage, forecast.stage_version)
    wall_s = (
        _times(rates.wall_s_per_footage_s, footage_s)
        if forecast.stage == _DECODES
        else _times(rates.wall_s_per_row, rows)
    )
    unprobed = forecast.work_footage.unprobed_bytes + forecast.pending_footage.unprobed_bytes
    return Cost(
        rows,
        footage_s,
        wall_s,
        _times(rates.tokens_per_row, rows),
        _times(rates.model_s_per_row, rows),
        rows_are_known=not forecast.pending,
        footage_is_known=not forecast.pending and not unprobed,
    )


def _pending_rows(
    forecast: StageForecast, history: History, pending_s: float | None
) -> float | None:
    """How many parents the pending recordings may have."""
    if forecast.stage == _DECODES or not forecast.pending:
        return float(len(forecast.pending))
    return _times(history.rows_per_footage_s(forecast.stage), pending_s)


def _length_s(footage: Footage, bytes_per_s: float | None) -> float | None:
    if not footage.unprobed_bytes:
        return footage.known_s
    return footage.known_s + footage.unprobed_bytes / bytes_per_s if bytes_per_s else None


def _latest_runs(stage: Stage) -> pl.DataFrame:
    """Some of the stage's runs, the latest among them: new rows come last in a table."""
    columns = [
        "stage_version",
        "started_at",
        "wall_s",
        "made",
        "reused",
        "footage_s",
        "tokens",
        "model_s",
    ]
    where = f"stage = '{stage.name}'"

    def latest(runs: Any) -> Any:
        passed_over = max(0, runs.count_rows(filter=where) - _RUNS_READ)
        return runs.to_table(columns=columns, filter=where, offset=passed_over, limit=_RUNS_READ)

    found = pl.from_arrow(stage.lake.on(RUNS, latest))
    assert isinstance(found, pl.DataFrame)
    return found


def _row_count(stage: Stage) -> int:
    variant = stage.name.partition(":")[2]
    of_variant = f"variant = '{variant}'" if variant else None
    return int(stage.lake.on(stage.table, methodcaller("count_rows", filter=of_variant)))


def _total(frame: pl.DataFrame, of: pl.Expr) -> float:
    return float(frame.select(of.sum()).item())


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _times(rate: float | None, amount: float | None) -> float | None:
    """Nothing takes nothing, at whatever rate."""
    if amount == 0:
        return 0.0
    return None if rate is None or amount is None else rate * amount
