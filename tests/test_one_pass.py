"""One pass over a recording: spans that tile it, each with its samples, signals, state and frames.

What becomes of damaged footage is `test_damage`; one picture is `test_sampling`.
"""

import gc
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from itertools import accumulate, count, cycle, islice, pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lakehouse.video import signals
from lakehouse.video.one_pass import OnePass, facts_of, run_one_pass
from lakehouse.video.probe import ProbeError, probe
from lakehouse.video.sampling import Small
from lakehouse.video.segmenting import Frame, SampledSpan
from lakehouse.video.tiling import tiles
from tests import odd_videos
from tests.passes import FRAMES, SETTINGS, WALK, film, passed, spans_of
from tests.videos import (
    B_FRAMES,
    FORMATS,
    Picture,
    moving,
    number_of,
    numbered,
    record,
    texture,
    walked,
)

EVERY_FRAME = SETTINGS.model_copy(update={"sample_interval_s": 0.001, "frame_longest_px": 640})
TIMES_MS = list(accumulate(islice(cycle((20, 60, 40, 90)), FRAMES - 1), initial=0))
KINDS: dict[str, dict[str, Any]] = FORMATS | {
    "variable rate": {"times_ms": TIMES_MS, "options": B_FRAMES},
    "delayed start": {"times_ms": [2000 + 40 * number for number in range(FRAMES)]},
    "AVI": {"suffix": "avi", "codec": "mpeg4", "options": {"b": "4000000"}},
    "rotated": {"rotation_deg": 90},
}
ODD: dict[str, Callable[[Path], Path]] = {
    f"{codec} in {suffix}": lambda folder, codec=codec, suffix=suffix: odd_videos.plain(
        folder, codec, suffix
    )
    for codec, suffix in odd_videos.CODECS_IN_CONTAINERS
} | {
    "variable rate": odd_videos.variable_rate,
    "variable rate, MKV": lambda folder: odd_videos.variable_rate(folder, "mkv"),
    "open GOP": odd_videos.open_gop,
    "open GOP, HEVC": lambda folder: odd_videos.open_gop(folder, "hevc"),
    "open GOP, HEVC, TS": lambda folder: odd_videos.open_gop(folder, "hevc", "ts"),
    "edit list": odd_videos.cut_by_edit_list,
    "delayed start": odd_videos.delayed_start,
    "negative offsets": odd_videos.negative_offsets,
    "10 bit": odd_videos.ten_bit,
    "10 bit, HEVC": lambda folder: odd_videos.ten_bit(folder, "hevc"),
    "full range": odd_videos.full_range,
    "odd size": odd_videos.odd_size,
    "no movie time scale": odd_videos.without_movie_time_scale,
    "fragmented": odd_videos.fragmented,
}


def picture_of(frame: Frame) -> Picture:
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (frame.height, frame.width, 3)
    return picture


def number_in(picture: Picture) -> int:
    return number_of(av.VideoFrame.from_ndarray(picture, format="bgr24"))


def all_samples(spans: tuple[SampledSpan, ...]) -> list[int]:
    return [pts for span in spans for pts, _ in span.samples]


def starts(result: OnePass, time_base: Fraction) -> list[tuple[float, str]]:
    """When each span starts, in seconds, and why."""
    return [(float(span.start_pts * time_base), span.boundary) for span in spans_of(result)]


