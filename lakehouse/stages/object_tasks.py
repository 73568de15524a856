"""What is done with one object of the bucket in a worker process: probed, decoded, hashed.

Footage is untrusted, and so nothing but this opens it. Imports neither the lake nor polars: a
worker starts quickly. Deadlines and dying workers belong to `engine.workers`, rows to the stages.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from lakehouse.settings import ClipSettings, LimitSettings, Profile
from lakehouse.storage.bucket import Bucket, ObjectNotFound, ObjectReplaced
from lakehouse.video.content_hash import packets_hash
from lakehouse.video.one_pass import StreamFacts, stream_spans
from lakehouse.video.packets import Reading
from lakehouse.video.probe import Probe, probe
from lakehouse.video.segmenting import SampledSpan

_LEAST_BYTES_PER_S = 2000
"""Headers may promise any length: a file is given time for no more footage than this allows."""
_SLOWEST_BYTES_PER_S = 5e6
"""A bucket that is read more slowly than this is as good as gone."""


@dataclass(frozen=True)
class Object:
    """One object as it was when it was listed. Whatever reads another one raises ObjectReplaced."""

    bucket: Bucket
    key: str
    etag: str

    def require_unchanged(self) -> None:
        """Raises ObjectReplaced unless the object is still there: a file may have been written
        over while it was read."""
        try:
            found = self.bucket.stat(self.key)
        except ObjectNotFound as error:
            raise ObjectReplaced(str(error)) from error
        if found.etag != self.etag:
            raise ObjectReplaced(f"{self.bucket.url}: {self.key!r} was replaced")


@dataclass(frozen=True)
class ProbeTask:
    """Yields the probe. Raises ProbeError."""

    source: Object
    limits: LimitSettings

    def __call__(self) -> Iterator[Probe]:
        """See the class."""
        with closing(self.source.bucket.open(self.source.key, self.source.etag)) as opened:
            found = probe(opened, self.limits.picture_pixels)
        self.source.require_unchanged()
        yield found


@dataclass(frozen=True)
class Decoded:
    """The next span; `first_error` is what is known by then of why frames are missing."""

    sampled: SampledSpan
    first_error: str | None


@dataclass(frozen=True)
class Ended:
    """The decode is over; `packets_hash` is none where not all packets were read."""

    first_error: str | None
    packets_hash: str | None


@dataclass(frozen=True)
class DecodeTask:
    """Yields the spans of a recording, see `video.one_pass`, and at last that it is over."""

    source: Object
    facts: StreamFacts
    settings: ClipSettings
    limits: LimitSettings
    profile: Profile
    workers: int

    def __call__(self) -> Iterator[Decoded | Ended]:
        """See the class."""
        reading = Reading()
        spans = stream_spans(
            lambda: self.source.bucket.open(self.source.key, self.source.etag),
            self.facts,
            self.settings,
            reading,
            self.profile,
            self.workers,
            self.limits.picture_pixels,
        )
        for sampled in spans:
            yield Decoded(sampled, reading.damage.first_error)
        self.source.require_unchanged()
        yield Ended(reading.damage.first_error, reading.packets_hash)


@dataclass(frozen=True)
class HashTask:
    """Yields the hash of the compressed packets, or none, without decoding any."""

    source: Object
    container: str

    def __call__(self) -> Iterator[str | None]:
        """See the class."""
        with closing(self.source.bucket.open(self.source.key, self.source.etag)) as opened:
            found = packets_hash(opened, self.container)
        self.source.require_unchanged()
        yield found


def deadline_s(limits: LimitSettings, size_bytes: int, footage_s: float = 0.0) -> float:
    """How long a task may take that reads so many bytes and decodes so much footage, of which a
    header speaks."""
    believed_s = min(footage_s, size_bytes / _LEAST_BYTES_PER_S)
    reading_s = size_bytes / _SLOWEST_BYTES_PER_S
    return limits.deadline_s + reading_s + limits.deadline_per_footage_s * believed_s
