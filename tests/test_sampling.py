from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import av
import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lakehouse.video import signals
from lakehouse.video.sampling import Grid, Jpeg, Sample, Sampler, chosen
from tests.videos import Picture, texture

EVERY_SECOND = Grid(start_pts=0, interval=1.0)
PIXEL_FORMATS = [
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuv444p",
    "nv12",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "gray",
    "bgr24",
]
SIZES = [(128, 96), (161, 121), (97, 54), (33, 160)]
LEVELS_APART = 4  # the rounding of limited range and of colour for every fourth pixel


def frame_of(picture: Picture, pixel_format: str = "yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
    return frame.reformat(format=pixel_format)


def sample_of(frame: av.VideoFrame, longest_px: int = 640, rotation_deg: int = 0) -> Sample:
    sample = Sampler(EVERY_SECOND, longest_px, rotation_deg).add(0, frame)
    assert sample is not None
    return sample


def luma_of(sample: Sample) -> NDArray[np.uint8]:
    assert not isinstance(sample.picture, Jpeg)
    return sample.picture.luma


def jpeg_of(sample: Sample, quality: int = 95) -> Jpeg:
    assert not isinstance(sample.picture, Jpeg)
    return sample.picture.jpeg(quality)


def opened(jpeg: Jpeg) -> Picture:
    picture = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (jpeg.height, jpeg.width, 3)
    return picture.astype(np.uint8)


def shaded(width: int, height: int) -> Picture:
    """From black to white and past every level between, in gray with a tinge."""
    levels = np.add.outer(np.linspace(0, 60, height), np.linspace(0, 195, width))
    return np.stack([levels, levels, levels * 0.9 + 12], axis=2).astype(np.uint8)


def levels_apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    assert one.shape == other.shape
    return int(cv2.absdiff(one, other).max())


# When a picture is due.


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(-100, 100),
    st.integers(0, 100),
    st.sampled_from([1.0, 7.5, 25.0, 50.0]),
)
def test_the_first_picture_in_every_cell_is_sampled_and_no_other(
    lengths: list[int], start_pts: int, late: int, interval: float
) -> None:
    times = list(accumulate(lengths, initial=start_pts + late))
    sampler = Sampler(Grid(start_pts, interval), 64, 0)
    frame = frame_of(texture(1, 16, 16))
    samples = [sample for pts in times if (sample := sampler.add(pts, frame))]
    first_in = {int((pts - start_pts) // interval): pts for pts in reversed(times)}
    assert [(sample.cell, sample.pts) for sample in samples] == sorted(first_in.items())


@given(st.integers(-100, 100), st.integers(0, 10_000), st.sampled_from([1.0, 7.5, 25.0]))
def test_the_cells_follow_each_other_from_the_first_pts_on(
    start_pts: int, later: int, interval: float
) -> None:
    cell = Grid(start_pts, interval).cell(start_pts + later)
    assert cell * interval <= later < (cell + 1) * interval


def test_a_gap_in_the_stream_is_not_followed_by_a_burst_of_samples() -> None:
    sampler = Sampler(Grid(0, 10.0), 64, 0)
    frame = frame_of(texture(1))
    times = [*range(0, 30, 2), *range(431, 470, 2)]
    samples = [sample for pts in times if (sample := sampler.add(pts, frame))]
    assert [sample.pts for sample in samples] == [0, 10, 20, 431, 441, 451, 461]


# What is measured of it.


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_the_luma_is_the_gray_picture_of_any_format_and_size(
    pixel_format: str, size: tuple[int, int]
) -> None:
    frame = frame_of(shaded(*size), pixel_format)
    gray = frame.to_ndarray(format="gray").astype(np.uint8)
    luma = luma_of(sample_of(frame))
    assert levels_apart(luma, gray) <= LEVELS_APART
    assert luma.min() <= 8  # black is black and white is white, in limited range too
    assert luma.max() >= 247


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_a_frame_that_says_that_its_range_is_full_is_believed(pixel_format: str) -> None:
    picture = av.VideoFrame.from_ndarray(shaded(128, 96), format="bgr24")
    frame = picture.reformat(format=pixel_format, dst_color_range="JPEG")
    gray = cv2.cvtColor(shaded(128, 96), cv2.COLOR_BGR2GRAY)
    assert levels_apart(luma_of(sample_of(frame)), gray.astype(np.uint8)) <= LEVELS_APART


@pytest.mark.parametrize("size", [(640, 480), (641, 359)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv420p10le"])
def test_every_pixel_counts_in_a_smaller_picture(pixel_format: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (size[1], size[0], 1)).astype(np.uint8).repeat(3, 2)
    frame = frame_of(picture, pixel_format)
    luma = luma_of(sample_of(frame, longest_px=64))
    gray = frame.to_ndarray(format="gray").astype(np.uint8)
    averages = cv2.resize(gray, luma.shape[::-1], interpolation=cv2.INTER_AREA)
    assert levels_apart(luma, averages.astype(np.uint8)) <= 2 * LEVELS_APART


def test_the_signals_are_those_of_the_luma() -> None:
    sample = sample_of(frame_of(texture(1, 161, 121)), rotation_deg=90)
    assert sample.signals == signals.measure(luma_of(sample))
    assert np.array_equal(sample.coarse, signals.coarse(luma_of(sample)))


def test_the_motion_of_a_sample_is_that_since_the_one_before() -> None:
    one, other = sample_of(frame_of(texture(1))), sample_of(frame_of(texture(2)))
    assert one.signals.motion is None
    assert one.after(one).signals.motion == 0
    assert other.after(one).signals == signals.with_motion(other.signals, one.coarse, other.coarse)


# What is kept of it.


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_the_jpeg_shows_what_was_measured(pixel_format: str) -> None:
    sample = sample_of(frame_of(shaded(161, 121), pixel_format))
    gray = cv2.cvtColor(opened(jpeg_of(sample)), cv2.COLOR_BGR2GRAY)
    assert levels_apart(luma_of(sample), gray.astype(np.uint8)) <= LEVELS_APART


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le"])
def test_the_jpeg_has_the_colours_of_the_frame(pixel_format: str) -> None:
    colours = np.array([[30, 60, 200], [60, 190, 40], [210, 90, 30], [128, 128, 128]], np.uint8)
    picture = colours[None].repeat(96, 0).repeat(32, 1)
    shown = opened(jpeg_of(sample_of(frame_of(picture, pixel_format))))
    assert np.abs(shown[48, 16::32].astype(int) - colours).max() <= 2 * LEVELS_APART


@pytest.mark.parametrize(
    ("size", "longest_px", "expected"),
    [
        ((128, 96), 64, (64, 48)),
        ((96, 128), 64, (48, 64)),
        ((128, 96), 640, (128, 96)),
        ((161, 121), 100, (100, 75)),
        ((161, 121), 640, (161, 121)),
        ((1024, 4), 64, (64, 1)),
        ((3, 2), 64, (3, 2)),
    ],
)
def test_a_picture_is_no_larger_than_its_longest_side_may_be_and_never_enlarged(
    size: tuple[int, int], longest_px: int, expected: tuple[int, int]
) -> None:
    sample = sample_of(frame_of(texture(1, *size), "yuv444p"), longest_px)
    jpeg = jpeg_of(sample)
    assert (jpeg.width, jpeg.height) == expected
    assert opened(jpeg).shape[1::-1] == luma_of(sample).shape[::-1] == expected


@pytest.mark.parametrize("size", [(128, 96), (161, 121)])
@pytest.mark.parametrize(
    ("clockwise_deg", "turns"), [(0, 0), (90, 1), (180, 2), (270, 3)], ids=["0", "90", "180", "270"]
)
def test_luma_and_jpeg_are_upright(clockwise_deg: int, turns: int, size: tuple[int, int]) -> None:
    frame = frame_of(shaded(*size))
    upright = np.rot90(frame.to_ndarray(format="gray"), -turns).astype(np.uint8)
    sample = sample_of(frame, rotation_deg=clockwise_deg)
    jpeg = cv2.cvtColor(opened(jpeg_of(sample)), cv2.COLOR_BGR2GRAY).astype(np.uint8)
    assert levels_apart(luma_of(sample), upright) <= LEVELS_APART
    assert levels_apart(jpeg, upright) <= 2 * LEVELS_APART


def test_a_jpeg_of_lower_quality_is_smaller() -> None:
    sample = sample_of(frame_of(texture(1)))
    assert len(jpeg_of(sample, 50).data) < len(jpeg_of(sample, 90).data)


# Which are chosen.


@dataclass(frozen=True)
class Stretch:
    """Samples in some of the cells from the first to the last one."""

    samples: list[Sample]
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def chosen(self, count: int) -> dict[int, int]:
        """The cells of the chosen samples, by the number of their part."""
        taken = chosen(self.samples, self.first, self.last, count)
        return {part: sample.cell for part, sample in taken}

    def parts(self, count: int) -> dict[int, list[int]]:
        """The cells that have samples, by the number of the part that they belong to."""
        cells: dict[int, list[int]] = {}
        for sample in self.samples:
            part = (sample.cell - self.first) * count // self.length
            cells.setdefault(part, []).append(sample.cell)
        return cells

    def without(self, cells: set[int]) -> "Stretch":
        return replace(self, samples=[one for one in self.samples if one.cell not in cells])


def stretch_of(cells: Iterable[int], first: int, last: int) -> Stretch:
    nothing = np.zeros((2, 2), np.uint8)
    measured = signals.measure(nothing)
    samples = [Sample(10 * cell, cell, measured, nothing, Jpeg(b"", 2, 2)) for cell in cells]
    return Stretch(samples, first, last)


@st.composite
def stretches(draw: st.DrawFn) -> Stretch:
    first, length = draw(st.integers(0, 50)), draw(st.integers(1, 120))
    last = first + length - 1
    return stretch_of(sorted(draw(st.sets(st.integers(first, last)))), first, last)


counts = st.integers(1, 40)


@given(stretches(), counts)
def test_of_each_equal_part_the_sample_nearest_to_its_middle_is_chosen(
    stretch: Stretch, count: int
) -> None:
    taken, parts = stretch.chosen(count), stretch.parts(count)
    assert len(taken) <= count
    assert list(taken) == sorted(parts)
    for part, cell in taken.items():
        middle = stretch.first + (part + 0.5) * stretch.length / count
        nearest = min(abs(other + 0.5 - middle) for other in parts[part])
        assert cell in parts[part]
        assert abs(cell + 0.5 - middle) == pytest.approx(nearest)


@given(st.integers(0, 50), st.integers(1, 200), counts)
def test_where_no_sample_is_missing_the_chosen_ones_are_evenly_spread(
    first: int, length: int, count: int
) -> None:
    last = first + length - 1
    taken = list(stretch_of(range(first, last + 1), first, last).chosen(count).values())
    assert len(taken) == min(count, length)
    if length > count:
        assert abs(taken[0] + 0.5 - first - length / count / 2) <= 1
        assert all(abs(b - a - length / count) <= 1 for a, b in pairwise(taken))


@given(stretches(), counts, st.data())
def test_what_is_missing_in_one_part_changes_no_other(
    stretch: Stretch, count: int, data: st.DataObject
) -> None:
    assume(stretch.samples)
    before, parts = stretch.chosen(count), stretch.parts(count)
    part = data.draw(st.sampled_from(sorted(parts)))
    missing = data.draw(st.sets(st.sampled_from(parts[part])))
    after = stretch.without(missing).chosen(count)
    assert before | after == before | {part: after.get(part, before[part])}
    assert before.keys() - after.keys() == ({part} if missing == {*parts[part]} else set())


def test_without_samples_nothing_is_chosen() -> None:
    assert stretch_of([], 3, 9).chosen(4) == {}
