"""Bucket and lake on an S3 server: the same chain, the same rows, the same increments."""

from pathlib import Path

import pytest

from lakehouse.settings import S3Settings
from lakehouse.tables.schemas import RECORDINGS
from tests import s3_chain
from tests.lakes import Site


@pytest.fixture
def on_s3(tmp_path: Path, s3_url: str, s3_settings: S3Settings) -> Site:
    return s3_chain.site_on_s3(tmp_path, s3_url, s3_settings)


def test_the_chain_makes_the_rows_that_it_makes_on_a_disk(on_s3: Site, tmp_path: Path) -> None:
    on_s3.run()
    assert on_s3.contents() == s3_chain.rows_on_a_disk(tmp_path / "disk")


def test_a_second_run_commits_nothing(on_s3: Site) -> None:
    s3_chain.a_second_run_commits_nothing(on_s3)


def test_a_replaced_object_is_made_anew_and_no_other(on_s3: Site) -> None:
    s3_chain.a_replaced_object_is_made_anew_and_no_other(on_s3)


def test_the_ledger_is_queried_from_there(on_s3: Site) -> None:
    on_s3.run()
    (kept_s,) = on_s3.sql("SELECT sum(kept_s) FROM ledger").row(0)
    assert kept_s == pytest.approx(6.0)


def test_credentials_are_in_no_row(on_s3: Site) -> None:
    on_s3.run()
    secrets = [v for k, v in on_s3.lake.storage_options.items() if "secret" in k]
    assert secrets
    rows = str(on_s3.rows(RECORDINGS))
    assert not any(secret in rows for secret in secrets)
    assert not any(secret in repr(on_s3.lake) for secret in secrets)
