"""Ranges of one object on their way here, some of them in the background.

Threads, counting and continuing after a cut connection belong here; which ranges are worth
fetching does not, nor how a range travels.
"""

from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from threading import Event, Lock

IN_FLIGHT = 4
"""Ranges fetched at once in the background."""
_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.02
"""After an answer that broke off; doubled with each."""

Fetch = Callable[[int, int], Generator[bytes, None, None]]
"""`fetch(start, end)` yields the bytes `[start, end)`. It may end early where the connection was
cut, and raises ObjectReplaced where it is no longer the one that was opened. It is called by
several threads at once; closing the generator ends the request."""


class Downloads:
    """Fetches ranges through `fetch`, at most `IN_FLIGHT` of them in the background.

    `name` is for messages. No thread is started before something is begun; after `close` none
    lives longer than its request takes to yield one more chunk.
    """

    def __init__(self, name: str, fetch: Fetch) -> None:
        self.name = name
        self.bytes_read = 0
        """Bytes received so far."""
        self.requests = 0
        """Ranges asked for so far."""
        self._fetch = fetch
        self._counting = Lock()
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="read-ahead")

    def begin(self, start: int, end: int) -> "Download":
        """Fetches `[start, end)` in the background as soon as a thread is free."""
        download = Download(self, start, end)
        download.queued = self._pool.submit(download.fetch)
        return download

    def close(self) -> None:
        """Begins nothing more. Does not wait: a server that hangs would hold up its reader."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def answer(self, start: int, end: int) -> Generator[bytes, None, None]:
        """What one request for `[start, end)` yields, counted."""
        with self._counting:
            self.requests += 1
        with closing(self._fetch(start, end)) as chunks:
            for chunk in chunks:
                with self._counting:
                    self.bytes_read += len(chunk)
                yield chunk


class Download:
    """The bytes `[start, end)`: asked for, on their way, or here."""

    def __init__(self, downloads: Downloads, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.queued: Future[bytearray] | None = None
        """Its turn in the background; none where the reader fetches it itself."""
        self._downloads = downloads
        self._abandoned = Event()
        self._data: bytearray | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing of it is on its way or still to be asked for."""
        return self._data is not None or (self.queued is not None and self.queued.done())

    def data(self) -> bytearray:
        """All its bytes, waited for; fetched by the calling thread if no other has begun yet.

        Raises what the fetch raised, or OSError where the bytes did not arrive whole.
        """
        if self._data is None:
            if self.queued is None or self.queued.cancel():
                self._data = self.fetch()
            else:
                self._data = self.queued.result()
        return self._data

    def abandon(self) -> None:
        """Ends it: now if it has not begun, else with the next chunk."""
        self._abandoned.set()
        if self.queued is not None:
            self.queued.cancel()

    def fetch(self) -> bytearray:
        """Fetches it in the calling thread, see `data`. Raises CancelledError once abandoned."""
        data, filled = bytearray(self.end - self.start), 0
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._abandoned.wait(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            with closing(self._downloads.answer(self.start + filled, self.end)) as chunks:
                for chunk in chunks:
                    if self._abandoned.is_set():
                        raise CancelledError
                    if filled + len(chunk) > len(data):
                        raise OSError(
                            f"{self._downloads.name}: the server sent more than was asked for"
                        )
                    data[filled : filled + len(chunk)] = chunk
                    filled += len(chunk)
            if filled == len(data):
                return data
        raise OSError(
            f"{self._downloads.name}: bytes {self.start} to {self.end} broke off {_ATTEMPTS} "
            f"times, the last time at {self.start + filled}"
        )
