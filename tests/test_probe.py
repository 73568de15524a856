import random
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from lakehouse.video.probe import Probe, open_container, probe, video_stream
from tests import odd_videos
from tests.videos import B_FRAMES, moving, record

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
    assert FRAMES / 2 < (found.frame_count or 0) < FRAMES
    assert found.frame_rate == pytest.approx(25)


# What recorders write


def facts_of(path: Path) -> Probe:
    with path.open("rb") as source:
        return probe(source)


@pytest.mark.parametrize(("codec", "suffix"), odd_videos.CODECS_IN_CONTAINERS)
def test_every_codec_is_measured_in_every_container(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    found = facts_of(odd_videos.plain(tmp_path, codec, suffix))
    assert (found.codec, found.width, found.height) == (codec, 128, 96)
    assert found.frame_count == FRAMES
    assert found.frame_rate == pytest.approx(25, abs=0.01)
    assert found.duration_s == pytest.approx(FRAMES / 25, abs=0.001)
    assert found.key_frame_interval == 12
    assert not found.variable_frame_rate


@pytest.mark.parametrize(("codec", "suffix"), odd_videos.CODECS_IN_CONTAINERS)
def test_a_recording_starts_where_its_first_decoded_frame_is_shown(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    path = odd_videos.plain(tmp_path, codec, suffix)
    found = facts_of(path)
    with path.open("rb") as source, open_container(source, found.container) as container:
        first = next(container.decode(video_stream(container)))
    assert (first.pts, first.time_base) == (found.start_pts, found.time_base)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_open_groups_of_pictures_are_measured_like_closed_ones(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    found = facts_of(odd_videos.open_gop(tmp_path, codec, suffix))
    assert (found.frame_count, found.key_frame_interval) == (FRAMES, 12)
    assert found.duration_s == pytest.approx(FRAMES / 25, abs=0.001)


def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path: Path) -> None:
    found = facts_of(odd_videos.cut_by_edit_list(tmp_path))
    shown = FRAMES - odd_videos.HIDDEN_FRAMES
    assert (found.start_pts, found.frame_count) == (0, shown)
    assert found.duration_s == pytest.approx(shown / 25, abs=0.001)


def test_signed_composition_offsets_start_at_the_first_frame(tmp_path: Path) -> None:
    found = facts_of(odd_videos.negative_offsets(tmp_path))
    assert (found.start_pts, found.frame_count) == (0, FRAMES)
    assert found.duration_s == pytest.approx(FRAMES / 25)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_every_container_tells_the_rotation(
    suffix: str, clockwise_deg: int, tmp_path: Path
) -> None:
    assert facts_of(odd_videos.rotated(tmp_path, clockwise_deg, suffix)).rotation_deg == (
        clockwise_deg
    )


@pytest.mark.parametrize(
    ("make", "pixel_format", "size"),
    [
        (odd_videos.ten_bit, "yuv420p10le", (128, 96)),
        (odd_videos.full_range, "yuvj420p", (128, 96)),
        (odd_videos.odd_size, "yuv444p", (321, 241)),
    ],
)
def test_pictures_are_described_as_they_are_coded(
    make: Callable[[Path], Path], pixel_format: str, size: tuple[int, int], tmp_path: Path
) -> None:
    found = facts_of(make(tmp_path))
    assert (found.pixel_format, (found.width, found.height)) == (pixel_format, size)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_size_that_changes_on_the_way_is_that_of_the_start(suffix: str, tmp_path: Path) -> None:
    found = facts_of(odd_videos.size_changes(tmp_path, suffix))
    assert (found.width, found.height, found.frame_count) == (128, 96, FRAMES)
    assert found.duration_s == pytest.approx(FRAMES / 25, abs=0.001)


def test_the_movie_header_needs_no_time_scale(tmp_path: Path) -> None:
    found = facts_of(odd_videos.without_movie_time_scale(tmp_path))
    assert found.frame_count == FRAMES
    assert found.duration_s == pytest.approx(FRAMES / 25)


# What is read


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("mkv", {}), ("ts", {}), ("mp4", {"movflags": "frag_keyframe+empty_moov"})],
    ids=["MKV", "MPEG-TS", "fragmented MP4"],
)
def test_what_is_read_of_a_long_recording_does_not_grow_with_it(
    suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    bytes_read = []
    for seconds in (40, 80):
        data = odd_videos.lasting(tmp_path, suffix, seconds, options).read_bytes()
        source = Counting(data)
        found = probe(source)
        bytes_read.append(source.bytes_read)
        assert found.duration_s == pytest.approx(seconds, abs=0.001)
        assert found.frame_rate == pytest.approx(25, rel=0.001)
        assert not found.variable_frame_rate
        assert found.key_frame_interval == 12
        assert found.frame_count is None
    assert bytes_read[1] < bytes_read[0] + 2**19
    assert bytes_read[1] < len(data) / 3


def test_a_long_recording_without_cues_is_read_through(tmp_path: Path) -> None:
    found = facts_of(odd_videos.lasting(tmp_path, "mkv", 30, {"live": "1"}))
    assert found.frame_count == 30 * 25
    assert found.duration_s == pytest.approx(30, abs=0.001)


def test_a_long_recording_that_lost_its_end_is_read_through(tmp_path: Path) -> None:
    data = odd_videos.lasting(tmp_path, "mkv", 30).read_bytes()
    found = probe(BytesIO(data[: len(data) // 2]))
    assert found.frame_count
    assert found.duration_s == pytest.approx(found.frame_count / 25, abs=0.05)
    assert found.duration_s == pytest.approx(15, abs=1)


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
