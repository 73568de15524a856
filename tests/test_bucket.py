"""What every bucket promises, over a folder and over a real S3-compatible server."""

import io
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.address import open_bucket
from lakehouse.storage.bucket import Bucket, ObjectNotFound, is_footage
from lakehouse.storage.local import LocalBucket

# In the order of S3: '-' and '.' sort before '/', digits after it, and 'é' after all of ASCII.
ORDERED_KEYS = ["a-b/x", "a.mp4", "a/b/x", "a/b0", "a0", "b/Z", "b/é.mp4", "犬/走る.mp4", "🐕/go"]
OUTSIDE_KEYS = [
    "../secret",
    "a/../../secret",
    "/etc/passwd",
    "a\0b",
    "",
    "a//b",
    "./a",
    "a/",
    "a/.",
]
UNLISTED_KEYS = [".hidden", "a/.DS_Store", ".cache/x.mp4", "a/x.mp4.part", "a/x.tmp"]


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "s3":
        s3_settings = request.getfixturevalue("s3_settings")
        return open_bucket(request.getfixturevalue("s3_url"), s3_settings)
    (tmp_path / "bucket").mkdir()
    (tmp_path / "secret").write_bytes(b"outside")
    return open_bucket(str(tmp_path / "bucket"), S3Settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


def keys_of(bucket: Bucket, prefix: str = "", start_after: str = "") -> list[str]:
    return [info.key for info in bucket.list(prefix, start_after)]


def fill(bucket: Bucket, keys: list[str]) -> None:
    for key in random.Random(0).sample(keys, len(keys)):
        bucket.put(key, key.encode())


def test_an_empty_bucket_lists_nothing(bucket: Bucket) -> None:
    assert keys_of(bucket) == []


def test_what_was_put_is_read_back(bucket: Bucket) -> None:
    bucket.put("go2/front/a.mp4", b"footage")
    with bucket.open("go2/front/a.mp4") as reader:
        assert reader.read() == b"footage"


def test_a_stream_is_put_without_being_told_its_length(bucket: Bucket) -> None:
    data = os.urandom(9_000_000)
    info = bucket.put("big", io.BytesIO(data))
    with bucket.open("big") as reader:
        assert (reader.read(), info.size_bytes) == (data, len(data))


def test_an_empty_object_reads_as_nothing(bucket: Bucket) -> None:
    assert bucket.put("empty", b"").size_bytes == 0
    with bucket.open("empty") as reader:
        assert reader.read() == b""


def test_put_stat_and_list_tell_the_same(bucket: Bucket) -> None:
    put = bucket.put("a", b"12345")
    assert put == bucket.stat("a") == next(iter(bucket.list()))
    assert put.size_bytes == 5


def test_an_object_is_as_old_as_its_arrival_in_utc(bucket: Bucket) -> None:
    modified = bucket.put("a", b"1").modified
    assert modified.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - modified) < timedelta(minutes=1)


def test_a_replaced_object_has_another_etag_and_its_new_content(bucket: Bucket) -> None:
    first = bucket.put("a", b"one")
    second = bucket.put("a", b"two")
    assert first.etag != second.etag
    assert bucket.open("a").read() == b"two"


def test_a_listing_is_in_the_order_of_utf8_bytes(bucket: Bucket) -> None:
    fill(bucket, ORDERED_KEYS)
    assert keys_of(bucket) == ORDERED_KEYS


@pytest.mark.parametrize("start_after", [*ORDERED_KEYS, "a/", "a/b", "a/b/", "a/c", "b", "zzz"])
def test_a_listing_goes_on_strictly_after_a_key(folder: Path, start_after: str) -> None:
    bucket = LocalBucket(folder)
    fill(bucket, ORDERED_KEYS)
    assert keys_of(bucket, start_after=start_after) == [k for k in ORDERED_KEYS if k > start_after]


def test_a_listing_starts_after_keys_present_and_absent(bucket: Bucket) -> None:
    fill(bucket, ORDERED_KEYS)
    for start_after in ("a/b/x", "a/c", "b/Z", "zzz"):
        expected = [key for key in ORDERED_KEYS if key > start_after]
        assert keys_of(bucket, start_after=start_after) == expected


@pytest.mark.parametrize("prefix", ["a", "a/", "a/b", "a-", "犬", "c", "../"])
def test_a_prefix_need_not_end_with_a_folder(bucket: Bucket, prefix: str) -> None:
    fill(bucket, ORDERED_KEYS)
    assert keys_of(bucket, prefix) == [key for key in ORDERED_KEYS if key.startswith(prefix)]


def test_hidden_and_unfinished_files_are_not_listed(bucket: Bucket) -> None:
    fill(bucket, [*UNLISTED_KEYS, "a/x.mp4", "x.tmp/y.mp4"])
    assert keys_of(bucket) == ["a/x.mp4", "x.tmp/y.mp4"]


@pytest.mark.parametrize("key", ["missing", "a/b/c", "a", *OUTSIDE_KEYS])
def test_what_is_not_there_is_not_found(bucket: Bucket, key: str) -> None:
    bucket.put("a/b", b"")
    with pytest.raises(ObjectNotFound):
        bucket.stat(key)
    with pytest.raises(ObjectNotFound):
        bucket.open(key)


