"""The pages, and the same as JSON."""

import html
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from fastapi.testclient import TestClient

from lakehouse.query.views import connect
from lakehouse.settings import Settings
from lakehouse.stages.recordings import recording_id
from lakehouse.tables.lake import Lake
from lakehouse.tables.schemas import CLIPS, FRAMES
from lakehouse.web.reading import Reading, Row
from tests.lakes import PARTITION, Site, film, key_of, site
from tests.queried import REAR, ROOMS, first_clip
from tests.videos import moving, record
from tests.web_sites import browsing

HOSTILE = "<img src=x onerror=alert(1)>.mp4"
TAG = re.compile(r"<[^>]*>")


@pytest.fixture(scope="module")
def client(lake: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with browsing(lake, tmp_path_factory.mktemp("previews")) as client:
        yield client


def text(page: str) -> str:
    """What a reader sees of a page, in one line."""
    return " ".join(html.unescape(TAG.sub(" ", page)).split())


class TestSearch:
    def test_shows_every_clip_the_latest_day_first(self, client: TestClient, lake: Site) -> None:
        found = client.get("/api/clips").json()
        ids = [clip["clip_id"] for clip in found["clips"]]
        assert sorted(ids) == [row["clip_id"] for row in lake.rows(CLIPS, "clip_id")]
        assert found["clips"][0]["day"] == "2026-01-03"
        assert found["days"] == ["2026-01-03", "2026-01-02"]
        assert found["cameras"] == ["rex-front", "rex-rear"]

    def test_finds_words_of_captions(self, client: TestClient, lake: Site) -> None:
        found = client.get("/api/clips", params={"q": "rex-rear"}).json()["clips"]
        assert found[0]["clip_id"] in {
            row["clip_id"] for row in lake.rows(CLIPS, "clip_id", where="camera = 'rex-rear'")
        }
        assert "rex-rear" in found[0]["text"]

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({"verdict": "passed"}, 4),
            ({"verdict": "rejected"}, 1),
            ({"verdict": "failed"}, 1),
            ({"camera": "rex-rear"}, 1),
            ({"camera": ["rex-rear", "rex-front"], "first_day": "2026-01-03"}, 1),
            ({"last_day": "2026-01-02"}, 5),
            ({"first_day": "", "last_day": "", "camera": "", "where": ""}, 6),
            ({"where": "darkness_p50 > 0.9 AND robot = 'rex'"}, 1),
            ({"where": "key LIKE '%rooms%' -- a comment"}, 2),
            ({"q": "rex-rear", "last_day": "2026-01-01"}, 0),
            ({"robot": "rex"}, 6),
            ({"robot": "", "from_time": "", "until_time": "", "like": "", "image": ""}, 6),
            ({"robot": "rover", "q": "motion"}, 0),
            ({"from_time": "00:00", "until_time": "23:59:59"}, 0),  # no recording says when
            ({"q": "rex-rear", "by": "words", "camera": "rex-rear"}, 1),
            ({"page": 2}, 0),
        ],
    )
    def test_shows_only_what_the_filters_let_through(
        self, client: TestClient, filters: dict[str, object], count: int
    ) -> None:
        answer = client.get("/api/clips", params=filters)
        assert answer.status_code == 200
        assert len(answer.json()["clips"]) == count

    def test_its_form_offers_all_that_can_be_asked(self, client: TestClient) -> None:
        page = client.get("/").text
        fields = set(re.findall(r'<(?:input|select)[^>]*? name="(\w+)"', page))
        operation = client.get("/api/openapi.json").json()["paths"]["/api/clips"]["get"]
        asked = {parameter["name"] for parameter in operation["parameters"]}
        assert asked - fields == {"image", "page"}
        assert '<input type="file"' in page
        assert "sharpness_p50 > 0.6 AND state" in page

    def test_keeps_what_was_asked_in_its_form_and_its_links(self, client: TestClient) -> None:
        asked = "q=motion&by=words&camera=rex-front&robot=rex&verdict=passed"
        page = client.get(f"/?{asked}&first_day=2026-01-01&from_time=").text
        query = f"{asked.partition('&camera')[0]}&first_day=2026-01-01&camera"
        assert html.escape(f"/api/clips?{query}") in page
        assert html.escape(f"/exports?{query}") in page
        assert len(re.findall(r" checked> (?:words|rex-front)<", page)) == 2

    def test_finds_clips_like_an_example_clip_and_not_itself(
        self, client: TestClient, lake: Site
    ) -> None:
        found = client.get("/api/clips", params={"like": first_clip(lake)}).json()["clips"]
        assert found[0]["key"].endswith("rear.mp4"), "the only other one of the yard"
        assert first_clip(lake) not in {clip["clip_id"] for clip in found}

    def test_finds_clips_like_a_picture(self, client: TestClient, lake: Site) -> None:
        (first, *_) = lake.rows(FRAMES, "jpeg", where=f"clip_id = '{first_clip_of_dark()}'")
        kept = client.post("/api/examples", content=first["jpeg"])
        assert kept.status_code == 201
        asked = {"image": kept.json()["image"]}
        assert client.get("/api/clips", params=asked).json()["clips"][0]["clip_id"] == (
            first_clip_of_dark()
        )
        page = client.get("/", params=asked).text
        assert client.get(re.findall(r'"(/examples/[^"]*)"', page)[0]).content[:2] == b"\xff\xd8"

    @pytest.mark.parametrize("picture", [b"", b"<svg/>", b"x" * 1000, b"\xff\xd8\xff\xe0"])
    def test_a_picture_that_is_none_is_refused(self, client: TestClient, picture: bytes) -> None:
        answer = client.post("/api/examples", content=picture)
        assert answer.status_code == 422
        assert "choose a JPEG or PNG" in answer.json()["detail"]

    def test_a_picture_that_is_too_large_is_refused(self, client: TestClient) -> None:
        answer = client.post("/api/examples", content=bytes(17 * 2**20))
        assert (answer.status_code, answer.json()["detail"]) == (422, "this is more than 16 MB")

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"like": "nothing"}, "no clip nothing"),
            ({"image": "0" * 32}, "choose it again"),
            ({"image": "../../etc/passwd"}, "pattern"),
            ({"by": "image", "q": "motion"}, "needs an example image"),
            ({"by": "looks", "q": "motion"}, "one space"),
            ({"by": "smell"}, "words"),
            ({"from_time": "25:00"}, "from_time"),
        ],
    )
    def test_what_cannot_be_compared_is_refused_with_its_reason(
        self, client: TestClient, asked: dict[str, str], told: str
    ) -> None:
        answer = client.get("/api/clips", params=asked)
        assert answer.status_code in {404, 422}
        assert told in answer.json()["detail"]

    @pytest.mark.parametrize(
        "where",
        [
            "nonsense",
            "1 = 1; DROP TABLE clips",
            "1 = 1) UNION SELECT (1",
            "(SELECT count(*) FROM read_csv('/etc/hostname')) > 0",
            "(SELECT count(*) FROM rows) > 0",
            "error('a' || clip_id)",
        ],
    )
    def test_a_condition_that_is_none_is_refused_with_its_reason(
        self, client: TestClient, where: str
    ) -> None:
        answer = client.get("/", params={"where": where})
        assert answer.status_code == 422
        assert "condition" in text(answer.text)
        assert client.get("/api/clips").status_code == 200

    def test_a_condition_without_end_is_ended(self, lake: Site, tmp_path: Path) -> None:
        where = "(SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b) > 0"
        with browsing(lake, tmp_path, query_s=0.3) as client:
            answer = client.get("/api/clips", params={"where": where})
            assert answer.status_code == 422
            assert "longer than 0.3 s" in answer.json()["detail"]
            assert client.get("/api/clips").status_code == 200