def shown_times(data: bytes) -> list[int]:
    """The pts of all frames, as the container states them."""
    with av.open(BytesIO(data), "r") as movie:
        packets = [p for p in movie.demux(video=0) if p.size and not p.is_discard]
    return sorted(packet.pts for packet in packets if packet.pts is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_spans_tile_all_frames_and_every_sample_lies_in_its_span(kind: str) -> None:
    result, found = passed(record(film(), **KINDS[kind]))
    spans = spans_of(result)
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


@pytest.mark.parametrize("kind", ODD)
def test_odd_footage_is_tiled_from_its_first_to_its_last_frame(tmp_path: Path, kind: str) -> None:
    data = ODD[kind](tmp_path).read_bytes()
    result, found = passed(data, EVERY_FRAME)
    spans = spans_of(result)
    assert tiles(spans)
    assert spans[0].start_frame == 0
    assert spans[0].start_pts == found.start_pts
    end_s = float((spans[-1].end_pts - found.start_pts) * found.time_base)
    assert end_s == pytest.approx(found.duration_s, abs=0.001)
    assert all_samples(result.spans) == shown_times(data)
    assert spans[-1].end_frame == len(shown_times(data))
    assert result.damage.packets == 0


@pytest.mark.parametrize("kind", ODD)
def test_a_kept_frame_of_odd_footage_shows_the_picture_of_its_pts(
    tmp_path: Path, kind: str
) -> None:
    data = ODD[kind](tmp_path).read_bytes()
    result, _ = passed(data, EVERY_FRAME)
    times = shown_times(data)
    hidden = odd_videos.FRAMES - len(times)
    for sampled in result.spans:
        assert sampled.frames
        for frame in sampled.frames:
            assert number_in(picture_of(frame)) == hidden + times.index(frame.pts)


def test_pts_strictly_increase_where_the_clock_of_an_avi_can_not_order_b_frames() -> None:
    result, _ = passed(record(numbered(film()), "avi", options=B_FRAMES), EVERY_FRAME)
    times = all_samples(result.spans)
    assert len(times) == FRAMES
    assert all(before < after for before, after in pairwise(times))
    assert tiles(spans_of(result))


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4", "avi"])
def test_another_picture_size_in_mid_stream_starts_a_span_and_loses_nothing(
    tmp_path: Path, suffix: str
) -> None:
    data = odd_videos.size_changes(tmp_path, suffix).read_bytes()
    result, _ = passed(data, EVERY_FRAME)
    spans = spans_of(result)
    half = odd_videos.FRAMES // 2
    assert tiles(spans)
    assert [(span.start_frame, span.boundary) for span in spans] == [(0, "start"), (half, "size")]
    assert spans[-1].end_frame == odd_videos.FRAMES
    first, second = ({(f.width, f.height) for f in sampled.frames} for sampled in result.spans)
    assert (first, second) == ({(128, 96)}, {(192, 144)})


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
    expected = [next(time for time in TIMES_MS if time >= due) for due in range(0, 7750, 200)]
    assert TIMES_MS[-1] == 7790
    assert samples_ms[: len(expected)] == expected


def test_a_pause_is_no_loss_and_is_not_followed_by_a_burst_of_samples() -> None:
    times_ms = [40 * number + 10_000 * (number >= 75) for number in range(FRAMES)]
    result, found = passed(record(film(), times_ms=times_ms))
    samples_ms = [round(pts * found.time_base * 1000) for pts in all_samples(result.spans)]
    assert min(after - before for before, after in pairwise(samples_ms)) >= 100
    assert tiles(spans_of(result))
    assert not any(span.is_lost for span in spans_of(result))


def test_a_clip_keeps_at_most_so_many_frames_one_of_each_equal_part() -> None:
    result, _ = passed(record(film()))
    for sampled in result.spans:
        span, most = sampled.span, SETTINGS.frames_per_clip
        samples = dict(sampled.samples)
        assert len(sampled.frames) == min(len(samples), most)
        assert [frame.signals for frame in sampled.frames] == [
            samples[frame.pts] for frame in sampled.frames
        ]
        for frame in sampled.frames:
            # Parts consist of whole intervals, of which one may lie across an edge.
            part = (frame.pts - span.start_pts) / (span.end_pts - span.start_pts) * most
            assert frame.number - 0.5 < part < frame.number + 1.5


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
    assert sampled.state == "still"


def test_the_signals_are_those_of_the_upright_frame_at_its_kept_size() -> None:
    result, _ = passed(record(film(), rotation_deg=90), SETTINGS)
    frame = result.spans[0].frames[0]
    luma = cv2.cvtColor(picture_of(frame), cv2.COLOR_BGR2GRAY)
    again = signals.measure(luma)
    # What JPEG changes is all that sets them apart.
    assert again.texture == pytest.approx(frame.signals.texture, rel=0.02)
    assert again.darkness == pytest.approx(frame.signals.darkness, abs=0.02)


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


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_every_rotation_is_undone_once(tmp_path: Path, clockwise_deg: int) -> None:
    data = odd_videos.rotated(tmp_path, clockwise_deg, "mov").read_bytes()
    result, found = passed(data, EVERY_FRAME)
    for frame in result.spans[0].frames:
        as_coded = np.rot90(picture_of(frame), clockwise_deg // 90)
        shown = number_in(np.ascontiguousarray(as_coded))
        assert shown == round(frame.pts * found.time_base * odd_videos.FRAME_RATE)


def test_raw_pictures_are_held_for_a_bounded_number_of_samples_and_not_in_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    measured = count(1)
    measure = signals.measure

    def counting(luma: signals.Gray) -> signals.Signals:
        if next(measured) % 20 == 0:
            held.append(sum(isinstance(thing, Small) for thing in gc.get_objects()))
        return measure(luma)

    monkeypatch.setattr(signals, "measure", counting)
    settings = EVERY_FRAME.model_copy(update={"max_clip_s": 100.0})
    result, _ = passed(record([texture(1)] * 200), settings)
    assert 20 * len(held) == len(all_samples(result.spans)) == 200
    assert 50 < max(held) <= 60
    assert not any(isinstance(thing, Small) for thing in gc.get_objects())


@pytest.mark.parametrize("detector", ["content", "adaptive", "histogram", "hash"])
def test_a_cut_starts_a_span_whose_state_is_that_of_its_own_shot(detector: str) -> None:
    settings = WALK.model_copy(update={"detector": detector, "detector_threshold": None})
    film = walked(("walk", 6.2), ("elsewhere", 6.0), ("walk", 6.0))
    result, found = passed(record(film, frame_rate=10), settings)
    cuts = [round(time_s, 1) for time_s, boundary in starts(result, found.time_base)[1:]]
    assert cuts == pytest.approx([6.2, 12.2], abs=0.51)
    assert [sampled.state for sampled in result.spans] == ["moving", "still", "moving"]


def test_a_shot_too_short_to_tell_has_no_state() -> None:
    film = [*walked(("still", 4.0)), *moving(16, 3, 160, 96), *walked(("walk", 4.0))]
    result, _ = passed(record(film, frame_rate=25), SETTINGS)
    by_start = {sampled.span.start_frame: sampled.state for sampled in result.spans}
    assert (by_start[0], by_start[40]) == ("still", None)


def test_a_dark_stretch_of_a_walk_is_a_span_of_its_own() -> None:
    film = walked(("walk", 8.0), ("dim", 2.0), ("dark", 4.0), ("dawn", 2.0), ("walk", 6.0))
    result, found = passed(record(film, frame_rate=10), WALK)
    (_, first), (dark_s, dark), (light_s, light) = starts(result, found.time_base)
    assert (first, dark, light) == ("start", "dark", "moving")
    assert [sampled.state for sampled in result.spans] == ["moving", "dark", "moving"]
    # The wall's lightest blocks are of about 170 levels: dark is less than a fifth of 255.
    assert dark_s == pytest.approx(8.0 + 2.0 * (1 - 51 / 170) / 0.8, abs=0.5)
    assert light_s == pytest.approx(14.0 + 2.0 * (71 / 170 - 0.2) / 0.8, abs=0.5)


def test_a_stand_still_of_a_walk_is_a_span_of_its_own() -> None:
    film = walked(("walk", 7.0), ("still", 6.0), ("walk", 7.0))
    result, found = passed(record(film, frame_rate=10), WALK)
    times_s, boundaries = zip(*starts(result, found.time_base), strict=True)
    assert boundaries == ("start", "still", "moving")
    assert times_s == pytest.approx((0.0, 7.0, 13.0), abs=0.5)


def test_a_long_shot_is_divided_and_the_detector_is_the_chosen_one() -> None:
    data = record(film())
    by_content, _ = passed(data)
    by_threshold, _ = passed(data, SETTINGS.model_copy(update={"detector": "threshold"}))
    content = {span.start_frame: span.boundary for span in spans_of(by_content)}
    assert content[60] == "cut"
    assert {content.pop(0), content.pop(60)} | set(content.values()) == {"start", "cut", "length"}
    assert {span.boundary for span in spans_of(by_threshold)} == {"start", "length"}
    for span in spans_of(by_content) + spans_of(by_threshold):
        assert 10 <= span.end_frame - span.start_frame <= 51


def test_what_can_not_be_opened_is_refused_and_closed() -> None:
    facts = facts_of(probe(BytesIO(record(moving(3)))))
    source = BytesIO(b"ffconcat version 1.0\n")
    with pytest.raises(ProbeError, match="cannot be opened as mov"):
        run_one_pass(lambda: source, facts, SETTINGS)
    assert source.closed
