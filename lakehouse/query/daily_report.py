"""The report of a day: what became of its footage, and what that took, by camera and in all.

Asked of the views, with today's thresholds, and kept as rows of `daily_reports`, so that days can
be compared later. How it reads as a text is `report_text`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

import duckdb

from lakehouse.query.ledger import rejections
from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.tables.commit import add_children, remove_keys
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.lake import Lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.patience import patiently
from lakehouse.tables.schemas import DAILY_REPORTS

_CODE = 1
_ERRORS_KEPT = 20
_TOTAL = ""
"""The camera of the row of all cameras: no camera's name is empty."""
_FOOTAGE = """
    SELECT camera, count(*) AS recordings, count(error) AS recordings_failed,
        sum(duration_s) AS footage_s, sum(passed_s) AS passed_s, sum(rejected_s) AS rejected_s,
        sum(too_short_s) AS too_short_s, sum(failed_s) AS failed_s, sum(clips) AS clips
    FROM ledger WHERE {where} GROUP BY camera
"""
_ERRORS = """
    SELECT camera, error, count(*) AS recordings, sum(failed_s) AS failed_s
    FROM ledger WHERE {where} AND error IS NOT NULL GROUP BY camera, error
"""
_PASSED = """
    SELECT camera, count(*) AS clips_passed FROM verdicts WHERE {where} AND passed
    GROUP BY camera
"""
_CAPTIONS = """
    SELECT camera, count(*) FILTER (error IS NULL) AS captions, count(error) AS captions_failed
    FROM captions WHERE {where} GROUP BY camera
"""
_RUNS = """
    SELECT camera, count(DISTINCT run_id) AS runs, sum(wall_s) AS wall_s, sum(tokens) AS tokens,
        sum(model_s) AS model_s, sum(tokens_saved) AS tokens_saved,
        sum(model_s_saved) AS model_s_saved
    FROM runs WHERE {where} GROUP BY camera
"""


@dataclass(frozen=True)
class Failure:
    """An error, how many recordings have it, and the seconds that it took away."""

    error: str
    recordings: int
    failed_s: float


@dataclass(frozen=True)
class Account:
    """What became of the footage of one camera, or of all; the fields are columns of
    `daily_reports`."""

    recordings: int = 0
    recordings_failed: int = 0
    footage_s: float = 0.0
    passed_s: float = 0.0
    rejected_s: float = 0.0
    rejected: tuple[tuple[str, float], ...] = ()
    """Seconds by reason, the most first; a clip counts under each of its reasons."""
    too_short_s: float = 0.0
    failed_s: float = 0.0
    errors: tuple[Failure, ...] = ()
    clips: int = 0
    clips_passed: int = 0
    captions: int = 0
    captions_failed: int = 0
    runs: int = 0
    wall_s: float = 0.0
    tokens: int = 0
    model_s: float = 0.0
    tokens_saved: int = 0
    model_s_saved: float = 0.0

    @property
    def rejection_rate(self) -> float | None:
        """The share of the measured seconds that is rejected; none where nothing was measured."""
        measured_s = self.passed_s + self.rejected_s
        return self.rejected_s / measured_s if measured_s else None


@dataclass(frozen=True)
class DailyReport:
    """A day's accounts, by camera; `total` adds them up."""

    day: date
    by_camera: Mapping[str, Account]
    total: Account


def version(settings: Settings) -> str:
    """Changes with what decides which clips pass: the same footage then has another report."""
    scorers = {name: scorer.model_dump() for name, scorer in settings.scorers.items()}
    return f"{_CODE}-{fingerprint(settings.thresholds.model_dump(), scorers)}"


def report(connection: duckdb.DuckDBPyConnection, day: date) -> DailyReport:
    """The report of a day as the lake is now. A day without footage has no camera."""
    by_camera = _accounts(connection, day, None, (_FOOTAGE, _PASSED, _CAPTIONS, _RUNS))
    return DailyReport(day, by_camera, _added_up(by_camera.values()))


def account(connection: duckdb.DuckDBPyConnection, partition: Partition) -> Account:
    """Where the seconds of one partition went, and no more, so that every asset can afford to ask;
    of one without footage, all is 0."""
    found = _accounts(connection, partition.day, partition.camera, (_FOOTAGE,))
    return found.get(partition.camera, Account())


