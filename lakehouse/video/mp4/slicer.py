"""One span of an MP4 or MOV as a new MP4, made of byte ranges of the old.

The samples that the span needs are copied as they lie there, sound and picture interleaved as
there, and get an index of their own. Choosing and reading them belongs here; reading the old index
is `movie`, writing the new one `index`. Nothing is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.key_frames import starts_decoding
from lakehouse.video.mp4.boxes import NotSliceable
from lakehouse.video.mp4.held import HeldIndex
from lakehouse.video.mp4.hevc import decodes_by_configuration
from lakehouse.video.mp4.index import ClipTrack, write_head
from lakehouse.video.mp4.media import Media, Range, leave_media, read_media, read_sample
from lakehouse.video.mp4.movie import Movie, Track, common_ticks_per_s, movie_of
from lakehouse.video.mp4.partial import partial_index
from lakehouse.video.mp4.samples import Samples

_READ_WHOLE_BYTES = 256 * 1024
_FRAME_HEAD_BYTES = 4096
_AUDIO_PRE_ROLL_S = Fraction(1, 10)  # Opus needs 80 ms to settle, AAC one packet


@dataclass(frozen=True)
class Slice:
    """A new MP4 as the parts that it is written in, and what was taken from the recording."""

    parts: list[bytes | memoryview]
    packets: int
    """Video samples, those that are not shown included."""
    bytes_copied: int
    """Of video and audio samples."""
    pre_roll_frames: int
    """Frames before the span, there only to be decoded."""
    has_audio: bool


@dataclass(frozen=True)
class Plan:
    """The same MP4 before its media is read: `head`, then these ranges of the recording."""

    head: bytes
    ranges: tuple[Range, ...]

    @property
    def size_bytes(self) -> int:
        """Of the whole MP4."""
        return len(self.head) + sum(end - start for start, end in self.ranges)


@dataclass(frozen=True)
class _Excerpt:
    """Samples of a track, and what is shown of them: after `wait_s`, `shown_s` from a tick on."""

    track: Track
    samples: Samples
    shown_from: int
    shown_s: Fraction
    wait_s: Fraction = Fraction(0)


def slice_span(source: BinaryIO, start_pts: int, end_pts: int) -> Slice:
    """The frames with start_pts <= pts < end_pts of a recording, and their sound, as an MP4.

    Times are in the ticks of the first video track, as FFmpeg states them. Besides the index, of a
    large one what tells of the span, and the head of a key frame, the span is read as one range, or
    as several where much else lies in between. Memory: the clip, and at most as much of what lies
    in between.

    Raises NotSliceable for every file and span that must be left to a demuxer.
    """
    movie, excerpts = _excerpts(source, start_pts, end_pts)
    parts, media = read_media(source, [excerpt.samples for excerpt in excerpts], movie.file_bytes)
    bytes_copied = sum(map(len, parts))
    picture = excerpts[0]
    return Slice(
        parts=[_head(movie, excerpts, media, bytes_copied), *parts],
        packets=len(picture.samples.pts),
        bytes_copied=bytes_copied,
        pre_roll_frames=int((picture.samples.pts < picture.shown_from).sum()),
        has_audio=movie.audio is not None,
    )


def plan_span(
    source: BinaryIO, start_pts: int, end_pts: int, index: HeldIndex | None = None
) -> Plan:
    """What `slice_span` would make, byte for byte, for who reads the media later or in part.

    Besides the index, only the heads of key frames are read; all frames where an HEVC track's name
    depends on them. Who keeps the `index` of the file for its next span has none of it read twice.
    Raises NotSliceable like `slice_span`.
    """
    movie, excerpts = _excerpts(source, start_pts, end_pts, index)
    ranges, media = leave_media(source, [excerpt.samples for excerpt in excerpts], movie.file_bytes)
    if isinstance(source, ReadsAhead):
        source.expect(ranges if movie.video.format == b"hev1" else _key_frames(excerpts[0]))
    media_bytes = sum(end - start for start, end in ranges)
    return Plan(_head(movie, excerpts, media, media_bytes), tuple(ranges))


def _excerpts(
    source: BinaryIO, start_pts: int, end_pts: int, index: HeldIndex | None = None
) -> tuple[Movie, list[_Excerpt]]:
    """What of the recording's index was read, and what of its picture, then its sound, is needed.

    A large index is read in full only where its part around the span doesn't do.
    """
    index = index or HeldIndex.found_in(source)
    if index.size_bytes > _READ_WHOLE_BYTES:
        try:
            part = partial_index(index, source, start_pts, end_pts)
            return _needed(source, movie_of(part, index.file_bytes), start_pts, end_pts)
        except NotSliceable:
            pass
    whole = movie_of(index.read(source, 0, index.size_bytes), index.file_bytes)
    return _needed(source, whole, start_pts, end_pts)


def _needed(
    source: BinaryIO, movie: Movie, start_pts: int, end_pts: int
) -> tuple[Movie, list[_Excerpt]]:
    picture = _picture(source, movie.video, start_pts, end_pts)
    return movie, [picture, *([_sound(movie.audio, picture)] if movie.audio else [])]


def _head(
    movie: Movie, excerpts: Sequence[_Excerpt], media: Sequence[Media], media_bytes: int
) -> bytes:
    ticks_per_s = common_ticks_per_s([excerpt.track.ticks_per_s for excerpt in excerpts])
    tracks = [
        _clip_track(excerpt, own, ticks_per_s) for excerpt, own in zip(excerpts, media, strict=True)
    ]
    return write_head(movie.placement, tracks, ticks_per_s, media_bytes)


def _key_frames(picture: _Excerpt) -> list[Range]:
    samples, keys = picture.samples, picture.samples.is_key
    sizes = zip(samples.offset[keys].tolist(), samples.size[keys].tolist(), strict=True)
    return [(start, start + min(size, _FRAME_HEAD_BYTES)) for start, size in sizes]


def _picture(source: BinaryIO, track: Track, start_pts: int, end_pts: int) -> _Excerpt:
    """From the key frame at or before the span to the last that the span needs."""
    samples = track.samples
    start, end = max(start_pts, samples.shown_start), min(end_pts, samples.shown_end)
    shown = np.flatnonzero((samples.pts >= start) & (samples.pts < end))
    if not len(shown):
        raise NotSliceable("it shows no frame in the span")
    first = _key_frame(source, track, start_pts, int(shown[0]))
    last = shown[samples.pts[shown].argmax()]
    shown_from, shown_last = int(samples.pts[shown].min()), int(samples.pts[last])
    following = samples.pts[samples.pts > shown_last]
    if len(following):
        end = min(end, int(following.min()))
    elif samples.duration[last]:
        end = min(end, shown_last + int(samples.duration[last]))
    needed = np.arange(first, int(shown[-1]) + 1)
    # What is shown before the key frame needs frames before it; browsers fail on such frames.
    part = samples.part(needed[samples.pts[needed] >= samples.pts[first]])
    return _Excerpt(track, part, shown_from, Fraction(end - shown_from, track.ticks_per_s))


def _key_frame(source: BinaryIO, track: Track, start_pts: int, first_shown: int) -> int:
    """The last sample at or before both that a decoder may start at."""
    samples = track.samples
    marked = samples.is_key[: first_shown + 1] & (samples.pts[: first_shown + 1] <= start_pts)
    for number in np.flatnonzero(marked)[::-1].tolist():
        if _starts_decoding(track, samples, number, partial(read_sample, source, samples)):
            return int(number)
    raise NotSliceable("it has no key frame up to the span")


def _sound(track: Track, picture: _Excerpt) -> _Excerpt:
    """The samples heard during the picture, and those before from which a decoder settles."""
    samples, ticks_per_s = track.samples, track.ticks_per_s
    start = Fraction(picture.shown_from, picture.track.ticks_per_s) * ticks_per_s
    end = start + picture.shown_s * ticks_per_s
    settling = math.floor(start - _AUDIO_PRE_ROLL_S * ticks_per_s)
    first = int(np.count_nonzero(samples.pts <= settling)) - 1
    after = int(np.count_nonzero(samples.pts < math.ceil(end)))
    part = samples.part(slice(max(0, first), after))
    heard_from = max(round(start), samples.shown_start)
    own_end = min(samples.shown_end, int(samples.pts[-1] + samples.duration[-1]))
    heard = min(end, Fraction(own_end)) - heard_from
    if not len(part.pts) or heard <= 0:
        raise NotSliceable("nothing is heard in the span")
    wait_s = Fraction(heard_from - round(start), ticks_per_s)
    return _Excerpt(track, part, heard_from, heard / ticks_per_s, wait_s)


def _clip_track(excerpt: _Excerpt, media: Media, ticks_per_s: int) -> ClipTrack:
    samples, track = excerpt.samples, excerpt.track
    # Decoding times are made anew: any that rise and stay below the presentation times will do.
    ordered = np.sort(samples.pts)
    origin = int(ordered[0] - (ordered - samples.pts).max())
    shown_to = math.floor(excerpt.shown_from + excerpt.shown_s * track.ticks_per_s)
    return ClipTrack(
        source=track,
        format=_format(track, media),
        decoded_at=ordered - ordered[0],
        shown_at=samples.pts - origin,
        last_duration=max(int(samples.duration[-1]), shown_to - int(ordered[-1])),
        size=samples.size,
        is_key=_starting_points(track, media),
        chunk_first=media.first,
        chunk_place=media.place,
        wait=round(excerpt.wait_s * ticks_per_s),
        media_start=excerpt.shown_from - origin,
        shown=math.floor(excerpt.shown_s * ticks_per_s),  # rounded up, it would show a frame more
    )


def _starting_points(track: Track, media: Media) -> NDArray[np.bool_]:
    """The key frames after which nothing is shown earlier: from others, browsers fail to play."""
    if not track.is_video:
        return media.samples.is_key
    pts = media.samples.pts
    earliest_after = np.minimum.accumulate(pts[::-1])[::-1][1:]
    keys = media.samples.is_key & np.append(earliest_after > pts[:-1], True)
    for number in np.flatnonzero(keys).tolist():
        keys[number] = _starts_decoding(track, media.samples, number, media.sample)
    return keys


def _starts_decoding(
    track: Track, samples: Samples, number: int, sample: Callable[[int, int], memoryview]
) -> bool:
    """Whether a decoder may start at this sample. What says so mostly stands at its beginning."""
    whole_bytes = int(samples.size[number])
    for read_bytes in sorted({min(_FRAME_HEAD_BYTES, whole_bytes), whole_bytes}):
        if starts_decoding(track.codec, sample(number, read_bytes), track.configuration):
            return True
    return False


def _format(track: Track, media: Media) -> bytes:
    """The name of the track's format; of HEVC that which Apple's players accept, if it is right."""
    if track.format == b"hev1":
        sizes = media.samples.size.tolist()
        samples = map(media.sample, range(len(sizes)), sizes)
        if decodes_by_configuration(track.configuration, samples):
            return b"hvc1"
    return track.format
