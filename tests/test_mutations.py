"""Damaged footage of every kind, made by seed: each file ends as rows, and the ledger closes."""

from pathlib import Path

import pytest

from benchmarks.mutations import mutations
from lakehouse.query.ledger import open_accounts
from lakehouse.tables.schemas import CLIPS, RECORDINGS
from tests.lakes import PARTITION, Site, film
from tests.lakes import site as empty_site
from tests.videos import moving, record

FILES = 120


def good_files() -> list[bytes]:
    return [
        film(("yard", 3.0), ("hall", 2.0)),
        record(moving(40), "mkv"),
        record(moving(40), "ts"),
        record(moving(40), "avi", "mpeg4"),
        record(moving(40), codec="libx265"),
    ]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = empty_site(tmp_path_factory.mktemp("mutations"))
    files = good_files()
    for name, data in mutations(files, FILES, seed=2026):
        site.put(name, data)
    site.put("intact.mp4", files[0])
    site.run()
    return site


def test_every_file_is_a_recording_with_clips(damaged: Site) -> None:
    recordings = {row["recording_id"] for row in damaged.rows(RECORDINGS, "recording_id")}
    assert len(recordings) == FILES + 1
    assert {row["recording_id"] for row in damaged.rows(CLIPS, "recording_id")} == recordings


def test_the_ledger_closes_whatever_headers_say(damaged: Site) -> None:
    with damaged.connect() as connection:
        assert open_accounts(connection, PARTITION).is_empty()


def test_damage_is_told_in_words_and_an_intact_file_beside_it_is_whole(damaged: Site) -> None:
    failed = [row for row in damaged.rows(CLIPS, "status", "error") if row["status"] == "failed"]
    assert len(failed) > FILES / 10
    assert all(row["error"] for row in failed)
    (intact,) = damaged.sql("SELECT kept_s FROM ledger WHERE key LIKE '%intact.mp4'").row(0)
    assert intact == pytest.approx(5.0)


def test_the_tests_own_folder_is_all_that_was_written(damaged: Site) -> None:
    folder = Path(damaged.settings.lake).parent
    assert {entry.name for entry in folder.iterdir()} == {"bucket", "lake"}
