"""Decoding: every frame once and in order, whatever the format, and damage costs little else."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.video.decode import every_frame, on_one_thread
from lakehouse.video.packets import Damage
from lakehouse.video.probe import open_container, sniff_container, video_stream
from tests import odd_videos
from tests.videos import (
    B_FRAMES,
    FORMATS,
    moving,
    number_of,
    numbered,
    record,
    with_damaged_packets,
)

FRAMES = 60
GOP = 12
KINDS: dict[str, dict[str, Any]] = FORMATS | {
    "variable rate": {"times_ms": [7 * number * number for number in range(FRAMES)]},
    "AVI": {"suffix": "avi", "codec": "mpeg4"},
}
INTACT = record(numbered(moving(FRAMES)), key_frame_every=GOP)


def decoded(data: bytes) -> tuple[list[tuple[int | None, int]], Damage]:
    """The pts and the shown number of each frame, in the order of decoding, and the damage."""
    damage = Damage()
    frames = []
    with open_container(BytesIO(data), sniff_container(data)) as opened:
        for seen in every_frame(opened, video_stream(opened), damage):
            assert seen.frame is not None
            frames.append((seen.pts, number_of(seen.frame)))
    return frames, damage


def numbers(data: bytes) -> list[int]:
    return [number for _, number in decoded(data)[0]]


def increase(frames: list[tuple[int | None, int]]) -> bool:
    times = [pts for pts, _ in frames if pts is not None]
    return len(times) == len(frames) and all(before < after for before, after in pairwise(times))


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_given_once_in_order_and_pts_strictly_increase(kind: str) -> None:
    frames, damage = decoded(record(numbered(moving(FRAMES)), **KINDS[kind]))
    assert [number for _, number in frames] == list(range(FRAMES))
    assert increase(frames)
    assert damage == Damage(packets=0, first_error=None)


def test_the_frames_of_an_avi_come_in_order_though_its_clock_can_not_order_b_frames() -> None:
    data = record(numbered(moving(FRAMES)), "avi", options=B_FRAMES)
    assert numbers(data) == list(range(FRAMES))


@pytest.mark.parametrize(("codec", "suffix"), odd_videos.CODECS_IN_CONTAINERS)
def test_every_codec_decodes_from_every_container(tmp_path: Path, codec: str, suffix: str) -> None:
    data = odd_videos.plain(tmp_path, codec, suffix).read_bytes()
    frames, damage = decoded(data)
    assert [number for _, number in frames] == list(range(odd_videos.FRAMES))
    assert increase(frames)
    assert damage.packets == 0


def test_what_an_edit_list_hides_is_not_given(tmp_path: Path) -> None:
    data = odd_videos.cut_by_edit_list(tmp_path).read_bytes()
    assert numbers(data) == list(range(odd_videos.HIDDEN_FRAMES, odd_videos.FRAMES))


def test_a_decoder_runs_on_one_thread() -> None:
    with open_container(BytesIO(INTACT), "mov") as opened:
        stream = video_stream(opened)
        on_one_thread(stream)
        on_one_thread(stream)  # no harm once it is open
        assert next(iter(opened.decode(stream))).width == 128
        on_one_thread(stream)
        assert stream.codec_context.thread_count == 1
        assert stream.thread_type.name == "NONE"


def test_a_damaged_packet_costs_only_its_own_frame() -> None:
    whole, _ = decoded(INTACT)
    frames, damage = decoded(with_damaged_packets(INTACT, [30]))
    assert {pts for pts, _ in whole} - {pts for pts, _ in frames} == {whole[30][0]}
    assert damage == Damage(1, "Invalid data found when processing input")
    # What the lost frame is the reference of looks wrong until the next key frame, no longer.
    beside = [*range(30), *range(36, FRAMES)]
    assert [number for _, number in frames if not 30 <= number < 36] == beside


def test_a_damaged_key_frame_costs_its_group_only() -> None:
    frames, damage = decoded(with_damaged_packets(INTACT, [2 * GOP]))
    assert {*range(2 * GOP), *range(3 * GOP, FRAMES)} <= {number for _, number in frames}
    assert damage.packets == 1


def test_every_damaged_packet_is_counted() -> None:
    frames, damage = decoded(with_damaged_packets(INTACT, [5, 17, 40, 59]))
    assert damage.packets == 4
    assert len(frames) == FRAMES - 4


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_one_damaged_b_frame_costs_one_frame(codec: str) -> None:
    options = B_FRAMES if codec == "libx264" else {}
    data = record(numbered(moving(FRAMES)), codec=codec, options=options)
    frames, damage = decoded(with_damaged_packets(data, [31]))
    assert len(frames) == FRAMES - 1
    assert increase(frames)
    assert damage.packets == 1


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=20))
def test_pts_strictly_increase_whatever_is_damaged(packets: set[int]) -> None:
    frames, damage = decoded(with_damaged_packets(INTACT, packets))
    assert increase(frames)
    assert len(frames) < FRAMES
    assert damage.packets <= len(packets)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "libx264"), ("ts", "libx264"), ("avi", "mpeg4")]
)
def test_a_file_that_was_cut_off_gives_what_is_left(suffix: str, codec: str) -> None:
    data = record(numbered(moving(FRAMES)), suffix, codec)
    shown = numbers(data[: len(data) * 5 // 6])
    assert FRAMES / 2 < len(shown) < FRAMES
    whole = len(shown) - 1  # of the last frame only a part is left
    assert shown[:whole] == list(range(whole))


def test_nothing_decodable_gives_no_frame_and_the_reason() -> None:
    frames, damage = decoded(with_damaged_packets(INTACT, range(FRAMES)))
    assert frames == []
    assert damage == Damage(FRAMES, "Invalid data found when processing input")
