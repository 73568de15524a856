from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.video.decode import Damage, Decoder
from lakehouse.video.probe import open_container, video_stream
from tests.videos import B_FRAMES, moving, number_of, numbered, record, with_damaged_packets

FRAMES = 60
GOP = 12
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "H.264": ("mov", {}),
    "H.264, B-frames": ("mov", {"options": B_FRAMES}),
    "HEVC": ("mov", {"codec": "libx265"}),
    "4:4:4": ("mov", {"pixel_format": "yuv444p"}),
    "10 bit": ("mov", {"pixel_format": "yuv420p10le"}),
    "variable rate": ("mov", {"times_ms": [7 * number * number for number in range(FRAMES)]}),
    "MKV": ("matroska", {"suffix": "mkv", "options": B_FRAMES}),
    "MPEG-TS": ("mpegts", {"suffix": "ts", "options": B_FRAMES}),
    "AVI": ("avi", {"suffix": "avi", "codec": "mpeg4"}),
    "AVI, whose clock can't order B-frames": ("avi", {"suffix": "avi", "options": B_FRAMES}),
}
INTACT = record(numbered(moving(FRAMES)), key_frame_every=GOP)


def decoded(
    data: bytes, container: str = "mov", threads: int = 1
) -> tuple[dict[int, int], list[int], Damage]:
    """The number that each pts shows, all pts in the order of decoding, and the damage."""
    with open_container(BytesIO(data), container) as opened:
        decoder = Decoder(opened, video_stream(opened), threads)
        frames = [(pts, number_of(frame)) for pts, frame in decoder.frames()]
    return dict(frames), [pts for pts, _ in frames], decoder.damage


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_given_once_in_order_and_pts_strictly_increase(
    kind: str, threads: int
) -> None:
    container, arguments = KINDS[kind]
    data = record(numbered(moving(FRAMES)), **arguments)
    shown, order, damage = decoded(data, container, threads)
    assert list(shown.values()) == list(range(FRAMES))
    assert all(before < after for before, after in pairwise(order))
    assert damage == Damage(packets=0, first_error=None)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_damaged_packet_costs_only_its_own_frame(threads: int) -> None:
    whole, _, _ = decoded(INTACT)
    shown, _, damage = decoded(with_damaged_packets(INTACT, [30]), threads=threads)
    assert set(whole) - set(shown) == {list(whole)[30]}
    assert damage.packets == 1
    assert damage.first_error == "Invalid data found when processing input"
    # What the lost frame is the reference of looks wrong until the next key frame, no longer.
    beside = [*range(30), *range(36, FRAMES)]
    assert [number for number in shown.values() if not 30 <= number < 36] == beside


def test_a_damaged_key_frame_costs_its_group_only() -> None:
    shown, _, damage = decoded(with_damaged_packets(INTACT, [2 * GOP]))
    intact = [*range(2 * GOP), *range(3 * GOP, FRAMES)]
    assert set(intact) <= set(shown.values())
    assert damage.packets == 1


def test_every_damaged_packet_is_counted() -> None:
    shown, _, damage = decoded(with_damaged_packets(INTACT, [5, 17, 40, 59]))
    assert damage.packets == 4
    assert len(shown) == FRAMES - 4


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_one_damaged_b_frame_costs_one_frame(codec: str) -> None:
    options = B_FRAMES if codec == "libx264" else {}
    data = record(numbered(moving(FRAMES)), codec=codec, options=options)
    shown, order, damage = decoded(with_damaged_packets(data, [31]))
    assert len(shown) == FRAMES - 1
    assert all(before < after for before, after in pairwise(order))
    assert damage.packets == 1


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=20), st.integers(1, 3))
def test_pts_strictly_increase_whatever_is_damaged(packets: set[int], threads: int) -> None:
    _, order, damage = decoded(with_damaged_packets(INTACT, packets), threads=threads)
    assert all(before < after for before, after in pairwise(order))
    assert len(order) < FRAMES
    assert damage.packets <= len(packets)


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [("mkv", "libx264", "matroska"), ("ts", "libx264", "mpegts"), ("avi", "mpeg4", "avi")],
)
def test_a_file_that_was_cut_off_gives_what_is_left(
    suffix: str, codec: str, container: str
) -> None:
    data = record(numbered(moving(FRAMES)), suffix, codec)
    shown, _, _ = decoded(data[: len(data) * 5 // 6], container)
    assert FRAMES / 2 < len(shown) < FRAMES
    whole = len(shown) - 1  # of the last frame only a part is left
    assert list(shown.values())[:whole] == list(range(whole))


@pytest.mark.parametrize("threads", [2, 4])
def test_several_threads_lose_the_frames_in_flight_at_a_damaged_end_and_no_more(
    threads: int,
) -> None:
    data = record(numbered(moving(FRAMES)), options=B_FRAMES)
    whole, _, _ = decoded(data)
    shown, _, _ = decoded(with_damaged_packets(data, [FRAMES - 1]), threads=threads)
    certain = FRAMES - threads - 1
    assert list(shown.items())[:certain] == list(whole.items())[:certain]


def test_nothing_decodable_gives_no_frame_and_the_reason() -> None:
    shown, _, damage = decoded(with_damaged_packets(INTACT, range(FRAMES)))
    assert shown == {}
    assert damage == Damage(FRAMES, "Invalid data found when processing input")
