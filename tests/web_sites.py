"""The browser over a real small lake, as tests ask it: without a socket."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fastapi.testclient import TestClient

from lakehouse.settings import WebSettings
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.local import LocalBucket
from lakehouse.web.app import create_app
from tests.lakes import Site

HERE = "http://127.0.0.1"


@contextmanager
def browsing(
    site: Site,
    folder: Path,
    *,
    token: str | None = None,
    bucket: Bucket | None = None,
    **web: object,
) -> Iterator[TestClient]:
    """A client of the site's browser, whose previews are kept in `folder`, its exports beside."""
    folders = {"cache_folder": folder, "exports_folder": exports_beside(folder)}
    chosen = WebSettings.model_validate({**folders, "refresh_s": 0, **web})
    settings = site.settings.model_copy(update={"web": chosen})
    app = create_app(settings, token, bucket)
    with TestClient(app, HERE, raise_server_exceptions=False) as client:
        yield client


def exports_beside(folder: Path) -> Path:
    """Where the browser's exports lie whose previews are kept in `folder`."""
    return folder.with_name(f"{folder.name}-exports")


class CountedReads:
    """A file that counts the bytes read of it."""

    def __init__(self, file: BinaryIO, counter: "CountingBucket") -> None:
        self._file = file
        self._counter = counter

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._counter.bytes_read += len(data)
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


class CountingBucket(LocalBucket):
    """A folder that counts what is read of its objects."""

    bytes_read = 0

    def open(self, key: str, etag: str | None = None) -> BinaryIO:
        return CountedReads(super().open(key, etag), self)  # type: ignore[return-value]


class GatedBucket(LocalBucket):
    """A folder of which one object is opened only once somebody has opened the gate, a FIFO."""

    def __init__(self, folder: str, key: str, gate: Path) -> None:
        super().__init__(folder)
        self._key, self._gate = key, gate
        os.mkfifo(gate)

    def open(self, key: str, etag: str | None = None) -> BinaryIO:
        if key == self._key:
            self._gate.read_bytes()
        return super().open(key, etag)

    def let_through(self) -> None:
        """Returns once somebody stood at the gate."""
        self._gate.write_bytes(b"")
