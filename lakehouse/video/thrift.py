"""Decoding that leaves out groups of pictures in which the footage stands still.

Only whole groups are left out, and only within a stand-still that was seen: the group before it
ended standing, the key frames on both sides are the same picture, and no packet in between is large
enough to hold anything new. Non-reference frames are never left out on their own: where that saves
anything it moves cuts.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import cast

import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lakehouse.video.decode import Decoded, decode, drain, on_one_thread
from lakehouse.video.digest import StreamDigest
from lakehouse.video.key_frames import is_true_key_frame
from lakehouse.video.packets import (
    Damage,
    VideoPacket,
    groups_of_pictures,
    read_packets,
    shown_before,
)

_WIDTH, _HEIGHT = 128, 72
_MOST_MEAN_CHANGE = 1.0
_MOST_LOCAL_CHANGE = 12.0
_FEWEST_PACKETS = 4
_LONGEST_S = 12.0
_GLANCE_BACK_FRAMES = 6
_SIZES_KNOWN = 16
_LARGEST_TO_MEDIAN = 2.0
_LARGER_THAN_BEFORE = 1.25


def frames_with_news(
    container: InputContainer,
    stream: VideoStream,
    damage: Damage,
    digest: StreamDigest | None = None,
) -> Iterator[Decoded]:
    """All frames of the stream in order, those of still groups without their pictures.

    Every picture that is there is the one that a full decode gives. `digest` takes in every
    packet. Memory: the packets of two groups.
    """
    on_one_thread(stream)
    thrift = _Thrift(stream, damage)
    groups = groups_of_pictures(read_packets(container, stream, damage, digest))
    group = next(groups, [])
    while group:
        following = next(groups, [])
        yield from thrift.frames(group, following)
        group = following


@dataclass
class _Thrift:
    stream: VideoStream
    damage: Damage
    _reformatter: VideoReformatter = field(default_factory=VideoReformatter)
    _stood: Sequence[int] = ()
    """Packet sizes at the end of the last group that was decoded, if it stood still there."""
    _ahead: Decoded | None = None
    """The next group's key frame, where it is decoded already; the decoder is empty then."""

    def frames(self, group: list[VideoPacket], following: list[VideoPacket]) -> Iterator[Decoded]:
        """The frames of a group, taking those packets from `following` that are shown before it
        if the group is left out."""
        key, rest = group[0], group[1:]
        key_frame, self._ahead = self._ahead, None
        known = key_frame is not None
        if key_frame:
            yield key_frame
        if self._stood and following and self._may_stand(group, following[0]):
            if not known:
                leading = shown_before(key, rest)
                for decoded in self._all_of(key, *leading):
                    key_frame = decoded if decoded.pts == key.pts else key_frame
                    yield decoded
                rest = rest[len(leading) :]
                known = True
            after = self._look_ahead(following[0])
            if self._is_same(key_frame, after):
                leading = shown_before(following[0], following[1:])
                del following[1 : 1 + len(leading)]
                for pts in sorted(packet.pts or 0 for packet in [*rest, *leading]):
                    yield Decoded(pts, None)
                self._ahead = after
                return
        latest: deque[Decoded] = deque(maxlen=_GLANCE_BACK_FRAMES)
        for packet in (key, *rest):
            # A key frame that is fed a second time has told its damage already.
            damage = Damage() if known and packet is key else self.damage
            for decoded in decode(packet, damage):
                if not (known and decoded.pts == key.pts):
                    yield decoded
                    latest.append(decoded)
        stands = len(latest) == _GLANCE_BACK_FRAMES and self._is_same(latest[0], latest[-1])
        self._stood = [packet.size for packet in rest[-_SIZES_KNOWN:]] if stands else ()

    def _may_stand(self, group: list[VideoPacket], following: VideoPacket) -> bool:
        """Whether the packets alone allow that nothing new is in the group."""
        times = [packet.pts for packet in (*group, following) if packet.pts is not None]
        sizes = [packet.size for packet in group[1:]]
        if len(times) < len(group) + 1 or len(sizes) < _FEWEST_PACKETS:
            return False
        if not (is_true_key_frame(group[0]) and is_true_key_frame(following)):
            return False
        assert self.stream.time_base is not None
        return (
            (times[-1] - times[0]) * self.stream.time_base <= _LONGEST_S
            and mean(sizes) <= _LARGER_THAN_BEFORE * mean(self._stood)
            and max(sizes)
            <= max(_LARGEST_TO_MEDIAN * median(sizes), _LARGER_THAN_BEFORE * max(self._stood))
        )

    def _all_of(self, *packets: VideoPacket) -> Iterator[Decoded]:
        for packet in packets:
            yield from decode(packet, self.damage)
        yield from drain(self.stream, self.damage)

    def _look_ahead(self, key: VideoPacket) -> Decoded | None:
        """A key frame by itself. What is wrong with it is counted when its group is decoded."""
        damage = Damage()
        frames = [*decode(key, damage), *drain(self.stream, damage)]
        return frames[0] if [frame.pts for frame in frames] == [key.pts] else None

    def _is_same(self, one: Decoded | None, other: Decoded | None) -> bool:
        """Whether nothing but noise tells the two pictures apart, in any place of them."""
        if not (one and one.frame and other and other.frame) or one is other:
            return False
        if (one.frame.width, one.frame.height) != (other.frame.width, other.frame.height):
            return False
        change = cv2.absdiff(self._coarse(one.frame), self._coarse(other.frame))
        return bool(change.mean() <= _MOST_MEAN_CHANGE and change.max() <= _MOST_LOCAL_CHANGE)

    def _coarse(self, frame: VideoFrame) -> NDArray[np.uint8]:
        small = self._reformatter.reformat(
            frame, width=_WIDTH, height=_HEIGHT, format="gray", interpolation="AREA", threads=1
        )
        return cast(NDArray[np.uint8], small.to_ndarray())
