"""How a server is talked to: which one, as whom, and what happens when an answer goes wrong.

Requests are made in `s3`. botocore makes again what it knows to have failed: connections, errors
of the server, time-outs. What it would take for an answer, or for a mistake of its caller, is
turned into such a failure here.
"""

import os
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
from botocore.config import Config

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.s3_errors import Place, explained

_ATTEMPTS = 7
_CONNECT_TIMEOUT_S = 5.0
_ROOTS = {
    "ListObjectsV2": "ListBucketResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
}
"""Operations that can't do without the document that they are answered with."""


def s3_client(bucket: str, s3: S3Settings) -> Any:
    """The client of this process for a bucket: making one takes longer than many requests.

    Raises UserError where the settings or the environment don't make one.
    """
    aws = tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_")))
    region = s3.region if "region" in s3.model_fields_set else None
    return _made(bucket, s3, region, aws)


@lru_cache(maxsize=16)
def _made(
    bucket: str, s3: S3Settings, region: str | None, _aws: tuple[tuple[str, str], ...]
) -> Any:
    """A client of its own session, since sessions can't be shared by threads."""
    with explained(Place(bucket, s3.endpoint or "https://s3.amazonaws.com")):
        session = boto3.session.Session()
        try:
            client = session.client(
                "s3",
                endpoint_url=s3.endpoint,
                region_name=region or session.region_name or s3.region,
                config=_config(s3, _attempts(s3, session)),
            )
        except ValueError as error:
            raise UserError("s3.endpoint is no address; write it like http://host:port") from error
    if "@" in urlsplit(client.meta.endpoint_url).netloc:
        raise UserError(
            "the endpoint of s3 holds credentials; move them to AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    client.meta.events.register("before-parse.s3", _fail_without_document)
    return client


def _attempts(s3: S3Settings, session: boto3.session.Session) -> int:
    """How often a request is made in all, by the first of these that says so: the settings,
    AWS_MAX_ATTEMPTS, AWS's own configuration file."""
    try:
        said = session._session.get_config_variable("max_attempts")
    except ValueError as error:
        raise UserError("AWS_MAX_ATTEMPTS is no number; correct or unset it") from error
    return s3.attempts or said or _ATTEMPTS


def _config(s3: S3Settings, total_attempts: int) -> Config:
    return Config(
        connect_timeout=min(_CONNECT_TIMEOUT_S, s3.timeout_s),
        read_timeout=s3.timeout_s,
        retries={"mode": "standard", "total_max_attempts": total_attempts},
        max_pool_connections=128,  # a file being read uses up to 5
        s3={"addressing_style": s3.addressing},
        # Servers other than AWS's refuse the checksums that boto3 adds by itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _fail_without_document(
    operation_model: Any, response_dict: dict[str, Any], **_: object
) -> None:
    """Makes a server's error, which is tried again, of an answer that was cut off or garbled.

    botocore reads an empty answer as an empty listing, of a bucket that then seems to have lost
    everything, and gives up at one that is no XML.
    """
    body, root = response_dict["body"], _ROOTS.get(operation_model.name)
    if response_dict["status_code"] >= 300 or not isinstance(body, bytes) or not (body or root):
        return
    try:
        found = ElementTree.fromstring(body).tag.rpartition("}")[2]
    except ElementTree.ParseError:
        found = None
    if found is None or (root and found != root):
        response_dict["status_code"] = 500
