from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.video.tiling import Span, Tiler, tiles


def tiled(
    starts: list[int],
    end_pts: int,
    cuts: dict[int, int],
    *,
    min_ticks: int,
    max_ticks: int,
    lag_frames: int = 0,
) -> list[Span]:
    """Spans of frames that begin at `starts`. `cuts` maps a cut to how late it is reported."""
    tiler = Tiler(min_ticks=min_ticks, max_ticks=max_ticks, lag_frames=lag_frames)
    spans: list[Span] = []
    for now, pts in enumerate(starts):
        spans += tiler.add_frame(pts)
        for cut in sorted(cut for cut, late in cuts.items() if cut + late == now):
            spans += tiler.cut(cut)
    for cut in sorted(cut for cut, late in cuts.items() if cut + late >= len(starts)):
        spans += tiler.cut(cut)
    return spans + list(tiler.finish(end_pts))


def boundaries(spans: list[Span]) -> list[tuple[int, str]]:
    return [(span.start_frame, span.boundary) for span in spans]


def seconds(count: int) -> list[int]:
    """Pts of this many frames, ten a second, in ticks of a tenth."""
    return list(range(10 * count))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], int]:
    """Pts of frames that last as long as they like, and where the last one ends."""
    first = draw(st.integers(-50, 50))
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=120))
    *starts, end = accumulate(lengths, initial=first)
    return starts, end


@st.composite
def regular_streams(draw: st.DrawFn) -> tuple[list[int], int]:
    length, count = draw(st.integers(1, 9)), draw(st.integers(1, 200))
    return [length * number for number in range(count)], length * count


limits = st.integers(0, 60).flatmap(
    lambda least: st.tuples(st.just(least), st.integers(max(2 * least, 1), 200))
)
late_cuts = st.dictionaries(st.integers(0, 200), st.integers(0, 20), max_size=12)


@given(streams(), limits, late_cuts, st.integers(0, 5))
def test_spans_tile_the_stream_from_its_first_frame_to_its_end(
    stream: tuple[list[int], int], limit: tuple[int, int], cuts: dict[int, int], lag_frames: int
) -> None:
    starts, end = stream
    least, most = limit
    spans = tiled(starts, end, cuts, min_ticks=least, max_ticks=most, lag_frames=lag_frames)
    assert tiles(spans)
    assert (spans[0].start_frame, spans[0].start_pts) == (0, starts[0])
    assert (spans[-1].end_frame, spans[-1].end_pts) == (len(starts), end)
    assert all(span.start_frame < span.end_frame for span in spans)


@given(streams(), limits, late_cuts)
def test_the_pts_of_a_span_are_those_of_its_frames(
    stream: tuple[list[int], int], limit: tuple[int, int], cuts: dict[int, int]
) -> None:
    starts, end = stream
    bounds = [*starts, end]
    for span in tiled(starts, end, cuts, min_ticks=limit[0], max_ticks=limit[1]):
        assert span.start_pts == bounds[span.start_frame]
        assert span.end_pts == bounds[span.end_frame]


@given(streams(), limits, late_cuts, st.integers(0, 5))
def test_no_span_is_longer_than_the_most_by_more_than_one_of_its_frames(
    stream: tuple[list[int], int], limit: tuple[int, int], cuts: dict[int, int], lag_frames: int
) -> None:
    starts, end = stream
    least, most = limit
    bounds = [*starts, end]
    for span in tiled(starts, end, cuts, min_ticks=least, max_ticks=most, lag_frames=lag_frames):
        frames = pairwise(bounds[span.start_frame : span.end_frame + 1])
        assert span.end_pts - span.start_pts <= most + max(b - a for a, b in frames)


