"""Which frames a decoder may start at.

Containers also mark the points where H.264 begins to refresh the picture bit by bit, and some mark
frames that are no key frames at all. Whoever starts there, this program or a player of its clips,
gets no right picture for a while. Telling them apart belongs here; choosing one for a span is
`span`, for packets, and `mp4.slicer`, for samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from av.packet import Packet

_H264_SLICE, _H264_IDR, _H264_SEI = 1, 5, 6
_SEI_RECOVERY_POINT = 6
_HEVC_SLICES, _HEVC_KEY_SLICES = range(32), range(16, 24)
_AV1_FRAMES = {3, 6}  # a frame's header alone, or with its data
_MPEG4_PICTURE = b"\0\0\1\xb6"


def is_true_key_frame(packet: Packet[Any]) -> bool:
    """Whether every frame shown from this packet on is right, though decoding starts with it.

    Where the frame itself doesn't say so, FFmpeg's mark on the packet is believed.
    """
    context = packet.stream.codec_context
    if not packet.is_keyframe or context is None or context.codec.canonical_name != "h264":
        return packet.is_keyframe
    return _h264_starts_right(memoryview(packet), context.extradata) is not False


def starts_decoding(codec: str, frame: memoryview, configuration: bytes) -> bool:
    """Whether this frame says of itself that all frames shown from it on can be decoded.

    For frames as they lie in an MP4, and the configuration that its track states for the decoder
    (for H.264 and HEVC; may be empty for others). `codec` is FFmpeg's name: h264, hevc, av1, vp9 or
    mpeg4. Of others it is False.
    """
    if codec == "h264":
        return _h264_starts_right(frame, configuration) is True
    if codec == "hevc":
        return _hevc_starts_right(frame, configuration)
    if codec == "av1":
        return _av1_starts_right(frame)
    if codec == "vp9":
        return bool(frame) and frame[0] >> 2 in {0b100000, 0b101000, 0b100100}
    start = bytes(frame).find(_MPEG4_PICTURE) if codec == "mpeg4" else -1
    return 0 <= start < len(frame) - 4 and frame[start + 4] >> 6 == 0  # an I-VOP


def _h264_starts_right(frame: memoryview, extradata: bytes | None) -> bool | None:
    """What a frame states of itself: IDR, or a recovery point after 0 frames; none for nothing."""
    for unit in units(frame, _h264_prefix(extradata)):
        kind = unit[0] & 0x1F if unit else 0
        if kind in (_H264_SLICE, _H264_IDR):
            return True if kind == _H264_IDR else None
        if kind == _H264_SEI:
            recovery = _sei_payload(bytes(unit[1:]), _SEI_RECOVERY_POINT)
            if recovery:
                return recovery[0] >= 0x80  # Exp-Golomb: a leading 1 is the number 0
    return None


def _hevc_starts_right(frame: memoryview, configuration: bytes) -> bool:
    """Whether the first slice is of an intra random access point (ITU-T H.265, table 7-1)."""
    prefix = (configuration[21] & 3) + 1 if len(configuration) > 21 else 4
    kinds = (unit[0] >> 1 & 0x3F for unit in units(frame, prefix) if unit)
    return next((kind in _HEVC_KEY_SLICES for kind in kinds if kind in _HEVC_SLICES), False)


def _av1_starts_right(frame: memoryview) -> bool:
    """Whether the first frame is a key frame that is shown (AV1 bitstream, 5.3 and 5.9.2)."""
    at = 0
    while at + 1 < len(frame):
        header = frame[at]
        at += 2 if header & 4 else 1
        size = 0
        for shift in range(0, 56, 7) if header & 2 else ():
            byte = frame[at] if at < len(frame) else 0
            size |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                break
        if header >> 3 & 15 in _AV1_FRAMES:
            return at < len(frame) and frame[at] >> 4 == 1  # new, a key frame, shown
        at += size if header & 2 else len(frame)
    return False


def _h264_prefix(extradata: bytes | None) -> int:
    """How many bytes the lengths of NAL units have; 0 where start codes separate them."""
    in_mp4 = extradata and len(extradata) > 4 and extradata[0] == 1
    return (extradata[4] & 3) + 1 if extradata and in_mp4 else 0


def units(data: memoryview, prefix: int) -> Iterator[memoryview]:
    """The NAL units of an access unit, in MP4's framing (ISO/IEC 14496-15) or in Annex B's."""
    start = 0
    while prefix and start + prefix < len(data):
        end = start + prefix + int.from_bytes(data[start : start + prefix])
        yield data[start + prefix : end]
        start = end
    if prefix:
        return
    whole = bytes(data)
    start = whole.find(b"\0\0\1")
    while 0 <= start < len(whole) - 3:
        end = whole.find(b"\0\0\1", start + 3)
        yield data[start + 3 : end if end >= 0 else len(data)]
        start = end


def _sei_payload(unit: bytes, wanted: int) -> bytes:
    """The first payload of a type, empty if there is none. ITU-T H.264, 7.3.2.3.1."""
    data = unit.replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(data):
        header = [0, 0]
        for field in range(2):
            while at < len(data) and data[at] == 0xFF:
                header[field] += 0xFF
                at += 1
            if at < len(data):
                header[field] += data[at]
            at += 1
        kind, size = header
        if kind == wanted:
            return data[at : at + size]
        at += size
    return b""
