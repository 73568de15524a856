from io import BytesIO
from itertools import accumulate, cycle, islice, pairwise
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.settings import ClipSettings
from lakehouse.video import signals
from lakehouse.video.one_pass import (
    Frame,
    OnePass,
    SampledSpan,
    chosen,
    facts_of,
    run_one_pass,
)
from lakehouse.video.probe import Probe, ProbeError, probe
from lakehouse.video.tiling import tiles
from tests.videos import (
    B_FRAMES,
    Picture,
    moving,
    number_of,
    numbered,
    record,
    texture,
    with_damaged_packets,
)

SETTINGS = ClipSettings(
    min_clip_s=0.4, max_clip_s=2.0, frames_per_clip=3, frame_longest_px=64, sample_interval_s=0.2
)
FRAMES = 150
TIMES_MS = list(accumulate(islice(cycle((20, 60, 40, 90)), FRAMES - 1), initial=0))
KINDS: dict[str, dict[str, Any]] = {
    "H.264": {},
    "H.264, B-frames": {"options": B_FRAMES},
    "HEVC": {"codec": "libx265"},
    "4:4:4": {"pixel_format": "yuv444p"},
    "10 bit": {"pixel_format": "yuv420p10le"},
    "variable rate": {"times_ms": TIMES_MS, "options": B_FRAMES},
    "delayed start": {"times_ms": [2000 + 40 * number for number in range(FRAMES)]},
    "MKV": {"suffix": "mkv", "options": B_FRAMES},
    "MPEG-TS": {"suffix": "ts", "options": B_FRAMES},
    "AVI": {"suffix": "avi", "codec": "mpeg4", "options": {"b": "4000000"}},
    "rotated": {"rotation_deg": 90},
}


def passed(
    data: bytes, settings: ClipSettings = SETTINGS, threads: int = 1
) -> tuple[OnePass, Probe]:
    found = probe(BytesIO(data))
    return run_one_pass(BytesIO(data), facts_of(found), settings, threads), found


def film() -> list[Picture]:
    """Two shots that meet at frame 60."""
    return [*moving(60, 1), *moving(FRAMES - 60, 2)]


def picture_of(frame: Frame) -> Picture:
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (frame.height, frame.width, 3)
    return picture


def all_samples(spans: tuple[SampledSpan, ...]) -> list[int]:
    return [pts for span in spans for pts, _ in span.samples]


@pytest.mark.parametrize("kind", KINDS)
def test_the_spans_tile_all_frames_and_every_sample_lies_in_its_span(kind: str) -> None:
    result, found = passed(record(film(), **KINDS[kind]))
    spans = [sampled.span for sampled in result.spans]
    assert tiles(spans)
    assert (spans[0].start_frame, spans[-1].end_frame) == (0, FRAMES)
    assert spans[0].start_pts == found.start_pts
    length_s = float((spans[-1].end_pts - spans[0].start_pts) * found.time_base)
    assert length_s == pytest.approx(found.duration_s, abs=0.1)
    assert 60 in {span.start_frame for span in spans if span.boundary == "cut"}
    assert result.damage.packets == 0
    for sampled in result.spans:
        times = [pts for pts, _ in sampled.samples]
        assert times == sorted(times)
        assert all(sampled.span.start_pts <= pts < sampled.span.end_pts for pts in times)


@pytest.mark.parametrize("kind", KINDS)
def test_one_thread_and_two_give_identical_results(kind: str) -> None:
    data = record(film(), **KINDS[kind])
    assert passed(data, threads=1) == passed(data, threads=2)


@pytest.mark.parametrize("interval_s", [0.04, 0.2, 0.5])
def test_samples_come_every_interval(interval_s: float) -> None:
    settings = SETTINGS.model_copy(update={"sample_interval_s": interval_s})
    result, found = passed(record(film()), settings)
    times_s = [float(pts * found.time_base) for pts in all_samples(result.spans)]
    due_s = np.arange(len(times_s)) * interval_s
    assert np.all(times_s >= due_s - 1e-9)
    assert np.all(times_s < due_s + 0.04)
    assert times_s[-1] + interval_s > found.duration_s - 0.04


