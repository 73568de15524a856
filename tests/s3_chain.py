"""What the chain must do with bucket and lake on any S3 server, as functions for its tests."""

from pathlib import Path

from lakehouse.settings import S3Settings
from lakehouse.tables.schemas import CLIPS, RECORDINGS
from tests.lakes import Site, film
from tests.lakes import site as empty_site

SHOTS = (("yard", 2.0), ("hall", 2.0))
FILMS = {"rooms.mp4": film(*SHOTS), "attic.mp4": film(("shed", 2.0)), "broken.mp4": b"no video"}

Contents = dict[str, set[tuple[str, str]]]


def site_on_s3(folder: Path, url: str, s3: S3Settings) -> Site:
    """Footage and an empty lake on S3; the folder is for what a site keeps besides."""
    site = empty_site(folder).changed(bucket=f"{url}/footage", lake=f"{url}/lake", s3=s3)
    for name, data in FILMS.items():
        site.put(name, data)
    return site


def rows_on_a_disk(folder: Path) -> Contents:
    """What the tables hold if bucket and lake are folders."""
    site = empty_site(folder)
    for name, data in FILMS.items():
        site.put(name, data)
    site.run()
    return site.contents()


def a_second_run_commits_nothing(site: Site) -> None:
    site.run()
    before = site.versions()
    reports = site.run()
    assert sum(report.written for report in reports.values()) == 0
    assert site.versions() == before


def a_replaced_object_is_made_anew_and_no_other(site: Site) -> None:
    site.run()
    before = site.row_versions(CLIPS)
    site.put("attic.mp4", film(("cellar", 2.0)))
    reports = site.run()
    made_anew = {
        row["clip_id"]: row["recording_id"]
        for row in site.rows(CLIPS, "clip_id", "recording_id")
        if before.get(row["clip_id"]) != site.row_versions(CLIPS)[row["clip_id"]]
    }
    (attic,) = site.rows(RECORDINGS, "recording_id", "key", where="key LIKE '%attic.mp4'")
    assert set(made_anew.values()) == {attic["recording_id"]}
    assert reports["recordings"].written == 1
