"""An S3-compatible server as a bucket, and what Lance needs to reach the same server.

Every request to a server is made here; how it is made, and made again, is `s3_client`. Import this
module only where an `s3://` address is in use: boto3 is slow to import.
"""

import io
import re
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import repeat
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import boto3
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.bucket import (
    ObjectInfo,
    ObjectNotFound,
    ObjectReplaced,
    is_footage,
    is_key,
    require_key,
)
from lakehouse.storage.ranged import RangedFile, RangedReader
from lakehouse.storage.s3_client import s3_client
from lakehouse.storage.s3_errors import (
    CONNECTION_ERRORS,
    Place,
    code_of,
    explained,
    retried,
    status_of,
)

_CHUNK_BYTES = 64 * 1024
_PROBING_WRITERS = 8
_ADDRESS = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]*)(?:/(.*))?", re.DOTALL)
_NOT_CREATED = {409, 412}  # conflicting writes under way; the key is taken


class S3Bucket:
    """The objects of `s3://bucket/prefix`, keys being relative to the prefix.

    The server, region and credentials that the settings leave open are those that boto3 finds:
    AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, its profiles and roles. May be shared by threads and sent
    to another process, not forked.
    Raises UserError for an address that isn't one; the server is asked at first use.
    """

    def __init__(self, url: str, s3: S3Settings) -> None:
        address = _ADDRESS.fullmatch(url)
        if address is None:
            raise UserError(
                "a bucket's address is like s3://bucket/prefix, without credentials in it"
            )
        self.name = address[1]
        self._root = (address[2] or "").strip("/")
        if self._root:
            require_key(self._root)
            self._root += "/"
        self._s3 = s3

    def __reduce__(self) -> tuple[type["S3Bucket"], tuple[str, S3Settings]]:
        return S3Bucket, (self.url, self._s3)

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"s3://{self.name}/{self._root}".rstrip("/")

    @property
    def objects_appear_whole(self) -> bool:
        """An upload becomes an object once it is complete."""
        return True

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """See Bucket. One page of up to 1000 keys is held at a time."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name,
            Prefix=self._root + prefix,
            **({"StartAfter": self._root + start_after} if start_after else {}),
        )
        with explained(self._place):
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._root)
                    if is_footage(key):
                        yield _info(key, found["Size"], found)

    def stat(self, key: str) -> ObjectInfo:
        """See Bucket."""
        if not is_key(key):
            raise self._missing(key)
        with explained(self._place):
            try:
                found = self._client.head_object(Bucket=self.name, Key=self._root + key)
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                # Only this tells a missing object from a missing bucket: the answer has no body.
                self._require_bucket()
                raise self._missing(key) from None
        return _info(key, found["ContentLength"], found)

    def open(self, key: str, etag: str | None = None) -> RangedFile:
        """See Bucket, ReadsAhead and RangedReader; up to 5 ranges are asked for at once.

        A read too raises ObjectReplaced once the object has been replaced or deleted.
        """
        info = self.stat(key)
        if etag is not None and info.etag != etag:
            raise ObjectReplaced(f"{self.url}: {key!r} was replaced")
        return RangedFile(
            RangedReader(f"{self.url}/{key}", info.size_bytes, partial(self._fetch, info))
        )

    def put(self, key: str, data: bytes | BinaryIO) -> ObjectInfo:
        """See Bucket. Large data is sent in parts, which become an object at once."""
        require_key(key)
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        with explained(self._place):
            self._client.upload_fileobj(body, self.name, self._root + key)
        return self.stat(key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates the object unless there is one; whether this call created it.

        Of many writers at once one is told True, if `conditional_writes_hold` and each has `data`
        of its own: by it a writer knows its own object again when the first answer was lost.
        """
        require_key(key)
        with explained(self._place):
            try:
                self._client.put_object(
                    Bucket=self.name, Key=self._root + key, Body=data, IfNoneMatch="*"
                )
            except ClientError as error:
                if status_of(error) not in _NOT_CREATED:
                    raise
                return retried(error) and self._holds(key, data)
        return True

    def remove(self, key: str) -> None:
        """Deletes the object if there is one."""
        require_key(key)
        with explained(self._place):
            self._client.delete_object(Bucket=self.name, Key=self._root + key)

    def conditional_writes_hold(self) -> bool:
        """Whether of writers of a new key exactly one wins, and a later one doesn't.

        Writes to and removes a hidden key. Some servers accept the condition and don't keep it:
        there, Lance loses rows that it has acknowledged.
        """
        key = f".probe-{uuid4().hex}"
        probes = [f"writer {number}".encode() for number in range(_PROBING_WRITERS)]
        try:
            with ThreadPoolExecutor(_PROBING_WRITERS) as writers:
                created = sum(writers.map(self.put_if_absent, repeat(key), probes))
            return created == 1 and not self.put_if_absent(key, b"late writer")
        finally:
            self.remove(key)

    @cached_property
    def _client(self) -> Any:
        return s3_client(self.name, self._s3)

    @cached_property
    def _place(self) -> Place:
        return Place(self.name, self._client.meta.endpoint_url)

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            with self.open(key) as reader:
                return reader.read() == data
        except (ObjectNotFound, ObjectReplaced):
            return False

    def _missing(self, key: str) -> ObjectNotFound:
        return ObjectNotFound(f"{self.url}: no object {key!r}")

    def _require_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self.name)
        except ClientError as error:
            if status_of(error) == 404:
                error.response["Error"]["Code"] = "NoSuchBucket"
            raise

    def _fetch(self, info: ObjectInfo, start: int, end: int) -> Generator[bytes, None, None]:
        """See downloads.Fetch."""
        where = f"{self.url}/{info.key}"
        with explained(self._place):
            try:
                answer = self._client.get_object(
                    Bucket=self.name,
                    Key=self._root + info.key,
                    Range=f"bytes={start}-{end - 1}",
                    IfMatch=f'"{info.etag}"',
                )
            except ClientError as error:
                if code_of(error) != "NoSuchBucket" and status_of(error) in {404, 412, 416}:
                    raise ObjectReplaced(
                        f"{where} was replaced or deleted while it was read"
                    ) from error
                raise
            except HTTPError as error:
                if isinstance(error, BotoCoreError):  # after all attempts
                    raise
                return  # an error whose text broke off
        body = answer["Body"]
        try:
            # A server may ignore either header; what it then sends must not be mixed in.
            if answer["ETag"].strip('"') != info.etag:
                raise ObjectReplaced(f"{where} was replaced while it was read")
            if not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
                raise OSError(f"{where}: the server does not answer ranges")
            yield from body.iter_chunks(_CHUNK_BYTES)
        except CONNECTION_ERRORS:
            return  # the reader asks for the rest
        finally:
            body.close()


