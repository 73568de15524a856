"""A lock that holds across machines, on a store whose conditional writes hold.

For rare, short work such as creating tables; a lease that outlives its holder is not meant here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from lakehouse.errors import UserError
from lakehouse.storage.bucket import ObjectNotFound, ObjectReplaced
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
    token = uuid4().hex.encode()
    deadline = time.monotonic() + timeout.total_seconds()
    contended = False
    while not _taken(bucket, key, token, contended=contended):
        contended = True
        if time.monotonic() > deadline:
            raise UserError(f"{bucket.url}/{key} is held by another run; remove it if none runs")
        if not _break_if_stale(bucket, key, timeout):
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        if _holder(bucket, key) == token:  # not so if the block took longer than `timeout`
            bucket.remove(key)


def _taken(bucket: S3Bucket, key: str, token: bytes, *, contended: bool) -> bool:
    if not bucket.put_if_absent(key, token):
        return False
    if contended:
        # Another who found the last lock stale may be about to remove this one instead.
        time.sleep(_POLL_S)
        return _holder(bucket, key) == token
    return True


def _holder(bucket: S3Bucket, key: str) -> bytes | None:
    try:
        with bucket.open(key) as lock:
            return lock.read()
    except (ObjectNotFound, ObjectReplaced):
        return None


def _break_if_stale(bucket: S3Bucket, key: str, timeout: timedelta) -> bool:
    """Whether there was a stale lock, and is none now."""
    try:
        if datetime.now(UTC) - bucket.stat(key).modified <= timeout:
            return False
    except ObjectNotFound:
        return False
    bucket.remove(key)
    return True
