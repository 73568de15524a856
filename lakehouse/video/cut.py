"""Cutting one span of a recording into an MP4: losslessly, and exact to the frame.

Packets are copied from the key frame before the span to the last that the span needs, and an edit
list shows the span only. Of most MP4 and MOV files `mp4.slicer` copies them as byte ranges; all
others are remuxed here. Which packets a span needs is then `span`, and the boxes that the muxer
gets almost right are corrected in `edit_list`. Nothing is decoded.
"""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from lakehouse.errors import UserError
from lakehouse.video.edit_list import write_exact
from lakehouse.video.mp4.boxes import NotSliceable
from lakehouse.video.mp4.fragments import table_holds
from lakehouse.video.mp4.movie import common_ticks_per_s
from lakehouse.video.mp4.slicer import slice_span
from lakehouse.video.probe import ProbeError, open_container, video_stream
from lakehouse.video.span import Span, codec_name, pts, read_span, tick_s

# AVI stores no presentation times: FFmpeg guesses them, wrongly, where these codecs reorder.
_UNORDERED_IN_AVI = {"h264", "hevc"}


@dataclass(frozen=True)
class CutReport:
    """What a cut took from its recording."""

    packets: int
    """Video packets in the file, those that are not shown included."""
    bytes_copied: int
    """Of video and audio packets."""
    pre_roll_frames: int
    """Frames before the span, there only to be decoded."""
    audio: str
    """`copied`, `none` (the recording has none), or `left out: ` and the reason."""


def cut_clip(
    source: BinaryIO, container_format: str, start_pts: int, end_pts: int, target: BinaryIO
) -> CutReport:
    """Write the frames with start_pts <= pts < end_pts of a recording to `target`, as an MP4.

    `source` is seekable; besides its index, it is read from the key frame at or before the span
    to the span's last packet. `container_format` is the FFmpeg demuxer that the probe pinned.
    Times are in the time base of the first video stream. `target` is only written to, and only
    after all else has succeeded.

    Video packets are copied unchanged (those of MPEG-TS get MP4's framing), without those that
    follow the key frame and are shown before it, and so is the rotation. A player that honours
    edit lists shows exactly the span's frames, the first at 0 s. The first audio stream is trimmed
    to the same span, as exactly as its time base states; where MP4 can't hold it, it is left out.
    Memory: twice the clip's bytes.

    Raises UserError where the span has no frames, MP4 can't hold the video's codec, or the
    recording can't be read or doesn't say when its frames are shown.
    """
    if container_format == "mov":
        try:
            return _slice(source, start_pts, end_pts, target)
        except NotSliceable:
            pass
    return _remux(source, container_format, start_pts, end_pts, target)


def _slice(source: BinaryIO, start_pts: int, end_pts: int, target: BinaryIO) -> CutReport:
    clip = slice_span(source, start_pts, end_pts)
    for part in clip.parts:
        target.write(part)
    return CutReport(
        packets=clip.packets,
        bytes_copied=clip.bytes_copied,
        pre_roll_frames=clip.pre_roll_frames,
        audio="copied" if clip.has_audio else "none",
    )


def _remux(
    source: BinaryIO, container_format: str, start_pts: int, end_pts: int, target: BinaryIO
) -> CutReport:
    # Some Matroska files leave out what all packets begin with.
    most_bytes = 2 * source.seek(0, io.SEEK_END)
    by_table = container_format == "mov" and table_holds(source, start_pts, end_pts)
    options = {"use_mfra_for": "pts"} if by_table else {}
    try:
        with open_container(source, container_format, options) as recording:
            video = _video(recording)
            audio, heard = _audio(recording)
            streams = [video, audio] if audio else [video]
            for stream in recording.streams:
                if stream not in streams:
                    stream.discard = Discard.all
            span = read_span(recording, streams, start_pts, end_pts, most_bytes)
            report = CutReport(
                packets=len(span.pictures),
                bytes_copied=sum(packet.size for packet in chain(span.pictures, span.sounds)),
                pre_roll_frames=sum(pts(packet) < span.shown_start for packet in span.pictures),
                audio=heard,
            )
            movie, shown_ticks = _mux(span, streams)
    except ProbeError as error:
        raise UserError(f"the recording can't be cut: {error}; choose another") from error
    except FFmpegError as error:
        raise UserError(
            f"the recording can't be cut: {error.strerror}; choose a span without damage"
        ) from error
    write_exact(movie, shown_ticks, target)
    return report


