"""From an address in the settings to the bucket that lies there."""

import re

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.local import LocalBucket

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_bucket(url: str, s3: S3Settings) -> Bucket:
    """The bucket at `url`: a folder, or `s3://bucket/prefix`.

    Raises UserError for an address of another kind and for a folder that doesn't exist. A server
    is first asked when the bucket is used.
    """
    if url.startswith("s3://"):
        # boto3 is slow to import where a folder is all there is.
        from lakehouse.storage.s3 import S3Bucket  # noqa: PLC0415

        return S3Bucket(url, s3)
    if scheme := _SCHEME.match(url):
        raise UserError(
            f"a bucket can't lie at {scheme[0]}; name a folder or an address like s3://bucket/prefix"
        )
    return LocalBucket(url)