def test_samples_of_a_variable_rate_are_the_first_frames_of_each_interval() -> None:
    result, found = passed(record(film(), times_ms=TIMES_MS))
    samples_ms = [round(pts * found.time_base * 1000) for pts in all_samples(result.spans)]
    grid_ms = range(0, TIMES_MS[-1], 200)
    expected = [next(time for time in TIMES_MS if time >= due) for due in grid_ms]
    assert samples_ms[: len(expected)] == expected


def test_a_gap_in_the_stream_is_not_followed_by_a_burst_of_samples() -> None:
    times_ms = [40 * number + 10_000 * (number >= 75) for number in range(FRAMES)]
    result, found = passed(record(film(), times_ms=times_ms))
    samples_ms = [round(pts * found.time_base * 1000) for pts in all_samples(result.spans)]
    assert min(after - before for before, after in pairwise(samples_ms)) >= 100


def test_a_clip_keeps_at_most_so_many_frames_spread_evenly() -> None:
    result, _ = passed(record(film()))
    for sampled in result.spans:
        samples = [pts for pts, _ in sampled.samples]
        kept = [frame.pts for frame in sampled.frames]
        assert len(kept) == min(len(samples), SETTINGS.frames_per_clip)
        assert set(kept) <= set(samples)
        assert [frame.signals for frame in sampled.frames] == [
            dict(sampled.samples)[pts] for pts in kept
        ]


@given(st.integers(0, 200), st.integers(1, 40))
def test_the_kept_frames_are_the_middles_of_equal_parts(count: int, limit: int) -> None:
    nothing = signals.measure(np.zeros((2, 2), np.uint8), None)
    frames = [Frame(number, nothing, b"", 2, 2) for number in range(count)]
    kept = [frame.pts for frame in chosen(frames, limit)]
    if count <= limit:
        assert kept == list(range(count))
    else:
        middles = [(number + 0.5) * count / limit for number in range(limit)]
        assert len(set(kept)) == limit
        assert all(middle - 1 < pts <= middle for pts, middle in zip(kept, middles, strict=True))


def test_motion_is_unknown_for_the_first_sample_of_each_clip_and_only_there() -> None:
    result, _ = passed(record(film()))
    assert len(result.spans) > 2
    for sampled in result.spans:
        first, *others = [measured.motion for _, measured in sampled.samples]
        assert first is None
        assert others
        assert all(motion is not None and motion > signals.STILL_BELOW for motion in others)


def test_a_still_picture_has_no_motion() -> None:
    result, _ = passed(record([texture(1)] * 50))
    (sampled,) = result.spans
    motions = [measured.motion for _, measured in sampled.samples if measured.motion is not None]
    assert len(motions) == len(sampled.samples) - 1
    assert max(motions) < signals.STILL_BELOW


def test_the_signals_are_those_of_the_upright_frame_at_its_kept_size() -> None:
    result, _ = passed(record(film(), rotation_deg=90), SETTINGS)
    frame = result.spans[0].frames[0]
    luma = cv2.cvtColor(picture_of(frame), cv2.COLOR_BGR2GRAY)
    again = signals.measure(luma, None)
    # What JPEG changes is all that sets them apart.
    assert again.texture == pytest.approx(frame.signals.texture, rel=0.02)
    assert again.darkness == pytest.approx(frame.signals.darkness, abs=0.02)


@pytest.mark.parametrize(
    ("size", "longest_px", "expected"),
    [
        ((128, 96), 64, (64, 48)),
        ((96, 128), 64, (48, 64)),
        ((128, 96), 640, (128, 96)),
        ((161, 121), 100, (100, 75)),
        ((161, 121), 640, (161, 121)),
        ((1024, 4), 64, (64, 1)),
    ],
)
def test_a_jpeg_is_no_larger_than_its_longest_side_may_be(
    size: tuple[int, int], longest_px: int, expected: tuple[int, int]
) -> None:
    settings = SETTINGS.model_copy(update={"frame_longest_px": longest_px})
    width, height = size
    data = record(moving(30, width=width, height=height), pixel_format="yuv444p")
    result, _ = passed(data, settings)
    for frame in result.spans[0].frames:
        assert picture_of(frame).shape[1::-1] == expected


