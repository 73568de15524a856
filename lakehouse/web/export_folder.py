"""What lies in the folder of one export: what was asked for, and how much of it is there.

Its files and manifest are written by `lakehouse.export`; which folders there are, and what is done
in them, is `exports`.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from lakehouse.export import manifest
from lakehouse.export.manifest import Entry

SELECTION_NAME = ".selection.json"

_FOLDERS_KEPT = 500


@dataclass(frozen=True)
class Selection:
    """What was asked for: the clips in their order, and in which words and at what time (ISO 8601,
    in UTC). `query` is that of the address of the search; empty without one."""

    title: str
    query: str
    asked_at: str
    clip_ids: Sequence[str]


@dataclass(frozen=True)
class Content:
    """How much of an export is there. `failed` are clips and why they have no file; they count as
    done."""

    is_complete: bool
    done: int
    size_bytes: int
    failed: Sequence[tuple[str, str]]


def note(folder: Path, selection: Selection) -> None:
    """Lay down what is asked for, whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = folder / f"{SELECTION_NAME}.partial"
    partial.write_text(json.dumps(asdict(selection)), encoding="utf-8")
    partial.replace(folder / SELECTION_NAME)


def noted(folder: Path) -> Selection | None:
    """What was asked for; none where the folder is not of an export. Raises OSError."""
    with suppress(FileNotFoundError, ValueError, TypeError):
        return Selection(**json.loads((folder / SELECTION_NAME).read_bytes()))
    return None


def entries(folder: Path, selection: Selection) -> list[Entry]:
    """What is known of each clip that is done, in their order. Raises UserError for a manifest that
    is none."""
    known = manifest.read(folder)
    return [known[clip_id] for clip_id in selection.clip_ids if clip_id in known]


def content(folder: Path, selection: Selection) -> Content:
    """How much is there. Manifests are read again only if they have changed."""
    return _content(folder, tuple(selection.clip_ids), _stamp(folder))


_Stamp = tuple[tuple[int, int, int] | None, ...]


def _stamp(folder: Path) -> _Stamp:
    """Another one for another manifest, or another journal."""
    stamps: list[tuple[int, int, int] | None] = []
    for name in (manifest.JSON_NAME, manifest.JOURNAL_NAME):
        try:
            found = (folder / name).stat()
        except FileNotFoundError:
            stamps.append(None)
        else:
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(stamps)


@lru_cache(_FOLDERS_KEPT)
def _content(folder: Path, clip_ids: tuple[str, ...], stamp: _Stamp) -> Content:
    known = manifest.read(folder)
    there = [known[clip_id] for clip_id in clip_ids if clip_id in known]
    written, journal = stamp
    return Content(
        is_complete=written is not None and journal is None,
        done=len(there),
        size_bytes=sum(entry.bytes or 0 for entry in there),
        failed=tuple((entry.clip_id, entry.error) for entry in there if entry.error is not None),
    )
