"""Exports that visitors ask for: one at a time, each in a folder of its own under one folder.

The folder is named by its clips, and nobody else names one: asked for again, an export goes on
where it was. What lies in such a folder is `export_folder`, how clips are written
`lakehouse.export`, which clips `listing`.
"""

import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from lakehouse.errors import UserError
from lakehouse.export import manifest
from lakehouse.export.folder import Progress
from lakehouse.export.job import Job, RunningJob
from lakehouse.export.manifest import Entry
from lakehouse.settings import Settings
from lakehouse.storage.bucket import Bucket
from lakehouse.web.export_folder import (
    SELECTION_NAME,
    Selection,
    content,
    entries,
    note,
    noted,
)
from lakehouse.web.models import Export, ExportFailure
from lakehouse.web.reading import NotFound, Refused

NAME = r"^[0-9a-f]{16}$"
"""Names of exports; none leads anywhere else."""
FILE = r"^\w[\w.-]*\.mp4$"
"""Names of clips' files in them; the same holds."""

_log = logging.getLogger(__name__)
_MOST_WAITING = 8
_MOST_FAILURES = 50
_END_S = 10.0


@dataclass
class _Work:
    """An export of this process. `error` is what ended it as a whole."""

    selection: Selection
    folder: Path
    progress: Progress
    size_bytes: int = 0
    failures: list[ExportFailure] = field(default_factory=list)
    error: str | None = None
    is_cancelled: bool = False
    running: RunningJob | None = None
    future: Future[None] | None = None

    @property
    def is_over(self) -> bool:
        return self.future is not None and self.future.done()

    def hear(self, progress: Progress, entry: Entry) -> None:
        self.progress = progress
        self.size_bytes += entry.bytes or 0
        if entry.error is not None and len(self.failures) < _MOST_FAILURES:
            self.failures.append(ExportFailure(clip_id=entry.clip_id, error=entry.error))


