"""A real distributed store for the tests: a Ceph RADOS Gateway of one node, by `radosgw.sh`.

Unlike the emulator of `s3_server` it checks signatures. It is started once a session, by the
first test that asks for it, and takes a quarter of a minute to do so.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lakehouse.settings import S3Settings
from tests.s3_server import ACCESS_KEY, SECRET_KEY, new_bucket

_SCRIPT = Path(__file__).with_name("radosgw.sh")
_PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "curl")
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Gateway:
    """A running gateway, and the keys of a user who may do everything there."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    def new_bucket(self) -> str:
        """Makes an empty bucket; returns its name."""
        return new_bucket(S3Settings(endpoint=self.endpoint))


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose data vanishes with it. Skips where Ceph isn't installed."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed; on Debian: apt-get install ceph-mon ceph-osd "
            "radosgw curl"
        )
    folder = tmp_path_factory.mktemp("radosgw")
    with _running(folder) as gateway:
        yield gateway
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def gateway_settings(gateway: Gateway, aws_environment: None) -> S3Settings:
    """Settings that reach the gateway, with its keys in the environment."""
    del aws_environment
    return S3Settings(endpoint=gateway.endpoint)


@contextmanager
def _running(folder: Path) -> Iterator[Gateway]:
    port = _three_free_ports()
    log = folder / "output"
    with log.open("wb") as output:
        script = subprocess.Popen(
            [_SCRIPT, folder / "store", str(port), ACCESS_KEY, SECRET_KEY],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(script, log)
        yield Gateway(f"http://127.0.0.1:{port}")
    finally:
        _end(script)


def _wait_until_ready(script: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and script.poll() is None:
        if b"\nready\n" in log.read_bytes():
            return
        time.sleep(0.1)
    raise RuntimeError(f"the gateway did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _end(script: "subprocess.Popen[bytes]") -> None:
    """Asks the script to end what it started; what is left of its process group is killed."""
    script.terminate()
    with suppress(subprocess.TimeoutExpired):
        script.wait(_STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(script.pid, signal.SIGKILL)
    script.wait()


def _three_free_ports() -> int:
    """The first of three ports in a row that nobody listens on, as `radosgw.sh` needs them."""
    while True:
        with ExitStack() as sockets:
            first = sockets.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for offset in (1, 2):
                    sockets.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):
                continue
            return port