class TestClip:
    def test_names_its_scores_beside_the_thresholds_and_why_it_is_rejected(
        self, client: TestClient
    ) -> None:
        clip = first_clip_of_dark()
        detail = client.get(f"/api/clips/{clip}").json()
        dark = next(signal for signal in detail["signals"] if signal["name"] == "darkness")
        assert dark["value"] > dark["at_most"] == 0.85
        assert dark["reason"] == "dark"
        assert [s["reason"] for s in detail["signals"] if s["reason"]] == ["dark"]
        assert "Rejected: dark." in text(client.get(f"/clips/{clip}").text)

    def test_has_its_frames_captions_neighbours_and_lineage(
        self, client: TestClient, lake: Site
    ) -> None:
        clip = first_clip(lake)
        detail = client.get(f"/api/clips/{clip}").json()
        frames = lake.rows(FRAMES, "frame_id", where=f"clip_id = '{clip}'")
        assert [f["frame_id"] for f in detail["frames"]] == [f["frame_id"] for f in frames]
        assert [caption["variant"] for caption in detail["captions"]] == ["default", "zh"]
        assert detail["previous"]["key"].endswith("dark.mp4")
        assert detail["next"]["key"] == detail["card"]["key"]
        assert {made["table"] for made in detail["lineage"]} == {
            "recordings",
            "clips",
            "frames",
            "scores",
            "captions",
        }
        assert {made["run_id"] for made in detail["lineage"]} == {"a-run"}

    def test_similar_clips_are_others_the_most_similar_first(
        self, client: TestClient, lake: Site
    ) -> None:
        clip = first_clip(lake)
        similar = client.get(f"/api/clips/{clip}").json()["similar"]
        assert clip not in {other["clip_id"] for other in similar}
        assert similar[0]["key"].endswith("rear.mp4"), "the only other one of the yard"

    def test_shows_the_robots_other_camera_at_the_same_moment(self, tmp_path: Path) -> None:
        made = site(tmp_path)
        made.put("a.mp4", film(("yard", 3), ("hall", 2)))
        made.put("a.mp4", film(("hall", 2), ("yard", 3)), REAR)
        for partition in (PARTITION, REAR):
            made.run(partition)
        with browsing(made, tmp_path / "previews") as client:
            clips = client.get("/api/clips", params={"camera": "rex-front"}).json()["clips"]
            other = client.get(f"/api/clips/{clips[1]['clip_id']}").json()["others"][0]
        assert other["clip"]["camera"] == "rex-rear"
        assert other["clip"]["start_s"] == pytest.approx(2, abs=0.11)
        assert other["offset_s"] == pytest.approx(1, abs=0.11)
        assert other["matched_by"] == "name"

    def test_cameras_whose_recordings_state_when_they_start_are_laid_beside_each_other_by_that(
        self, tmp_path: Path
    ) -> None:
        made = site(tmp_path)
        made.put("a.mp4", record(moving(100), started="2026-01-02T10:00:00Z"))
        made.put("b.mp4", record(moving(100), started="2026-01-02T09:59:58Z"), REAR)
        for partition in (PARTITION, REAR):
            made.run(partition)
        with browsing(made, tmp_path / "previews") as client:
            clips = client.get("/api/clips", params={"camera": "rex-front"}).json()["clips"]
            other = client.get(f"/api/clips/{clips[0]['clip_id']}").json()["others"][0]
        assert other["matched_by"] == "start_time"
        assert other["clip"]["start_s"] + other["offset_s"] == pytest.approx(2)

    def test_of_a_failed_one_the_error_is_shown_and_nothing_to_play(
        self, client: TestClient
    ) -> None:
        failed = client.get("/api/clips", params={"verdict": "failed"}).json()["clips"][0]
        page = client.get(f"/clips/{failed['clip_id']}").text
        assert "not a video" in page
        assert "<video" not in page


