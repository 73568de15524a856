"""Exports that are asked for in the browser: started, watched, taken up again, and fetched."""

import html
import io
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from fastapi.testclient import TestClient

from lakehouse.errors import UserError
from lakehouse.export.archive import zipped
from lakehouse.export.folder import export
from lakehouse.export.job import ExportLost, Job, RunningJob
from lakehouse.stages.recordings import recording_id
from lakehouse.tables.schemas import CLIPS
from tests.lakes import Site, film, key_of, site
from tests.queried import ROOMS, first_clip
from tests.web_sites import GatedBucket, browsing, exports_beside

HOSTILE = "<img src=x onerror=alert(1)>.mp4"
PATIENCE_S = 60.0
OF_ROOMS = "key LIKE '%rooms%'"


@pytest.fixture
def previews(tmp_path: Path) -> Path:
    return tmp_path / "previews"


@pytest.fixture
def client(lake: Site, previews: Path) -> Iterator[TestClient]:
    with browsing(lake, previews) as client:
        yield client


@pytest.fixture
def gated(lake: Site, tmp_path: Path) -> GatedBucket:
    """Footage of which the dark one is held back."""
    return GatedBucket(lake.settings.bucket, key_of("dark.mp4"), tmp_path / "gate")


def clips_of(site: Site, name: str = ROOMS) -> list[str]:
    rows = site.rows(CLIPS, "clip_id", where=f"recording_id = '{recording_id(key_of(name))}'")
    return [row["clip_id"] for row in rows]


def rooms_and_dark(site: Site) -> list[str]:
    return [*clips_of(site), first_clip(site, "dark.mp4")]


def pressed(
    client: TestClient, clips: Sequence[str] = (), limit: int = 100, **asked: object
) -> httpx.Response:
    """What the button of the search page does, with these clips ticked."""
    fields = {"limit": str(limit), "clip": list(clips)}
    return client.post("/exports", params=asked, data=fields, follow_redirects=False)


def name_of(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].removeprefix("/exports/")


