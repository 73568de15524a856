"""A preview: key frames only, each standing for what follows up to the next."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lakehouse.settings import ClipSettings
from lakehouse.storage.ranged import ReadsAhead
from lakehouse.video.one_pass import OnePass, facts_of, run_one_pass
from lakehouse.video.probe import Probe, probe
from lakehouse.video.segmenting import Frame
from lakehouse.video.tiling import tiles
from tests import odd_videos
from tests.videos import (
    B_FRAMES,
    Picture,
    number_of,
    numbered,
    record,
    texture,
    with_damaged_packets,
)

SETTINGS = ClipSettings(frames_per_clip=8, frame_longest_px=640)
RATE, GOP, FRAMES = 10, 20, 180
KEYS = list(range(0, FRAMES, GOP))
OPEN = {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0:bframes=3"}
# As many bytes for every frame: of an MP4, key frames are decoded while they take a small share.
_X265 = (
    f"log-level=none:pools=1:keyint={GOP}:min-keyint={GOP}:bframes=3:b-adapt=0:open-gop=0"
    ":qp=25:ipratio=1:pbratio=1"
)
HEVC = {"codec": "libx265", "options": {"x265-params": _X265}}
KINDS: dict[str, dict[str, Any]] = {
    "MP4": {},
    "MP4, B-frames": {"options": B_FRAMES},
    "MP4, HEVC": HEVC,
    "MP4, variable rate": {
        "times_ms": [100 * n + 30 * (n * n % 3) for n in range(FRAMES)],
        "options": B_FRAMES,
    },
    "MP4, delayed start": {"times_ms": [2000 + 100 * n for n in range(FRAMES)]},
    "MP4, fragmented": {
        "options": B_FRAMES,
        "muxer_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "MP4, with sound": {"options": B_FRAMES, "audio": "aac"},
    "MOV": {"suffix": "mov", "options": B_FRAMES},
    "MKV": {"suffix": "mkv", "options": B_FRAMES},
    "MPEG-TS": {"suffix": "ts", "options": B_FRAMES},
    "MPEG-TS, HEVC": {"suffix": "ts"} | HEVC,
    "AVI": {"suffix": "avi", "codec": "mpeg4", "options": {"b": "4000000"}},
}


class Counted(BytesIO):
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


class Announced(Counted):
    """A source that wants to be told."""

    expected: Sequence[tuple[int, int]] = ()

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.expected = ranges


@lru_cache(maxsize=1)
def film() -> tuple[Picture, ...]:
    """Two places that meet at frame 90, with so much noise that all frames take as many bytes."""
    random = np.random.default_rng(1)
    places = [texture(number // 90) for number in range(FRAMES)]
    views = (place + random.normal(0, 20, place.shape) for place in places)
    return tuple(numbered(view.clip(0, 255).astype(np.uint8) for view in views))


def filmed(**arguments: Any) -> bytes:
    return record(film(), **{"frame_rate": RATE, "key_frame_every": GOP} | arguments)


def previewed(
    data: bytes, make_source: Callable[[bytes], BytesIO] = BytesIO
) -> tuple[OnePass, Probe]:
    found = probe(BytesIO(data))
    source = make_source(data)
    result = run_one_pass(lambda: source, facts_of(found), SETTINGS, profile="preview")
    assert source.closed
    return result, found


def all_packets(data: bytes, *, keys_only: bool = False) -> list[tuple[int, int, int]]:
    """The pts, position and size of the video's packets, in decoding order."""
    with av.open(BytesIO(data), "r") as movie:
        packets = [p for p in movie.demux(video=0) if p.size]
    return [(p.pts or 0, p.pos or 0, p.size) for p in packets if p.is_keyframe or not keys_only]


def key_packets(data: bytes) -> list[tuple[int, int, int]]:
    """Those of the key frames."""
    return all_packets(data, keys_only=True)


