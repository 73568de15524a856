from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.video.tiling import Span, Tiler, tiles

BOUNDARIES = {"start", "cut", "length", "damage", "dark"}


def tiled(
    starts: Sequence[int],
    end_pts: int,
    cuts: Mapping[int, int] = {},
    *,
    states: Mapping[int, int] = {},
    losses: Sequence[int] = (),
    stirs: Mapping[int, float] = {},
    min_ticks: int,
    max_ticks: int,
    lag_frames: int = 0,
    lag_ticks: int = 0,
) -> list[Span]:
    """Spans of frames that begin at `starts`.

    `cuts` maps the frame of a cut to the frame that reveals it, `states` the pts at which it gets
    dark likewise; the end reveals the rest. Before each frame of `losses`, all but the first tick
    since the frame before is lost. Frames without a stir in `stirs` are quiet.
    """
    tiler = Tiler(
        min_ticks=min_ticks, max_ticks=max_ticks, lag_frames=lag_frames, lag_ticks=lag_ticks
    )
    spans: list[Span] = []
    for now, pts in enumerate([*starts, None]):
        if pts is not None:
            if now and now in losses:
                spans += tiler.lose(starts[now - 1] + 1, pts)
            spans += tiler.add_frame(pts, stirs.get(now, 0.0))
        for cut in sorted(cut for cut, told in cuts.items() if told == now):
            spans += tiler.cut(cut)
        for moment in sorted(moment for moment, told in states.items() if told == now):
            spans += tiler.cut_at(moment, "dark")
    return spans + list(tiler.finish(end_pts))


def boundaries(spans: list[Span]) -> list[tuple[int, str]]:
    return [(span.start_frame, span.boundary) for span in spans]


def seconds(count: int) -> list[int]:
    """Pts of this many frames, ten a second, in ticks of a tenth."""
    return list(range(10 * count))


@dataclass(frozen=True)
class Walk:
    """Frames that last as long as they like, and what is reported of them within the lag."""

    starts: list[int]
    end_pts: int
    stirs: dict[int, float]
    lag_frames: int
    lag_ticks: int
    cuts: dict[int, int]
    states: dict[int, int]
    losses: list[int]
    min_ticks: int
    max_ticks: int

    def spans(self) -> list[Span]:
        return tiled(**self.__dict__)


@st.composite
def walks(draw: st.DrawFn, with_losses: bool = True) -> Walk:
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=120))
    *starts, end = accumulate(lengths, initial=draw(st.integers(-50, 50)))
    numbers = st.integers(0, len(starts) - 1)
    lag_frames, lag_ticks = draw(st.integers(0, 5)), draw(st.integers(0, 50))
    least = draw(st.integers(0, 60))
    # Boundaries are told in order, each by the last frame that is in time for it, or before.
    # A frame tells of cuts first.
    cuts, states = (draw(st.sets(numbers, max_size=8)) for _ in range(2))
    told_cuts: dict[int, int] = {}
    told_states: dict[int, int] = {}
    last = len(starts)
    for frame in sorted(cuts | states, reverse=True):
        if frame in states:
            in_time = [n for n, pts in enumerate(starts) if pts <= starts[frame] + lag_ticks]
            last = told_states[starts[frame]] = min(
                last - (last in told_cuts.values()), in_time[-1]
            )
        if frame in cuts:
            last = told_cuts[frame] = min(last, frame + lag_frames)
    return Walk(
        starts,
        end,
        dict(enumerate(draw(st.lists(st.sampled_from([0.0, 1.0, 9.0]), max_size=len(starts))))),
        lag_frames,
        lag_ticks,
        told_cuts,
        told_states,
        draw(st.lists(numbers, max_size=4)) if with_losses else [],
        least,
        draw(st.integers(max(2 * least, 1), 200)),
    )


late_reports = st.dictionaries(st.integers(-60, 200), st.integers(0, 200), max_size=12)


@given(walks(), late_reports, late_reports)
def test_spans_tile_the_stream_whatever_is_reported_and_however_late(
    walk: Walk, cuts: dict[int, int], states: dict[int, int]
) -> None:
    reported = {"cuts": walk.cuts | cuts, "states": walk.states | states}
    spans = tiled(**(walk.__dict__ | reported))
    assert tiles(spans)
    assert (spans[0].start_frame, spans[0].start_pts) == (0, walk.starts[0])
    assert (spans[-1].end_frame, spans[-1].end_pts) == (len(walk.starts), walk.end_pts)


