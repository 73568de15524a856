"""A queue of SQS, of AWS or a server that speaks like it, that a bucket's notifications go to.

Import this module only where a queue is in use: boto3 is slow to import.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.events.event import Delivery
from lakehouse.storage.events.notification import NotANotificationError, events_of
from lakehouse.storage.s3_errors import CONNECTION_ERRORS, code_of, status_of

_AT_ONCE = 10  # the most that SQS hands out, or deletes, by one request
_MOST_MESSAGES = 500
_WAIT_S = 1
_HIDDEN_S = 60  # then a message that was not acknowledged is delivered again
_AWS_HOST = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com")
_NO_QUEUE = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}
_REFUSED = {401, 403}


class SqsQueue:
    """An EventSource; receipts are the queue's receipt handles.

    Region and credentials are those of the bucket, but AWS's addresses name the region. Raises
    UserError for an address that isn't one; the server is asked at first use.
    """

    def __init__(self, url: str, s3: S3Settings) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise UserError(
                "events.queue_url must be like https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, "
                "without credentials in it"
            )
        self.url = url
        self._server = f"{parts.scheme}://{parts.netloc}"
        self._s3 = s3

    def take(self) -> list[Delivery]:
        """See EventSource. Up to 500 messages, each hidden from other takers for a minute."""
        deliveries: list[Delivery] = []
        wait_s = _WAIT_S
        with self._explained():
            while len(deliveries) < _MOST_MESSAGES:
                # Only an answer that waits has asked all of AWS's servers.
                answer = self._client.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=_AT_ONCE,
                    WaitTimeSeconds=wait_s,
                    VisibilityTimeout=_HIDDEN_S,
                )
                messages = answer.get("Messages", ())
                if not messages:
                    break
                deliveries += map(_delivery, messages)
                wait_s = 0
        return deliveries

    def done(self, receipts: Iterable[str]) -> None:
        """See EventSource."""
        entries = [
            {"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)
        ]
        with self._explained():
            for start in range(0, len(entries), _AT_ONCE):
                # What it can't delete it names in its answer: unknown, or delivered anew since.
                self._client.delete_message_batch(
                    QueueUrl=self.url, Entries=entries[start : start + _AT_ONCE]
                )

    @property
    def _client(self) -> Any:
        named = _AWS_HOST.search(urlsplit(self.url).hostname or "")
        region = self._s3.region if "region" in self._s3.model_fields_set else None
        aws = tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_")))
        return _made(self._server, named[1] if named else region, aws)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raises UserError for whatever boto3 raises inside; never with a server's own words."""
        where = f"the queue {self.url}"
        try:
            yield
        except NoCredentialsError:
            raise UserError(
                f"{where}: no usable credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except ClientError as error:
            code = code_of(error)
            if code in _NO_QUEUE:
                raise UserError(f"{where} does not exist; correct events.queue_url") from error
            if status_of(error) in _REFUSED:
                raise UserError(
                    f"{where}: access was refused ({code}); check AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, and that they may do sqs:ReceiveMessage and "
                    "sqs:DeleteMessage"
                ) from error
            raise UserError(
                f"{where}: {error.operation_name} was answered {code} ({status_of(error)}); see "
                "the server's log"
            ) from error
        except CONNECTION_ERRORS as error:
            raise UserError(
                f"{where} can't be reached ({type(error).__name__}); start the server or correct "
                "events.queue_url"
            ) from error
        except ResponseParserError:  # which quotes the answer
            raise UserError(f"{where}: its answers are garbled; is it a queue?") from None
        except BotoCoreError as error:
            raise UserError(
                f"{where}: the request can't be made ({type(error).__name__}); check the "
                "credentials and events.queue_url"
            ) from None


@lru_cache(maxsize=4)
def _made(server: str, region: str | None, _aws: tuple[tuple[str, str], ...]) -> Any:
    """A client: making one takes longer than many requests, and a sensor looks all the time."""
    session = boto3.session.Session()
    return session.client(
        "sqs",
        endpoint_url=server,
        region_name=region or session.region_name or S3Settings().region,
        config=Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard"}),
    )


def _delivery(message: dict[str, Any]) -> Delivery:
    receipt: str = message["ReceiptHandle"]
    try:
        return Delivery(receipt, events_of(message["Body"]))
    except NotANotificationError as error:
        return Delivery(receipt, problem=f"message {message['MessageId']}: {error}")
