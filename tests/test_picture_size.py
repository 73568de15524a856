"""Pictures larger than `limits.picture_pixels`, and frames without end: refused at no cost."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from lakehouse.settings import Profile
from lakehouse.video.one_pass import OnePass, facts_of, run_one_pass
from lakehouse.video.probe import ProbeError, probe
from tests.bombs import HALF, growing, repeated
from tests.passes import SETTINGS
from tests.videos import moving, record

LARGE = 1280, 1024
HUGE = 4096, 4096
LIMIT = 1000 * 1000
TELLING = [("libx264", "mp4"), ("libx265", "ts"), ("libx265", "mkv")]
SILENT = [("libvpx-vp9", "mkv"), ("mpeg4", "avi"), ("mpeg4", "mkv"), ("mjpeg", "avi")]
UP_FRONT = [("libx264", "ts"), ("libx264", "mkv")]
"""Containers in which FFmpeg sees the larger size already when it opens the file."""


def passed(data: bytes, most_pixels: int, profile: Profile = "exact", workers: int = 1) -> OnePass:
    facts = facts_of(probe(BytesIO(data), most_pixels))
    return run_one_pass(lambda: BytesIO(data), facts, SETTINGS, profile, workers, most_pixels)


def frames_of(result: OnePass) -> int:
    return result.spans[-1].span.end_frame if result.spans else 0


@pytest.mark.parametrize("profile", ["exact", "thrifty"])
@pytest.mark.parametrize(("codec", "suffix"), TELLING + SILENT)
def test_a_picture_that_grows_in_mid_stream_is_damage(
    codec: str, suffix: str, profile: Profile
) -> None:
    result = passed(growing(codec, suffix, LARGE), LIMIT, profile)
    assert frames_of(result) == HALF
    assert result.damage.packets == HALF
    assert result.damage.first_error
    assert f"limits.picture_pixels allows, which is {LIMIT}" in result.damage.first_error
    if (codec, suffix) in TELLING:
        assert "a picture of 1280 x 1024 is more than" in result.damage.first_error


@pytest.mark.parametrize(("codec", "suffix"), UP_FRONT)
def test_a_picture_too_large_at_the_first_look_is_refused(codec: str, suffix: str) -> None:
    with pytest.raises(ProbeError, match=r"1280 x 1024 is more than limits\.picture_pixels"):
        probe(BytesIO(growing(codec, suffix, LARGE)), LIMIT)


@pytest.mark.parametrize(("codec", "suffix"), [*TELLING, *SILENT, *UP_FRONT])
def test_within_the_limit_all_frames_are_there(codec: str, suffix: str) -> None:
    result = passed(growing(codec, suffix, (512, 384)), LIMIT)
    assert frames_of(result) == 2 * HALF
    assert result.damage.packets == 0


def test_a_preview_has_the_limit_too() -> None:
    with_every_key_frame = record(moving(30, 1, 640, 480), key_frame_every=1, frame_rate=1)
    assert frames_of(passed(with_every_key_frame, LIMIT, "preview")) > 0
    facts = facts_of(probe(BytesIO(with_every_key_frame)))
    result = run_one_pass(
        lambda: BytesIO(with_every_key_frame), facts, SETTINGS, "preview", most_pixels=1000
    )
    assert result.spans == ()
    assert "limits.picture_pixels allows, which is 1000" in (result.damage.first_error or "")


def test_rows_count_as_they_are_laid_out() -> None:
    odd = BytesIO(record(moving(3, 1, 321, 241), pixel_format="yuv444p"))
    with pytest.raises(ProbeError, match="a picture of 321 x 241 is more than"):
        probe(odd, 384 * 241 - 1)
    assert probe(odd, 384 * 241).width == 321


# What is refused takes no memory

DECODE_AND_TELL_MEMORY = """
import sys
from pathlib import Path
from lakehouse.settings import ClipSettings
from lakehouse.video.one_pass import facts_of, run_one_pass
from lakehouse.video.probe import ProbeError, probe

def peak_kb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

def read(path):
    with path.open("rb") as source:
        facts = facts_of(probe(source, 1000 * 1000))
    run_one_pass(lambda: path.open("rb"), facts, ClipSettings(), most_pixels=1000 * 1000)

small, *large = map(Path, sys.argv[1:])
read(small)
before = peak_kb()
for path in large:
    try:
        read(path)
    except ProbeError:
        pass
print(peak_kb() - before)
"""


def test_refused_pictures_take_no_memory(tmp_path: Path) -> None:
    files = [("libx264", "mp4", (512, 384))]
    files += [("libx264", suffix, HUGE) for suffix in ("mp4", "ts", "mkv")]
    paths = []
    for number, (codec, suffix, size) in enumerate(files):
        paths.append(tmp_path / f"{number}.{suffix}")
        paths[-1].write_bytes(growing(codec, suffix, size))
    answer = subprocess.run(
        [sys.executable, "-c", DECODE_AND_TELL_MEMORY, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    one_picture_kb = HUGE[0] * HUGE[1] * 3 // 2 // 1024
    assert int(answer.stdout) < one_picture_kb


# Frames without end


@pytest.mark.parametrize("workers", [1, 4])
def test_an_index_that_repeats_its_bytes_gives_few_frames(workers: int) -> None:
    data = repeated(20_000)
    assert probe(BytesIO(data)).frame_count == 20_000
    result = passed(data, LIMIT, workers=workers)
    assert frames_of(result) < 1000
    assert result.damage.first_error == "it holds the same bytes again and again"
