import random
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.video.probe import (
    Probe,
    ProbeError,
    open_container,
    probe,
    sniff_container,
    video_stream,
)
from tests.videos import B_FRAMES, moving, record, record_sound

FRAMES = 60
JITTER = random.Random(2)
TIMES_MS = list(accumulate((JITTER.choice((17, 33, 40, 250)) for _ in range(59)), initial=0))
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
CONTAINERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MP4": ("mov", "h264", {}),
    "MP4, B-frames": ("mov", "h264", {"options": B_FRAMES}),
    "MP4, HEVC": ("mov", "hevc", {"codec": "libx265", "options": {"x265-params": "keyint=12"}}),
    "MP4, fragmented": ("mov", "h264", {"options": B_FRAMES, "muxer_options": FRAGMENTED}),
    "MP4, fragmented, live": ("mov", "h264", {"muxer_options": FRAGMENTED, "live": True}),
    "MOV": ("mov", "h264", {"suffix": "mov"}),
    "MKV": ("matroska", "h264", {"suffix": "mkv", "options": B_FRAMES}),
    "MKV without a duration": ("matroska", "h264", {"suffix": "mkv", "live": True}),
    "WebM": (
        "matroska",
        "vp8",
        {"suffix": "webm", "codec": "libvpx", "options": {"deadline": "realtime"}},
    ),
    "AVI": ("avi", "mpeg4", {"suffix": "avi", "codec": "mpeg4"}),
    "MPEG-TS": ("mpegts", "h264", {"suffix": "ts", "options": B_FRAMES}),
}


class Counting(BytesIO):
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def probed(**arguments: Any) -> Probe:
    return probe(BytesIO(record(moving(FRAMES), **arguments)))


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_is_recognised_by_its_bytes_and_measured(kind: str) -> None:
    container, codec, arguments = CONTAINERS[kind]
    found = probed(**arguments)
    assert (found.container, found.codec) == (container, codec)
    assert (found.width, found.height, found.pixel_format) == (128, 96, "yuv420p")
    assert found.frame_count == FRAMES
    assert found.duration_s == pytest.approx(FRAMES / 25, abs=0.001)
    assert found.frame_rate == pytest.approx(25, abs=0.01)
    assert found.key_frame_interval == 12
    assert not found.variable_frame_rate
    assert not found.has_audio
    assert (found.rotation_deg, found.start_time) == (0, None)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_variable_frame_rate_is_noticed(suffix: str) -> None:
    found = probed(suffix=suffix, times_ms=TIMES_MS)
    assert found.variable_frame_rate
    assert found.frame_count == FRAMES
    last_s = found.duration_s - TIMES_MS[-1] / 1000
    assert 0 < last_s <= 0.25
    assert found.frame_rate == pytest.approx(FRAMES / found.duration_s)


def test_times_rounded_to_a_millisecond_are_no_variable_frame_rate() -> None:
    found = probed(suffix="mkv", frame_rate=30)
    assert not found.variable_frame_rate
    assert found.frame_rate == pytest.approx(30, rel=0.001)


@pytest.mark.parametrize(("every", "expected"), [(1, 1), (12, 12), (25, 25), (FRAMES, None)])
def test_the_key_frame_interval_is_in_frames_and_none_for_a_single_one(
    every: int, expected: int | None
) -> None:
    assert probed(key_frame_every=every).key_frame_interval == expected


@pytest.mark.parametrize(
    ("matrix_deg", "upright_deg"), [(0, 0), (90, 270), (180, 180), (270, 90), (-90, 90)]
)
def test_the_rotation_is_clockwise_and_the_size_as_coded(matrix_deg: int, upright_deg: int) -> None:
    found = probed(rotation_deg=matrix_deg)
    assert found.rotation_deg == upright_deg
    assert (found.width, found.height) == (128, 96)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_delayed_start_is_where_the_first_frame_is_shown(suffix: str) -> None:
    found = probed(suffix=suffix, times_ms=[2000 + 40 * number for number in range(FRAMES)])
    assert found.start_pts * found.time_base == 2
    assert found.duration_s == pytest.approx(FRAMES / 25, abs=0.001)


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le"])
def test_the_pixel_format_is_stated(pixel_format: str) -> None:
    assert probed(pixel_format=pixel_format).pixel_format == pixel_format


def test_an_odd_size_is_stated_as_it_is() -> None:
    data = record(moving(3, width=161, height=121), pixel_format="yuv444p")
    found = probe(BytesIO(data))
    assert (found.width, found.height) == (161, 121)


def test_audio_is_noticed() -> None:
    assert probed(audio="aac").has_audio


