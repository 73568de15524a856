"""Pictures and videos: what is sent, and what it costs."""

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from lakehouse.query.clip import export_clip
from lakehouse.settings import S3Settings
from lakehouse.tables.schemas import CLIPS, FRAMES
from lakehouse.web.cache import Cache, TooLarge
from tests.lakes import Site, site
from tests.queried import first_clip
from tests.videos import moving, record
from tests.web_sites import CountingBucket, browsing

RANGES = [(0, 0), (0, 99), (100, 2000), (0, 10**9), (1500, 1500)]


@pytest.fixture(scope="module")
def client(lake: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with browsing(lake, tmp_path_factory.mktemp("previews")) as client:
        yield client


@pytest.fixture
def exported(lake: Site, tmp_path: Path) -> bytes:
    target = tmp_path / "clip.mp4"
    export_clip(lake.lake, lake.bucket, first_clip(lake), target)
    return target.read_bytes()


def decoded(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data)) as opened:
        return list(opened.decode(video=0))


def film_site(folder: Path, name: str, data: bytes) -> tuple[Site, str]:
    """A lake of one recording, and its first clip."""
    made = site(folder)
    made.put(name, data)
    made.run()
    return made, str(made.rows(CLIPS, "clip_id")[0]["clip_id"])


class TestVideo:
    def test_is_what_lakehouse_clip_writes(
        self, client: TestClient, lake: Site, exported: bytes
    ) -> None:
        answer = client.get(f"/clips/{first_clip(lake)}/video.mp4")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.content == exported

    @pytest.mark.parametrize(("start", "end"), RANGES)
    def test_a_range_is_that_part_of_it(
        self, client: TestClient, lake: Site, exported: bytes, start: int, end: int
    ) -> None:
        address = f"/clips/{first_clip(lake)}/video.mp4"
        answer = client.get(address, headers={"Range": f"bytes={start}-{end}"})
        last = min(end, len(exported) - 1)
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{last}/{len(exported)}"
        assert answer.content == exported[start : end + 1]

    def test_open_and_counted_from_the_end(
        self, client: TestClient, lake: Site, exported: bytes
    ) -> None:
        address = f"/clips/{first_clip(lake)}/video.mp4"
        for wanted, content in (("bytes=5000-", exported[5000:]), ("bytes=-77", exported[-77:])):
            answer = client.get(address, headers={"Range": wanted})
            assert (answer.status_code, answer.content) == (206, content)

    @pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
    def test_a_range_past_the_end_is_refused(
        self, client: TestClient, lake: Site, exported: bytes, wanted: str
    ) -> None:
        answer = client.get(f"/clips/{first_clip(lake)}/video.mp4", headers={"Range": wanted})
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{len(exported)}"

    @pytest.mark.parametrize("wanted", ["bytes=a-b", "bytes=9-5", "bytes=0-1,4-5", "frames=0-1"])
    def test_another_form_of_range_is_answered_with_the_whole(
        self, client: TestClient, lake: Site, exported: bytes, wanted: str
    ) -> None:
        answer = client.get(f"/clips/{first_clip(lake)}/video.mp4", headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (200, exported)

    def test_a_range_of_other_bytes_is_answered_with_the_whole(
        self, client: TestClient, lake: Site, exported: bytes
    ) -> None:
        address = f"/clips/{first_clip(lake)}/video.mp4"
        tag = client.get(address).headers["etag"]
        same = client.get(address, headers={"Range": "bytes=0-9", "If-Range": tag})
        other = client.get(address, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
        assert (same.status_code, other.status_code) == (206, 200)
        assert other.content == exported
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 304

    def test_of_the_recording_less_than_three_times_its_bytes_are_read(
        self, lake: Site, tmp_path: Path, exported: bytes
    ) -> None:
        bucket = CountingBucket(lake.settings.bucket)
        with browsing(lake, tmp_path, bucket=bucket) as client:
            address = f"/clips/{first_clip(lake)}/video.mp4"
            assert client.get(address).content == exported
            assert bucket.bytes_read < 3 * len(exported)
            once = bucket.bytes_read
            client.get(address, headers={"Range": "bytes=20000-20099"})
            assert bucket.bytes_read - once < 200

    def test_of_a_replaced_recording_nothing_is_sent(self, copy: Site, tmp_path: Path) -> None:
        clip = first_clip(copy)
        with browsing(copy, tmp_path / "previews") as client:
            assert client.get(f"/clips/{clip}/video.mp4").status_code == 200
            copy.put("rooms.mp4", b"another film")
            answer = client.get(f"/clips/{clip}/video.mp4")
        assert answer.status_code == 404
        assert "replaced" in answer.json()["detail"]

    def test_a_bucket_out_of_reach_is_named(self, copy: Site, tmp_path: Path) -> None:
        clip = first_clip(copy)
        bucket = Path(copy.settings.bucket)
        bucket.rename(bucket.with_name("unmounted"))
        with browsing(copy, tmp_path / "previews") as client:
            answer = client.get(f"/clips/{clip}/video.mp4")
            assert answer.status_code == 503
            assert "create or mount it" in answer.json()["detail"]
            assert client.get(f"/clips/{clip}").status_code == 200

    def test_out_of_a_bucket_on_s3_it_is_the_same(
        self, tmp_path: Path, s3_url: str, s3_settings: S3Settings
    ) -> None:
        made = site(tmp_path).changed(bucket=f"{s3_url}/footage", s3=s3_settings)
        made.put("film.mp4", record(moving(100, width=640, height=480), audio="aac"))
        made.run()
        clip = str(made.rows(CLIPS, "clip_id")[0]["clip_id"])
        export_clip(made.lake, made.bucket, clip, tmp_path / "clip.mp4")
        exported = (tmp_path / "clip.mp4").read_bytes()
        with browsing(made, tmp_path / "previews") as client:
            assert client.get(f"/clips/{clip}/video.mp4").content == exported
            wanted = {"Range": "bytes=70000-90000"}
            part = client.get(f"/clips/{clip}/video.mp4", headers=wanted)
            assert part.content == exported[70000:90001]

    def test_of_a_container_without_ranges_it_is_cut_by_a_demuxer(self, tmp_path: Path) -> None:
        made, clip = film_site(tmp_path, "film.mkv", record(moving(60), suffix="mkv"))
        export_clip(made.lake, made.bucket, clip, tmp_path / "clip.mp4")
        exported = (tmp_path / "clip.mp4").read_bytes()
        with browsing(made, tmp_path / "previews") as client:
            answer = client.get(f"/clips/{clip}/video.mp4", headers={"Range": "bytes=9-99"})
            assert answer.status_code == 206
            assert answer.content == exported[9:100]


class TestPreview:
    @pytest.fixture(scope="class")
    def hevc(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, str]:
        options = {"x265-params": "keyint=12:log-level=none"}
        data = record(moving(60), codec="libx265", options=options)
        return film_site(tmp_path_factory.mktemp("hevc"), "film.mp4", data)

    def test_plays_every_frame_of_a_codec_that_browsers_lack(
        self, hevc: tuple[Site, str], tmp_path: Path
    ) -> None:
        made, clip = hevc
        with browsing(made, tmp_path, preview_px=96) as client:
            detail = client.get(f"/api/clips/{clip}").json()
            preview = client.get(f"/clips/{clip}/preview.mp4")
            video = client.get(f"/clips/{clip}/video.mp4")
        frames, originals = decoded(preview.content), decoded(video.content)
        with av.open(io.BytesIO(preview.content)) as opened:
            assert opened.streams.video[0].codec.canonical_name == "h264"
        assert (detail["codec"], detail["plays"]) == ("hevc", False)
        assert len(frames) == len(originals) > 0
        assert max(frames[0].width, frames[0].height) == 96
        assert [f.time for f in frames] == pytest.approx([f.time for f in originals], abs=0.001)
        for frame, original in zip(frames[::20], originals[::20], strict=True):
            small = original.reformat(frame.width, frame.height, "gray").to_ndarray()
            shown = frame.reformat(format="gray").to_ndarray()
            assert np.abs(shown.astype(int) - small.astype(int)).mean() < 12

    def test_stands_upright(self, tmp_path: Path) -> None:
        made, clip = film_site(tmp_path, "film.mp4", record(moving(60), rotation_deg=90))
        with browsing(made, tmp_path / "previews") as client:
            frame = decoded(client.get(f"/clips/{clip}/preview.mp4").content)[0]
            jpeg = client.get(f"/clips/{clip}/poster.jpg").content
        stored = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert stored is not None
        shown = frame.reformat(format="gray").to_ndarray()
        assert shown.shape == stored.shape
        assert shown.shape[0] > shown.shape[1]

    def test_is_made_once_however_many_ask_and_kept(
        self, hevc: tuple[Site, str], tmp_path: Path
    ) -> None:
        made, clip = hevc
        bucket = CountingBucket(made.settings.bucket)
        with browsing(made, tmp_path, bucket=bucket) as client:
            address = f"/clips/{clip}/preview.mp4"
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: client.get(address).content, range(4)))
        assert len(set(answers)) == 1
        assert [file.suffix for file in tmp_path.iterdir()] == [".mp4"]

    def test_a_clip_that_takes_too_long_is_an_answer_and_no_error(
        self, hevc: tuple[Site, str], tmp_path: Path
    ) -> None:
        made, clip = hevc
        limits = made.settings.limits.model_copy(
            update={"deadline_s": 0.0001, "deadline_per_footage_s": 0.0}
        )
        hurried = Site(made.settings.model_copy(update={"limits": limits}))
        with browsing(hurried, tmp_path) as client:
            answer = client.get(f"/clips/{clip}/preview.mp4")
        assert answer.status_code == 422
        assert "deadline" in answer.json()["detail"]


