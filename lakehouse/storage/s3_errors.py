"""What boto3 raises, as one line that a person can act on.

Only the translation belongs here. Credentials and the text of a server's answer never enter a
message: the answer to a bad signature quotes the request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lakehouse.errors import UserError

_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REMEDIES = {
    "NoSuchBucket": "no such bucket; create it or correct its name",
    "InvalidBucketName": "no bucket can have this name; correct it",
    "InvalidAccessKeyId": "the access key is unknown there; correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong; correct AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": f"the credentials have expired; renew {_CREDENTIALS}",
    "InvalidToken": "the session token is not valid; correct or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is off; set it",
    "InvalidObjectState": "the object is archived; restore it first",
}
_REFUSED = f"access was refused; check {_CREDENTIALS} and what they may do"
_ELSEWHERE = "the bucket lies in another region or at another address; set s3.region or s3.endpoint"
_NO_CREDENTIALS = f"no usable credentials; set {_CREDENTIALS}"
_REMEDIES_BY_STATUS = {301: _ELSEWHERE, 307: _ELSEWHERE, 401: _REFUSED, 403: _REFUSED}
_REMEDIES_BY_STATUS |= dict.fromkeys((429, 500, 502, 503, 504), "the server is overloaded or down")

_CREDENTIAL_ERRORS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.SSOError,
)
CONNECTION_ERRORS = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    HTTPError,  # botocore lets it through where the body of an error breaks off
)
"""What ends a request without an answer, or in the middle of one."""


@dataclass(frozen=True)
class Place:
    """Where a request goes: the bucket's name and the server's address."""

    bucket: str
    endpoint: str

    def __str__(self) -> str:
        parts = urlsplit(self.endpoint)
        return f"bucket {self.bucket} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def code_of(error: ClientError) -> str:
    """The server's name for what went wrong; the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer; 0 where it is unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def retried(error: ClientError) -> bool:
    """Whether the request was made more than once, so that an earlier one may have had effect."""
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Raises UserError for whatever boto3 raises inside.

    Its cause is left out where it could quote the output of a program that supplies credentials.
    """
    try:
        yield
    except _CREDENTIAL_ERRORS:
        raise UserError(f"{place}: {_NO_CREDENTIALS}") from None
    except ClientError as error:
        raise UserError(f"{place}: {_remedy(error)}") from error
    except CONNECTION_ERRORS as error:
        raise UserError(
            f"{place} can't be reached ({type(error).__name__}); "
            "start the server or correct s3.endpoint"
        ) from error
    except ResponseParserError:  # which quotes the answer
        raise UserError(f"{place}: its answers are garbled; check s3.endpoint") from None
    except BotoCoreError as error:
        raise UserError(
            f"{place}: the request can't be made ({type(error).__name__}); check the settings of s3"
        ) from error


def _remedy(error: ClientError) -> str:
    code, status = code_of(error), status_of(error)
    remedy = _REMEDIES.get(code) or _REMEDIES_BY_STATUS.get(status)
    if remedy:
        return remedy if code in _REMEDIES else f"{remedy} ({code or status})"
    return f"{error.operation_name} was answered {code} ({status}); see the server's log"