def bring_up_to_date(lake: Lake, settings: Settings, day: date) -> DailyReport:
    """Write the day's report into `daily_reports`, and return it; commits nothing where it is
    there already. Rows of cameras that have no footage of the day any more go."""

    def made() -> DailyReport:
        with connect(lake, settings) as connection:
            return report(connection, day)

    of_today = patiently(made)
    rows = list(_rows(of_today)) if of_today.by_camera else []
    columns = ["report_id", "content_hash"]
    there = lake.read(DAILY_REPORTS, None, columns, f"day = date '{day.isoformat()}'")
    known = dict(there.iter_rows())
    add_children(
        lake, DAILY_REPORTS, [r for r in rows if known.get(r["report_id"]) != r["content_hash"]]
    )
    remove_keys(lake, DAILY_REPORTS, sorted(known.keys() - {row["report_id"] for row in rows}))
    return of_today


def latest_day(connection: duckdb.DuckDBPyConnection) -> date | None:
    """The last day that has footage."""
    ((latest,),) = connection.sql("SELECT max(day) FROM recordings").fetchall()
    return latest


def _accounts(
    connection: duckdb.DuckDBPyConnection, day: date, camera: str | None, queries: Sequence[str]
) -> dict[str, Account]:
    asked = {"day": day} if camera is None else {"day": day, "camera": camera}
    where = " AND ".join(f"{name} = ${name}" for name in asked)

    def rows(query: str) -> list[dict[str, Any]]:
        return connection.sql(query.format(where=where), params=asked).pl().to_dicts()

    counts: dict[str, dict[str, Any]] = {}
    for query in queries:
        for row in rows(query):
            counts.setdefault(row.pop("camera"), {}).update(row)
    reasons: dict[str, dict[str, float]] = {}
    for _, of, reason, rejected_s in rejections(connection, day, camera).iter_rows():
        reasons.setdefault(of, {})[reason] = rejected_s
    errors: dict[str, list[Failure]] = {}
    for row in rows(_ERRORS) if camera is None else ():  # no ledger of a partition shows them
        errors.setdefault(row.pop("camera"), []).append(Failure(**row))
    return {
        of: Account(
            **{name: _plain(value) for name, value in counted.items()},
            rejected=_most_first(reasons.get(of, {})),
            errors=_commonest(errors.get(of, ())),
        )
        for of, counted in sorted(counts.items())
    }


def _rows(of_today: DailyReport) -> Iterable[dict[str, Any]]:
    day = of_today.day
    for camera, account in {**of_today.by_camera, _TOTAL: of_today.total}.items():
        row = {
            "day": day,
            "camera": camera,
            "is_total": camera == _TOTAL,
            **asdict(account),
            "rejected": [
                {"reason": reason, "seconds": seconds} for reason, seconds in account.rejected
            ],
            "errors": [asdict(failure) for failure in account.errors],
        }
        yield {"report_id": f"{day.isoformat()}:{camera}", **row, "content_hash": fingerprint(row)}


def _added_up(accounts: Iterable[Account]) -> Account:
    accounts = list(accounts)
    seconds: dict[str, float] = {}
    failures: dict[str, Failure] = {}
    for account in accounts:
        for reason, rejected_s in account.rejected:
            seconds[reason] = seconds.get(reason, 0.0) + rejected_s
        for one in account.errors:
            before = failures.get(one.error, Failure(one.error, 0, 0.0))
            failures[one.error] = Failure(
                one.error, before.recordings + one.recordings, before.failed_s + one.failed_s
            )
    numbers = [field.name for field in fields(Account) if field.name not in ("rejected", "errors")]
    return Account(
        **{name: sum(getattr(account, name) for account in accounts) for name in numbers},
        rejected=_most_first(seconds),
        errors=_commonest(failures.values()),
    )


def _most_first(seconds: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(seconds.items(), key=lambda item: (-item[1], item[0])))


def _commonest(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    return tuple(
        sorted(failures, key=lambda failure: (-failure.recordings, failure.error))[:_ERRORS_KEPT]
    )


def _plain(value: Any) -> Any:
    """DuckDB adds up whole numbers into wider ones."""
    return value if isinstance(value, float) else int(value)
