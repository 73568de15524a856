import hashlib
import io
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import UserError
from lakehouse.video.cut import CutReport, cut_clip
from lakehouse.video.mp4.boxes import NotSliceable
from lakehouse.video.mp4.slicer import slice_span
from tests.videos import AUDIO_RATE, B_FRAMES, Picture, Pipe, record

FRAMES = 150
FRAME_RATE = 25
TIMES_MS = list(accumulate(random.Random(2).choices((17, 33, 40, 250), k=FRAMES - 1), initial=0))
FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
FORMATS = {"mp4": "mov", "mov": "mov", "mkv": "matroska", "ts": "mpegts", "avi": "avi"}
OPEN_GOPS = {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-pyramid=normal"}


@dataclass(frozen=True)
class Shown:
    """One displayed frame: when, in seconds, and its exact pixels."""

    time_s: Fraction
    pixels: str
    rotation: int


@dataclass(frozen=True)
class Recording:
    """A recording and every frame that a decoder shows of it."""

    data: bytes
    container: str
    time_base: Fraction
    pts: tuple[int, ...]
    shown: tuple[Shown, ...]

    def bound(self, frame: int) -> int:
        """Where a frame begins; for the number of frames, where the last one ends."""
        return self.pts[frame] if frame < len(self.pts) else 2 * self.pts[-1] - self.pts[-2]


def decoded(data: bytes, container: str, frames: int | None = None) -> Recording:
    """The recording as a player shows it: all of it, or its first frames."""
    with av.open(io.BytesIO(data), "r", format=container) as source:
        time_base = source.streams.video[0].time_base
        source.streams.video[0].thread_type = "AUTO"
        timed = [(frame.pts, seen(frame)) for frame in islice(source.decode(video=0), frames)]
    pts, shown = zip(*timed, strict=True)
    return Recording(data, container, time_base, pts, shown)


def seen(frame: av.VideoFrame) -> Shown:
    pixels = hashlib.md5(frame.to_ndarray().tobytes()).hexdigest()
    return Shown(frame.pts * frame.time_base, pixels, frame.rotation)


def pictures() -> Iterator[Picture]:
    texture = np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8)
    for number in range(FRAMES):
        picture = np.roll(texture // 2, 3 * number, axis=1)
        picture[:, : number % 96] += 64
        yield picture


RECORDINGS = {
    "no B-frames": {},
    "B-frames": {"options": B_FRAMES},
    "open GOPs": {"options": OPEN_GOPS},
    "gradual refresh": {"options": {"x264-params": "intra-refresh=1:scenecut=0"}},
    "variable frame rate": {"options": B_FRAMES, "times_ms": TIMES_MS},
    "rotated": {"options": B_FRAMES, "rotation_deg": 90},
    "with audio": {"options": B_FRAMES, "audio": "aac"},
    "HEVC, open GOPs": {"codec": "libx265", "options": {"x265-params": "keyint=48:log-level=none"}},
    "MPEG-4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "AV1": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "MOV": {"suffix": "mov", "options": B_FRAMES, "rotation_deg": 180},
    "fragmented": {
        "options": B_FRAMES,
        "muxer_options": {"movflags": "frag_keyframe+empty_moov+negative_cts_offsets"},
    },
    "MKV": {"suffix": "mkv", "options": B_FRAMES, "audio": "aac"},
    "MPEG-TS": {"suffix": "ts", "options": B_FRAMES, "audio": "aac"},
    "open GOPs in MPEG-TS": {"suffix": "ts", "options": OPEN_GOPS},
    "AVI": {"suffix": "avi", "codec": "mpeg4"},
}
_recorded: dict[str, Recording] = {}


def recording(kind: str) -> Recording:
    if kind not in _recorded:
        arguments = RECORDINGS[kind]
        data = record(pictures(), key_frame_every=48, **arguments)
        _recorded[kind] = decoded(data, FORMATS[arguments.get("suffix", "mp4")])
    return _recorded[kind]


def cut(source: Recording, start_frame: int, end_frame: int) -> tuple[CutReport, bytes]:
    target = io.BytesIO()
    start, end = source.bound(start_frame), source.bound(end_frame)
    report = cut_clip(io.BytesIO(source.data), source.container, start, end, target)
    return report, target.getvalue()


def assert_exact(source: Recording, start_frame: int, end_frame: int) -> None:
    _, data = cut(source, start_frame, end_frame)
    expected = source.shown[start_frame:end_frame]
    origin_s = expected[0].time_s
    assert decoded(data, "mov").shown == tuple(
        Shown(shown.time_s - origin_s, shown.pixels, shown.rotation) for shown in expected
    )


def some_spans(frames: int, count: int) -> list[tuple[int, int]]:
    chooser = random.Random(frames)
    drawn = [sorted(chooser.sample(range(frames + 1), 2)) for _ in range(count)]
    return [(start, end) for start, end in drawn]


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_cut_shows_exactly_the_frames_of_its_span(kind: str) -> None:
    source = recording(kind)
    assert len(source.pts) == FRAMES
    for start, end in [(0, FRAMES), (0, 1), (FRAMES - 1, FRAMES), *some_spans(FRAMES, 6)]:
        assert_exact(source, start, end)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(start=st.integers(0, FRAMES - 1), length=st.integers(1, FRAMES))
def test_every_span_among_b_frames_is_exact(start: int, length: int) -> None:
    assert_exact(recording("B-frames"), start, min(start + length, FRAMES))


def test_cuts_at_every_boundary_tile_the_recording() -> None:
    source = recording("open GOPs")
    bounds = [0, 1, 46, 47, 48, 49, 50, 96, FRAMES]
    pixels = []
    for start, end in pairwise(bounds):
        pixels += [shown.pixels for shown in decoded(cut(source, start, end)[1], "mov").shown]
    assert pixels == [shown.pixels for shown in source.shown]


def test_a_cut_can_be_cut_again() -> None:
    once = decoded(cut(recording("B-frames"), 20, 101)[1], "mov")
    assert len(once.pts) == 81
    for start, end in [(0, 81), (0, 30), (5, 81), (80, 81)]:
        assert_exact(once, start, end)


def test_packets_are_copied_unchanged() -> None:
    source = recording("B-frames")
    report, data = cut(source, 60, 120)
    copied = packets(data)
    originals = packets(source.data)
    start = originals.index(copied[0])
    assert copied == originals[start : start + len(copied)]
    assert report.packets == len(copied)
    assert report.bytes_copied == sum(map(len, copied))
    assert report.pre_roll_frames == 60 - 48


def packets(data: bytes, kind: str = "video") -> list[bytes]:
    with av.open(io.BytesIO(data), "r", format="mov") as movie:
        stream = getattr(movie.streams, kind)[0]
        return [bytes(packet) for packet in movie.demux(stream) if packet.size]


@pytest.mark.parametrize("kind", ["open GOPs", "open GOPs in MPEG-TS", "HEVC, open GOPs"])
def test_a_browser_never_starts_at_frames_whose_references_are_missing(kind: str) -> None:
    _, data = cut(recording(kind), 55, 120)
    with av.open(io.BytesIO(data), "r", format="mov") as movie:
        listed = movie.streams.video[0].index_entries
        marked = [number for number, entry in enumerate(listed) if entry.is_keyframe]
        shown_at = [packet.pts for packet in movie.demux(video=0) if packet.size]
    assert marked[0] == 0
    for number in marked:
        assert min(shown_at[number:]) == shown_at[number]


def test_sound_is_copied_unchanged() -> None:
    source = recording("with audio")
    _, data = cut(source, 60, 120)
    copied, originals = packets(data, "audio"), packets(source.data, "audio")
    start = originals.index(copied[0])
    assert copied == originals[start : start + len(copied)]


@pytest.mark.parametrize("kind", RECORDINGS)
def test_mp4_and_mov_are_cut_as_byte_ranges_if_they_have_one_index(kind: str) -> None:
    source = recording(kind)
    start, end = source.bound(50), source.bound(90)
    if source.container != "mov" or kind == "fragmented":
        with pytest.raises(NotSliceable):
            slice_span(io.BytesIO(source.data), start, end)
        return
    sliced = slice_span(io.BytesIO(source.data), start, end)
    assert b"".join(sliced.parts) == cut(source, 50, 90)[1]


def test_a_recording_that_lists_the_same_bytes_again_and_again_is_refused() -> None:
    data = bytearray(recording("with audio").data)
    sizes = struct.pack(f">{FRAMES}I", *[len(data) // 3] * FRAMES)
    start = data.index(b"stsz") + 16
    data[start : start + len(sizes)] = sizes
    with pytest.raises(UserError, match="packets are larger than its file"):
        cut_clip(io.BytesIO(data), "mov", 0, 10**9, io.BytesIO())


@pytest.mark.parametrize("kind", ["B-frames", "variable frame rate", "MKV"])
def test_the_movie_lasts_as_long_as_its_span(kind: str) -> None:
    source = recording(kind)
    _, data = cut(source, 7, 99)
    with av.open(io.BytesIO(data), "r", format="mov") as movie:
        span_us = (source.pts[99] - source.pts[7]) * source.time_base * 1_000_000
        assert movie.duration == pytest.approx(float(span_us), abs=1)


def test_a_player_finds_the_index_before_the_media() -> None:
    _, data = cut(recording("with audio"), 10, 90)
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_target_needs_only_to_be_written_to() -> None:
    source, pipe = recording("B-frames"), Pipe()
    cut_clip(io.BytesIO(source.data), "mov", source.pts[3], source.pts[9], pipe)
    assert bytes(pipe.received) == cut(source, 3, 9)[1]


def test_hevc_is_tagged_for_apples_players() -> None:
    _, data = cut(recording("HEVC, open GOPs"), 50, 60)
    assert b"hvc1" in data
    assert b"hev1" not in data


@pytest.mark.parametrize("kind", ["with audio", "MKV", "MPEG-TS"])
def test_audio_is_trimmed_to_the_span_and_in_sync(kind: str) -> None:
    source = recording(kind)
    report, data = cut(source, 30, 110)
    assert report.audio == "copied"
    whole, whole_starts_s = heard(source.data, source.container)
    clip, clip_starts_s = heard(data, "mov")
    skipped = round((source.shown[30].time_s + clip_starts_s - whole_starts_s) * AUDIO_RATE)
    settled = slice(2048, 70 * AUDIO_RATE // FRAME_RATE)
    # Matroska states the audio's times to a millisecond only.
    best = min(
        (np.abs(clip[settled] - whole[skipped + late :][settled]).max(), abs(late))
        for late in range(-48, 49)
    )
    assert best[0] < 0.001
    assert best[1] <= {"with audio": 0, "MKV": 48, "MPEG-TS": 1}[kind]


def heard(data: bytes, container: str) -> tuple[np.ndarray, Fraction]:
    """All samples, and when the first is heard, in seconds."""
    with av.open(io.BytesIO(data), "r", format=container) as movie:
        frames = list(movie.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return samples, frames[0].pts * frames[0].time_base


def test_a_recording_without_audio_is_reported_so() -> None:
    assert cut(recording("B-frames"), 0, 10)[0].audio == "none"


def test_audio_that_mp4_cannot_hold_is_left_out_and_reported() -> None:
    source = decoded(record(pictures(), "mkv", audio="pcm_u8"), "matroska")
    report, data = cut(source, 10, 60)
    assert report.audio == "left out: MP4 can't hold pcm_u8"
    assert len(decoded(data, "mov").shown) == 50


def test_a_codec_that_mp4_cannot_hold_is_named() -> None:
    source = decoded(record(pictures(), "avi", "msmpeg4"), "avi")
    with pytest.raises(UserError, match=r"MP4 can't hold msmpeg4v3; re-encode"):
        cut(source, 10, 20)


def test_a_container_that_hides_the_frames_order_is_refused() -> None:
    with pytest.raises(UserError, match="AVI doesn't state the order of h264 frames; re-encode"):
        cut(decoded(record(pictures(), "avi", options=B_FRAMES), "avi"), 10, 20)


@pytest.mark.parametrize("bounds", [(10, 10), (20, 10)])
def test_an_empty_span_is_refused_and_nothing_is_written(bounds: tuple[int, int]) -> None:
    source, target = recording("B-frames"), io.BytesIO()
    start, end = (source.pts[frame] for frame in bounds)
    with pytest.raises(UserError, match="no frame is shown"):
        cut_clip(io.BytesIO(source.data), "mov", start, end, target)
    assert target.getvalue() == b""


@pytest.mark.parametrize("start_pts", [-(10**12), 10**12])
def test_a_span_outside_the_recording_is_refused(start_pts: int) -> None:
    with pytest.raises(UserError):
        cut_clip(
            io.BytesIO(recording("B-frames").data), "mov", start_pts, start_pts + 9, io.BytesIO()
        )


@pytest.mark.parametrize("data", [b"", b"no video\n" * 999], ids=["empty", "text"])
def test_what_is_no_video_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="can't be cut"):
        cut_clip(io.BytesIO(data), "mov", 0, 9, io.BytesIO())


def test_only_the_span_is_read() -> None:
    class Counting(io.BytesIO):
        bytes_read = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.bytes_read += len(data)
            return data

    recorded = recording("with audio")
    source = Counting(recorded.data)
    report = cut_clip(source, "mov", recorded.pts[100], recorded.pts[110], io.BytesIO())
    assert source.bytes_read < report.bytes_copied + 4 * 32_768
    assert source.bytes_read < len(recorded.data) / 2


@pytest.mark.parametrize(
    "path",
    [path for kind in ("robot", "general") for path in sorted(FOOTAGE.glob(f"{kind}/*.mp4"))],
    ids=lambda path: path.stem,
)
def test_real_footage_is_cut_exactly(path: Path) -> None:
    data = path.read_bytes()
    source = decoded(data, "mov", frames=120)
    start = random.Random(path.stem).randrange(len(source.pts) - 20)
    assert_exact(source, start, start + random.Random(path.stem).randrange(1, 20))
