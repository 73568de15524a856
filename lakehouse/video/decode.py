"""Every picture of a stream once, in order, whatever is damaged.

What is done with the pictures belongs to `one_pass`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


@dataclass
class Damage:
    """What could not be decoded so far: packets refused, and the first reason."""

    packets: int = 0
    first_error: str | None = None

    def add(self, error: FFmpegError) -> None:
        """Count one refused packet."""
        self.packets += 1
        self.first_error = self.first_error or error.strerror or str(error)


@dataclass
class Decoder:
    """Iterates once over the frames of `stream`; `damage` grows while it does.

    Each packet is decoded on its own, so one bad packet costs its own frames only. The pts of
    what is yielded strictly increase: containers without a usable clock are given one tick more.
    With several threads, damage at the very end also costs the few frames that are in flight
    then: PyAV gives up emptying the decoder at the first error.
    """

    container: InputContainer
    stream: VideoStream
    threads: int
    damage: Damage = field(default_factory=Damage)

    def frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Pairs of pts, in the stream's time base, and frame."""
        self.stream.codec_context.thread_count = self.threads
        self.stream.thread_type = "AUTO" if self.threads > 1 else "NONE"
        last_pts: int | None = None
        for frame in self._decoded():
            pts = frame.pts
            if last_pts is not None and (pts is None or pts <= last_pts):
                pts = last_pts + 1
            last_pts = pts if pts is not None else self.stream.start_time or 0
            yield last_pts, frame

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                self.damage.add(error)
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except FFmpegError as error:
                self.damage.add(error)