class TestPictures:
    def test_a_frame_is_the_stored_one(self, client: TestClient, lake: Site) -> None:
        row = lake.rows(FRAMES, "frame_id", "jpeg")[0]
        answer = client.get(f"/frames/{row['frame_id']}.jpg")
        assert answer.headers["content-type"] == "image/jpeg"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.content == row["jpeg"]

    def test_the_poster_is_a_frame_of_the_clip(self, client: TestClient, lake: Site) -> None:
        clip = first_clip(lake)
        frames = [row["jpeg"] for row in lake.rows(FRAMES, "jpeg", where=f"clip_id = '{clip}'")]
        assert client.get(f"/clips/{clip}/poster.jpg").content in frames


def test_fifty_clients_at_once_are_all_answered(client: TestClient, lake: Site) -> None:
    clip = first_clip(lake)
    asked = ["/", "/?q=motion", f"/clips/{clip}", f"/clips/{clip}/video.mp4", "/days/2026-01-02"]
    together = threading.Barrier(50)

    def visit(number: int) -> list[int]:
        together.wait()
        return [client.get(asked[(number + step) % 5]).status_code for step in range(5)]

    with ThreadPoolExecutor(50) as pool:
        statuses = [status for answers in pool.map(visit, range(50)) for status in answers]
    assert statuses == [200] * 250


def test_the_cache_holds_no_more_than_it_may(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    for number in range(8):
        cache.add(f"{number}.mp4", [bytes([number]) * 200] * 2)
        os.utime(tmp_path / f"{number}.mp4", (number, number))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["6.mp4", "7.mp4"]
    watched = cache.open("6.mp4")
    assert watched is not None
    cache.add("8.mp4", [b"8" * 400])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["6.mp4", "8.mp4"]
    with pytest.raises(TooLarge):
        cache.add("9.mp4", [b"9" * 400] * 3)
    assert not list(tmp_path.glob("*.partial"))
    assert watched.read() == bytes([6]) * 400, "it is read to its end though it goes meanwhile"
