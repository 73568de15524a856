"""What the probe says of bytes that are no footage, or that claim what can't be true."""

import random
import struct
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.video.probe import ProbeError, open_container, probe, sniff_container, video_stream
from tests import odd_videos
from tests.videos import moving, record, record_sound

FRAMES = 60
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
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


# What can't be true


def patched(data: bytes, box: bytes, at: int, layout: str, *values: int) -> bytes:
    """An MP4 with these values `at` so many bytes into the content of its first such box."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.index(box) + 4 + at, *values)
    return bytes(changed)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_ticks_without_a_length_are_refused_and_not_made_up(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="so its frames have no times"):
        probe(BytesIO(odd_videos.without_time_scale(tmp_path, suffix).read_bytes()))


def test_a_file_cut_short_says_how_many_frames_are_missing(tmp_path: Path) -> None:
    found = probe(BytesIO(odd_videos.cut_short(tmp_path, 0.6).read_bytes()))
    assert found.frame_count == FRAMES
    assert found.frames_missing == pytest.approx(0.4 * FRAMES, abs=3)
    assert found.duration_s == pytest.approx(FRAMES / 25)
    assert probe(BytesIO(WHOLE)).frames_missing == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (patched(WHOLE, b"stsz", 4, ">II", 1, 2**26), "more samples than the file has bytes"),
        (patched(WHOLE, b"stsz", 8, ">I", 2**32 - 1), "cannot be opened as mov"),
        (patched(WHOLE, b"stts", 4, ">I", 2**28), "cannot be opened as mov"),
        (patched(WHOLE, b"stco", 8, ">I", 2**31), "ends before its first frame"),
        (patched(WHOLE, b"elst", 12, ">I", 2**31 - 1), "no frames"),
        (patched(record(moving(3), "avi", "mpeg4"), b"vids", 16, "<I", 2**31), "days apart"),
    ],
    ids=["uniform stsz", "stsz", "stts", "stco", "edit list", "AVI"],
)
def test_forged_counts_and_times_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ProbeError, match=reason):
        probe(BytesIO(data))


FORGED_FRAGMENT = patched(
    record(moving(3), muxer_options=FRAGMENTED), b"trun", 0, ">II", 0, 2**27 - 1
)
PROBE_IN_LITTLE_MEMORY = f"""
import resource, sys
from pathlib import Path
from lakehouse.video.probe import ProbeError, probe
resource.setrlimit(resource.RLIMIT_AS, ({2**30}, {2**30}))
for path in map(Path, sys.argv[1:]):
    with path.open("rb") as source:
        try:
            probe(source)
        except ProbeError:
            pass
status = Path("/proc/self/status").read_text()  # ru_maxrss would count who started this process
print(status.split("VmHWM:")[1].split()[0])
"""


def test_forged_counts_take_no_memory(tmp_path: Path) -> None:
    paths = []
    for number, data in enumerate(
        [
            patched(WHOLE, b"stsz", 4, ">II", 1, 2**26),
            patched(WHOLE, b"stsz", 4, ">II", 1, 2**27 - 1),
            patched(WHOLE, b"stts", 4, ">I", 2**28),
            patched(WHOLE, b"stco", 4, ">I", 2**28),
            FORGED_FRAGMENT,
        ]
    ):
        paths.append(tmp_path / f"{number}.mp4")
        paths[-1].write_bytes(data)
    answer = subprocess.run(
        [sys.executable, "-c", PROBE_IN_LITTLE_MEMORY, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(answer.stdout) < 400 * 1024


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
        assert found.frame_count
        assert found.duration_s > 0
        assert found.frame_rate > 0
        assert found.time_base > 0


# Real footage

BROKEN = Path(__file__).parents[2] / "shared" / "footage" / "broken"
SAID_OF_BROKEN: dict[str, dict[str, Any] | str] = {
    "decord_corrupted_tail.mp4": {"frame_count": 50, "duration_s": 5.0},
    "decord_rotate90.mov": {"frame_count": 3, "rotation_deg": 90},
    "made_audio_only.mp4": "only audio",
    "made_bitflips_mdat.mp4": {"frame_count": 470, "duration_s": 23.5, "key_frame_interval": 133},
    "made_no_moov_truncated.mp4": "cannot be opened as mov",
    "made_odd_dims_321x241.mp4": {"width": 321, "height": 241, "pixel_format": "yuv444p"},
    "mapillary_json_named_mp4.mp4": "not a video",
    "moviepy_fire2_rot180_vfr.mp4": {"rotation_deg": 180, "variable_frame_rate": True},
    "moviepy_no_duration.webm": {"codec": "vp9", "frame_count": 74},
    "moviepy_zero_bytes.webm": "the file is empty",
    "mp4parse_chunk_out_of_range.mp4": "cannot be opened as mov",
    "mp4parse_no_timescale.mp4": {"frame_count": 182, "duration_s": 6.0424},
    "mp4parse_opus_audioinit.mp4": "only audio",
    "mp4parse_zero_empty_stsc.mp4": {"frame_count": 1040, "frames_missing": 1039},
    "pyscenedetect_delayed_start.mp4": {"start_pts": 13760, "frame_count": 24},
    "torchcodec_av1.mkv": {"codec": "av1", "frame_count": 125, "duration_s": 5.0},
    "torchcodec_h264_10bit.mp4": {"pixel_format": "yuv420p10le", "frame_count": 30},
}


@pytest.mark.skipif(not BROKEN.is_dir(), reason="no footage beside the checkout")
@pytest.mark.parametrize("name", SAID_OF_BROKEN)
def test_broken_footage_gives_the_facts_that_its_collector_noted(name: str) -> None:
    said = SAID_OF_BROKEN[name]
    if isinstance(said, str):
        with pytest.raises(ProbeError, match=said):
            probe(BytesIO((BROKEN / name).read_bytes()))
        return
    found = probe(BytesIO((BROKEN / name).read_bytes()))
    assert {fact: getattr(found, fact) for fact in said} == pytest.approx(said, abs=0.001)
