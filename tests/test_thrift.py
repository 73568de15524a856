"""Thrift: stand-still is left out, and nothing else changes."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from lakehouse.settings import ClipSettings
from lakehouse.video.decode import every_frame
from lakehouse.video.one_pass import OnePass, facts_of, run_one_pass
from lakehouse.video.packets import Damage
from lakehouse.video.probe import Probe, open_container, probe, sniff_container, video_stream
from lakehouse.video.segmenting import SampledSpan
from lakehouse.video.signals import Signals
from lakehouse.video.thrift import frames_with_news
from lakehouse.video.tiling import Span, tiles
from tests import odd_videos
from tests.videos import (
    B_FRAMES,
    Picture,
    record,
    walked,
    with_damaged_packets,
    with_lost_stretch,
)

SETTINGS = ClipSettings(frames_per_clip=4, frame_longest_px=96)
RATE = 10
OPEN = {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0:bframes=3"}
_X265 = "log-level=none:pools=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:open-gop="
KINDS: dict[str, dict[str, Any]] = {
    "H.264": {},
    "H.264, B-frames": {"options": B_FRAMES},
    "H.264, open GOP": {"options": OPEN},
    "HEVC": {"codec": "libx265", "options": {"x265-params": _X265 + "0"}},
    "HEVC, open GOP": {"codec": "libx265", "options": {"x265-params": _X265 + "1"}},
    # Groups that end within an interval of samples:
    "groups of 0.8 s": {"key_frame_every": 8, "options": B_FRAMES},
    "groups of 1.3 s": {"key_frame_every": 13, "options": {"x264-params": "scenecut=0"}},
    "MKV": {"suffix": "mkv", "options": B_FRAMES},
    "MPEG-TS": {"suffix": "ts", "options": B_FRAMES},
    "MPEG-TS, HEVC, open GOP": {
        "suffix": "ts",
        "codec": "libx265",
        "options": {"x265-params": _X265 + "1"},
    },
}
STANDS_S = [(4.0, 12.2), (16.2, 22.5)]
FRAMES = 250


@lru_cache(maxsize=1)
def film() -> tuple[Picture, ...]:
    """Walks that `STANDS_S` interrupt."""
    return tuple(
        walked(("walk", 4.0), ("still", 8.2), ("walk", 4.0), ("still", 6.3), ("walk", 2.5))
    )


def filmed(pictures: Iterable[Picture] | None = None, **arguments: Any) -> bytes:
    given = {"frame_rate": RATE, "key_frame_every": 10} | arguments
    return record(pictures or film(), **given)


def both(data: bytes, settings: ClipSettings = SETTINGS) -> tuple[OnePass, OnePass, Probe]:
    """The exact result, the thrifty one, and the probe."""
    found = probe(BytesIO(data))
    facts = facts_of(found)
    exact = run_one_pass(lambda: BytesIO(data), facts, settings)
    thrifty = run_one_pass(lambda: BytesIO(data), facts, settings, profile="thrifty")
    return exact, thrifty, found


def spans_of(result: OnePass) -> list[tuple[Span, str | None]]:
    return [(sampled.span, sampled.state) for sampled in result.spans]


def left_out_s(result: OnePass, found: Probe) -> list[tuple[float, float]]:
    """What was left out, in seconds from the first frame on."""
    return [
        (
            float((start - found.start_pts) * found.time_base),
            float((end - found.start_pts) * found.time_base),
        )
        for sampled in result.spans
        for start, end in sampled.left_out
    ]


def frames_left_out(result: OnePass) -> int:
    return sum(sampled.frames_left_out for sampled in result.spans)


def timeless(signals: Signals) -> Signals:
    return replace(signals, motion=None, residual_motion=None)


def is_left_out(sampled: SampledSpan, pts: int) -> bool:
    return any(start <= pts < end for start, end in sampled.left_out)


@pytest.mark.parametrize("kind", KINDS)
def test_stand_still_is_left_out_and_no_edge_of_a_span_moves(kind: str) -> None:
    exact, thrifty, found = both(filmed(**KINDS[kind]))
    assert spans_of(thrifty) == spans_of(exact)
    assert [span.boundary for span, _ in spans_of(exact)] == [
        "start",
        *("still", "moving"),
        *("still", "moving"),
    ]
    assert tiles([span for span, _ in spans_of(thrifty)])
    assert thrifty.spans[-1].span.end_frame == FRAMES
    assert frames_left_out(thrifty) > 40
    assert frames_left_out(exact) == 0
    for start_s, end_s in left_out_s(thrifty, found):
        assert any(first <= start_s and end_s <= last for first, last in STANDS_S)


@pytest.mark.parametrize("offset", range(5))
def test_it_does_not_matter_when_within_a_group_the_walk_goes_on(offset: int) -> None:
    stretches = [("walk", 3.0), ("still", 5.0 + offset / RATE), ("walk", 3.0)]
    data = filmed(walked(*stretches), key_frame_every=13, options={"x264-params": "scenecut=0"})
    exact, thrifty, _ = both(data)
    assert spans_of(thrifty) == spans_of(exact)
    assert frames_left_out(thrifty) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_left_out_is_measured_and_kept_as_ever(kind: str) -> None:
    exact, thrifty, _ = both(filmed(**KINDS[kind]))
    for whole, spared in zip(exact.spans, thrifty.spans, strict=True):
        if not spared.left_out:
            # Its first sample may follow on what was left out, but has no motion anyway.
            assert spared == whole
            continue
        ends = {end for _, end in spared.left_out}
        samples = dict(whole.samples)
        is_first = False
        before = 0
        for pts, signals in spared.samples:
            assert not is_left_out(spared, pts)
            follows = any(before < end <= pts for end in ends)
            if pts in samples and not (follows or is_first):
                assert signals == samples[pts]
            elif pts in samples:  # its motion is since another sample, in stand-still too
                assert timeless(signals) == timeless(samples[pts])
                assert abs((signals.motion or 0) - (samples[pts].motion or 0)) < 0.5
            else:  # of an interval that began while pictures were left out
                assert pts in ends
            is_first = pts not in samples
            before = pts
        missing = set(samples) - dict(spared.samples).keys()
        assert all(is_left_out(spared, pts) for pts in missing)
        kept = {frame.pts: frame.jpeg for frame in whole.frames}
        assert spared.frames
        for frame in spared.frames:
            assert frame.jpeg == kept.get(frame.pts, frame.jpeg)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pictures_that_are_there_are_those_of_a_full_decode(kind: str) -> None:
    footage = filmed(**KINDS[kind])
    with open_container(BytesIO(footage), sniff_container(footage)) as opened:
        whole = {
            seen.pts: seen.frame.to_ndarray().tobytes()
            for seen in every_frame(opened, video_stream(opened), Damage())
            if seen.frame
        }
    damage = Damage()
    with open_container(BytesIO(footage), sniff_container(footage)) as opened:
        spared = [
            (seen.pts, seen.frame and seen.frame.to_ndarray().tobytes())
            for seen in frames_with_news(opened, video_stream(opened), damage)
        ]
    assert [pts for pts, _ in spared] == list(whole)
    assert {picture for _, picture in spared} >= {None}
    assert all(picture in (None, whole[pts]) for pts, picture in spared)
    assert damage.packets == 0


@pytest.mark.parametrize("kind", ["H.264", "H.264, B-frames", "HEVC, open GOP"])
def test_no_cut_within_stand_still_is_lost(kind: str) -> None:
    film = walked(
        ("walk", 2.0), ("still", 4.4), ("elsewhere", 0.9), ("still", 5.2), ("elsewhere", 4.0)
    )
    exact, thrifty, found = both(filmed(film, **KINDS[kind]))
    assert spans_of(thrifty) == spans_of(exact)
    starts = [span.start_frame for span, _ in spans_of(exact) if span.boundary == "cut"]
    assert {64, 125} <= set(starts)
    assert frames_left_out(thrifty) > 20
    assert not any(s < edge < e for s, e in left_out_s(thrifty, found) for edge in (6.4, 7.3, 12.5))


@pytest.mark.parametrize("kind", ["H.264", "H.264, B-frames", "HEVC, open GOP"])
def test_what_moves_through_a_part_of_the_view_is_never_left_out(kind: str) -> None:
    film = walked(("walk", 2.0), ("still", 6.3), ("passer", 3.4), ("still", 6.3), ("walk", 2.0))
    exact, thrifty, found = both(filmed(film, **KINDS[kind]))
    assert frames_left_out(thrifty) > 30
    assert not any(s < 11.7 and e > 8.3 for s, e in left_out_s(thrifty, found))
    assert spans_of(thrifty) == spans_of(exact)


@pytest.mark.parametrize("kind", ["H.264", "H.264, B-frames"])
def test_what_comes_and_goes_within_one_group_is_seen(kind: str) -> None:
    """Both key frames around it show the same."""
    stretches = [("walk", 2.0), ("still", 8.5), ("passer", 1.0), ("still", 4.5), ("walk", 2.0)]
    arguments = KINDS[kind] | {"key_frame_every": 20}
    _, thrifty, found = both(filmed(walked(*stretches, noise=1.0), **arguments))
    assert frames_left_out(thrifty) > 30
    assert not any(s < 11.5 and e > 10.5 for s, e in left_out_s(thrifty, found))


@pytest.mark.parametrize("kind", KINDS)
def test_without_stand_still_nothing_is_left_out_and_the_result_is_the_same(kind: str) -> None:
    film = walked(("walk", 5.0), ("passer", 4.0), ("walk", 3.0))
    exact, thrifty, _ = both(filmed(film, **KINDS[kind]))
    assert thrifty == exact


ODD: dict[str, Callable[[Path], Path]] = {
    "variable rate": odd_videos.variable_rate,
    "edit list": odd_videos.cut_by_edit_list,
    "negative offsets": odd_videos.negative_offsets,
    "sizes": odd_videos.size_changes,
    "cut short": odd_videos.cut_short,
    "fragmented": odd_videos.fragmented,
    "AVI": lambda folder: odd_videos.plain(folder, "h264", "avi"),
    "AV1": lambda folder: odd_videos.plain(folder, "av1", "mp4"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_footage_that_moves_gives_the_same(tmp_path: Path, kind: str) -> None:
    exact, thrifty, _ = both(ODD[kind](tmp_path).read_bytes())
    assert thrifty == exact


@pytest.mark.parametrize("detector", ["adaptive", "histogram", "hash", "threshold"])
def test_every_detector_bears_pictures_that_are_left_out(detector: str) -> None:
    settings = SETTINGS.model_copy(update={"detector": detector})
    exact, thrifty, _ = both(filmed(options=B_FRAMES), settings)
    assert frames_left_out(thrifty) > 40
    assert spans_of(thrifty) == spans_of(exact)


@pytest.mark.parametrize("kind", ["H.264", "H.264, B-frames", "HEVC, open GOP"])
@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: with_damaged_packets(data, [25]),
        lambda data: with_damaged_packets(data, [130]),  # a key frame, right after standing
        lambda data: with_lost_stretch(data, 128, 20),
        lambda data: with_damaged_packets(data, range(230, FRAMES)),
        lambda data: with_damaged_packets(data, range(FRAMES)),
        lambda data: data[: len(data) * 2 // 3],
    ],
    ids=["packet", "key frame", "stretch", "tail", "all", "cut short"],
)
def test_damaged_footage_ends_as_without_thrift(kind: str, damaged: Any) -> None:
    data = filmed(muxer_options={"moov_size": "16384"}, **KINDS[kind])
    exact, thrifty, _ = both(damaged(data))
    assert spans_of(thrifty) == spans_of(exact)
    assert thrifty.damage == exact.damage


def test_damage_where_nothing_moves_does_no_harm_beyond_it() -> None:
    """What is left out is not decoded, so that its damage may stay unknown."""
    exact, thrifty, found = both(with_lost_stretch(filmed(), 75, 20))
    assert any(sampled.span.is_lost for sampled in exact.spans)
    assert tiles([span for span, _ in spans_of(thrifty)])
    assert thrifty.spans[0] == exact.spans[0]
    assert spans_of(thrifty)[-3:] == spans_of(exact)[-3:]
    assert all(s >= 4.0 and e <= 22.5 for s, e in left_out_s(thrifty, found))


def test_a_long_stand_still_still_has_frames_to_keep() -> None:
    data = filmed(walked(("walk", 2.0), ("still", 16.0)), key_frame_every=13)
    _, thrifty, _ = both(data)
    assert all(sampled.frames for sampled in thrifty.spans)


def test_frames_keep_the_number_of_the_part_that_they_show() -> None:
    _, thrifty, _ = both(filmed())
    for sampled in thrifty.spans:
        numbers = [frame.number for frame in sampled.frames]
        assert numbers == sorted(set(numbers))
        assert set(numbers) <= set(range(4))
