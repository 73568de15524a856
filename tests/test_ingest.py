"""`lakehouse ingest`: what decides its exit code, and what doesn't."""

import pytest

from lakehouse.tables.schemas import DAILY_REPORTS
from tests.commands import lakehouse
from tests.lakes import PARTITION, Site, film


@pytest.mark.usefixtures("home")
def test_a_report_that_fails_is_told_and_fails_no_ingest(here: Site) -> None:
    here.put("a.mp4", film(("yard", 2)))
    here.lake.dataset(DAILY_REPORTS).drop_columns(["errors"])  # as if of another version
    answer = lakehouse("ingest")
    assert answer.code == 0
    assert f"the report of {PARTITION.day} failed, daily_report: " in answer.err
    assert "1 partitions materialized" in answer.err
    assert "0 runs failed" in answer.err
