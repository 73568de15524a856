"""A store that fails: every tenth request spoilt, gone for good, or gone and back again.

A proxy before the real server does the damage, see `fault_proxy`.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import lance
import pytest

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.s3 import S3Bucket, lance_options
from tests.fault_proxy import BEFORE, BODY, KINDS, LISTING, LOST, FaultProxy, fault_proxy
from tests.lakes import Site
from tests.s3_chain import Contents, site_on_s3
from tests.s3_server import SECRET_KEY, new_bucket

DATA = bytes(range(256)) * 4096
RATE = 0.1


@pytest.fixture
def proxy(s3_endpoint: str, aws_environment: None) -> Iterator[FaultProxy]:
    """Spoils nothing until it is told to."""
    del aws_environment
    with fault_proxy(s3_endpoint, seed=7) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: FaultProxy) -> S3Settings:
    """The way to the server past the proxy. Waiting for an answer in vain costs a second."""
    return S3Settings(endpoint=proxy.endpoint, timeout_s=1.0, attempts=7)


@pytest.fixture
def bucket(s3_url: str, through: S3Settings) -> S3Bucket:
    return S3Bucket(s3_url, through)


@pytest.fixture
def on_s3(tmp_path: Path, s3_url: str, through: S3Settings) -> Site:
    """Footage and an empty lake behind the proxy."""
    return site_on_s3(tmp_path, s3_url, through)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Contents:
    """What the tables hold where nothing fails."""
    s3 = S3Settings(endpoint=s3_endpoint)
    site = site_on_s3(tmp_path_factory.mktemp("clean"), f"s3://{new_bucket(s3)}", s3)
    site.run()
    return site.contents()


class TestTheBucket:
    @pytest.mark.parametrize("kind", [*BEFORE, *LOST])
    def test_writes_an_object_whole(self, bucket: S3Bucket, proxy: FaultProxy, kind: str) -> None:
        proxy.rate, proxy.kinds, proxy.limit = 1.0, (kind,), 1
        bucket.put("a", DATA)
        assert proxy.injected == {kind: 1}
        assert bucket.open("a").read() == DATA

    @pytest.mark.parametrize("kind", ["closed", *BODY])
    def test_reads_an_object_whole(self, bucket: S3Bucket, proxy: FaultProxy, kind: str) -> None:
        bucket.put("a", DATA)
        with bucket.open("a") as reader:
            proxy.rate, proxy.kinds, proxy.limit = 1.0, (kind,), 1
            assert reader.read() == DATA
        assert proxy.injected == {kind: 1}

    @pytest.mark.parametrize("kind", [*BODY, *LISTING])
    def test_never_takes_a_spoilt_listing_for_one(
        self, bucket: S3Bucket, proxy: FaultProxy, kind: str
    ) -> None:
        bucket.put("a", b"")
        bucket.put("b", b"")
        proxy.rate, proxy.kinds, proxy.limit = 1.0, (kind,), 1
        assert [info.key for info in bucket.list()] == ["a", "b"]
        assert proxy.injected == {kind: 1}

    @pytest.mark.parametrize("kind", LOST)
    def test_knows_its_own_object_again_when_the_answer_was_lost(
        self, bucket: S3Bucket, proxy: FaultProxy, kind: str
    ) -> None:
        proxy.rate, proxy.kinds, proxy.limit = 1.0, (kind,), 1
        assert bucket.put_if_absent("a", b"mine")
        proxy.limit = 2
        assert not bucket.put_if_absent("a", b"another's")
        assert proxy.injected == {kind: 2}

    def test_is_not_accused_of_breaking_conditions_by_faults(
        self, bucket: S3Bucket, proxy: FaultProxy
    ) -> None:
        proxy.rate, proxy.limit = 0.5, 8
        assert bucket.conditional_writes_hold()
        assert proxy.injected


class TestLance:
    def test_makes_a_request_as_often_as_the_settings_say(
        self, s3_url: str, proxy: FaultProxy, through: S3Settings
    ) -> None:
        proxy.rate, proxy.kinds = 1.0, ("500",)
        _open(f"{s3_url}/a.lance", through.model_copy(update={"attempts": 1}))
        once = proxy.requests  # Lance lists more than once, whatever it is told
        _open(f"{s3_url}/a.lance", through.model_copy(update={"attempts": 3}))
        assert proxy.requests - once == 3 * once

    def test_waits_for_an_answer_as_long_as_the_settings_say(
        self, s3_url: str, proxy: FaultProxy, through: S3Settings
    ) -> None:
        proxy.rate, proxy.kinds = 1.0, ("no answer",)
        started = time.monotonic()
        _open(f"{s3_url}/a.lance", through.model_copy(update={"attempts": 1}))
        assert 0.9 < time.monotonic() - started < 15


def _open(url: str, s3: S3Settings) -> None:
    with pytest.raises(ValueError, match="Generic S3 error"):
        lance.dataset(url, storage_options=lance_options(s3, url))


class TestTheChain:
    def test_makes_the_same_tables_with_every_tenth_request_spoilt(
        self, on_s3: Site, proxy: FaultProxy, clean: Contents
    ) -> None:
        proxy.rate = RATE
        on_s3.run()
        proxy.rate = 0.0
        assert on_s3.contents() == clean
        assert sum(proxy.injected.values()) > 20
        assert len(proxy.injected) >= len(KINDS) // 2

    def test_stops_in_one_line_at_a_server_that_is_down_and_completes_later(
        self, on_s3: Site, proxy: FaultProxy, clean: Contents
    ) -> None:
        proxy.down()
        started = time.monotonic()
        with pytest.raises(UserError) as raised:
            on_s3.changed(s3={**on_s3.settings.s3.model_dump(), "attempts": 2}).run()
        assert time.monotonic() - started < 30
        message = str(raised.value)
        assert proxy.endpoint in message or on_s3.settings.lake in message
        assert "\n" not in message
        assert SECRET_KEY not in message
        proxy.up()
        on_s3.run()
        assert on_s3.contents() == clean

    def test_outlasts_a_restart_of_the_server(
        self, on_s3: Site, proxy: FaultProxy, clean: Contents
    ) -> None:
        restarted: list[bool] = []

        def restart(*_: object) -> None:
            if not restarted:
                restarted.append(True)
                proxy.restart(after_s=2.0)

        on_s3.run(on_made=restart)
        assert restarted
        assert on_s3.contents() == clean


def test_no_table_is_made_on_a_server_that_ignores_conditions(
    on_s3: Site, proxy: FaultProxy
) -> None:
    proxy.dropped = frozenset({"if-none-match"})
    with pytest.raises(UserError, match="If-None-Match") as raised:
        on_s3.run()
    assert on_s3.settings.lake in str(raised.value)
    lake = S3Bucket(on_s3.settings.lake, on_s3.settings.s3)
    assert list(lake.list()) == []


def test_a_server_that_never_answers_is_named_in_time(aws_environment: None) -> None:
    del aws_environment
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bucket = S3Bucket("s3://footage", S3Settings(endpoint=endpoint, timeout_s=0.2))
        with pytest.raises(UserError, match="can't be reached") as raised:
            list(bucket.list())
    assert endpoint in str(raised.value)
