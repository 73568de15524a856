"""Writing the clips of a selection into a folder, several at once, and going on after a kill.

What is said of them is `manifest`, what the lake knows of them is `rows`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

import filelock

from lakehouse.engine.threads import at_once
from lakehouse.errors import UserError
from lakehouse.export import manifest
from lakehouse.export.manifest import Entry
from lakehouse.export.rows import Wanted, wanted
from lakehouse.query.clip import cut
from lakehouse.settings import Settings
from lakehouse.storage.bucket import Bucket
from lakehouse.tables.lake import Lake

_LOCK_NAME = ".export.lock"


@dataclass(frozen=True)
class Progress:
    """How far an export is. `kept` of `done` were there already, whole; `failed` have an error."""

    total: int
    done: int = 0
    kept: int = 0
    failed: int = 0
    bytes_written: int = 0

    def after(self, entry: Entry, *, was_there: bool) -> "Progress":
        """One clip further."""
        return replace(
            self,
            done=self.done + 1,
            kept=self.kept + was_there,
            failed=self.failed + (entry.error is not None),
            bytes_written=self.bytes_written + (0 if was_there else entry.bytes or 0),
        )


Listener = Callable[[Progress, Entry], None]
"""Hears of every clip once it is done, in the thread that called. What it raises ends the export,
which can be taken up again."""


def export(
    lake: Lake,
    settings: Settings,
    bucket: Bucket,
    clip_ids: Sequence[str],
    folder: Path,
    *,
    workers: int = 4,
    on_done: Listener = lambda _progress, _entry: None,
) -> Progress:
    """Write each clip as an MP4 into `folder`, and a manifest of them; at most `workers` at once.

    Each is lossless, exact to the frame, and there whole or not at all. One that can't be
    written (its recording replaced or removed, or broken) has its error in the manifest, and the
    others go on. A file that is there already, of the same frames and unharmed, is left alone: an
    export that was killed, or is asked for again, does only what is missing. The manifest lists
    the clips of this call in their order, then those that earlier calls wrote here.

    Raises UserError where the folder can't be written, belongs to an export that is under way, or
    holds a manifest that is none.
    """
    ids = list(dict.fromkeys(clip_ids))
    progress = Progress(len(ids))
    with _own(folder):
        known = manifest.read(folder)
        done: dict[str, Entry] = {}
        with (folder / manifest.JOURNAL_NAME).open("a", encoding="utf-8") as journal:
            journal.write("\n")  # after a line that may be torn
            results = at_once(
                lambda one: _exported(bucket, one, known.get(one.entry.clip_id), folder),
                wanted(lake, settings, ids),
                workers,
            )
            for entry, was_there in results:
                done[entry.clip_id] = entry
                manifest.note(journal, entry)
                progress = progress.after(entry, was_there=was_there)
                on_done(progress, entry)
        asked = {clip_id: done[clip_id] for clip_id in ids}
        manifest.write(folder, ({**asked, **known} | asked).values())
    return progress


def _exported(
    bucket: Bucket, one: Wanted, before: Entry | None, folder: Path
) -> tuple[Entry, bool]:
    """The clip's entry, and whether its file was there already."""
    entry = one.entry
    if entry.file is None:
        return entry, False
    target = folder / entry.file
    try:
        if before is not None and before.cuts_the_same_as(entry) and _is_whole(target, before):
            return replace(entry, sha256=before.sha256, bytes=before.bytes), True
        cut(bucket, entry.clip_id, one.clip, one.recording, target)
        entry = replace(entry, sha256=_sha256(target), bytes=target.stat().st_size)
        if before is not None and before.file not in (None, entry.file):
            _remove(folder, str(before.file))
    except (UserError, OSError) as error:
        return replace(entry, file=None, error=" ".join(str(error).split())), False
    return entry, False


def _is_whole(target: Path, before: Entry) -> bool:
    try:
        return target.stat().st_size == before.bytes and _sha256(target) == before.sha256
    except FileNotFoundError:
        return False


def _remove(folder: Path, name: str) -> None:
    """What the clip was called when it began elsewhere; a name that leads out of the folder is no
    name of an export's."""
    if Path(name).name == name:
        (folder / name).unlink(missing_ok=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """The folder, for one export at a time, and without what a killed one left half done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / _LOCK_NAME, timeout=0):
            for partial in folder.glob(".*.partial"):
                partial.unlink()
            yield
    except filelock.Timeout as error:
        raise UserError(f"another export writes to {folder}; wait, or name another") from error
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror or error}") from error