# Where the mark of the coded picture's top left corner is shown, as the ffmpeg program shows it.
@pytest.mark.parametrize(
    ("matrix_deg", "corner", "size"),
    [
        (0, "top left", (64, 48)),
        (90, "bottom left", (48, 64)),
        (180, "bottom right", (64, 48)),
        (270, "top right", (48, 64)),
    ],
)
def test_a_rotated_recording_gives_upright_frames(
    matrix_deg: int, corner: str, size: tuple[int, int]
) -> None:
    marked = np.full((96, 128, 3), 60, np.uint8)
    marked[:24, :32] = 255
    result, _ = passed(record([marked] * 20, rotation_deg=matrix_deg))
    frame = result.spans[0].frames[0]
    assert (frame.width, frame.height) == size
    picture = picture_of(frame)
    down, right = frame.height // 5, frame.width // 5
    corners = {
        "top left": picture[:down, :right],
        "top right": picture[:down, -right:],
        "bottom left": picture[-down:, :right],
        "bottom right": picture[-down:, -right:],
    }
    assert {name for name, part in corners.items() if part.mean() > 200} == {corner}


def test_a_kept_frame_shows_the_picture_of_its_pts() -> None:
    settings = SETTINGS.model_copy(update={"frame_longest_px": 128, "jpeg_quality": 100})
    result, found = passed(record(numbered(film()), options=B_FRAMES), settings)
    for sampled in result.spans:
        for frame in sampled.frames:
            shown = number_in(picture_of(frame))
            assert shown == round(frame.pts * found.time_base * 25)


def number_in(picture: Picture) -> int:
    return number_of(av.VideoFrame.from_ndarray(picture, format="bgr24"))


def test_a_damaged_tail_keeps_the_good_part() -> None:
    data = record(film())
    whole, _ = passed(data)
    result, found = passed(with_damaged_packets(data, range(90, FRAMES)))
    assert result.damage.packets == FRAMES - 90
    spans = [sampled.span for sampled in result.spans]
    assert tiles(spans)
    assert spans[-1].end_frame == 90
    assert spans[-1].end_pts * found.time_base * 25 == 90
    assert result.spans[0] == whole.spans[0]


def test_damage_in_the_middle_leaves_no_gap_between_spans() -> None:
    result, _ = passed(with_damaged_packets(record(film()), range(72, 84)))
    spans = [sampled.span for sampled in result.spans]
    assert tiles(spans)
    assert spans[-1].end_frame == FRAMES - 12
    assert result.damage.packets == 12


def test_nothing_decodable_gives_no_span_and_the_reason() -> None:
    data = record(moving(20))
    result, _ = passed(with_damaged_packets(data, range(20)))
    assert result.spans == ()
    assert result.damage.first_error == "Invalid data found when processing input"


def test_what_can_not_be_opened_is_refused() -> None:
    facts = facts_of(probe(BytesIO(record(moving(3)))))
    with pytest.raises(ProbeError, match="cannot be opened as mov"):
        run_one_pass(BytesIO(b"ffconcat version 1.0\n"), facts, SETTINGS, 1)


def test_a_long_shot_is_divided_and_the_detector_is_the_chosen_one() -> None:
    data = record(film())
    by_content, _ = passed(data)
    by_threshold, _ = passed(data, SETTINGS.model_copy(update={"detector": "threshold"}))
    assert [(s.span.start_frame, s.span.boundary) for s in by_content.spans] == [
        (0, "start"),
        (30, "length"),
        (60, "cut"),
        (110, "length"),
    ]
    assert {s.span.boundary for s in by_threshold.spans} == {"start", "length"}
