"""What an export says of its files: an entry a clip, as JSON for programs and CSV for sheets.

While an export works, a journal beside it names what is done, a line each, so that one that is
killed goes on from there. Which clips are written, and how, is `folder`.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from lakehouse.errors import UserError

JSON_NAME = "manifest.json"
CSV_NAME = "manifest.csv"
JOURNAL_NAME = ".manifest.journal"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One clip of an export: its file, or why there is none.

    `start_pts` and `end_pts` count in `time_base` of the recording, the end exclusive; `start_s`
    and `end_s` since its first frame. `passed` and `reasons` are the verdict of the day of the
    export; none where nothing was scored.
    """

    clip_id: str
    file: str | None = None
    error: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    key: str | None = None
    etag: str | None = None
    day: str | None = None
    camera: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    start_pts: int | None = None
    end_pts: int | None = None
    time_base: str | None = None
    passed: bool | None = None
    reasons: tuple[str, ...] = ()
    captions: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, float | None] | None = None

    def cuts_the_same_as(self, other: "Entry") -> bool:
        """Whether both are of the same frames of the same object, under the same name."""
        return self._cut == other._cut

    @property
    def _cut(self) -> tuple[object, ...]:
        return (self.clip_id, self.file, self.key, self.etag, self.start_pts, self.end_pts)


def read(folder: Path) -> dict[str, Entry]:
    """What is known to lie in the folder, by clip: of its manifest and its journal.

    Raises UserError for a manifest that no export wrote.
    """
    entries: dict[str, Entry] = {}
    with suppress(FileNotFoundError):
        try:
            stated = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))["clips"]
            for entry in map(_entry, stated):
                entries[entry.clip_id] = entry
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{folder / JSON_NAME} is no manifest of an export; name another folder"
            ) from error
    with suppress(FileNotFoundError):
        for line in (folder / JOURNAL_NAME).read_bytes().splitlines():
            # The last line of a killed export may be torn.
            with suppress(ValueError, TypeError):
                entry = _entry(json.loads(line))
                entries[entry.clip_id] = entry
    return entries


def note(journal: TextIO, entry: Entry) -> None:
    """Add what is done to the journal."""
    journal.write(f"{_json(asdict(entry))}\n")
    journal.flush()


def write(folder: Path, entries: Iterable[Entry]) -> None:
    """Both forms of the manifest, each whole or not at all; then the journal goes.

    The same export gives the same bytes.
    """
    stated = [asdict(entry) for entry in entries]
    _replace(folder / JSON_NAME, _json({"format": _FORMAT, "clips": stated}, indent=1) + "\n")
    _replace(folder / CSV_NAME, _csv(stated))
    (folder / JOURNAL_NAME).unlink(missing_ok=True)


def _entry(stated: Mapping[str, Any]) -> Entry:
    known = {field.name: stated[field.name] for field in fields(Entry) if field.name in stated}
    for name in ("reasons", "captions"):
        known[name] = tuple(known.get(name, ()))
    return Entry(**known)


def _csv(stated: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
    writer.writeheader()
    for entry in stated:
        nested = {
            name: _json(value)
            for name, value in entry.items()
            if isinstance(value, list | tuple | dict)
        }
        writer.writerow({**entry, **nested})
    return file.getvalue()


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    """JSON has no word for what is not a number."""
    if isinstance(value, Mapping):
        return {str(name): _finite(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _replace(target: Path, text: str) -> None:
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)