def _video(recording: InputContainer) -> VideoStream:
    video = video_stream(recording)
    refusal = _refusal(video)
    reordered = video.codec_context.has_b_frames and codec_name(video) in _UNORDERED_IN_AVI
    if recording.format.name == "avi" and reordered:
        refusal = f"AVI doesn't state the order of {codec_name(video)} frames"
    if refusal:
        raise UserError(f"{refusal}; re-encode the recording to an H.264 MP4 first")
    return video


def _audio(recording: InputContainer) -> tuple[AudioStream | None, str]:
    """The audio stream to copy, and what the report says about it."""
    if not recording.streams.audio:
        return None, "none"
    audio = recording.streams.audio[0]
    refusal = _refusal(audio)
    return (None, f"left out: {refusal}") if refusal else (audio, "copied")


def _refusal(stream: Stream) -> str | None:
    """Why the muxer can't write this stream, found out by beginning a file with it."""
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (ValueError, FFmpegError):
        return f"MP4 can't hold {codec_name(stream)}"
    return None


def _mux(span: Span, streams: Sequence[Stream]) -> tuple[memoryview, int]:
    """A movie in memory that starts with the span, and the span's length in its time scale."""
    tick = tick_s(streams[0])
    movie_ticks_per_s = common_ticks_per_s([tick_s(stream).denominator for stream in streams])
    options = {
        "movie_timescale": str(movie_ticks_per_s),
        "video_track_timescale": str(tick.denominator),
    }
    _start_at_zero(span, streams)
    muxed = io.BytesIO()
    with av.open(muxed, "w", format="mp4", container_options=options) as movie:
        tracks = [movie.add_stream_from_template(stream, opaque=True) for stream in streams]
        if codec_name(streams[0]) == "hevc":
            tracks[0].codec_context.codec_tag = "hvc1"  # Apple's players refuse hev1
        for packet in _interleaved(span, streams):
            packet.stream = tracks[streams.index(packet.stream)]
            movie.mux_one(packet)
    shown_s = (span.shown_end - span.shown_start) * tick
    return muxed.getbuffer(), math.floor(shown_s * movie_ticks_per_s)


def _start_at_zero(span: Span, streams: Sequence[Stream]) -> None:
    """Show the span from time 0, which makes the muxer's edit list hide what lies before.

    Decoding times are made anew: some containers leave them out, and any that rise and stay
    below the presentation times decode the same.
    """
    if span.sounds:
        origin = round(span.shown_start * tick_s(streams[0]) / tick_s(streams[1]))
        for packet in span.sounds:
            packet.pts = packet.dts = pts(packet) - origin
    for packet in span.pictures:
        packet.pts = pts(packet) - span.shown_start
    ordered = sorted(map(pts, span.pictures))
    delay = max(early - pts(packet) for early, packet in zip(ordered, span.pictures, strict=True))
    for early, packet in zip(ordered, span.pictures, strict=True):
        packet.dts = early - delay


def _interleaved(span: Span, streams: Sequence[Stream]) -> Iterator[Packet[Stream]]:
    timed = []
    for stream, packets in zip(streams, (span.pictures, span.sounds), strict=False):
        seconds = float(tick_s(stream))
        timed.append([((packet.dts or 0) * seconds, packet) for packet in packets])
    for _, packet in heapq.merge(*timed, key=itemgetter(0)):
        yield packet