def number_in(frame: Frame) -> int:
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return number_of(av.VideoFrame.from_ndarray(picture, format="bgr24"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_preview_decodes_the_key_frames_and_nothing_else(kind: str) -> None:
    data = filmed(**KINDS[kind])
    result, _ = previewed(data)
    times = [pts for pts, _, _ in key_packets(data)]
    assert len(times) == len(KEYS)
    assert result.spans[-1].span.end_frame == len(KEYS)
    assert [pts for sampled in result.spans for pts, _ in sampled.samples] == times
    assert result.damage.packets == 0


@pytest.mark.parametrize("kind", KINDS)
def test_its_spans_tile_the_recording_and_start_at_key_frames(kind: str) -> None:
    data = filmed(**KINDS[kind])
    result, found = previewed(data)
    spans = [sampled.span for sampled in result.spans]
    facts = facts_of(found)
    assert tiles(spans)
    assert (spans[0].start_pts, spans[-1].end_pts) == (facts.start_pts, facts.end_pts)
    assert {span.start_pts for span in spans} <= {pts for pts, _, _ in key_packets(data)}
    # The first key frame of the other place is the first to show it.
    cuts = [span.start_frame for span in spans if span.boundary == "cut"]
    assert [KEYS[cut] for cut in cuts] == [100]


@pytest.mark.parametrize("kind", KINDS)
def test_its_kept_frames_show_the_key_frame_of_their_pts(kind: str) -> None:
    data = filmed(**KINDS[kind])
    result, _ = previewed(data)
    times = [pts for pts, _, _ in key_packets(data)]
    frames = [frame for sampled in result.spans for frame in sampled.frames]
    assert len(frames) >= 8
    for frame in frames:
        assert number_in(frame) == KEYS[times.index(frame.pts)]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_open_groups_are_previewed_too(tmp_path: Path, codec: str, suffix: str) -> None:
    data = odd_videos.open_gop(tmp_path, codec, suffix).read_bytes()
    result, found = previewed(data)
    facts = facts_of(found)
    spans = [sampled.span for sampled in result.spans]
    assert tiles(spans)
    assert (spans[0].start_pts, spans[-1].end_pts) == (facts.start_pts, facts.end_pts)
    assert {pts for s in result.spans for pts, _ in s.samples} <= {
        pts for pts, _, _ in key_packets(data)
    }
    assert suffix == "mp4" or spans[-1].end_frame == 2  # in 2.4 s


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4", "avi"])
def test_another_size_in_mid_stream_starts_a_span(tmp_path: Path, suffix: str) -> None:
    result, _ = previewed(odd_videos.size_changes(tmp_path, suffix).read_bytes())
    assert [sampled.span.boundary for sampled in result.spans] == ["start", "size"]


def test_key_frames_that_an_edit_list_hides_are_not_shown(tmp_path: Path) -> None:
    data = odd_videos.cut_by_edit_list(tmp_path).read_bytes()
    result, found = previewed(data)
    (sampled,) = result.spans
    assert sampled.span.start_pts >= found.start_pts
    assert sampled.span.end_pts == facts_of(found).end_pts
    shown = number_in(sampled.frames[0]) - odd_videos.HIDDEN_FRAMES
    assert shown == round(sampled.frames[0].pts * found.time_base * odd_videos.FRAME_RATE)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_key_frames_that_come_faster_than_one_a_second_are_passed_over(suffix: str) -> None:
    data = filmed(suffix=suffix, key_frame_every=2)
    result, found = previewed(data)
    times = [pts for sampled in result.spans for pts, _ in sampled.samples]
    steps_s = [float((after - before) * found.time_base) for before, after in pairwise(times)]
    assert len(times) > 5
    assert min(steps_s) > 0.99
    assert suffix == "mp4" or max(steps_s) < 1.3


def index_bytes(data: bytes) -> int:
    return len(data) - sum(size for _, _, size in all_packets(data))


@pytest.mark.parametrize("every", [1, GOP])
@pytest.mark.parametrize("index_first", [True, False])
def test_of_an_mp4_only_the_bytes_of_those_key_frames_and_of_the_index_are_read(
    index_first: bool, every: int
) -> None:
    options = {"moov_size": "65536"} if index_first else {}
    data = filmed(key_frame_every=every, options=B_FRAMES, muxer_options=options)
    source = Counted(data)
    result, _ = previewed(data, lambda _: source)
    shown = {pts for sampled in result.spans for pts, _ in sampled.samples}
    key_bytes = sum(size for pts, _, size in key_packets(data) if pts in shown)
    assert len(shown) == (len(KEYS) if every == GOP else pytest.approx(FRAMES / RATE, abs=4))
    assert source.bytes_read <= 1.3 * key_bytes + index_bytes(data) + 64 * 1024 + 32 * 1024
    assert source.bytes_read < len(data) / 3


def test_key_frames_that_make_up_most_of_an_mp4_are_thinned_out_over_all_of_it() -> None:
    still = [texture(1, 320, 240)] * 300
    data = record(still, frame_rate=RATE, key_frame_every=RATE)
    result, found = previewed(data)
    shown = {pts for sampled in result.spans for pts, _ in sampled.samples}
    sizes = {pts: size for pts, _, size in key_packets(data)}
    assert sum(sizes.values()) > 0.9 * len(data)
    assert sum(sizes[pts] for pts in shown) <= 0.12 * len(data) + max(sizes.values())
    assert len(shown) >= 3
    assert max(shown) > 0.7 * facts_of(found).end_pts
    assert result.spans[-1].span.end_pts == facts_of(found).end_pts


@pytest.mark.parametrize("every", [1, GOP])
def test_a_source_that_reads_ahead_is_told_the_ranges_of_what_is_decoded(every: int) -> None:
    data = filmed(key_frame_every=every, options=B_FRAMES)
    source = Announced(data)
    assert isinstance(source, ReadsAhead)
    result, _ = previewed(data, lambda _: source)
    shown = {pts for sampled in result.spans for pts, _ in sampled.samples}
    assert list(source.expected) == [
        (start, start + size) for pts, start, size in key_packets(data) if pts in shown
    ]


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_a_source_without_such_an_index_is_told_nothing_untrue(suffix: str) -> None:
    data = filmed(suffix=suffix, codec="mpeg4" if suffix == "avi" else "libx264")
    source = Announced(data)
    result, _ = previewed(data, lambda _: source)
    assert not source.expected
    assert result.spans[-1].span.end_frame == len(KEYS)


def test_a_damaged_key_frame_costs_itself_only() -> None:
    data = filmed(options=B_FRAMES)
    times = [pts for pts, _, _ in key_packets(data)]
    result, found = previewed(with_damaged_packets(data, [3 * GOP]))
    assert [pts for s in result.spans for pts, _ in s.samples] == times[:3] + times[4:]
    assert tiles([sampled.span for sampled in result.spans])
    assert result.spans[-1].span.end_pts == facts_of(found).end_pts
    assert result.damage.packets == 1


def test_nothing_decodable_gives_no_span_and_the_reason() -> None:
    result, _ = previewed(with_damaged_packets(filmed(), range(FRAMES)))
    assert result.spans == ()
    assert result.damage.first_error == "Invalid data found when processing input"


def test_of_a_file_cut_short_only_what_is_there_is_claimed(tmp_path: Path) -> None:
    data = odd_videos.cut_short(tmp_path).read_bytes()
    result, found = previewed(data)
    whole = run_one_pass(lambda: BytesIO(data), facts_of(found), SETTINGS)
    assert result.damage.packets > 0
    assert result.spans[-1].span.end_pts <= whole.spans[-1].span.end_pts
