"""How clips of MP4 files are sent, and what is remembered for the next that are asked for.

Sending them is `streaming`; what of other files is made instead, `previews`.
"""

from collections import OrderedDict
from threading import Lock
from typing import BinaryIO

from lakehouse.storage.bucket import ObjectNotFound, ObjectReplaced
from lakehouse.video.mp4.boxes import NotSliceable
from lakehouse.video.mp4.held import HeldIndex
from lakehouse.video.mp4.slicer import Plan, plan_span
from lakehouse.web.reading import NotFound
from lakehouse.web.tasks import Footage

_MOST_PLANS = 256
_MOST_INDEX_BYTES = 64 * 2**20


class Plans:
    """The plans of clips that were watched of late, and the indices of their recordings, so that
    each part of an index is read once. For several threads; of indices it holds 64 MiB, or one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._plans: OrderedDict[Footage, Plan | None] = OrderedDict()
        self._indices: OrderedDict[tuple[str, str], HeldIndex] = OrderedDict()

    def knows(self, footage: Footage) -> bool:
        """Whether its plan is remembered."""
        with self._lock:
            return footage in self._plans

    def open(self, footage: Footage) -> tuple[BinaryIO, Plan | None]:
        """The recording, and how the clip is sent out of it; no plan where it can't be planned.
        Raises NotFound where the recording is another by now."""
        source = _opened(footage)
        try:
            return source, self._plan(footage, source)
        except BaseException:
            source.close()
            raise

    def _plan(self, footage: Footage, source: BinaryIO) -> Plan | None:
        with self._lock:
            if footage in self._plans:
                self._plans.move_to_end(footage)
                return self._plans[footage]
        try:
            index = self._index(footage, source)
            planned = plan_span(source, footage.start_pts, footage.end_pts, index)
        except NotSliceable:
            planned = None
        with self._lock:
            self._plans[footage] = planned
            if len(self._plans) > _MOST_PLANS:
                self._plans.popitem(last=False)
        return planned

    def _index(self, footage: Footage, source: BinaryIO) -> HeldIndex:
        recording = footage.key, footage.etag
        with self._lock:
            known = self._indices.get(recording)
        found = known or HeldIndex.found_in(source)
        with self._lock:
            found = self._indices.setdefault(recording, found)
            self._indices.move_to_end(recording)
            held_bytes = sum(index.size_bytes for index in self._indices.values())
            while held_bytes > _MOST_INDEX_BYTES and len(self._indices) > 1:
                held_bytes -= self._indices.popitem(last=False)[1].size_bytes
        return found


def _opened(footage: Footage) -> BinaryIO:
    """The recording. Raises NotFound where it is another by now."""
    try:
        return footage.bucket.open(footage.key, footage.etag)
    except ObjectReplaced as error:
        raise NotFound(f"{footage.key} was replaced since; run `lakehouse ingest`") from error
    except ObjectNotFound as error:
        raise NotFound(f"{footage.key} is gone from the bucket; run `lakehouse ingest`") from error