@pytest.mark.parametrize("key", OUTSIDE_KEYS)
def test_nothing_is_put_outside_the_bucket(bucket: Bucket, key: str) -> None:
    with pytest.raises(UserError):
        bucket.put(key, b"")


def test_a_reader_seeks_as_a_file_does(bucket: Bucket) -> None:
    data = os.urandom(1_500_000)
    bucket.put("a", data)
    twin, random_places = io.BytesIO(data), random.Random(1)
    with bucket.open("a") as reader:
        for _ in range(200):
            place, length = random_places.randrange(1_600_000), random_places.randrange(400_000)
            assert reader.seek(place) == twin.seek(place)
            assert reader.read(length) == twin.read(length)
            assert reader.tell() == twin.tell()
        assert reader.seek(-10, io.SEEK_END) == len(data) - 10
        assert reader.read() == data[-10:]


@pytest.mark.parametrize(
    "url", ["gs://footage", "file:///tmp", "http://host/x", "", "s3://", "s3:///x"]
)
def test_an_address_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        open_bucket(url, S3Settings())


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        open_bucket(str(tmp_path / "nowhere"), S3Settings())


def test_a_folder_that_vanished_is_no_empty_bucket(folder: Path) -> None:
    bucket = LocalBucket(folder)
    folder.rmdir()
    with pytest.raises(UserError, match="mount"):
        list(bucket.list())


def test_a_link_out_of_the_folder_is_neither_listed_nor_opened_nor_written(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "bucket"
    outside.mkdir()
    folder.mkdir()
    (outside / "secret.mp4").write_bytes(b"secret")
    (folder / "away").symlink_to(outside)
    (folder / "secret.mp4").symlink_to(outside / "secret.mp4")
    bucket = LocalBucket(folder)
    assert keys_of(bucket) == []
    for key in ("secret.mp4", "away/secret.mp4"):
        with pytest.raises(ObjectNotFound):
            bucket.open(key)
    with pytest.raises(UserError):
        bucket.put("away/new.mp4", b"")
    assert [path.name for path in outside.iterdir()] == ["secret.mp4"]


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    bucket = LocalBucket(folder)
    bucket.put("real/a.mp4", b"")
    (folder / "linked").symlink_to("real")
    assert keys_of(bucket) == ["linked/a.mp4", "real/a.mp4"]


def test_a_circle_of_links_ends(folder: Path) -> None:
    bucket = LocalBucket(folder)
    bucket.put("a/b/x", b"")
    (folder / "a/b/up").symlink_to(folder)
    (folder / "self").symlink_to("self")
    assert keys_of(bucket) == ["a/b/x"]


def test_a_pipe_is_no_footage(folder: Path) -> None:
    os.mkfifo(folder / "pipe.mp4")
    bucket = LocalBucket(folder)
    assert keys_of(bucket) == []
    with pytest.raises(ObjectNotFound):
        bucket.open("pipe.mp4")


def test_a_name_that_is_not_utf8_does_not_end_a_listing(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.mp4")).touch()
    bucket = LocalBucket(folder)
    bucket.put("a.mp4", b"")
    assert keys_of(bucket) == ["a.mp4"]


def test_a_file_moved_in_is_as_new_as_its_arrival(folder: Path) -> None:
    path = folder / "old.mp4"
    path.touch()
    os.utime(path, (0, 0))
    assert datetime.now(UTC) - LocalBucket(folder).stat("old.mp4").modified < timedelta(minutes=1)


def test_a_put_that_fails_leaves_what_was_there(folder: Path) -> None:
    class Torn(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError("the source broke off")

    bucket = LocalBucket(folder)
    bucket.put("a", b"whole")
    with pytest.raises(UserError, match="broke off"):
        bucket.put("a", Torn())
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert bucket.open("a").read() == b"whole"


def test_folders_before_the_start_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = LocalBucket(folder)
    fill(bucket, [f"{robot}/{day}/x" for robot in "abc" for day in range(3)])
    scanned: list[str] = []
    scandir = os.scandir

    def recorded(path: Path) -> object:
        scanned.append(path.relative_to(folder).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recorded)
    assert keys_of(bucket, prefix="b/", start_after="b/1/x") == ["b/2/x"]
    assert scanned == [".", "b", "b/1", "b/2"]


segments = st.text(st.sampled_from("-./09AZaz~é犬🐕 "), min_size=1, max_size=4).filter(
    lambda text: "/" not in text
)
trees = st.lists(st.lists(segments, min_size=1, max_size=3).map("/".join), max_size=12)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tree=trees, prefix=st.text(st.sampled_from("-./0aZ犬"), max_size=2), start=trees)
def test_any_folder_lists_as_its_sorted_keys(
    tmp_path_factory: pytest.TempPathFactory, tree: list[str], prefix: str, start: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    bucket, kept = LocalBucket(folder), set()
    for key in tree:
        try:
            bucket.put(key, b"")
            kept.add(key)
        except UserError:
            continue  # a file where this key needs a folder, or the reverse
    visible = sorted(filter(is_footage, kept), key=str.encode)
    for start_after in ["", *start, *tree]:
        expected = [key for key in visible if key.startswith(prefix) and key > start_after]
        assert keys_of(bucket, prefix, start_after) == expected