def until(client: TestClient, name: str, **reached: object) -> dict[str, Any]:
    """The export once it is so far."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        now = client.get(f"/api/exports/{name}").json()
        if reached.items() <= now.items():
            return now
        assert time.monotonic() < deadline, now
        time.sleep(0.02)


def files_in(folder: Path) -> dict[str, bytes]:
    """All that an export is, without what is kept to go on with it."""
    return {f.name: f.read_bytes() for f in folder.iterdir() if not f.name.startswith(".")}


def test_the_button_writes_the_very_files_of_the_command(
    lake: Site, client: TestClient, previews: Path, tmp_path: Path
) -> None:
    name = name_of(pressed(client, where=OF_ROOMS))
    done = until(client, name, state="done")
    assert (done["total"], done["done"], done["failed"], done["error"]) == (2, 2, 0, None)
    export(lake.lake, lake.settings, lake.bucket, clips_of(lake), tmp_path / "command")
    assert files_in(exports_beside(previews) / name) == files_in(tmp_path / "command")
    assert done["bytes"] == sum(f.stat().st_size for f in (tmp_path / "command").glob("*.mp4"))


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 6),
        ({"q": "rex-rear", "camera": "rex-rear"}, 1),
        ({"where": "darkness_p50 > 0.9"}, 1),
        ({"verdict": "passed", "last_day": "2026-01-02"}, 3),
        ({"robot": "rex", "page": 7}, 6),
    ],
)
def test_what_the_page_shows_is_selected_on_all_its_pages(
    client: TestClient, asked: dict[str, object], count: int
) -> None:
    name = name_of(pressed(client, **asked))
    assert client.get(f"/api/exports/{name}").json()["total"] == count


def test_of_ticked_clips_only_those_are_selected(lake: Site, client: TestClient) -> None:
    name = name_of(pressed(client, [first_clip(lake)], verdict="passed"))
    assert until(client, name, state="done")["title"] == "1 ticked clip"
    (entry,) = client.get(f"/exports/{name}/manifest.json").json()["clips"]
    assert entry["clip_id"] == first_clip(lake)


def test_no_more_clips_are_taken_than_allowed_and_the_title_says_so(
    lake: Site, previews: Path
) -> None:
    with browsing(lake, previews, export_clips=2) as client:
        found = client.get(f"/api/exports/{name_of(pressed(client, limit=9))}").json()
        assert (found["total"], found["title"]) == (2, "the first 2 of all clips")
        assert pressed(client, rooms_and_dark(lake)).status_code == 422


def test_the_same_clips_are_the_same_export_and_others_another(client: TestClient) -> None:
    first = name_of(pressed(client, where=OF_ROOMS))
    assert name_of(pressed(client, where=f"{OF_ROOMS} AND robot = 'rex'")) == first
    assert name_of(pressed(client, verdict="rejected")) != first


def test_where_no_clip_fits_nothing_is_exported(client: TestClient, previews: Path) -> None:
    assert pressed(client, where="false").status_code == 404
    assert pressed(client, ["nothing"]).status_code == 404
    assert not list(exports_beside(previews).glob("*"))


def test_the_progress_is_told_while_it_runs(lake: Site, previews: Path, gated: GatedBucket) -> None:
    with browsing(lake, previews, bucket=gated, export_workers=1) as client:
        name = name_of(pressed(client, rooms_and_dark(lake)))
        so_far = until(client, name, done=2)
        assert (so_far["state"], so_far["total"]) == ("running", 3)
        assert so_far["bytes"] > 0
        page = client.get(f"/exports/{name}").text
        assert '<progress max="3" value="2"' in page
        assert client.get(f"/exports/{name}/archive.zip").status_code == 404
        gated.let_through()
        assert until(client, name, state="done")["done"] == 3


def test_a_cancelled_export_goes_on_where_it_was(
    lake: Site, previews: Path, gated: GatedBucket
) -> None:
    folder = exports_beside(previews)
    with browsing(lake, previews, bucket=gated, export_workers=1) as client:
        name = name_of(pressed(client, rooms_and_dark(lake)))
        until(client, name, done=2)
        stopped = client.post(f"/api/exports/{name}/cancel").json()
        assert (stopped["state"], stopped["done"], stopped["error"]) == ("stopped", 2, None)
        before = written(folder / name)
        assert len(before) == 2
        assert client.post(f"/api/exports/{name}/resume").json()["error"] is None
        gated.let_through()
        until(client, name, state="done")
    assert before.items() <= written(folder / name).items()
    assert len(written(folder / name)) == 3


def test_an_export_that_a_servers_end_broke_off_goes_on_when_the_button_is_pressed_again(
    lake: Site, previews: Path, gated: GatedBucket
) -> None:
    folder = exports_beside(previews)
    with browsing(lake, previews, bucket=gated, export_workers=1) as client:
        name = name_of(pressed(client, rooms_and_dark(lake)))
        until(client, name, done=2)
    before = written(folder / name)
    with browsing(lake, previews) as client:
        assert until(client, name)["state"] == "stopped"
        assert "Go on" in client.get(f"/exports/{name}").text
        assert name_of(pressed(client, rooms_and_dark(lake))) == name
        assert until(client, name, state="done")["failed"] == 0
    assert before.items() <= written(folder / name).items()


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """When each clip was written: one that is cut again is another file."""
    return {f.name: (f.stat().st_ino, f.stat().st_mtime_ns) for f in folder.glob("*.mp4")}


def test_one_export_runs_at_a_time_and_a_waiting_one_can_be_cancelled(
    lake: Site, previews: Path, gated: GatedBucket
) -> None:
    with browsing(lake, previews, bucket=gated) as client:
        first = name_of(pressed(client, verdict="rejected"))
        until(client, first, state="running")
        second, third = (name_of(pressed(client, [clip])) for clip in clips_of(lake))
        assert [until(client, name)["state"] for name in (second, third)] == ["waiting"] * 2
        assert client.post(f"/api/exports/{second}/cancel").json()["state"] == "stopped"
        gated.let_through()
        until(client, third, state="done")
        assert until(client, first)["state"] == "done"
        assert until(client, second)["done"] == 0


def test_what_fails_is_told_with_its_reason_and_the_rest_goes_on(
    lake: Site, client: TestClient
) -> None:
    broken = first_clip(lake, "broken.mp4")
    name = name_of(pressed(client, [broken, first_clip(lake)]))
    done = until(client, name, state="done")
    assert (done["done"], done["failed"]) == (2, 1)
    assert done["failures"][0]["clip_id"] == broken
    assert "not a video" in done["failures"][0]["error"]
    page = client.get(f"/exports/{name}").text
    assert "not a video" in page
    assert "Try again what failed" in page


def test_an_export_without_room_is_ended_and_says_what_to_do(lake: Site, previews: Path) -> None:
    others = exports_beside(previews) / "0123456789abcdef"
    others.mkdir(parents=True)
    with (others / "large.mp4").open("wb") as file:
        file.truncate(16 * 2**20)
    with browsing(lake, previews, exports_mb=16) as client:
        name = name_of(pressed(client, where=OF_ROOMS))
        stopped = until(client, name, state="stopped")
        assert "web.exports_mb" in stopped["error"]
        (others / "large.mp4").unlink()
        client.post(f"/exports/{name}/resume")
        until(client, name, state="done", error=None)


def test_a_folder_that_cannot_be_used_is_named_with_its_setting(
    lake: Site, previews: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with browsing(lake, previews, exports_folder=tmp_path / "file") as client:
        answer = client.post("/api/exports", params={"where": OF_ROOMS})
        assert answer.status_code == 503
        assert "set web.exports_folder" in answer.json()["detail"]


def test_an_export_that_is_removed_is_gone_with_its_files(
    client: TestClient, previews: Path
) -> None:
    name = name_of(pressed(client, where=OF_ROOMS))
    until(client, name, state="done")
    assert client.post(f"/exports/{name}/remove", follow_redirects=False).status_code == 303
    assert client.get(f"/exports/{name}").status_code == 404
    assert client.get("/api/exports").json() == {"exports": []}
    assert not list(exports_beside(previews).iterdir())


def test_all_exports_are_listed_the_latest_first(client: TestClient) -> None:
    names = [name_of(pressed(client, where=where)) for where in (OF_ROOMS, "darkness_p50 > 0.9")]
    listed = client.get("/api/exports").json()["exports"]
    assert [export["name"] for export in listed] == names[::-1]
    page = client.get("/exports").text
    assert page.index(names[1]) < page.index(names[0])


class TestDownload:
    @pytest.fixture
    def done(self, client: TestClient) -> str:
        name = name_of(pressed(client, where=OF_ROOMS))
        until(client, name, state="done")
        return name

    def test_every_link_of_the_page_leads_to_a_file(
        self, client: TestClient, done: str, previews: Path
    ) -> None:
        links = re.findall(r'href="([^"]*)" download', client.get(f"/exports/{done}").text)
        files = files_in(exports_beside(previews) / done)
        answers = {link.rpartition("/")[2]: client.get(link) for link in links}
        assert answers.pop("archive.zip").headers["content-type"] == "application/zip"
        assert {name: answer.content for name, answer in answers.items()} == files
        assert all("attachment" in a.headers["content-disposition"] for a in answers.values())

    def test_the_archive_holds_the_manifests_and_every_clip(
        self, client: TestClient, done: str, previews: Path
    ) -> None:
        answer = client.get(f"/exports/{done}/archive.zip")
        with ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            held = {Path(name).name: archive.read(name) for name in archive.namelist()}
            assert {str(Path(name).parent) for name in archive.namelist()} == {f"kennel-{done}"}
        assert held == files_in(exports_beside(previews) / done)

    def test_an_archive_is_made_in_pieces_and_may_be_larger_than_its_old_form_allows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("zipfile.ZIP64_LIMIT", 2**20)
        files = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
        for file in files:
            file.write_bytes(bytes(range(256)) * 2**14)
        pieces = list(zipped(files, "top"))
        assert max(map(len, pieces)) < 2**20 + 1024
        with ZipFile(io.BytesIO(b"".join(pieces))) as archive:
            assert archive.testzip() is None
            assert archive.read("top/two.mp4") == files[1].read_bytes()

    @pytest.mark.parametrize(
        "wanted",
        [
            "%2e%2e/%2e%2e/etc/passwd",
            "..%2f..%2fetc%2fpasswd",
            "../secret.mp4",
            "..%2fsecret.mp4",
            "%2e%2e%2fsecret.mp4",
            "..\\secret.mp4",
            ".selection.json",
            ".manifest.journal",
            "x%00.mp4",
            "nothing.mp4",
        ],
    )
    def test_no_name_leads_out_of_the_export(
        self, client: TestClient, done: str, previews: Path, wanted: str
    ) -> None:
        (exports_beside(previews) / "secret.mp4").write_bytes(b"secret")
        answer = client.get(f"/exports/{done}/{wanted}")
        assert answer.status_code in {404, 422}
        assert "secret" not in answer.text.replace(wanted, "")

    @pytest.mark.parametrize("name", ["%2e%2e", "0123456789abcdef", "A" * 16, "a" * 15])
    def test_no_name_leads_to_another_folder(
        self, client: TestClient, previews: Path, name: str
    ) -> None:
        (exports_beside(previews).parent / "secret.mp4").write_bytes(b"secret")
        for rest in ("", "/secret.mp4", "/archive.zip", "/manifest.json"):
            assert client.get(f"/api/exports/{name}{rest}").status_code in {404, 422}
            answer = client.get(f"/exports/{name}{rest}", follow_redirects=False)
            assert answer.status_code in {404, 422}
        for ask in (client.post(f"/exports/{name}/remove"), client.delete(f"/api/exports/{name}")):
            assert ask.status_code in {404, 405, 422}
        assert (exports_beside(previews).parent / "secret.mp4").exists()


def test_names_from_outside_are_shown_as_text(tmp_path: Path, previews: Path) -> None:
    made = site(tmp_path)
    key = made.put(HOSTILE, film(("yard", 2)))
    made.run()
    made.remove(HOSTILE)
    with browsing(made, previews) as client:
        name = name_of(pressed(client, where=f"key = '{key}'"))
        failed = until(client, name, state="done", failed=1)
        assert HOSTILE in failed["failures"][0]["error"]
        for page in (f"/exports/{name}", "/exports"):
            shown = client.get(page).text
            assert "<img" not in shown
            assert html.escape(f"key = '{key}'", quote=True).replace("&#x27;", "&#39;") in shown


class TestProcess:
    """What becomes of an export, and of its server, when one of their processes ends."""

    @pytest.fixture
    def running(self, lake: Site, gated: GatedBucket, tmp_path: Path) -> Iterator[RunningJob]:
        clip_ids = tuple(rooms_and_dark(lake))
        with RunningJob(Job(lake.settings, gated, clip_ids, tmp_path / "out", 1)) as running:
            yield running

    def test_tells_of_every_clip(self, running: RunningJob, gated: GatedBucket) -> None:
        steps = running.steps()
        assert [next(steps)[0].done, next(steps)[0].done] == [1, 2]
        gated.let_through()
        assert [(progress.done, entry.error) for progress, entry in steps] == [(3, None)]

    def test_one_that_is_ended_says_so(self, running: RunningJob) -> None:
        steps = running.steps()
        next(steps)
        running.end()
        with pytest.raises(ExportLost, match="ended"):
            list(steps)

    def test_an_error_of_the_whole_export_is_told(self, lake: Site, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        job = Job(lake.settings, lake.bucket, (first_clip(lake),), tmp_path / "file", 1)
        with RunningJob(job) as running, pytest.raises(UserError, match="can't be written"):
            list(running.steps())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": "http://127.0.0.1"}, 303),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_only_pages_of_this_server_and_programs_can_start_one(
    client: TestClient, previews: Path, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/exports?where=true", headers=headers, follow_redirects=False)
    assert answer.status_code == status
    assert len(list(exports_beside(previews).glob("*"))) == (status == 303)


def test_a_page_of_elsewhere_ends_and_removes_nothing(client: TestClient) -> None:
    name = name_of(pressed(client, where=OF_ROOMS))
    until(client, name, state="done")
    foreign = {"Origin": "https://evil.example"}
    for what in ("cancel", "resume", "remove"):
        assert client.post(f"/exports/{name}/{what}", headers=foreign).status_code == 403
    assert client.delete(f"/api/exports/{name}", headers=foreign).status_code == 403
    assert until(client, name)["state"] == "done"


def test_programs_start_exports_as_json(lake: Site, client: TestClient) -> None:
    answer = client.post("/api/exports", params={"clip": clips_of(lake)})
    assert answer.status_code == 202
    done = until(client, answer.json()["name"], state="done")
    assert done["total"] == 2
    again = client.post("/api/exports", params={"where": OF_ROOMS, "limit": 1}).json()
    assert again["total"] == 1


def test_a_form_that_is_none_is_refused(client: TestClient) -> None:
    for body in (b"limit=x", b"limit=1&" * 40_000, b"\xff\xfe", b"limit=-1"):
        assert client.post("/exports", content=body).status_code == 422
