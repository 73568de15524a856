"""Clips out of long recordings: right bytes, and little read for them, however many ask."""

import io
import struct
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

import av
import pytest
from fastapi.testclient import TestClient

from benchmarks.long_recordings import Container, repeat
from benchmarks.undecoded import ingest
from lakehouse.query.clip import export_clip
from lakehouse.tables.schemas import CLIPS, FRAMES
from lakehouse.video.cut import cut_clip
from lakehouse.video.mp4 import slicer
from lakehouse.video.mp4.boxes import read_index
from lakehouse.video.mp4.held import HeldIndex
from lakehouse.video.mp4.slicer import Plan, plan_span
from lakehouse.web import plans
from tests.lakes import PARTITION, Site, site
from tests.videos import B_FRAMES, moving, record
from tests.web_sites import CountingBucket, browsing

PARTS, PART_S = 120, 10
TICKS_PER_S = 12800
RECORDINGS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "B-frames and sound": ({"options": B_FRAMES, "audio": "aac"}, {}),
    "index at the start": ({"audio": "aac"}, {"movflags": "faststart"}),
    "neither": ({}, {}),
    "in fragments": ({"audio": "aac"}, {"movflags": "frag_keyframe+empty_moov"}),
    "all key frames": ({"options": {"g": "1"}, "audio": "aac"}, {}),
}


@cache
def long_recording(kind: str) -> bytes:
    """Twenty minutes: ten seconds, again and again."""
    recorded, options = RECORDINGS[kind]
    with TemporaryDirectory() as folder:
        target = Path(folder) / "long.mp4"
        # Longer than the part, since of the sound's last packet some reaches into the next.
        container = Container(target.name, "mp4", options)
        repeat(record(moving(25 * PART_S), **recorded), PART_S + 1, PARTS, container, target)
        return target.read_bytes()


