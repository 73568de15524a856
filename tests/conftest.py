"""What every test gets: a clean environment, and a real S3 server where it asks for one."""

import os

import pytest

pytest_plugins = [
    "tests.chromium",
    "tests.commands",
    "tests.orchestrated",
    "tests.queried",
    "tests.s3_server",
    "tests.radosgw",
]


@pytest.fixture(autouse=True, scope="session")
def _nothing_from_outside() -> None:
    """Settings of the person who runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith("LAKEHOUSE_") or name == "DAGSTER_HOME":
            del os.environ[name]
