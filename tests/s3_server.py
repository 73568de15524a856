"""A real S3-compatible server on this machine for the tests, and an empty bucket on it for each.

MiniStack keeps conditional writes and ranges, but lets any secret in: what a refusal looks like
is tested otherwise.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import boto3
import pytest

from lakehouse.settings import S3Settings
from lakehouse.storage.s3 import S3Bucket

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret-which-no-message-may-hold"
_AWS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "2",
}
_START_TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server whose data vanishes with it."""
    pytest.importorskip("ministack")
    folder = tmp_path_factory.mktemp("s3-server")
    with running(folder) as endpoint:
        yield endpoint
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _aws_environment_of_the_session() -> None:
    """Worker processes outlive a test, and keep the environment that they were started in."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[variable]
    os.environ |= _AWS


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the test's credentials: nothing of the person who runs it, or of another test."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    for variable, value in _AWS.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def s3_settings(s3_endpoint: str, aws_environment: None) -> S3Settings:
    """Settings that reach the server, with its credentials in the environment."""
    del aws_environment
    return S3Settings(endpoint=s3_endpoint)


@pytest.fixture
def s3_url(s3_settings: S3Settings) -> str:
    """The address of a folder in a new, empty bucket."""
    return f"s3://{new_bucket(s3_settings)}/raw"


@pytest.fixture
def s3_bucket(s3_url: str, s3_settings: S3Settings) -> S3Bucket:
    """An empty bucket."""
    return S3Bucket(s3_url, s3_settings)


def new_bucket(s3: S3Settings) -> str:
    """Makes an empty bucket; returns its name."""
    name = f"footage-{uuid4().hex[:12]}"
    _administrator(s3).create_bucket(Bucket=name)
    return name


@cache
def _administrator(s3: S3Settings) -> Any:
    session = boto3.session.Session(ACCESS_KEY, SECRET_KEY)
    return session.client("s3", endpoint_url=s3.endpoint, region_name=s3.region)


@contextmanager
def running(folder: Path, *, in_memory: bool = False) -> Iterator[str]:
    """A server that keeps its data in the folder; gives its address.

    From there it reads an object whole for each range of it: large ones are kept in memory.
    """
    port = _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "S3_PERSIST": "0" if in_memory else "1",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "data"),
    }
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_healthy(server, endpoint, log)
        yield endpoint
    finally:
        server.kill()
        server.wait()


def _wait_until_healthy(server: "subprocess.Popen[bytes]", endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
