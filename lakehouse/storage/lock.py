"""A lock that holds across machines, on a store whose conditional writes hold.

For rare, short work such as creating tables; a lease that outlives its holder is not meant here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from lakehouse.errors import UserError
from lakehouse.storage.bucket import ObjectNotFound
from lakehouse.storage.s3 import S3Bucket

_POLL_S = 0.5


@contextmanager
def s3_lock(bucket: S3Bucket, key: str, timeout: timedelta) -> Iterator[None]:
    """Hold the lock object `key` while the block runs.

    A lock older than `timeout` was left by a run that died, and is broken. Raises UserError if
    the lock can't be had in that time, or if the store does not keep its conditional writes.
    """
    if not bucket.conditional_writes_hold():
        raise UserError(
            f"{bucket.url} answers conditional writes wrongly, so tables there would lose rows; "
            "use a store that supports If-None-Match"
        )
    deadline = time.monotonic() + timeout.total_seconds()
    while not bucket.put_if_absent(key, b"held"):
        _break_if_stale(bucket, key, timeout)
        if time.monotonic() > deadline:
            raise UserError(f"{bucket.url}/{key} is held by another run; remove it if none runs")
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        bucket.remove(key)


def _break_if_stale(bucket: S3Bucket, key: str, timeout: timedelta) -> None:
    try:
        if datetime.now(UTC) - bucket.stat(key).modified > timeout:
            bucket.remove(key)
    except ObjectNotFound:
        return
