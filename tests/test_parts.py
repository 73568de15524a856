"""A recording decoded in parts, side by side: the very same result as in one go."""

from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.settings import ClipSettings
from lakehouse.video import one_pass
from lakehouse.video.decode import every_frame
from lakehouse.video.one_pass import OnePass, facts_of, run_one_pass
from lakehouse.video.packets import Damage
from lakehouse.video.parts import CannotSplit, Part, every_frame_of, parts_of
from lakehouse.video.probe import open_container, probe, video_stream
from tests import odd_videos
from tests.videos import (
    B_FRAMES,
    Picture,
    number_of,
    numbered,
    record,
    walked,
    with_damaged_packets,
    with_lost_stretch,
)

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
SETTINGS = ClipSettings(frames_per_clip=4, frame_longest_px=64, min_clip_s=2.0, max_clip_s=5.0)
GOP = 13
TIMES_MS = [100 * number + 40 * (number * number % 3) for number in range(1000)]
OPEN = {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0:bframes=3"}
_X265 = f"log-level=none:pools=1:keyint={GOP}:min-keyint={GOP}:bframes=3:b-adapt=0:open-gop="
KINDS: dict[str, dict[str, Any]] = {
    "H.264": {},
    "H.264, B-frames": {"options": B_FRAMES},
    "H.264, open GOP": {"options": OPEN},
    "HEVC": {"codec": "libx265", "options": {"x265-params": _X265 + "0"}},
    "HEVC, open GOP": {"codec": "libx265", "options": {"x265-params": _X265 + "1"}},
    "variable rate": {"times_ms": TIMES_MS, "options": B_FRAMES},
    "negative offsets": {
        "options": B_FRAMES,
        "muxer_options": {"movflags": "negative_cts_offsets"},
    },
    "delayed start": {"times_ms": [2000 + 100 * n for n in range(1000)], "options": B_FRAMES},
    "fragmented": {
        "options": B_FRAMES,
        "muxer_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "with sound": {"options": B_FRAMES, "audio": "aac"},
}


class Sources:
    """Opens the same bytes again and again."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened: list[BytesIO] = []

    def __call__(self) -> BytesIO:
        self.opened.append(BytesIO(self.data))
        return self.opened[-1]


@pytest.fixture
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "_SHORTEST_PART_S", 2.0)


def never_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, whoever gives up on parts fails."""
    monkeypatch.setattr(one_pass, "every_frame", None)


def never_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, whoever splits a stream fails."""
    monkeypatch.setattr(one_pass, "every_frame_of", None)


@lru_cache(maxsize=1)
def film() -> tuple[Picture, ...]:
    """Of 10 frames a second, with cuts, a stand-still and darkness."""
    stretches = [("walk", 3.0), ("still", 3.0), ("elsewhere", 2.5), ("walk", 3.0), ("dim", 1.5)]
    return tuple(walked(*stretches, ("dark", 3.0), width=80, height=48))


FRAMES = 160


def filmed(suffix: str = "mp4", **arguments: Any) -> bytes:
    return record(film(), suffix, **{"frame_rate": 10, "key_frame_every": GOP} | arguments)


def passed(data: bytes, workers: int, settings: ClipSettings = SETTINGS) -> OnePass:
    sources = Sources(data)
    facts = facts_of(probe(BytesIO(data)))
    result = run_one_pass(sources, facts, settings, workers=workers)
    assert all(source.closed for source in sources.opened)
    return result


def parts_in(data: bytes, shortest_s: float, longest_s: float = inf) -> list[Part]:
    with open_container(BytesIO(data), "mov") as opened:
        stream = video_stream(opened)
        assert stream.time_base
        ticks_per_s = float(1 / stream.time_base)
        return parts_of(opened, stream, shortest_s * ticks_per_s, longest_s * ticks_per_s)


def frames_in(data: bytes, parts: list[Part]) -> list[tuple[int | None, int, int]]:
    """The pts, duration and shown number of the parts' frames, decoded by one container each."""
    frames = []
    for part in parts:
        with open_container(BytesIO(data), "mov") as opened:
            damage = Damage()
            for seen in every_frame_of(opened, video_stream(opened), part, damage, bytearray()):
                assert seen.frame is not None
                frames.append((seen.pts, seen.duration, number_of(seen.frame)))
            assert damage.packets == 0
    return frames


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [(kind, "mp4") for kind in KINDS] + [("H.264, B-frames", "mov"), ("HEVC, open GOP", "mov")],
)
def test_four_workers_give_what_one_does(
    kind: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = filmed(suffix, **KINDS[kind])
    assert len(parts_in(data, 2.0)) >= 4
    whole = {
        detector: passed(data, 1, SETTINGS.model_copy(update={"detector": detector}))
        for detector in ("content", "adaptive")
    }
    never_in_one_go(monkeypatch)
    for detector, expected in whole.items():
        found = passed(data, 4, SETTINGS.model_copy(update={"detector": detector}))
        assert found == expected
        assert found.spans[-1].span.end_frame == FRAMES
        assert any(sampled.frames for sampled in found.spans)


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("detector", ["histogram", "hash", "threshold"])
def test_detectors_that_want_every_picture_are_given_them_in_one_go(
    detector: Literal["histogram", "hash", "threshold"], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = filmed(options=B_FRAMES)
    settings = SETTINGS.model_copy(update={"detector": detector})
    whole = passed(data, 1, settings)
    never_in_parts(monkeypatch)
    assert passed(data, 4, settings) == whole


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("workers", [2, 3, 64])
def test_any_number_of_workers_gives_the_same(workers: int) -> None:
    data = filmed(options=B_FRAMES)
    assert passed(data, workers) == passed(data, 1)


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("interval_s", [0.04, 0.3, 0.7])
def test_samples_do_not_depend_on_where_parts_start(interval_s: float) -> None:
    settings = SETTINGS.model_copy(update={"sample_interval_s": interval_s})
    data = filmed(options=OPEN)
    assert passed(data, 4, settings) == passed(data, 1, settings)


@pytest.mark.usefixtures("_short_parts")
def test_a_cut_exactly_where_a_part_starts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    film = walked(("walk", 2.6), ("elsewhere", 2.6), ("walk", 2.6), width=80, height=48)
    data = record(film, frame_rate=10, key_frame_every=GOP, options=B_FRAMES)
    never_in_one_go(monkeypatch)
    found = passed(data, 4)
    cuts = [s.span.start_frame for s in found.spans if s.span.boundary == "cut"]
    assert cuts == [26, 52]


@pytest.mark.usefixtures("_short_parts")
def test_another_size_in_mid_stream_is_seen_between_parts_too(tmp_path: Path) -> None:
    data = odd_videos.size_changes(tmp_path, "mp4").read_bytes()
    found = passed(data, 4)
    assert found == passed(data, 1)
    assert "size" in {sampled.span.boundary for sampled in found.spans}


@pytest.mark.parametrize("kind", KINDS)
def test_the_frames_of_all_parts_are_those_of_the_stream(kind: str) -> None:
    data = record(
        numbered(picture.copy() for picture in film()),
        **{"frame_rate": 10, "key_frame_every": GOP} | KINDS[kind],
    )
    damage = Damage()
    with open_container(BytesIO(data), "mov") as opened:
        whole = [
            (seen.pts, seen.duration, number_of(seen.frame))
            for seen in every_frame(opened, video_stream(opened), damage)
            if seen.frame
        ]
    assert len(whole) == FRAMES
    assert frames_in(data, parts_in(data, 1.0)) == whole


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 30.0))
def test_parts_are_as_long_as_asked_for_and_adjoin(shortest_s: float) -> None:
    parts = parts_in(SPLIT, shortest_s)
    assert (parts[0].start_dts, parts[-1].end_dts) == (None, None)
    assert all(before.end_dts == after.start_dts for before, after in pairwise(parts))
    edges_s = [(part.start_dts or 0) / 10240 for part in parts]
    assert all(after - before >= shortest_s - 0.5 for before, after in pairwise(edges_s))


SPLIT = filmed(options=B_FRAMES)


def test_key_frames_too_far_apart_make_one_part() -> None:
    groups_s = GOP / 10
    assert len(parts_in(SPLIT, groups_s, longest_s=2 * groups_s)) > 1
    assert parts_in(SPLIT, groups_s, longest_s=groups_s / 2) == [Part(None, None)]


def test_a_file_of_one_group_of_pictures_is_one_part() -> None:
    data = filmed(key_frame_every=10_000)
    assert parts_in(data, 2.0) == [Part(None, None)]
    assert passed(data, 4) == passed(data, 1)


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_containers_without_an_index_of_all_key_frames_are_not_split(suffix: str) -> None:
    data = filmed(suffix, codec="mpeg4" if suffix == "avi" else "libx264")
    assert passed(data, 4) == passed(data, 1)


@pytest.mark.usefixtures("_short_parts")
def test_a_stream_whose_edit_list_hides_frames_is_not_split(tmp_path: Path) -> None:
    data = odd_videos.cut_by_edit_list(tmp_path).read_bytes()
    assert parts_in(data, 0.1) == [Part(None, None)]
    assert passed(data, 4) == passed(data, 1)


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: with_damaged_packets(data, [50]),
        lambda data: with_damaged_packets(data, [4 * GOP]),  # a key frame
        lambda data: with_lost_stretch(data, 60, 20),
        lambda data: with_damaged_packets(data, range(100, FRAMES)),
        lambda data: with_damaged_packets(data, range(FRAMES)),
        lambda data: data[: len(data) * 2 // 3],
    ],
    ids=["packet", "key frame", "stretch", "tail", "all", "cut short"],
)
def test_damage_is_found_in_one_go(damaged: Any) -> None:
    data = filmed(options=B_FRAMES, muxer_options={"moov_size": "16384"})
    broken = damaged(data)
    found = passed(broken, 4)
    assert found == passed(broken, 1)
    assert found.damage.packets > 0


