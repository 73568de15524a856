"""The HTTP server that a bucket pushes its notifications to, and a Ceph gateway that does so."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.events.listener import Listener
from lakehouse.storage.events.spool import Spool
from lakehouse.storage.s3 import S3Bucket
from tests.radosgw import Gateway
from tests.told import HEARD, KEY, events, notification, taken_within

ROOT = Path(__file__).parent.parent
TOKEN = "a-token-of-the-tests"
PUT = notification("footage", "a.mp4")
COMMAND = [sys.executable, "-c", "from assets.command_line.app import main; main()", "listen"]


@contextmanager
def listening(spool: Spool, token: str | None = TOKEN) -> Iterator[Listener]:
    with Listener(spool, "127.0.0.1", 0, token) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listener
        finally:
            listener.shutdown()
            thread.join()


def answer(connection: http.client.HTTPConnection) -> int:
    with connection.getresponse() as response:
        response.read()
        return response.status


class TestListener:
    @pytest.fixture
    def spool(self, tmp_path: Path) -> Spool:
        return Spool(tmp_path / "spool")

    @pytest.fixture
    def connection(self, spool: Spool) -> Iterator[http.client.HTTPConnection]:
        with listening(spool) as listener:
            connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=5)
            yield connection
            connection.close()

    def test_an_event_is_on_disk_before_it_is_answered(
        self, connection: http.client.HTTPConnection, spool: Spool
    ) -> None:
        for number in range(3):
            connection.request("POST", f"/{TOKEN}", PUT)
            assert answer(connection) == 200
            assert len(spool.take()) == number + 1

    def test_the_test_of_a_notification_is_welcome_and_not_kept(
        self, connection: http.client.HTTPConnection, spool: Spool
    ) -> None:
        connection.request("POST", f"/{TOKEN}", b'{"Event": "s3:TestEvent"}')
        assert answer(connection) == 200
        assert spool.take() == []

    @pytest.mark.parametrize(
        ("path", "body", "headers", "status"),
        [
            (f"/{TOKEN}", b"", {}, 400),
            (f"/{TOKEN}", b"{}", {}, 400),
            (f"/{TOKEN}", b"\xff" * 2000, {}, 400),
            (f"/{TOKEN}", None, {"Content-Length": "2000000"}, 413),
            (f"/{TOKEN}", None, {"Content-Length": "9" * 5000}, 413),
            (f"/{TOKEN}", None, {"Content-Length": "-1"}, 411),
            (f"/{TOKEN}", None, {"Transfer-Encoding": "chunked"}, 411),
            ("/", PUT, {}, 404),
            (f"/{TOKEN}x", PUT, {}, 404),
            (f"/%20{TOKEN}", PUT, {}, 404),
        ],
    )
    def test_what_is_no_event_or_lacks_the_token_is_refused(
        self,
        connection: http.client.HTTPConnection,
        spool: Spool,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        status: int,
    ) -> None:
        connection.putrequest("POST", path)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        assert answer(connection) == status
        assert spool.take() == []

    def test_a_request_that_breaks_off_leaves_nothing_and_harms_no_other(
        self, connection: http.client.HTTPConnection, spool: Spool
    ) -> None:
        connection.putrequest("POST", f"/{TOKEN}")
        connection.putheader("Content-Length", str(len(PUT)))
        connection.endheaders(PUT[:20])
        connection.close()
        connection.request("POST", f"/{TOKEN}", PUT)
        assert answer(connection) == 200
        assert len(spool.take()) == 1

    def test_only_posts_are_answered(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", f"/{TOKEN}")
        assert answer(connection) == 501

    def test_an_event_that_cannot_be_kept_is_refused_so_that_it_is_sent_again(
        self, connection: http.client.HTTPConnection, spool: Spool
    ) -> None:
        spool.folder.write_bytes(b"a file where the folder should be")
        connection.request("POST", f"/{TOKEN}", PUT)
        assert answer(connection) == 503

    def test_the_token_never_enters_the_log(
        self,
        connection: http.client.HTTPConnection,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        for path, body in ((f"/{TOKEN}", b"{}"), (f"/{TOKEN}/", PUT)):
            connection.request("POST", path, body)
            answer(connection)
        assert len(caplog.records) == 2
        assert TOKEN not in caplog.text + "".join(capfd.readouterr())

    def test_without_a_token_only_this_machine_is_listened_to(self, spool: Spool) -> None:
        with pytest.raises(UserError, match="set a token"):
            Listener(spool, "0.0.0.0", 0, None)
        with listening(spool, token=None) as listener:
            connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=5)
            connection.request("POST", "/", PUT)
            assert answer(connection) == 200
            connection.close()

    def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(self, spool: Spool) -> None:
        for token in ("short", "with a space in its middle", ""):
            with pytest.raises(UserError, match="16 or more"):
                Listener(spool, "127.0.0.1", 0, token)

    def test_a_port_that_is_taken_is_named(self, spool: Spool) -> None:
        with (
            listening(spool) as listener,
            pytest.raises(UserError, match=f"can't listen on 127.0.0.1 port {listener.port}"),
        ):
            Listener(spool, "127.0.0.1", listener.port, TOKEN)


class TestCommand:
    def environment(self, **settings: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), **settings}

    def test_listens_until_it_is_stopped(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        environment = self.environment(
            LAKEHOUSE_EVENTS__SPOOL=str(spool.folder), KENNEL_LISTEN_TOKEN=TOKEN
        )
        with subprocess.Popen(
            [*COMMAND, "--port", "0"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            assert command.stderr is not None
            said = command.stderr.readline()
            port = re.search(r"http://127\.0\.0\.1:(\d+)/TOKEN", said)
            assert port, said
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=5)
            connection.request("POST", f"/{TOKEN}", PUT)
            assert answer(connection) == 200
            connection.close()
            command.send_signal(signal.SIGTERM)
            assert command.stderr.read() == "stopped\n"
        assert command.returncode == 0
        assert [event.key for event in events(spool.take())] == ["a.mp4"]

    def test_without_a_spool_it_says_what_to_set(self, tmp_path: Path) -> None:
        refused = subprocess.run(
            COMMAND,
            cwd=tmp_path,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode == 2
        assert refused.stderr == (
            "error: events.spool is not set; set LAKEHOUSE_EVENTS__SPOOL to a folder\n"
        )


class TestGateway:
    def test_pushes_what_is_put_and_removed(
        self, gateway: Gateway, gateway_settings: S3Settings, tmp_path: Path
    ) -> None:
        name = gateway.new_bucket()
        bucket = S3Bucket(f"s3://{name}/raw", gateway_settings)
        spool = Spool(tmp_path / "spool")
        session = boto3.session.Session(gateway.access_key, gateway.secret_key)
        server = {"endpoint_url": gateway.endpoint, "region_name": "default"}
        with listening(spool) as listener:
            topic = session.client("sns", **server).create_topic(
                Name=f"topic-{name}",
                Attributes={"push-endpoint": f"http://127.0.0.1:{listener.port}/{TOKEN}"},
            )
            session.client("s3", **server).put_bucket_notification_configuration(
                Bucket=name,
                NotificationConfiguration={
                    "TopicConfigurations": [
                        {
                            "Id": "kennel",
                            "TopicArn": topic["TopicArn"],
                            "Events": HEARD,
                        }
                    ]
                },
            )
            bucket.put(KEY, b"footage")
            created = taken_within(15, spool)
            spool.done(delivery.receipt for delivery in created)
            bucket.remove(KEY)
            removed = taken_within(15, spool)
        assert [(event.kind, event.key_in(bucket.url)) for event in events(created + removed)] == [
            ("created", KEY),
            ("removed", KEY),
        ]