class Counted(io.BytesIO):
    """A file that counts the bytes read of it."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def cut_at(source: io.BytesIO, second: float) -> bytes:
    target = io.BytesIO()
    span = round(second * TICKS_PER_S), round((second + 4) * TICKS_PER_S)
    cut_clip(source, "mov", *span, target)
    return target.getvalue()


def packets(data: bytes) -> list[tuple[int, int | None, bytes]]:
    """Stream, time and content of each packet."""
    with av.open(io.BytesIO(data), "r", format="mp4") as movie:
        return [(p.stream_index, p.pts, bytes(p)) for p in movie.demux() if p.size]


def planned(source: io.BytesIO, second: float, index: HeldIndex | None = None) -> Plan:
    return plan_span(source, round(second * TICKS_PER_S), round((second + 4) * TICKS_PER_S), index)


@pytest.mark.parametrize("second", [0, 3, 400, 700, 1305])
@pytest.mark.parametrize("kind", sorted(RECORDINGS.keys() - {"in fragments"}))
def test_out_of_a_part_of_the_index_a_clip_is_what_it_is_out_of_the_whole(
    kind: str, second: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = io.BytesIO(long_recording(kind))
    monkeypatch.setattr(slicer, "_READ_WHOLE_BYTES", 0)
    partly = planned(source, second)
    monkeypatch.setattr(slicer, "_READ_WHOLE_BYTES", 2**40)
    assert partly == planned(source, second)


@pytest.mark.parametrize("second", [0, 3, 400, 700, 1305])
def test_of_a_large_index_at_most_the_half_that_tells_of_a_span_is_read(second: float) -> None:
    source = Counted(long_recording("B-frames and sound"))
    index_bytes = len(read_index(source)[0])
    source.bytes_read = 0
    planned(source, second)
    assert source.bytes_read < index_bytes / 2


def test_an_index_that_was_read_is_not_read_again() -> None:
    source = Counted(long_recording("B-frames and sound"))
    index = HeldIndex.found_in(source)
    planned(source, 700, index)
    source.bytes_read = 0
    planned(source, 703, index)
    assert source.bytes_read < 50_000, "the heads of a few key frames"


@pytest.mark.parametrize("seed", range(100))
def test_whatever_a_large_index_says_it_is_refused_or_read_within_its_size(seed: int) -> None:
    data = bytearray(long_recording("B-frames and sound"))
    random = Random(seed)
    for _ in range(random.randint(1, 3)):
        table = random.choice((b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"elst"))
        at = random.choice((data.find, data.rfind))(table) + random.choice((-4, 4, 8, 12, 16))
        number = random.choice((0, 1, 2, 2**16, 2**31 - 1, 2**31, 2**32 - 1))
        struct.pack_into(">I", data, at, number)
    tracemalloc.start()
    with suppress(slicer.NotSliceable):
        planned(io.BytesIO(data), random.choice((3, 400, 1200)))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2 * len(data) + 2**25


@pytest.mark.parametrize("second", [3, 700, 1305])
def test_of_a_recording_in_fragments_those_of_the_span_are_found_by_its_table(
    second: float,
) -> None:
    data = long_recording("in fragments")
    source = Counted(data)
    by_table = cut_at(source, second)
    assert source.bytes_read < 0.2 * len(data)
    without_table = io.BytesIO(data[: data.rindex(b"mfra") - 4])
    assert packets(by_table) == packets(cut_at(without_table, second))


def test_a_table_of_fragments_that_is_wrong_is_not_believed() -> None:
    data = long_recording("in fragments")
    wrong = bytearray(data)
    table = data.rindex(b"tfra", 0, data.rindex(b"tfra"))  # the video's
    (entries,) = struct.unpack_from(">I", data, table + 16)
    width = (data.rindex(b"tfra") - 4 - table - 20) // entries
    for number in range(entries):
        (time,) = struct.unpack_from(">Q", data, table + 20 + number * width)
        struct.pack_into(">Q", wrong, table + 20 + number * width, time + TICKS_PER_S)
    assert packets(cut_at(io.BytesIO(wrong), 700)) == packets(cut_at(io.BytesIO(data), 700))


@pytest.fixture(scope="module")
def long_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, list[str]]:
    """A lake of two long recordings, and their clips."""
    made = site(tmp_path_factory.mktemp("long"))
    made.put("a.mp4", long_recording("B-frames and sound"))
    made.put("b.mp4", long_recording("index at the start"))
    return made, ingest(made.settings, PARTITION)


@pytest.fixture
def bucket(long_site: tuple[Site, list[str]]) -> CountingBucket:
    return CountingBucket(long_site[0].settings.bucket)


@pytest.fixture
def client(
    long_site: tuple[Site, list[str]], bucket: CountingBucket, tmp_path: Path
) -> Iterator[TestClient]:
    with browsing(long_site[0], tmp_path / "previews", bucket=bucket) as client:
        yield client


def exported(made: Site, clip: str, folder: Path) -> bytes:
    target = folder / f"{clip}.mp4"
    export_clip(made.lake, made.bucket, clip, target)
    return target.read_bytes()


def test_a_clip_beside_one_that_was_watched_costs_little_more_than_its_bytes(
    client: TestClient, long_site: tuple[Site, list[str]], bucket: CountingBucket
) -> None:
    _, clips = long_site
    middle = len(clips) // 4
    client.get(f"/clips/{clips[middle]}/video.mp4")
    bucket.bytes_read = 0
    beside = client.get(f"/clips/{clips[middle + 1]}/video.mp4").content
    assert bucket.bytes_read < 1.5 * len(beside)


def test_indices_are_held_within_a_bound_and_read_again_beyond_it(
    client: TestClient,
    long_site: tuple[Site, list[str]],
    bucket: CountingBucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, clips = long_site
    monkeypatch.setattr(plans, "_MOST_INDEX_BYTES", 1)
    read = []
    for clip in (clips[20], clips[-20], clips[21]):
        bucket.bytes_read = 0
        shown = client.get(f"/clips/{clip}/video.mp4").content
        read.append(bucket.bytes_read - len(shown))
        assert shown == exported(made, clip, tmp_path)
    assert read[2] > read[0] / 2, "the first index made room for the second"


def test_fifty_at_once_are_sent_the_right_bytes(
    client: TestClient, long_site: tuple[Site, list[str]], tmp_path: Path
) -> None:
    made, clips = long_site
    chosen = [clips[number * len(clips) // 50] for number in range(50)]
    right = {clip: exported(made, clip, tmp_path) for clip in chosen}
    together = Barrier(50)

    def visit(clip: str) -> list[bool]:
        together.wait()
        half = len(right[clip]) // 2
        seek = {"Range": f"bytes={half}-"}
        address = f"/clips/{clip}"
        return [
            client.get("/").status_code == 200,
            client.get(address).status_code == 200,
            client.get(f"{address}/poster.jpg").status_code == 200,
            client.get(f"{address}/video.mp4").content == right[clip],
            client.get(f"{address}/video.mp4", headers=seek).content == right[clip][half:],
        ]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(visit, chosen))
    assert answers == [[True] * 5] * 50


def test_a_picture_that_a_browser_has_is_not_sent_again(
    client: TestClient, long_site: tuple[Site, list[str]]
) -> None:
    _, clips = long_site
    address = f"/clips/{clips[0]}/poster.jpg"
    tag = client.get(address).headers["etag"]
    again = client.get(address, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_of_a_replaced_recording_a_browser_is_sent_the_new_poster(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.put("film.mp4", record(moving(60, seed=1)))
    made.run()
    address = f"/clips/{made.rows(CLIPS, 'clip_id')[0]['clip_id']}/poster.jpg"
    with browsing(made, tmp_path / "previews") as client:
        before = client.get(address)
        made.put("film.mp4", record(moving(60, seed=2)))
        made.run()
        answer = client.get(address, headers={"If-None-Match": before.headers["etag"]})
    assert answer.status_code == 200
    assert answer.content in [row["jpeg"] for row in made.rows(FRAMES, "jpeg")]
