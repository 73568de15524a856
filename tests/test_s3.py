"""What only an S3-compatible server shows: conditions, pages, cut answers, and how errors read.

Reading ahead and by ranges is `test_ranged` and `test_announced`.
MiniStack lets any secret in, so refusals are answered by botocore's Stubber here.
"""

import hashlib
import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import av
import pytest
from botocore.stub import Stubber

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.bucket import ObjectNotFound, ObjectReplaced
from lakehouse.storage.runs import BLOCK_BYTES
from lakehouse.storage.s3 import S3Bucket, lance_options
from tests.s3_server import ACCESS_KEY, SECRET_KEY

DATA = os.urandom(10 * BLOCK_BYTES + 12345)
FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"


def test_a_replaced_object_is_never_mixed_with_the_old_one(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a", DATA)
    reader = s3_bucket.open("a")
    assert reader.read(10) == DATA[:10]
    s3_bucket.put("a", DATA[::-1])
    with pytest.raises(ObjectReplaced, match="replaced"):
        reader.read()


def test_a_deleted_object_ends_its_reader(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a", DATA)
    reader = s3_bucket.open("a")
    s3_bucket.remove("a")
    with pytest.raises(ObjectReplaced, match="deleted"):
        reader.read()


def test_only_the_object_that_was_meant_is_opened(s3_bucket: S3Bucket) -> None:
    meant = s3_bucket.put("a", b"old")
    assert s3_bucket.open("a", meant.etag).read() == b"old"
    s3_bucket.put("a", b"new")
    with pytest.raises(ObjectReplaced):
        s3_bucket.open("a", meant.etag)


def test_a_video_decodes_from_the_server_as_from_its_file(
    s3_bucket: S3Bucket, tmp_path: Path
) -> None:
    path = tmp_path / "video.mp4"
    _write_video(path)
    assert _decoded_from_server(s3_bucket, path) == _frame_hashes(str(path))


@pytest.mark.parametrize("name", ["robot/lelan_go1_1.mp4", "general/vtest.avi"])
def test_real_footage_decodes_from_the_server_as_from_its_file(
    s3_bucket: S3Bucket, name: str
) -> None:
    path = FOOTAGE / name
    if not path.exists():
        pytest.skip("no footage beside the repository")
    assert _decoded_from_server(s3_bucket, path) == _frame_hashes(str(path))


def test_a_listing_longer_than_a_page_streams_its_pages(s3_bucket: S3Bucket) -> None:
    keys = [f"{number:04}.mp4" for number in range(1010)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda key: s3_bucket.put_if_absent(key, b""), keys))
    pages: list[str] = []
    s3_bucket._client.meta.events.register(
        "after-call.s3.ListObjectsV2", lambda **_: pages.append("page")
    )
    listing = s3_bucket.list()
    assert next(listing).key == keys[0]
    assert len(pages) == 1
    assert [info.key for info in listing] == keys[1:]
    assert len(pages) == 2
    assert [info.key for info in s3_bucket.list(start_after=keys[1003])] == keys[1004:]


def test_folder_markers_and_other_folders_are_not_listed(
    s3_bucket: S3Bucket, s3_settings: S3Settings
) -> None:
    whole = S3Bucket(f"s3://{s3_bucket.name}", s3_settings)
    whole._client.put_object(Bucket=s3_bucket.name, Key="raw/day/", Body=b"")
    for key in ("raw/day/a", "rawer/b", "c"):
        whole.put(key, b"")
    assert [info.key for info in s3_bucket.list()] == ["day/a"]
    assert [info.key for info in whole.list()] == ["c", "raw/day/a", "rawer/b"]


def test_of_sixteen_writers_one_creates_the_object(s3_bucket: S3Bucket) -> None:
    tokens = [f"writer {number}".encode() for number in range(16)]
    for attempt in range(5):
        key = f"lock-{attempt}"
        with ThreadPoolExecutor(16) as writers:
            created = list(writers.map(lambda t, k=key: s3_bucket.put_if_absent(k, t), tokens))
        assert created.count(True) == 1
        assert s3_bucket.open(key).read() == tokens[created.index(True)]


def test_the_probe_passes_a_server_that_keeps_conditions_and_leaves_nothing(
    s3_bucket: S3Bucket,
) -> None:
    assert s3_bucket.conditional_writes_hold()
    left = s3_bucket._client.list_objects_v2(Bucket=s3_bucket.name)
    assert left["KeyCount"] == 0


def test_the_probe_finds_a_server_that_ignores_conditions(s3_bucket: S3Bucket) -> None:
    def drop_condition(params: dict[str, object], **_: object) -> None:
        params.pop("IfNoneMatch", None)

    s3_bucket._client.meta.events.register("provide-client-params.s3.PutObject", drop_condition)
    assert not s3_bucket.conditional_writes_hold()


def test_a_bucket_sent_to_another_process_still_reads(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a", b"footage")
    assert pickle.loads(pickle.dumps(s3_bucket)).open("a").read() == b"footage"


def test_a_process_makes_one_client_for_all_copies_of_a_bucket(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = pickle.loads(pickle.dumps(s3_bucket))
    assert copy._client is s3_bucket._client
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert pickle.loads(pickle.dumps(s3_bucket))._client is not s3_bucket._client


def test_the_endpoint_may_come_from_the_usual_variable(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    S3Bucket(s3_url, S3Settings()).put("a", b"")
    assert lance_options(S3Settings(), s3_url)["aws_endpoint"] == s3_endpoint


@pytest.mark.usefixtures("aws_environment")
def test_a_region_that_is_set_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    for s3, region in (
        (S3Settings(), "eu-north-1"),
        (S3Settings(region="us-west-2"), "us-west-2"),
    ):
        assert lance_options(s3, "s3://footage")["aws_region"] == region


def test_a_missing_bucket_is_named(s3_settings: S3Settings) -> None:
    bucket = S3Bucket("s3://no-such-bucket/raw", s3_settings)
    _assert_explained(lambda: list(bucket.list()), "no-such-bucket", "create it")
    _assert_explained(lambda: bucket.stat("a"), "no-such-bucket", "create it")
    _assert_explained(lambda: bucket.put("a", b""), "no-such-bucket", "create it")


def test_a_missing_object_in_a_bucket_that_is_there_is_not_found(s3_bucket: S3Bucket) -> None:
    with pytest.raises(ObjectNotFound):
        s3_bucket.open("missing")


@pytest.mark.usefixtures("aws_environment")
def test_an_unreachable_server_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        bucket = S3Bucket("s3://footage", S3Settings(endpoint=endpoint))
        _assert_explained(lambda: list(bucket.list()), endpoint, "start the server")


@pytest.mark.usefixtures("aws_environment")
def test_missing_credentials_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    bucket = S3Bucket("s3://footage", S3Settings(endpoint="http://127.0.0.1:9"))
    _assert_explained(lambda: list(bucket.list()), "footage", "set AWS_ACCESS_KEY_ID")
    _assert_explained(lambda: lance_options(S3Settings(), "s3://footage"), "AWS_ACCESS_KEY_ID")


@pytest.mark.usefixtures("aws_environment")
def test_an_unknown_profile_is_no_source_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    bucket = S3Bucket("s3://footage", S3Settings())
    _assert_explained(lambda: list(bucket.list()), "footage", "credentials")
    _assert_explained(lambda: lance_options(S3Settings(), "s3://footage"), "credentials")


@pytest.mark.usefixtures("aws_environment")
def test_credentials_that_expire_are_left_for_lance_to_renew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(
        '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c",'
        ' "Expiration": "2999-01-01T00:00:00Z"}'
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = cat {answer}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert not {"aws_access_key_id", "aws_session_token"} & set(
        lance_options(S3Settings(), "s3://lake")
    )


@pytest.mark.usefixtures("aws_environment")
def test_half_a_pair_of_credentials_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    bucket = S3Bucket("s3://footage", S3Settings(endpoint="http://127.0.0.1:9"))
    _assert_explained(lambda: list(bucket.list()), "AWS_SECRET_ACCESS_KEY")


@pytest.mark.usefixtures("aws_environment")
@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        ("SignatureDoesNotMatch", 403, "correct AWS_SECRET_ACCESS_KEY"),
        ("InvalidAccessKeyId", 403, "correct AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", 400, "renew"),
        ("AccessDenied", 403, "check AWS_ACCESS_KEY_ID"),
        ("403", 403, "check AWS_ACCESS_KEY_ID"),
        ("PermanentRedirect", 301, "s3.region"),
        ("RequestTimeTooSkewed", 403, "clock"),
        ("SlowDown", 503, "overloaded"),
        ("Strange", 418, "Strange"),
    ],
)
def test_a_refusal_names_its_remedy(code: str, status: int, remedy: str) -> None:
    bucket = S3Bucket("s3://footage", S3Settings(endpoint="http://127.0.0.1:9"))
    for method, call in {
        "list_objects_v2": lambda: list(bucket.list()),
        "head_object": lambda: bucket.stat("a"),
    }.items():
        with Stubber(bucket._client) as stub:
            stub.add_client_error(method, code, SECRET_KEY, http_status_code=status)
            _assert_explained(call, "footage", remedy)


@pytest.mark.usefixtures("aws_environment")
@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", f"http://me:{SECRET_KEY}@127.0.0.1:9"])
def test_an_endpoint_that_is_no_plain_address_is_refused(endpoint: str) -> None:
    bucket = S3Bucket("s3://footage", S3Settings(endpoint=endpoint))
    _assert_explained(lambda: list(bucket.list()), "endpoint")


def test_an_address_with_credentials_is_refused_and_not_repeated() -> None:
    _assert_explained(lambda: S3Bucket(f"s3://me:{SECRET_KEY}@footage", S3Settings()), "without")


@pytest.mark.usefixtures("aws_environment")
def test_lance_is_told_the_server_and_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = S3Settings(endpoint="http://127.0.0.1:9000")
    assert lance_options(s3, "s3://lake/tables") == {
        "aws_endpoint": "http://127.0.0.1:9000",
        "allow_http": "true",
        "aws_region": "us-east-1",
        "aws_virtual_hosted_style_request": "false",
        "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": SECRET_KEY,
        "client_max_retries": "1",
        "download_retry_count": "1",
        "timeout": "30000ms",
        "connect_timeout": "5000ms",
    }
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert lance_options(s3, "s3://lake")["aws_session_token"] == "token"


@pytest.mark.usefixtures("aws_environment")
def test_lance_is_told_the_buckets_host_where_the_host_names_the_bucket() -> None:
    s3 = S3Settings(endpoint="https://tos-s3-cn-beijing.volces.com", addressing="virtual")
    options = lance_options(s3, "s3://lake/tables")
    assert options["aws_endpoint"] == "https://lake.tos-s3-cn-beijing.volces.com"
    assert options["aws_virtual_hosted_style_request"] == "true"
    assert "allow_http" not in options
    assert "aws_endpoint" not in lance_options(S3Settings(), "s3://lake/tables")


def test_lance_reads_back_what_it_wrote_there(s3_url: str, s3_settings: S3Settings) -> None:
    lance = pytest.importorskip("lance")
    pa = pytest.importorskip("pyarrow")
    options = lance_options(s3_settings, s3_url)
    table = pa.table({"clip_id": ["a", "b"]})
    lance.write_dataset(table, f"{s3_url}/clips.lance", storage_options=options)
    assert lance.dataset(f"{s3_url}/clips.lance", storage_options=options).to_table() == table


class _Cutting(BaseHTTPRequestHandler):
    """Serves DATA by ranges and breaks off after `cut_after_bytes` of each body."""

    cut_after_bytes: int
    honours_ranges = True

    def do_HEAD(self) -> None:
        self._head(200, len(DATA))

    def do_GET(self) -> None:
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        body = DATA[first : last + 1] if self.honours_ranges else DATA
        self._head(206 if self.honours_ranges else 200, len(body), first)
        self.wfile.write(body[: self.cut_after_bytes])
        self.close_connection = True

    def _head(self, status: int, length: int, first: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + length - 1}/{len(DATA)}")
        self.send_header("ETag", '"etag"')
        self.send_header("Last-Modified", "Sat, 28 Feb 2026 12:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def cutting(aws_environment: None) -> Iterator[tuple[type[_Cutting], S3Bucket]]:
    del aws_environment
    handler = type("Handler", (_Cutting,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield handler, S3Bucket("s3://footage", S3Settings(endpoint=endpoint))
        server.shutdown()
        thread.join()


def test_a_body_cut_short_is_continued(cutting: tuple[type[_Cutting], S3Bucket]) -> None:
    handler, bucket = cutting
    handler.cut_after_bytes = BLOCK_BYTES + 1000
    with bucket.open("a") as reader:
        assert reader.read() == DATA
        assert reader.bytes_read == len(DATA)


def test_a_body_that_never_arrives_is_an_error_and_no_end(
    cutting: tuple[type[_Cutting], S3Bucket],
) -> None:
    handler, bucket = cutting
    handler.cut_after_bytes = 0
    with pytest.raises(OSError, match="broke off"):
        bucket.open("a").read()


def test_a_server_that_ignores_ranges_is_found_out(
    cutting: tuple[type[_Cutting], S3Bucket],
) -> None:
    handler, bucket = cutting
    handler.cut_after_bytes, handler.honours_ranges = len(DATA), False
    with pytest.raises(OSError, match="ranges"):
        bucket.open("a").read(1)


def _assert_explained(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(UserError) as raised:
        call()
    message = str(raised.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert SECRET_KEY not in message


def _write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 320, 240
        for number in range(60):
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(hashlib.shake_128(bytes([number])).digest(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _frame_hashes(source: str | BinaryIO) -> list[tuple[int | None, str]]:
    """Of the first 60 frames, and of 30 more from the middle on."""
    with av.open(source, "r") as container:
        stream = container.streams.video[0]
        frames = list(islice(container.decode(stream), 60))
        container.seek((container.duration or 0) // 2)
        frames += islice(container.decode(stream), 30)
        return [(f.pts, hashlib.sha256(f.to_ndarray().tobytes()).hexdigest()) for f in frames]


def _decoded_from_server(bucket: S3Bucket, path: Path) -> list[tuple[int | None, str]]:
    with path.open("rb") as file:
        bucket.put(path.name, file)
    with bucket.open(path.name) as reader:
        return _frame_hashes(reader)