class Exporting:
    """The exports of a folder. For several threads.

    Whatever is asked of an export that there is none of raises NotFound; UserError is raised where
    the folder can't be used.
    """

    def __init__(self, settings: Settings, open_bucket: Callable[[], Bucket]) -> None:
        self._settings = settings
        self._open_bucket = open_bucket
        self._folder = settings.web.exports_folder.expanduser()
        self._most_bytes = settings.web.exports_mb * 2**20
        self._one_at_a_time = ThreadPoolExecutor(1, "export")
        self._lock = Lock()
        self._works: dict[str, _Work] = {}

    def start(self, clip_ids: Sequence[str], title: str, query: str = "") -> Export:
        """Begin the export of these clips, or go on with it. Raises Refused where too many wait."""
        name = hashlib.sha256("\n".join(sorted(clip_ids)).encode()).hexdigest()[:16]
        selection = Selection(title, query, datetime.now(UTC).isoformat(), list(clip_ids))
        with suppress(NotFound):
            selection = self._selection(name)
        self._begin(name, selection)
        return self.one(name)

    def resume(self, name: str) -> Export:
        """Go on with an export: what is there already is left alone, what failed is tried again.
        Raises Refused where too many wait."""
        self._begin(name, self._selection(name))
        return self.one(name)

    def cancel(self, name: str) -> Export:
        """End an export; it can be taken up again."""
        self._selection(name)
        self._end(name)
        return self.one(name)

    def remove(self, name: str) -> None:
        """End an export and remove its files."""
        self._selection(name)
        self._end(name)
        try:
            shutil.rmtree(self._folder / name)
        except OSError as error:
            raise self._unusable(error) from error

    def one(self, name: str) -> Export:
        """How far an export is."""
        selection = self._selection(name)
        work = self._works.get(name)
        if work is None or work.is_over:
            return self._at_rest(name, selection, work.error if work else None)
        return _shown(
            name,
            selection,
            state="running" if work.running else "waiting",
            done=work.progress.done,
            kept=work.progress.kept,
            failed=work.progress.failed,
            bytes=work.size_bytes,
            failures=list(work.failures),
            error=None,
        )

    def all(self) -> list[Export]:
        """All exports, the latest first."""
        found = []
        for file in self._folder.glob(f"*/{SELECTION_NAME}"):
            with suppress(NotFound):
                found.append(self.one(file.parent.name))
        return sorted(found, key=lambda export: export.asked_at, reverse=True)

    def entries(self, name: str) -> list[Entry]:
        """What is known of each clip of an export that is done or failed, in the order of the
        selection."""
        return entries(self._folder / name, self._selection(name))

    def file(self, name: str, file: str) -> Path:
        """A clip's file, or a manifest. Raises NotFound, also while it is not there yet."""
        self._selection(name)
        return _file(self._folder / name, file)

    def files(self, name: str) -> list[Path]:
        """The manifests and all files of an export. Raises NotFound while it is not done."""
        selection, folder = self._selection(name), self._folder / name
        manifests = [_file(folder, one) for one in (manifest.JSON_NAME, manifest.CSV_NAME)]
        written = [entry.file for entry in entries(folder, selection) if entry.file is not None]
        return manifests + [_file(folder, file) for file in written]

    def close(self) -> None:
        """End what is under way; it can be taken up again."""
        for name in list(self._works):
            self._end(name)
        self._one_at_a_time.shutdown()

    def _begin(self, name: str, selection: Selection) -> None:
        folder = self._folder / name
        with self._lock:
            under_way = {name for name, work in self._works.items() if not work.is_over}
            if name in under_way:
                return
            if len(under_way) > _MOST_WAITING:
                raise Refused(f"{_MOST_WAITING} exports wait already; ask again later")
            try:
                note(folder, selection)
            except OSError as error:
                raise self._unusable(error) from error
            work = _Work(selection, folder, Progress(len(selection.clip_ids)))
            self._works[name] = work
            work.future = self._one_at_a_time.submit(self._work, work)

    def _end(self, name: str) -> None:
        with self._lock:
            work = self._works.get(name)
            if work is None or work.future is None:
                return
            work.is_cancelled = True
            if work.future.cancel():
                return  # it never began
            if work.running is not None:
                work.running.end()
        wait([work.future], _END_S)

    def _work(self, work: _Work) -> None:
        settings, most_bytes = self._settings, self._most_bytes
        try:
            job = Job(
                settings,
                self._open_bucket(),
                tuple(work.selection.clip_ids),
                work.folder,
                settings.web.export_workers,
            )
            held_bytes = _held_bytes(self._folder)
            with RunningJob(job) as running:
                with self._lock:
                    work.running = running
                    if work.is_cancelled:
                        return
                for progress, entry in running.steps():
                    work.hear(progress, entry)
                    if held_bytes + progress.bytes_written > most_bytes:
                        raise UserError(
                            f"the exports would take more than {most_bytes // 2**20} MB; remove "
                            "others, or raise web.exports_mb"
                        )
        except Exception as error:
            if not work.is_cancelled:
                _log.warning("export to %s: %r", work.folder, error)
                work.error = " ".join(str(error).split())

    def _at_rest(self, name: str, selection: Selection, error: str | None) -> Export:
        found = content(self._folder / name, selection)
        return _shown(
            name,
            selection,
            state="done" if found.is_complete and error is None else "stopped",
            done=found.done,
            kept=0,
            failed=len(found.failed),
            bytes=found.size_bytes,
            failures=[
                ExportFailure(clip_id=clip_id, error=reason)
                for clip_id, reason in found.failed[:_MOST_FAILURES]
            ],
            error=error,
        )

    def _selection(self, name: str) -> Selection:
        try:
            found = noted(self._folder / name) if re.fullmatch(NAME, name) else None
        except OSError as error:
            raise self._unusable(error) from error
        if found is None:
            raise NotFound(f"there is no export {name}, or it was removed")
        return found

    def _unusable(self, error: OSError) -> UserError:
        return UserError(
            f"the folder {self._folder} can't be used: {error.strerror or error}; set "
            "web.exports_folder to one that can be written"
        )


def _shown(name: str, selection: Selection, **so_far: Any) -> Export:
    return Export(
        name=name,
        title=selection.title,
        query=selection.query,
        asked_at=datetime.fromisoformat(selection.asked_at),
        total=len(selection.clip_ids),
        **so_far,
    )


def _file(folder: Path, file: str) -> Path:
    path = folder / file
    is_named_so = re.fullmatch(FILE, file) or file in (manifest.JSON_NAME, manifest.CSV_NAME)
    if not (is_named_so and path.is_file()):
        raise NotFound(f"there is no file {file} in this export, or not yet")
    return path


def _held_bytes(folder: Path) -> int:
    return sum(_size_bytes(folder.glob("*/*.mp4")))


def _size_bytes(files: Iterable[Path]) -> Iterable[int]:
    for file in files:
        with suppress(FileNotFoundError):
            yield file.stat().st_size
