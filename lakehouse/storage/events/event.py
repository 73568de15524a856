"""One event, and what every source of events promises.

How a notification's text becomes events is `notification`; where it comes from, `sqs` and `spool`;
which of them there are, `sources`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from lakehouse.storage.bucket import is_footage


@dataclass(frozen=True)
class Event:
    """An object of a bucket was created (or replaced) or removed. `key` is its whole key there."""

    bucket: str
    key: str
    kind: Literal["created", "removed"]

    def key_in(self, url: str) -> str | None:
        """The object's key in the bucket at `url`, relative to its prefix.

        None for an object of another bucket or prefix, and for one that no listing shows.
        """
        name, _, prefix = url.removeprefix("s3://").partition("/")
        root = f"{prefix}/" if prefix else ""
        if not url.startswith("s3://") or self.bucket != name or not self.key.startswith(root):
            return None
        key = self.key.removeprefix(root)
        return key if is_footage(key) else None


@dataclass(frozen=True)
class Delivery:
    """A message of a source, and the events in it; `problem` says why it can't be read.

    `receipt` acknowledges it, in any process.
    """

    receipt: str
    events: tuple[Event, ...] = ()
    problem: str | None = None


class EventSource(Protocol):
    """Messages that come again until they are acknowledged.

    Both methods raise UserError where the source can't be reached or read.
    """

    def take(self) -> list[Delivery]:
        """What has arrived, as far as one look at it goes; waits a second at most for more."""
        ...

    def done(self, receipts: Iterable[str]) -> None:
        """Never deliver these again. One that is unknown, or done already, is passed over."""
        ...