@given(walks())
def test_only_a_lost_span_has_no_frames(walk: Walk) -> None:
    lost = [span for span in walk.spans() if span.start_frame == span.end_frame]
    assert [span.start_frame for span in lost] == sorted({n for n in walk.losses if n})
    assert all(span.is_lost and span.boundary == "damage" for span in lost)


@given(walks())
def test_the_pts_of_a_span_are_those_of_its_frames(walk: Walk) -> None:
    bounds = [*walk.starts, walk.end_pts]
    for span in walk.spans():
        if span.is_lost:
            before = walk.starts[span.start_frame - 1]
            assert (span.start_pts, span.end_pts) == (before + 1, bounds[span.end_frame])
        else:
            assert span.start_pts == bounds[span.start_frame]
            is_before_loss = span.end_frame in walk.losses
            last = walk.starts[span.end_frame - 1]
            assert span.end_pts == (last + 1 if is_before_loss else bounds[span.end_frame])


@given(walks(), late_reports)
def test_no_span_is_longer_than_the_most_by_more_than_one_of_its_frames(
    walk: Walk, cuts: dict[int, int]
) -> None:
    for span in tiled(**(walk.__dict__ | {"cuts": walk.cuts | cuts})):
        if not span.is_lost:
            frames = [*walk.starts[span.start_frame : span.end_frame], span.end_pts]
            longest = max(after - before for before, after in pairwise(frames))
            assert span.end_pts - span.start_pts <= walk.max_ticks + longest


@given(walks())
def test_dividing_a_shot_never_yields_a_part_shorter_than_the_least(walk: Walk) -> None:
    spans = walk.spans()
    for span, after in zip(spans, [*spans[1:], None], strict=True):
        if span.boundary == "length" or (after and after.boundary == "length"):
            assert span.end_pts - span.start_pts >= walk.min_ticks


@given(walks(with_losses=False))
def test_a_boundary_that_is_reported_in_time_is_honoured(walk: Walk) -> None:
    starts = {span.start_frame for span in walk.spans()}
    assert {*walk.cuts, *map(walk.starts.index, walk.states)} <= starts


@given(walks())
def test_every_boundary_has_its_reason(walk: Walk) -> None:
    first, *others = walk.spans()
    assert first.boundary == "start"
    for span in others:
        assert span.boundary in BOUNDARIES - {"start"}
        assert span.boundary != "cut" or span.start_frame in walk.cuts
        assert span.boundary != "dark" or span.start_pts in walk.states
        assert span.boundary != "damage" or span.start_frame in walk.losses


@given(st.lists(st.integers(0, 2), min_size=140, max_size=140))
def test_a_long_shot_is_divided_at_the_quietest_frame_of_the_last_quarter_before_the_most(
    levels: list[int],
) -> None:
    stirs = dict(enumerate(map(float, levels)))
    first, *_ = tiled(range(140), 140, stirs=stirs, min_ticks=20, max_ticks=80)
    assert first.end_frame == min(range(60, 81), key=lambda frame: (levels[frame], 80 - frame))


def test_of_equally_quiet_frames_the_one_nearest_to_the_most_divides() -> None:
    stirs = dict.fromkeys(range(430), 5.0) | {165: 1.0, 180: 1.0}
    spans = tiled(seconds(43), 430, stirs=stirs, min_ticks=40, max_ticks=200)
    assert spans[0] == Span(0, 180, 0, 180, "start")


def test_a_quiet_frame_before_the_last_quarter_divides_nothing() -> None:
    stirs = dict.fromkeys(range(430), 5.0) | {149: 0.0, 201: 0.0}
    spans = tiled(seconds(43), 430, stirs=stirs, min_ticks=40, max_ticks=200)
    assert spans[0] == Span(0, 200, 0, 200, "start")


def test_a_rest_is_divided_at_the_quietest_frame_around_its_middle() -> None:
    stirs = dict.fromkeys(range(230), 5.0) | {89: 0.0, 95: 1.0, 141: 0.0}
    spans = tiled(seconds(23), 230, stirs=stirs, min_ticks=40, max_ticks=200)
    assert spans == [Span(0, 95, 0, 95, "start"), Span(95, 230, 95, 230, "length")]