@pytest.mark.parametrize(
    ("stated", "start_time"),
    [
        ("2026-03-04T10:20:30+02:00", datetime(2026, 3, 4, 8, 20, 30)),
        ("2026-03-04T10:20:30Z", datetime(2026, 3, 4, 10, 20, 30)),
        ("1970-01-01T00:00:00Z", None),
    ],
)
def test_the_claimed_start_is_in_utc_and_an_unset_clock_claims_none(
    stated: str, start_time: datetime | None
) -> None:
    assert probed(started=stated).start_time == start_time


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_few_frames_are_a_recording(suffix: str, count: int) -> None:
    codec = "mpeg4" if suffix == "avi" else "libx264"
    found = probe(BytesIO(record(moving(count), suffix, codec)))
    assert (found.frame_count, found.key_frame_interval) == (count, None)
    assert found.duration_s == pytest.approx(count / 25, abs=0.001)


def test_an_avi_that_was_never_closed_is_read_through() -> None:
    data = record(moving(FRAMES), "avi", "mpeg4")
    found = probe(BytesIO(data[: len(data) * 5 // 6]))
    assert FRAMES / 2 < found.frame_count < FRAMES
    assert found.frame_rate == pytest.approx(25)


def test_only_the_index_and_the_first_frame_of_an_mp4_are_read() -> None:
    data = record(moving(FRAMES, width=640, height=352), options={"crf": "1"})
    source = Counting(data)
    assert probe(source).frame_count == FRAMES
    assert source.bytes_read < len(data) / 10


def test_the_source_is_read_from_its_first_byte_wherever_it_stands() -> None:
    source = BytesIO(record(moving(3), "avi", "mpeg4"))
    source.seek(5000)
    assert probe(source).frame_count == 3
    source.seek(5000)
    with open_container(source, "avi") as container:
        assert video_stream(container).codec_context.width == 128


PLAYLIST = b"ffconcat version 1.0\nfile /etc/passwd\n"
HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n"
WHOLE = record(moving(FRAMES))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (PLAYLIST, "not a video: neither MP4/MOV, Matroska/WebM, AVI nor MPEG-TS"),
        (HLS, "not a video"),
        (b'{"version": 1, "frames": []}', "not a video"),
        (b"GIF89a" + bytes(900), "not a video"),
        (b"RIFF\x24\x08\0\0WAVEfmt ", "not a video"),
        (random.Random(1).randbytes(9999), "not a video"),
        (record_sound(), "no video stream, only audio"),
        (WHOLE[: WHOLE.index(b"moov")], "cannot be opened as mov: Invalid data found"),
        (WHOLE[:-200], "cannot be opened as mov: Invalid data found"),
        (WHOLE[:40], "cannot be opened as mov"),
        (b"\x1aE\xdf\xa3" + random.Random(1).randbytes(999), "cannot be opened as matroska"),
        (b"RIFF\0\0\0\0AVI " + bytes(999), "cannot be opened as avi"),
        (b"G" + bytes(99), "cannot be opened as mpegts|no video stream"),
    ],
    ids=[
        "empty",
        "ffconcat",
        "HLS",
        "JSON",
        "GIF",
        "WAV",
        "random",
        "only audio",
        "without moov",
        "truncated moov",
        "header only",
        "broken MKV",
        "broken AVI",
        "broken TS",
    ],
)
def test_what_is_no_footage_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ProbeError, match=reason):
        probe(BytesIO(data))


@pytest.mark.parametrize("format_name", ["mov", "matroska", "avi", "mpegts"])
@pytest.mark.parametrize("data", [PLAYLIST, HLS], ids=["ffconcat", "HLS"])
def test_a_pinned_format_never_opens_a_playlist(format_name: str, data: bytes) -> None:
    with pytest.raises(ProbeError), open_container(BytesIO(data * 99), format_name) as container:
        video_stream(container)


@given(st.binary(max_size=400))
def test_any_first_bytes_are_named_or_refused(head: bytes) -> None:
    with suppress(ProbeError):
        assert sniff_container(head) in {"mov", "matroska", "avi", "mpegts"}


@given(st.integers(WHOLE.index(b"moov"), len(WHOLE) - 1), st.binary(min_size=1, max_size=20))
def test_a_damaged_index_is_refused_or_gives_usable_facts(position: int, junk: bytes) -> None:
    data = bytearray(WHOLE)
    data[position : position + len(junk)] = junk
    with suppress(ProbeError):
        found = probe(BytesIO(bytes(data)))
        assert found.frame_count > 0
        assert found.duration_s > 0
        assert found.frame_rate > 0
        assert found.time_base > 0
