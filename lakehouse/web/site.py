"""What all routes share: the tables, the bucket, and what of a clip is sent."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Annotated

import duckdb
from anyio import CapacityLimiter
from fastapi import Path

from lakehouse.errors import UserError
from lakehouse.settings import Settings
from lakehouse.storage.bucket import Bucket
from lakehouse.web.asked import Asked
from lakehouse.web.clip import PLAYED, clip_row
from lakehouse.web.examples import Examples
from lakehouse.web.exports import Exporting
from lakehouse.web.plans import Plans
from lakehouse.web.previews import Previews
from lakehouse.web.reading import NotFound, Reading
from lakehouse.web.tasks import Footage

_TO_BE_MADE = """SELECT 1 FROM recordings
    WHERE container <> 'mov' OR NOT list_contains(?::VARCHAR[], codec) LIMIT 1"""
_MEDIA_THREADS = 32
_PLANNING_THREADS = 4

Id = Annotated[str, Path(pattern=r"^[0-9a-z][0-9a-z-]{0,127}$", description="As in the views.")]
"""An id in an address. None of them leads anywhere: they are looked up, never opened."""


@dataclass
class Site:
    """One lake and its bucket, for all requests."""

    settings: Settings
    reading: Reading
    open_bucket: Callable[[], Bucket]
    plans: Plans = field(default_factory=Plans)
    reading_media: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_MEDIA_THREADS))
    """Of threads that wait for the bucket; others answer pages meanwhile."""
    planning: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_PLANNING_THREADS))
    """Of threads that plan clips, which is work for a core more than for the bucket."""
    _lock: Lock = field(default_factory=Lock)
    _bucket: Bucket | None = None

    @cached_property
    def previews(self) -> Previews:
        """Made videos."""
        return Previews(self.settings)

    @cached_property
    def examples(self) -> Examples:
        """Pictures that visitors search with."""
        return Examples(self.settings)

    @cached_property
    def exporting(self) -> Exporting:
        """Exports that visitors ask for."""
        return Exporting(self.settings, lambda: self.bucket)

    @property
    def bucket(self) -> Bucket:
        """Where the recordings lie. Raises UserError as long as it can't be reached."""
        with self._lock:
            if self._bucket is None:
                self._bucket = self.open_bucket()
            return self._bucket

    def example(self, asked: Asked) -> bytes | None:
        """The example picture that a visitor asks for, if any. Raises NotFound."""
        return self.examples.read(asked.image) if asked.image else None

    def footage(self, clip_id: str) -> tuple[Footage, float]:
        """The bytes behind a clip, and its seconds. Raises NotFound, also where it has none."""
        row = clip_row(self.reading, clip_id)
        if row["status"] == "failed" or row["container"] is None or row["start_pts"] is None:
            raise NotFound(f"clip {clip_id} holds no frames: {row['error']}")
        return (
            Footage(
                bucket=self.bucket,
                key=row["key"],
                etag=row["etag"],
                container=row["container"],
                start_pts=row["start_pts"],
                end_pts=row["end_pts"],
            ),
            row["end_s"] - row["start_s"],
        )

    def warm_up(self) -> None:
        """Open all that the first visitor would wait for. What is out of reach is opened when it
        is needed, and said then."""
        with suppress(UserError, OSError, duckdb.Error):
            self.reading.warm_up()
            if self.reading.ask(_TO_BE_MADE, [list(PLAYED)]):
                self.previews.warm_up(self.bucket)
        with suppress(UserError, OSError):  # a client is made at its first request
            next(self.bucket.list(), None)

    def close(self) -> None:
        """Close the tables, and end what is being made."""
        self.reading.close()
        for made in ("previews", "examples", "exporting"):
            if made in vars(self):
                getattr(self, made).close()