def test_a_short_shot_stays_whole() -> None:
    spans = tiled(seconds(10), 100, {30: 30}, min_ticks=40, max_ticks=200)
    assert spans == [Span(0, 30, 0, 30, "start"), Span(30, 100, 30, 100, "cut")]


def test_a_long_shot_is_divided_by_length_and_its_last_two_parts_share_the_rest() -> None:
    spans = tiled(seconds(43), 430, min_ticks=40, max_ticks=200)
    assert spans == [
        Span(0, 200, 0, 200, "start"),
        Span(200, 315, 200, 315, "length"),
        Span(315, 430, 315, 430, "length"),
    ]


def test_a_shot_that_no_frame_divides_stays_whole() -> None:
    # 81 ticks of three a frame: at 39 the first part, at 42 the second were shorter than 40.
    assert tiled(range(0, 81, 3), 81, min_ticks=40, max_ticks=80) == [Span(0, 27, 0, 81, "start")]


def test_a_long_shot_is_out_before_it_ends() -> None:
    tiler = Tiler(min_ticks=40, max_ticks=200, lag_frames=5)
    out = {now: list(tiler.add_frame(pts)) for now, pts in enumerate(seconds(40))}
    assert {now: spans for now, spans in out.items() if spans} == {
        246: [Span(0, 200, 0, 200, "start")]
    }


def test_a_long_shot_waits_for_the_longer_lag() -> None:
    tiler = Tiler(min_ticks=40, max_ticks=200, lag_frames=5, lag_ticks=30)
    out = [now for now, pts in enumerate(seconds(40)) if list(tiler.add_frame(pts))]
    assert out == [271]


def test_a_cut_inside_a_span_that_is_out_is_ignored() -> None:
    spans = tiled(seconds(40), 400, {150: 270}, min_ticks=40, max_ticks=200)
    assert boundaries(spans) == [(0, "start"), (200, "length")]


def test_a_late_cut_of_a_short_shot_still_counts() -> None:
    spans = tiled(seconds(20), 200, {50: 170}, min_ticks=40, max_ticks=200)
    assert boundaries(spans) == [(0, "start"), (50, "cut")]


def test_a_state_begins_with_the_first_frame_at_or_after_its_pts() -> None:
    spans = tiled(range(0, 100, 5), 100, states={41: 10, 70: 16}, min_ticks=20, max_ticks=200)
    assert spans == [
        Span(0, 9, 0, 45, "start"),
        Span(9, 14, 45, 70, "dark"),
        Span(14, 20, 70, 100, "dark"),
    ]


def test_a_state_before_the_first_or_after_the_last_frame_is_no_boundary() -> None:
    spans = tiled(seconds(10), 100, states={-5: 50, 0: 50, 100: 99}, min_ticks=20, max_ticks=200)
    assert boundaries(spans) == [(0, "start")]


def test_what_is_lost_is_a_span_without_frames_between_two_with_frames() -> None:
    tiler = Tiler(min_ticks=4, max_ticks=200)
    spans = [*tiler.add_frame(0), *tiler.add_frame(10), *tiler.lose(20, 50)]
    assert spans == [Span(0, 2, 0, 20, "start"), Span(2, 2, 20, 50, "damage")]
    assert [span.is_lost for span in spans] == [False, True]
    assert [*tiler.add_frame(50), *tiler.finish(60)] == [Span(2, 3, 50, 60, "damage")]


def test_a_frame_lasts_at_least_a_tick_before_a_loss() -> None:
    tiler = Tiler(min_ticks=4, max_ticks=200)
    assert tiles([*tiler.add_frame(7), *tiler.lose(7, 50)])


def test_the_last_frame_lasts_at_least_a_tick() -> None:
    assert tiled([0, 10, 20], 15, min_ticks=0, max_ticks=99)[-1].end_pts == 21


def test_a_stream_without_frames_has_no_spans() -> None:
    assert tiled([], 0, min_ticks=4, max_ticks=20) == []


def test_a_gap_between_spans_is_noticed() -> None:
    one, other = Span(0, 5, 0, 50, "start"), Span(5, 9, 51, 90, "cut")
    assert tiles([one])
    assert not tiles([one, other])