def lance_options(s3: S3Settings, url: str) -> dict[str, str]:
    """Storage options with which Lance reaches the `s3://` address `url`; they may hold secrets.

    The server, region and credentials are those of S3Bucket. Credentials that expire are left
    out: Lance looks in the same places and renews them. Lance makes a request as often as we do,
    and its time-out is for the whole of it. Raises UserError where there are no credentials.
    """
    bucket = S3Bucket(url, s3)
    client = bucket._client
    config = client.meta.config
    retries = str(config.retries["total_max_attempts"] - 1)
    options = {
        "client_max_retries": retries,
        "download_retry_count": retries,
        "timeout": f"{config.read_timeout * 1000:.0f}ms",
        "connect_timeout": f"{config.connect_timeout * 1000:.0f}ms",
        "aws_region": client.meta.region_name,
        "aws_virtual_hosted_style_request": str(s3.addressing == "virtual").lower(),
    }
    endpoint = urlsplit(client.meta.endpoint_url)
    if not (endpoint.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        if s3.addressing == "virtual":  # Lance takes the address as it is
            endpoint = endpoint._replace(netloc=f"{bucket.name}.{endpoint.netloc}")
        options["aws_endpoint"] = urlunsplit(endpoint)
        if endpoint.scheme == "http":
            options["allow_http"] = "true"
    return options | _credentials(bucket._place)


def _credentials(place: Place) -> dict[str, str]:
    with explained(place):
        found = boto3.session.Session().get_credentials()
        if found is None:
            raise NoCredentialsError
        if isinstance(found, RefreshableCredentials):
            return {}
        keys = found.get_frozen_credentials()
        if not keys.access_key or not keys.secret_key:
            raise NoCredentialsError
    options = {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key}
    return options | ({"aws_session_token": keys.token} if keys.token else {})


def _info(key: str, size_bytes: int, found: dict[str, Any]) -> ObjectInfo:
    # A listing knows fractions of a second, a single look at the object doesn't.
    modified: datetime = found["LastModified"].astimezone(UTC).replace(microsecond=0)
    return ObjectInfo(key, size_bytes, found["ETag"].strip('"'), modified)
