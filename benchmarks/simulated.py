"""Devices of known speed that compute nothing: what is measured is whether they ever wait.

Simulated, and named as such wherever figures are printed: what they are fed is real. A real one can
be watched in their place.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np

from lakehouse.models.batch_model import BatchModel, Rows

_SIDE_PX = 224
_CAPTION = {
    "environment": "corridor",
    "objects": [],
    "signs": [],
    "conditions": {"light": "bright", "floor": "dry", "space": "narrow"},
    "dynamics": [],
    "risks": [],
    "text": "A narrow corridor.",
}


@dataclass
class Timeline:
    """When a device was busy: start and end of each piece of work, in seconds of the monotonic
    clock."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def busy_share(self, warm_up: int) -> float:
        """Of the time from the start of the piece of work with this number to the end of all."""
        warm = self.spans[warm_up:]
        busy_s = sum(end - start for start, end in warm)
        return busy_s / (warm[-1][1] - warm[0][0])


class SimulatedDevice:
    """A `BatchModel` whose device works off its queue at so many frames a second. Frames are really
    decoded and resized; their vectors are coarse colours."""

    def __init__(self, frames_per_s: float, batch_size: int, dimensions: int) -> None:
        self.batch_size = batch_size
        self.timeline = Timeline()
        self._frames_per_s = frames_per_s
        self._dimensions = dimensions
        self._free_at = 0.0

    def prepare(self, items: Sequence[bytes]) -> Any:
        """As an image processor does: decode, resize, scale."""
        return np.stack([_prepared(jpeg) for jpeg in items])

    def launch(self, prepared: Any) -> tuple[float, Rows]:
        """Returns at once; the work is behind what was launched before."""
        start = max(time.monotonic(), self._free_at)
        self._free_at = start + len(prepared) / self._frames_per_s
        self.timeline.spans.append((start, self._free_at))
        colours = prepared.reshape(len(prepared), -1)[:, :: prepared[0].size // self._dimensions]
        return self._free_at, colours[:, : self._dimensions].astype(np.float32) + 0.01

    def collect(self, launched: tuple[float, Rows]) -> Rows:
        """Waits for the device."""
        done_at, rows = launched
        time.sleep(max(0.0, done_at - time.monotonic()))
        return rows


class WatchedDevice:
    """A real `BatchModel`, and when its device was busy: on a GPU by the device's own clock, on a
    CPU for as long as `launch` takes."""

    def __init__(self, model: BatchModel) -> None:
        self.batch_size = model.batch_size
        self.timeline = Timeline()
        self._model = model
        self._cuda = torch_cuda()
        self._origin: Any = self._event() if self._cuda else None

    def prepare(self, items: Sequence[bytes]) -> Any:
        """As the model does."""
        return self._model.prepare(items)

    def launch(self, prepared: Any) -> Any:
        """As the model does, with a look at the clock before and behind."""
        start, launched, end = self._now(), self._model.launch(prepared), self._now()
        return start, launched, end

    def collect(self, launched: Any) -> Rows:
        """As the model does."""
        start, inner, end = launched
        rows = self._model.collect(inner)
        if self._cuda:
            end.synchronize()
            start, end = (self._origin.elapsed_time(event) / 1000 for event in (start, end))
        self.timeline.spans.append((start, end))
        return rows

    def _now(self) -> Any:
        return self._event() if self._cuda else time.monotonic()

    def _event(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event


def torch_cuda() -> Any:
    """torch's CUDA part, where there is a GPU; else none."""
    import torch  # noqa: PLC0415, only real models need it

    return torch.cuda if torch.cuda.is_available() else None


def _prepared(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "frames are JPEGs that this project wrote"
    small = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return (small.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)


@dataclass(frozen=True)
class SimulatedServer:
    """A chat-completions server that answers so many requests at once, each after so many seconds;
    further ones wait. `ended` tells when each of its places was busy."""

    base_url: str
    slots: int
    _connection: Connection

    def busy_share(self, warm_up: int) -> float:
        """Of the time of all places, from the request with this number on, to the last start."""
        self._connection.send("spans")
        spans = sorted(self._connection.recv())
        first, last = spans[warm_up][0], spans[-1][0]
        busy_s = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
        return busy_s / (self.slots * (last - first))


@contextmanager
def simulated_server(slots: int, seconds: float) -> Iterator[SimulatedServer]:
    """One in a process of its own, on a free port of this machine."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, slots, seconds), daemon=True)
    process.start()
    try:
        port = ours.recv()
        yield SimulatedServer(f"http://127.0.0.1:{port}/v1", slots, ours)
    finally:
        process.kill()
        process.join()


def _serve(connection: Connection, slots: int, seconds: float) -> None:
    asyncio.run(_served(connection, slots, seconds))


async def _served(connection: Connection, slots: int, seconds: float) -> None:
    places = asyncio.Semaphore(slots)
    spans: list[tuple[float, float]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        headers = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        await reader.readexactly(int(headers[b"content-length"]))
        async with places:
            start = time.monotonic()
            await asyncio.sleep(seconds)
            spans.append((start, time.monotonic()))
        body = json.dumps(
            {
                "id": f"chatcmpl-{headers.get(b'x-request-id', b'').decode()}",
                "choices": [{"message": {"content": json.dumps(_CAPTION)}}],
                "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
            }
        ).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
    connection.send(server.sockets[0].getsockname()[1])
    while True:
        if connection.poll():
            connection.recv()
            connection.send(spans)
        await asyncio.sleep(0.05)
