"""Models that lie in a folder: what identifies their weights, and what their configuration says."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from lakehouse.errors import UserError

_SMALL_BYTES = 1 << 20
_PIECES = 16
_PIECE_BYTES = 1 << 16


def identity(model: str, revision: str | None = None) -> list[str | None]:
    """Of a name at a hub, itself and the revision; of a folder, a hash of what is in it, wherever
    it lies. Small files count whole, large ones by size and by pieces from all over: a model that
    was trained on has changed everywhere."""
    folder = Path(model)
    if not folder.is_dir():
        return [model, revision]
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    stats = [(file, file.stat()) for file in files]
    return [_digest(folder, tuple((str(f), s.st_size, s.st_mtime_ns) for f, s in stats))]


def shown_name(model: str) -> str:
    """A folder by its own name only: where it lies on this machine is nobody's business."""
    return Path(model).name if Path(model).is_dir() else model


def is_meant_as_folder(model: str) -> bool:
    """Whether it reads as a path: names at a hub are `model` or `owner/model`."""
    is_path = model.startswith((".", "~", "/", "\\")) or "\\" in model
    return is_path or model.count("/") > 1 or Path(model).is_dir()


def configuration(model: str, revision: str | None = None) -> dict[str, Any] | None:
    """The model's `config.json`: out of its folder, or out of the hub's cache on this machine; none
    where it isn't there. Asks no network. Raises UserError for a file that is no JSON."""
    file = Path(model) / "config.json" if Path(model).is_dir() else _cached(model, revision)
    if file is None or not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read as a model's configuration: {error}") from error


def _cached(model: str, revision: str | None) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415, only with an extra
    except ImportError:
        return None
    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None


@lru_cache(maxsize=64)
def _digest(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size_bytes, _ in files:
        digest.update(f"{Path(name).relative_to(folder).as_posix()}\0{size_bytes}\0".encode())
        with Path(name).open("rb") as file:
            if size_bytes <= _SMALL_BYTES:
                digest.update(file.read())
                continue
            for piece in range(_PIECES):
                file.seek((size_bytes - _PIECE_BYTES) * piece // (_PIECES - 1))
                digest.update(file.read(_PIECE_BYTES))
    return digest.hexdigest()[:16]