def test_a_part_that_does_not_start_at_its_key_frame_is_refused() -> None:
    (first, second, *_) = parts_in(SPLIT, 2.0)
    assert second.start_dts is not None
    beside = Part(second.start_dts + 512, second.end_dts)
    with pytest.raises(CannotSplit):
        frames_in(SPLIT, [beside])
    with pytest.raises(CannotSplit):
        frames_in(SPLIT, [Part(first.start_dts, second.start_dts + 512)])


@pytest.mark.usefixtures("_short_parts")
def test_a_key_frame_that_only_the_container_calls_one_is_no_start() -> None:
    data = filmed(options={"x264-params": "intra-refresh=1:scenecut=0:bframes=0"})
    assert len(parts_in(data, 2.0)) > 1
    assert passed(data, 4) == passed(data, 1)


@pytest.mark.usefixtures("_short_parts")
def test_an_error_of_one_reader_reaches_the_caller_and_every_reader_is_closed() -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if len(opened) > 2:
                raise OSError("the connection is gone")
            return super().read(size)

    opened: list[BytesIO] = []

    def open_source() -> BytesIO:
        opened.append(Failing(SPLIT))
        return opened[-1]

    with pytest.raises(OSError, match="the connection is gone"):
        run_one_pass(open_source, facts_of(probe(BytesIO(SPLIT))), SETTINGS, workers=4)
    assert len(opened) > 2
    assert all(source.closed for source in opened)


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="real footage is not part of the repository")
def test_the_parts_of_real_footage_cover_its_stream() -> None:
    for path in sorted(FOOTAGE.glob("robot/*.mp4")) + sorted(FOOTAGE.glob("general/*.mp4")):
        with open_container(path.open("rb"), "mov") as opened:
            stream = video_stream(opened)
            entries = stream.index_entries
            keys = {entry.timestamp for entry in entries if entry.is_keyframe}
            assert stream.time_base
            parts = parts_of(opened, stream, float(2 / stream.time_base), inf)
        edges = [part.start_dts for part in parts[1:]]
        assert edges == [part.end_dts for part in parts[:-1]]
        assert set(edges) <= keys
        assert (parts[0].start_dts, parts[-1].end_dts) == (None, None)


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="real footage is not part of the repository")
@pytest.mark.usefixtures("_short_parts")
def test_real_footage_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOOTAGE / "robot" / "cear_onboard_rgb_dark_to_light_DERIVED.mp4"
    data = path.read_bytes()
    assert len(parts_in(data, 2.0)) == 2
    whole = passed(data, 1)
    never_in_one_go(monkeypatch)
    assert passed(data, 4) == whole