class TestDay:
    def test_is_the_ledger_of_each_camera_and_every_span_leads_to_its_clip(
        self, client: TestClient
    ) -> None:
        day = client.get("/api/days/2026-01-02").json()
        front = day["cameras"][0]
        assert front["camera"] == "rex-front"
        assert front["totals"]["passed_s"] == pytest.approx(5)
        assert front["totals"]["rejected_s"] == pytest.approx(2)
        assert [r["name"] for r in front["recordings"]] == ["broken.mp4", "dark.mp4", ROOMS]
        assert "not a video" in front["recordings"][0]["error"]
        page = client.get("/days/2026-01-02").text
        for recording in front["recordings"][1:]:
            for span in recording["spans"]:
                assert f'href="/clips/{span["clip_id"]}"' in page
        assert day["next"] == "2026-01-03"
        assert day["previous"] is None

    def test_the_list_has_every_day(self, client: TestClient) -> None:
        days = client.get("/api/days").json()["days"]
        assert [day["day"] for day in days] == ["2026-01-03", "2026-01-02"]
        assert [day["errors"] for day in days] == [0, 1]
        assert "1 with errors" in text(client.get("/days").text)


def test_pages_show_what_the_json_says(client: TestClient, lake: Site) -> None:
    clip = client.get(f"/api/clips/{first_clip(lake)}").json()
    shown = text(client.get(f"/clips/{clip['card']['clip_id']}").text)
    for said in (
        clip["card"]["key"],
        clip["etag"],
        *(caption["text"] for caption in clip["captions"]),
        *(made["stage_version"] for made in clip["lineage"]),
        *(f"{signal['value']:.3g}" for signal in clip["signals"]),
    ):
        assert said in shown


def test_every_page_links_to_the_same_as_json(client: TestClient, lake: Site) -> None:
    for page in ("/", f"/clips/{first_clip(lake)}", "/days", "/days/2026-01-02", "/exports"):
        link = re.search(r'<footer><a href="([^"]*)">JSON</a>', client.get(page).text)
        assert link
        answer = client.get(html.unescape(link[1]))
        assert answer.headers["content-type"] == "application/json"