@given(regular_streams(), limits, late_cuts, st.integers(0, 5))
def test_dividing_a_shot_never_yields_a_part_shorter_than_the_least(
    stream: tuple[list[int], int], limit: tuple[int, int], cuts: dict[int, int], lag_frames: int
) -> None:
    starts, end = stream
    least, most = limit
    in_time = {cut: min(late, lag_frames) for cut, late in cuts.items()}
    spans = tiled(starts, end, in_time, min_ticks=least, max_ticks=most, lag_frames=lag_frames)
    for number, span in enumerate(spans):
        divided_after = number + 1 < len(spans) and spans[number + 1].boundary == "length"
        if span.boundary == "length" or divided_after:
            assert span.end_pts - span.start_pts >= least


@given(streams(), limits, late_cuts, st.integers(0, 5))
def test_a_cut_that_is_reported_in_time_is_a_boundary(
    stream: tuple[list[int], int], limit: tuple[int, int], cuts: dict[int, int], lag_frames: int
) -> None:
    starts, end = stream
    # Detectors report in order: a later cut never comes before an earlier one.
    in_time = {cut: lag_frames for cut in cuts if cut < len(starts)}
    spans = tiled(
        starts, end, in_time, min_ticks=limit[0], max_ticks=limit[1], lag_frames=lag_frames
    )
    assert set(in_time) <= {span.start_frame for span in spans}


@given(streams(), late_cuts)
def test_only_cuts_and_length_start_a_span_after_the_first(
    stream: tuple[list[int], int], cuts: dict[int, int]
) -> None:
    starts, end = stream
    spans = tiled(starts, end, dict.fromkeys(cuts, 0), min_ticks=5, max_ticks=60)
    assert spans[0].boundary == "start"
    for span in spans[1:]:
        assert span.boundary in {"cut", "length"}
        assert span.start_frame in cuts or span.boundary == "length"


def test_a_short_shot_stays_whole() -> None:
    spans = tiled(seconds(10), 100, {30: 0}, min_ticks=40, max_ticks=200)
    assert spans == [Span(0, 30, 0, 30, "start"), Span(30, 100, 30, 100, "cut")]


def test_a_long_shot_is_divided_by_length_and_its_last_two_parts_share_the_rest() -> None:
    spans = tiled(seconds(43), 430, {}, min_ticks=40, max_ticks=200)
    assert spans == [
        Span(0, 200, 0, 200, "start"),
        Span(200, 315, 200, 315, "length"),
        Span(315, 430, 315, 430, "length"),
    ]


def test_a_shot_that_no_frame_divides_stays_whole() -> None:
    # 81 ticks of three a frame: at 39 the first part, at 42 the second were shorter than 40.
    assert tiled(list(range(0, 81, 3)), 81, {}, min_ticks=40, max_ticks=80) == [
        Span(0, 27, 0, 81, "start")
    ]


def test_a_long_shot_is_out_before_it_ends() -> None:
    tiler = Tiler(min_ticks=40, max_ticks=200, lag_frames=5)
    out = {now: list(tiler.add_frame(pts)) for now, pts in enumerate(seconds(40))}
    assert {now: spans for now, spans in out.items() if spans} == {
        246: [Span(0, 200, 0, 200, "start")]
    }


def test_a_cut_inside_a_span_that_is_out_is_ignored() -> None:
    spans = tiled(seconds(40), 400, {150: 120}, min_ticks=40, max_ticks=200)
    assert boundaries(spans) == [(0, "start"), (200, "length")]


def test_a_late_cut_of_a_short_shot_still_counts() -> None:
    spans = tiled(seconds(20), 200, {50: 120}, min_ticks=40, max_ticks=200)
    assert boundaries(spans) == [(0, "start"), (50, "cut")]


def test_the_last_frame_lasts_at_least_a_tick() -> None:
    assert tiled([0, 10, 20], 15, {}, min_ticks=0, max_ticks=99)[-1].end_pts == 21


def test_a_stream_without_frames_has_no_spans() -> None:
    assert tiled([], 0, {}, min_ticks=4, max_ticks=20) == []


def test_a_gap_between_spans_is_noticed() -> None:
    one, other = Span(0, 5, 0, 50, "start"), Span(5, 9, 51, 90, "cut")
    assert tiles([one])
    assert not tiles([one, other])
