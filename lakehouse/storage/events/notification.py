"""The text of a notification, as S3 and the servers that speak like it write it.

Untrusted: nothing of the text enters a message. The form is that of
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from typing import Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, Field, ValidationError

from lakehouse.storage.events.event import Event

_RAW_KEYS = "ceph:s3"  # the gateway's name for itself; it alone writes keys as they are
_KINDS: dict[str, Literal["created", "removed"]] = {
    "ObjectCreated": "created",
    "ObjectRestore": "created",  # from an archive: only now can it be read
    "ObjectRemoved": "removed",
    "LifecycleExpiration": "removed",
    "ObjectLifecycle": "removed",  # the gateway's word for it
    "ReducedRedundancyLostObject": "removed",
}


class NotANotificationError(ValueError):
    """A text that is no notification of S3; the message says what is wrong with it."""


class _Name(BaseModel):
    name: str


class _Key(BaseModel):
    key: str


class _Place(BaseModel):
    bucket: _Name
    object: _Key


class _Record(BaseModel):
    name: str = Field(alias="eventName")
    source: str = Field(default="", alias="eventSource")
    place: _Place = Field(alias="s3")


class _Message(BaseModel):
    """A notification, the test of one, or one that SNS wrapped."""

    records: list[_Record] | None = Field(default=None, alias="Records")
    test: str | None = Field(default=None, alias="Event")
    wrapped: str | None = Field(default=None, alias="Message")


def events_of(text: str | bytes) -> tuple[Event, ...]:
    """The events of a notification, be it wrapped by SNS or not.

    Tests of a notification, and what happens to objects otherwise (tags, say), are no events.
    Raises NotANotificationError.
    """
    message = _read(text)
    if message.wrapped is not None:
        message = _read(message.wrapped)
    if message.test == "s3:TestEvent":
        return ()
    if message.records is None:
        raise NotANotificationError("it holds no Records")
    return tuple(
        Event(record.place.bucket.name, _key(record), _KINDS[kind])
        for record in message.records
        if (kind := record.name.removeprefix("s3:").partition(":")[0]) in _KINDS
    )


def _key(record: _Record) -> str:
    key = record.place.object.key
    return key if record.source == _RAW_KEYS else unquote_plus(key)


def _read(text: str | bytes) -> _Message:
    try:
        return _Message.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise NotANotificationError(
            f"{where}: {problem['msg']}" if where else problem["msg"]
        ) from None
