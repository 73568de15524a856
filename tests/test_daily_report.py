"""The report of a day: that it counts what the lake holds, and is kept once."""

from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest

from lakehouse.query.contact_sheet import day_sheet
from lakehouse.query.daily_report import (
    Account,
    DailyReport,
    bring_up_to_date,
    latest_day,
    report,
    version,
)
from lakehouse.query.ledger import status
from lakehouse.query.report_text import as_markdown
from lakehouse.query.views import connect
from lakehouse.tables.lake import open_lake
from lakehouse.tables.removal import remove_gone
from lakehouse.tables.schemas import DAILY_REPORTS
from tests.lakes import LENIENT, PARTITION, Site, film, site
from tests.queried import REAR, ROOMS, TUESDAY

DAY = PARTITION.day
EMPTY = date(2026, 5, 5)


def account(of: Site, camera: str = PARTITION.camera) -> Account:
    with of.connect() as connection:
        return report(connection, DAY).by_camera[camera]


def test_a_report_counts_what_became_of_the_footage(lake: Site) -> None:
    found = account(lake)
    assert (found.recordings, found.recordings_failed) == (3, 1)
    assert (found.footage_s, found.passed_s) == pytest.approx((7.0, 5.0))
    assert found.rejected == (("dark", pytest.approx(2.0)),)
    assert (found.clips, found.clips_passed) == (4, 2)  # the broken one has a clip that failed
    assert (found.captions, found.captions_failed) == (4, 0)
    assert found.rejection_rate == pytest.approx(2 / 7)


def test_a_report_names_errors(lake: Site) -> None:
    (failure,) = account(lake).errors
    assert failure.recordings == 1
    assert "not a video" in failure.error


def test_a_report_says_what_the_runs_took(lake: Site) -> None:
    found = account(lake)
    assert found.runs == 1
    assert found.wall_s == pytest.approx(
        lake.sql(f"SELECT sum(wall_s) FROM runs WHERE {PARTITION.predicate}").item()
    )


def test_the_total_adds_up_all_cameras(lake: Site) -> None:
    with lake.connect() as connection:
        found = report(connection, DAY)
    assert list(found.by_camera) == [PARTITION.camera, REAR.camera]
    assert found.total.recordings == 4
    assert found.total.footage_s == pytest.approx(9.0)
    assert found.total.errors == account(lake).errors


def test_reports_of_all_days_are_what_the_ledger_says(lake: Site) -> None:
    with lake.connect() as connection:
        ledger = status(connection)
        days = [report(connection, day) for day in ledger["day"].unique()]
    for name in ("recordings", "footage_s", "passed_s", "rejected_s", "failed_s"):
        of_ledger = ledger["duration_s" if name == "footage_s" else name].sum()
        assert sum(getattr(day.total, name) for day in days) == pytest.approx(of_ledger)


def test_a_report_is_a_row_a_camera_and_one_of_all(copy: Site) -> None:
    bring_up_to_date(copy.lake, copy.settings, DAY)
    shown = copy.sql("SELECT camera, is_total, recordings FROM daily_reports ORDER BY camera")
    assert shown.rows() == [("", True, 4), ("rex-front", False, 3), ("rex-rear", False, 1)]


def test_the_same_report_is_committed_once(copy: Site) -> None:
    bring_up_to_date(copy.lake, copy.settings, DAY)
    before = copy.lake.dataset(DAILY_REPORTS).version
    bring_up_to_date(copy.lake, copy.settings, DAY)
    assert copy.lake.dataset(DAILY_REPORTS).version == before


def test_only_the_rows_that_changed_are_written(copy: Site) -> None:
    bring_up_to_date(copy.lake, copy.settings, DAY)
    before = copy.row_versions(DAILY_REPORTS)
    copy.put("more.mp4", film(("shed", 2)), REAR)
    copy.run(REAR)
    bring_up_to_date(copy.lake, copy.settings, DAY)
    after = copy.row_versions(DAILY_REPORTS)
    assert {key for key in after if after[key] != before[key]} == {
        "2026-01-02:",
        "2026-01-02:rex-rear",
    }


def test_another_days_report_stays(copy: Site) -> None:
    bring_up_to_date(copy.lake, copy.settings, TUESDAY.day)
    bring_up_to_date(copy.lake, copy.settings, DAY)
    assert copy.sql("SELECT count(DISTINCT day) FROM daily_reports").item() == 2


def test_removing_gone_footage_does_not_stumble_over_reports(copy: Site) -> None:
    bring_up_to_date(copy.lake, copy.settings, DAY)
    copy.remove(ROOMS)
    copy.run()
    assert remove_gone(copy.lake, [*copy.tables(), DAILY_REPORTS], lambda _: True) == 1
    assert bring_up_to_date(copy.lake, copy.settings, DAY).total.recordings == 3


def test_a_day_without_footage_has_no_rows(copy: Site) -> None:
    found = bring_up_to_date(copy.lake, copy.settings, EMPTY)
    assert not found.by_camera
    assert copy.rows(DAILY_REPORTS) == []
    assert as_markdown(found) == "No footage of 2026-05-05."


def test_other_thresholds_make_another_report(lake: Site) -> None:
    lenient = lake.changed(thresholds=LENIENT)
    assert account(lenient).rejected == ()
    assert version(lenient.settings) != version(lake.settings)


def test_a_lake_from_before_there_were_reports_can_still_be_asked(copy: Site) -> None:
    lake = open_lake(copy.settings)
    folder = Path(copy.settings.lake) / "daily_reports.lance"
    folder.rename(folder.with_name("elsewhere"))
    with connect(lake, copy.settings) as connection:
        assert connection.sql("SELECT * FROM daily_reports").fetchall() == []


def test_the_latest_day_is_that_of_the_latest_footage(lake: Site, tmp_path: Path) -> None:
    with lake.connect() as connection:
        assert latest_day(connection) == TUESDAY.day
    with site(tmp_path / "nothing").connect() as connection:
        assert latest_day(connection) is None


def test_markdown_shows_cameras_reasons_costs_and_errors(lake: Site) -> None:
    with lake.connect() as connection:
        text = as_markdown(report(connection, DAY))
    assert "**2026-01-02**: 0:09.0 of footage, 78 % passed" in text
    assert "| rex-front | 3 | 0:07.0 | 0:05.0 | 0:02.0 |" in text
    assert "| dark 0:02.0 |" in text
    assert "| all | 4 | 0:09.0 |" in text
    assert "1 of 4 recordings with errors" in text
    assert "not a video" in text


def test_the_name_of_a_camera_is_text_in_markdown() -> None:
    named = DailyReport(DAY, {"<b>a|b*": Account()}, Account())
    assert r"| \<b\>a\|b\* |" in as_markdown(named)


def test_the_picture_of_a_day_shows_every_camera_and_is_small(lake: Site) -> None:
    jpeg = day_sheet(lake.lake, DAY, [PARTITION.camera, REAR.camera])
    assert jpeg is not None
    assert len(jpeg) < 60_000
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (90, 4 * 160, 3)  # three clips of the one, one of the other


def test_a_day_without_frames_has_no_picture(lake: Site) -> None:
    assert day_sheet(lake.lake, EMPTY, [PARTITION.camera]) is None
    assert day_sheet(lake.lake, EMPTY, []) is None
