"""Bucket and lake on an S3 server: the same chain, the same rows."""

from pathlib import Path

import pytest

from lakehouse.settings import S3Settings
from lakehouse.tables.schemas import CAPTIONS, CLIPS, RECORDINGS
from tests.lakes import Site, film
from tests.lakes import site as empty_site

SHOTS = (("yard", 2.0), ("hall", 2.0))


@pytest.fixture
def on_s3(tmp_path: Path, s3_url: str, s3_settings: S3Settings) -> Site:
    site = empty_site(tmp_path)
    return site.changed(bucket=f"{s3_url}/footage", lake=f"{s3_url}/lake", s3=s3_settings)


@pytest.mark.usefixtures("aws_environment")
class TestOnS3:
    def test_the_chain_makes_the_rows_that_it_makes_on_a_disk(
        self, on_s3: Site, tmp_path: Path
    ) -> None:
        on_disk = empty_site(tmp_path / "disk")
        for place in (on_s3, on_disk):
            place.put("a.mp4", film(*SHOTS))
            place.put("broken.mp4", b"no video")
            place.run()
        for table in (CLIPS, CAPTIONS):
            columns = (table.key, "content_hash")
            assert on_s3.rows(table, *columns) == on_disk.rows(table, *columns)

    def test_a_second_run_commits_nothing(self, on_s3: Site) -> None:
        on_s3.put("a.mp4", film(*SHOTS))
        on_s3.run()
        before = on_s3.lake.dataset(CLIPS).version
        reports = on_s3.run()
        assert sum(report.written for report in reports.values()) == 0
        assert on_s3.lake.dataset(CLIPS).version == before

    def test_the_ledger_is_queried_from_there(self, on_s3: Site) -> None:
        on_s3.put("a.mp4", film(*SHOTS))
        on_s3.run()
        (kept_s,) = on_s3.sql("SELECT kept_s FROM ledger").row(0)
        assert kept_s == pytest.approx(4.0)

    def test_credentials_are_in_no_row(self, on_s3: Site) -> None:
        on_s3.put("broken.mp4", b"no video")
        on_s3.run()
        (row,) = on_s3.rows(RECORDINGS)
        secrets = [v for k, v in on_s3.lake.storage_options.items() if "secret" in k]
        assert secrets
        assert not any(secret in str(row) for secret in secrets)
        assert not any(secret in repr(on_s3.lake) for secret in secrets)