def test_a_name_with_html_in_it_is_shown_as_text(tmp_path: Path) -> None:
    made = site(tmp_path)
    key = made.put(HOSTILE, film(("yard", 2)))
    made.put(f"broken {HOSTILE}", b"not a film")
    made.run()
    with browsing(made, tmp_path / "previews") as client:
        clip = next(clip for clip in client.get("/api/clips").json()["clips"] if clip["key"] == key)
        for page in ("/", f"/clips/{clip['clip_id']}", f"/days/{PARTITION.day}", f"/?q={HOSTILE}"):
            answer = client.get(page)
            assert answer.status_code == 200
            assert "<img src=x" not in answer.text
            assert "&lt;img src=x" in answer.text


def test_pages_follow_what_is_committed(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.put("one.mp4", film(("yard", 2)))
    made.run()
    with browsing(made, tmp_path / "previews") as client:
        assert len(client.get("/api/clips").json()["clips"]) == 1
        made.put("two.mp4", film(("hall", 2)))
        made.run()
        assert len(client.get("/api/clips").json()["clips"]) == 2


@pytest.mark.parametrize(
    ("page", "most"), [("/", 4), ("/?q=motion", 4), ("CLIP", 10), ("/days", 2), ("/days/DAY", 4)]
)
def test_a_page_asks_so_many_questions_at_most(
    client: TestClient, lake: Site, monkeypatch: pytest.MonkeyPatch, page: str, most: int
) -> None:
    address = page.replace("CLIP", f"/clips/{first_clip(lake)}").replace("DAY", "2026-01-02")
    asked = []
    ask = Reading.ask

    def counted(self: Reading, query: str, values: Sequence[object] = ()) -> list[Row]:
        asked.append(query)
        return ask(self, query, values)

    monkeypatch.setattr(Reading, "ask", counted)
    assert client.get(address).status_code == 200
    assert 0 < len(asked) <= most


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/clips/nothing", 404),
        ("/clips/0000000000000000-0000000/video.mp4", 404),
        ("/clips/0000000000000000-0000000/preview.mp4", 404),
        ("/clips/0000000000000000-0000000/poster.jpg", 404),
        ("/frames/nothing.jpg", 404),
        ("/days/2020-01-01", 404),
        ("/nowhere", 404),
        ("/static/../app.py", 404),
        ("/static/%2e%2e/app.py", 404),
        ("/clips/..%2f..%2fetc%2fpasswd", 404),
        ("/clips/UPPER", 422),
        ("/clips/it's", 422),
        ("/clips/%00", 422),
        ("/frames/a.b.jpg", 422),
        ("/days/yesterday", 422),
        ("/days/2026-02-30", 422),
        ("/?page=0", 422),
        ("/?page=x", 422),
        ("/?verdict=maybe", 422),
        ("/?first_day=x", 422),
    ],
)
def test_what_is_unknown_is_not_found_and_what_is_malformed_refused(
    client: TestClient, address: str, status: int
) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert client.post(address).status_code in {404, 405}


def test_a_lake_without_tables_says_what_to_run(tmp_path: Path) -> None:
    with browsing(site(tmp_path), tmp_path / "previews") as client:
        for page in ("/", "/days", "/healthz", "/api/clips"):
            answer = client.get(page)
            assert answer.status_code == 503
            assert "lakehouse ingest" in answer.text


def test_the_openapi_document_describes_the_answers(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    answer = paths["/api/clips/{clip_id}"]["get"]["responses"]["200"]["content"]
    assert answer["application/json"]["schema"]["$ref"].endswith("ClipDetail")
    assert "/clips/{clip_id}/video.mp4" in paths


def first_clip_of_dark() -> str:
    return f"{recording_id(key_of('dark.mp4'))}-0000000"


def test_while_one_visitor_waits_for_new_rows_others_are_answered_with_the_last(
    copy: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, opened = threading.Event(), threading.Event()

    def slowly(lake: Lake, settings: Settings) -> duckdb.DuckDBPyConnection:
        if before:
            opening.set()
            assert opened.wait(30)
        return connect(lake, settings)

    before: list[int] = []
    monkeypatch.setattr("lakehouse.web.reading.connect", slowly)
    with browsing(copy, tmp_path / "previews") as client, ThreadPoolExecutor(1) as pool:
        before.append(len(client.get("/api/clips").json()["clips"]))
        copy.put("two.mp4", film(("shed", 2)))
        copy.run()
        waiting = pool.submit(client.get, "/api/clips")
        assert opening.wait(30)
        assert len(client.get("/api/clips").json()["clips"]) == before[0]
        opened.set()
        assert len(waiting.result().json()["clips"]) == before[0] + 1
