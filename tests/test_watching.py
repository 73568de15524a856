"""Watching a stream: what is seen of it is final soon, and the same in one go and in parts.

Where that cuts is `test_shots`.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, pairwise

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse.video.content import Change, Glancer, change, exact_score
from lakehouse.video.shots import Sight, join, watcher
from tests.cuts import DETECTORS, GivenScores, GivenScoresAdaptive, decided, decided_by_theirs, seen
from tests.films import FRAMES, SCENES, as_frame, film, frames_of


def seen_in_parts(
    frames: Sequence[av.VideoFrame], splits: Iterable[int], name: str, threshold: float | None
) -> list[Sight]:
    """What `seen` sees, each part between two splits by a watcher of its own."""
    sights: list[Sight] = []
    for start, end in pairwise([0, *sorted(splits), len(frames)]):
        looking = watcher(name, threshold, is_part=True)
        part = [looking.see(frame) for frame in frames[start:end]]
        looking.finish()
        if sights:
            join(sights[-1], part[0])
        sights += part
    return sights


@cache
def scores_of(scene: str) -> tuple[list[float], list[float]]:
    """The exact scores of a scene's frames, and those that their tiny pictures tell."""
    glances = list(map(Glancer().glance, frames_of(scene)))
    pairs = list(zip([None, *glances], glances, strict=False))
    return [exact_score(*pair) for pair in pairs], [change(*pair).score for pair in pairs]


def told_apart(scene: str, name: str, frame: int) -> float:
    """A threshold so close to a frame's exact level that an estimate in it may be told."""

    def level(scores: list[float]) -> float:
        around = scores[max(0, frame - 2) : frame] + scores[frame + 1 : frame + 3]
        return scores[frame] if name == "content" else scores[frame] * 4 / max(sum(around), 0.1)

    exact, estimated = map(level, scores_of(scene))
    return exact + (estimated - exact) / 20


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(SCENES)),
    st.sampled_from(["content", "adaptive"]),
    st.integers(1, 69),
    st.sets(st.integers(-6, 6), max_size=4),
)
@example("hard cuts", "content", 37, {0})
@example("noise", "adaptive", 50, {-2})
@example("noise", "adaptive", 50, {-1})
@example("noise", "adaptive", 50, {0})
@example("noise", "adaptive", 50, {1})
@example("noise", "adaptive", 50, {2})
@example("noise", "adaptive", 50, set(range(-9, 9)))
def test_in_one_go_or_in_parts_the_cuts_are_those_of_the_exact_scores_at_the_closest_thresholds(
    scene: str, name: str, frame: int, splits: set[int]
) -> None:
    frames = frames_of(scene)
    threshold = told_apart(scene, name, frame)
    detector = (
        GivenScores(threshold=threshold)
        if name == "content"
        else GivenScoresAdaptive(adaptive_threshold=threshold)
    )
    expected = decided_by_theirs(detector, scores_of(scene)[0], range(len(frames)))
    in_one_go = seen(frames, name, threshold)
    around = {frame + split for split in splits if 0 < frame + split < len(frames)}
    in_parts = seen_in_parts(frames, around, name, threshold)
    assert decided(in_one_go, name, threshold) == expected
    assert decided(in_parts, name, threshold) == expected


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(sorted(SCENES)),
    st.sampled_from(["content", "adaptive"]),
    st.sets(st.integers(1, 69), max_size=8),
)
@example("flashes", "content", set(range(1, 69)))
@example("flashes", "adaptive", set(range(1, 69)))
def test_a_stream_seen_in_parts_has_the_same_cuts_and_changes_wherever_it_is_split(
    scene: str, name: str, splits: set[int]
) -> None:
    in_parts = seen_in_parts(frames_of(scene), splits, name, None)
    in_one_go = seen(frames_of(scene), name)
    assert decided(in_parts, name) == decided(in_one_go, name)
    assert [one.change.value for one in in_parts] == [one.change.value for one in in_one_go]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_sight_is_final_after_the_delay(name: str) -> None:
    looking = watcher(name, None)
    seen_before: list[tuple[Sight, Change]] = []
    sights: list[Sight] = []
    for frame in frames_of("hard cuts"):
        sights.append(looking.see(frame))
        if len(sights) > looking.delay_frames:
            final = sights[-1 - looking.delay_frames]
            seen_before.append((final, final.change))
    looking.finish()
    assert all(sight.change == before for sight, before in seen_before)


def test_the_frames_of_a_stream_are_let_go_of() -> None:
    for name in DETECTORS:
        assert all(sight.glance is None for sight in seen(frames_of("film"), name))
        in_parts = seen_in_parts(frames_of("film"), {50, 90}, name, None)
        held = [number for number, sight in enumerate(in_parts) if sight.glance]
        assert set(held) <= {0, 49, 50, 89, 90, FRAMES - 1}


@pytest.mark.parametrize("name", ["content", "adaptive"])
def test_another_size_alone_is_no_cut_and_hides_none(name: str) -> None:
    smaller = [as_frame(picture) for picture in film(96, 72)]
    mixed = [*frames_of("film")[:100], *smaller[100:]]
    cuts = decided(seen(mixed, name), name)
    assert cuts == decided(seen(frames_of("film"), name), name)


@pytest.mark.parametrize("name", DETECTORS)
def test_sizes_that_alternate_do_no_harm(name: str) -> None:
    smaller = [as_frame(picture[::2, ::2]) for picture in film()]
    frames = list(chain.from_iterable(zip(frames_of("film")[:40], smaller[:40], strict=True)))
    cuts = decided(seen(frames, name), name)
    assert cuts == sorted(cuts)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_stream_without_frames_has_no_cuts(name: str) -> None:
    assert decided(seen([], name), name) == []
    assert decided(seen_in_parts([], [], name, None), name) == []
