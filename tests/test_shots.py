import inspect
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import scenedetect
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scenedetect.common import Timecode

from lakehouse.video import shots
from lakehouse.video.content import Change, Glancer, change, exact_score, scaled
from lakehouse.video.decode import every_frame
from lakehouse.video.packets import Damage
from lakehouse.video.probe import open_container, probe, video_stream
from lakehouse.video.shots import ShotDetector, Sight, join, watcher
from tests.videos import B_FRAMES, Picture, moving, record

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
DETECTORS = {
    "content": scenedetect.ContentDetector,
    "adaptive": scenedetect.AdaptiveDetector,
    "histogram": scenedetect.HistogramDetector,
    "hash": scenedetect.HashDetector,
    "threshold": scenedetect.ThresholdDetector,
}
OPENCV, PYAV = "opencv", "pyav"
COMPARED_S = 10.0
TIME_BASE, RATE = Fraction(1, 25), 25.0


def film(width: int = 128, height: int = 96) -> Iterator[Picture]:
    """Cuts at frames 30, 55 and 140, a fade to black and back around 71, the light out at 116."""
    yield from moving(30, 1, width, height)
    yield from moving(25, 2, width, height)
    for number, picture in enumerate(moving(31, 3, width, height)):
        yield (picture * (abs(number - 16) / 16)).astype(np.uint8)
    yield from moving(30, 4, width, height)
    yield from (picture // 3 for picture in moving(24, 4, width, height))
    yield from moving(20, 5, width, height)


def shot(seed: int, length: int) -> Iterator[Picture]:
    """A soft picture that moves to the right."""
    colours = np.random.default_rng(seed).integers(20, 236, (5, 8, 3)).astype(np.uint8)
    still = cv2.resize(colours, (320, 180), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    for number in range(length):
        yield np.roll(still, 3 * number, axis=1)


def hard_cuts() -> Iterator[Picture]:
    """Shots of all lengths around the shortest that counts."""
    for seed, length in enumerate((20, 1, 16, 15, 14, 3, 30, 2)):
        yield from shot(seed, length)


def flashes() -> Iterator[Picture]:
    """White flashes of one to three frames, alone and close together."""
    lit = {12, 40, 41, 47, 48, 49, 53, 60, 63, 66, 69, 72, 75, 90}
    for number, picture in enumerate(shot(1, 110)):
        yield np.full_like(picture, 250) if number in lit else picture


def fast_motion() -> Iterator[Picture]:
    """The view turns by ever more a frame, with cuts in the turn and in the rest after it."""
    for number in range(90):
        (still,) = shot(number in range(45, 75), 1)
        yield np.roll(still, min(number, 60) ** 2 // 12, axis=1)


def noise() -> Iterator[Picture]:
    """Two cuts from one to another dim picture, under the noise of a dim sensor."""
    rng = np.random.default_rng(1)
    for still in chain.from_iterable(shot(seed, 25) for seed in range(3)):
        yield np.clip(still / 2 + rng.normal(0, 6, still.shape), 0, 255).astype(np.uint8)


SCENES: dict[str, Callable[[], Iterator[Picture]]] = {
    "film": film,
    "hard cuts": hard_cuts,
    "flashes": flashes,
    "fast motion": fast_motion,
    "noise": noise,
}
FRAMES = 160
TIMES_MS = [40 * number + 20 * (number * number % 3) for number in range(FRAMES)]
# OpenCV gives 10-bit pictures other colours than FFmpeg; PySceneDetect's PyAV reader takes the
# highest rate of a variable one for the average. Each of these is compared with the other reader.
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "B-frames": (OPENCV, {"options": B_FRAMES}),
    "HEVC": (OPENCV, {"codec": "libx265"}),
    "MKV, 30 a second": (OPENCV, {"suffix": "mkv", "frame_rate": 30}),
    "MPEG-TS": (OPENCV, {"suffix": "ts"}),
    "AVI": (OPENCV, {"suffix": "avi", "codec": "mpeg4"}),
    "variable rate": (OPENCV, {"times_ms": TIMES_MS}),
    "delayed start": (OPENCV, {"times_ms": [2000 + 40 * number for number in range(FRAMES)]}),
    "odd size, 4:4:4": (OPENCV, {"pictures": film(161, 121), "pixel_format": "yuv444p"}),
    "large": (OPENCV, {"pictures": film(640, 360)}),
    "10 bit": (PYAV, {"pixel_format": "yuv420p10le"}),
}


def as_frame(picture: Picture) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
    return frame.reformat(format="yuv420p")


@cache
def frames_of(scene: str) -> Sequence[av.VideoFrame]:
    return [as_frame(picture) for picture in SCENES[scene]()]


def seen(frames: Iterable[av.VideoFrame], name: str, threshold: float | None = None) -> list[Sight]:
    """What the named detector's watcher sees of a stream in one go."""
    looking = watcher(name, threshold)
    sights = [looking.see(frame) for frame in frames]
    looking.finish()
    return sights


def seen_in_parts(
    frames: Sequence[av.VideoFrame], splits: Iterable[int], name: str, threshold: float | None
) -> list[Sight]:
    """The same, each part between two splits by a watcher of its own."""
    sights: list[Sight] = []
    for start, end in pairwise([0, *sorted(splits), len(frames)]):
        looking = watcher(name, threshold, is_part=True)
        part = [looking.see(frame) for frame in frames[start:end]]
        looking.finish()
        if sights:
            join(sights[-1], part[0])
        sights += part
    return sights


def decided(
    sights: Sequence[Sight],
    name: str,
    threshold: float | None = None,
    times: Sequence[int] | None = None,
) -> list[int]:
    """The frames that the named detector cuts at, 25 frames a second if nothing else is said."""
    detector = ShotDetector(name, threshold, TIME_BASE, RATE)
    cuts = [detector.add(*shown) for shown in zip(times or range(len(sights)), sights, strict=True)]
    return [*chain.from_iterable(cuts), *detector.finish()]


def decided_by_theirs(
    detector: scenedetect.SceneDetector, pictures: Iterable[Any], times: Sequence[int]
) -> list[int]:
    """The frames that one of PySceneDetect's detectors cuts at, given what it expects."""
    cuts: list[scenedetect.FrameTimecode] = []
    for pts, picture in zip(times, pictures, strict=True):
        timecode = Timecode(pts=pts - times[0], time_base=TIME_BASE)
        time = scenedetect.FrameTimecode(timecode, fps=Fraction(RATE))
        cuts += detector.process_frame(time, picture)
    if times:
        cuts += detector.post_process(time)
    return [bisect_left(times, cut.seconds * RATE - 0.5 + times[0]) for cut in cuts]


def theirs(path: Path, reader: str, detector: scenedetect.SceneDetector) -> list[float]:
    """PySceneDetect's cuts, in seconds after the first frame."""
    manager = scenedetect.SceneManager()
    manager.add_detector(detector)
    manager.detect_scenes(scenedetect.open_video(str(path), backend=reader), duration=COMPARED_S)
    return [start.seconds for start, _ in manager.get_scene_list()[1:]]


@dataclass(frozen=True)
class Found:
    """When each frame is shown, and the frames that each detector cuts at."""

    times_s: list[float]
    cuts: dict[str, list[int]]

    def frames(self, cuts_s: list[float]) -> list[int]:
        """The first frame shown at each of these times, or after: fades end between frames."""
        return [bisect_left(self.times_s, time_s - 0.001) for time_s in cuts_s]


def ours(path: Path, *names: str, threshold: float | None = None) -> Found:
    """The cuts of our detectors, from one decode for all of them."""
    times: list[int] = []
    watchers = {name: watcher(name, threshold) for name in names}
    sights: dict[str, list[Sight]] = {name: [] for name in names}
    with path.open("rb") as source:
        facts = probe(source)
        with open_container(source, facts.container) as container:
            for decoded in every_frame(container, video_stream(container), Damage()):
                assert decoded.pts is not None
                assert decoded.frame is not None
                if times and (decoded.pts - times[0]) * facts.time_base > COMPARED_S:
                    break
                times.append(decoded.pts)
                for name in names:
                    sights[name].append(watchers[name].see(decoded.frame))
    cuts: dict[str, list[int]] = {}
    for name in names:
        watchers[name].finish()
        detector = ShotDetector(name, threshold, facts.time_base, facts.frame_rate)
        found = [detector.add(*shown) for shown in zip(times, sights[name], strict=True)]
        cuts[name] = [*chain.from_iterable(found), *detector.finish()]
    return Found([float((pts - times[0]) * facts.time_base) for pts in times], cuts)


def assert_same(path: Path, reader: str, *names: str) -> None:
    found = ours(path, *names)
    for name in names:
        assert found.cuts[name] == found.frames(theirs(path, reader, DETECTORS[name]())), name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "film.mp4"
    path.write_bytes(record(film()))
    return path


def test_the_defaults_are_those_of_pyscenedetect() -> None:
    content = inspect.signature(scenedetect.ContentDetector).parameters
    assert content["threshold"].default == shots._CONTENT_THRESHOLD
    assert content["min_scene_len"].default == shots._MIN_SHOT_FRAMES
    adaptive = inspect.signature(scenedetect.AdaptiveDetector).parameters
    assert adaptive["adaptive_threshold"].default == shots._ADAPTIVE_RATIO
    assert adaptive["min_content_val"].default == shots._ADAPTIVE_MIN_SCORE
    assert adaptive["window_width"].default == shots._ADAPTIVE_RADIUS


@pytest.mark.parametrize("kind", MADE)
def test_every_detector_cuts_where_pyscenedetect_does(kind: str, tmp_path: Path) -> None:
    reader, arguments = MADE[kind]
    arguments = {"pictures": film(), **arguments}
    path = tmp_path / f"film.{arguments.get('suffix', 'mp4')}"
    path.write_bytes(record(**arguments))
    assert_same(path, reader, *DETECTORS)


def test_the_film_has_something_for_every_detector(made: Path) -> None:
    cuts = ours(made, *DETECTORS).cuts
    assert cuts["content"] == [30, 55, 86, 116, 140]
    assert cuts["threshold"] == [72]
    assert all({116, 140} <= set(cuts[name]) for name in ("adaptive", "histogram", "hash"))


@pytest.mark.parametrize(
    ("name", "option", "threshold"),
    [
        ("content", "threshold", 27.0),
        ("content", "threshold", 12.0),
        ("content", "threshold", 45.0),
        ("adaptive", "adaptive_threshold", 3.0),
        ("adaptive", "adaptive_threshold", 1.3),
        ("adaptive", "adaptive_threshold", 8.0),
        ("histogram", "threshold", 0.05),
        ("histogram", "threshold", 0.3),
        ("hash", "threshold", 0.395),
        ("hash", "threshold", 0.2),
        ("threshold", "threshold", 12),
        ("threshold", "threshold", 60),
    ],
)
@pytest.mark.parametrize("scene", SCENES)
def test_the_cuts_of_every_scene_are_those_of_pyscenedetect_at_any_threshold(
    scene: str, name: str, option: str, threshold: float
) -> None:
    frames = frames_of(scene)
    detector = DETECTORS[name](**{option: threshold})
    expected = decided_by_theirs(detector, map(scaled, frames), range(len(frames)))
    assert decided(seen(frames, name, threshold), name, threshold) == expected


@pytest.mark.parametrize("name", ["content", "adaptive"])
@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_has_cuts(scene: str, name: str) -> None:
    assert decided(seen(frames_of(scene), name), name)


@pytest.mark.parametrize(
    "path",
    [path for kind in ("robot", "general") for path in sorted(FOOTAGE.glob(f"{kind}/*.[ma][pv]*"))],
    ids=lambda path: path.stem,
)
def test_content_cuts_of_real_footage_are_those_of_pyscenedetect(path: Path) -> None:
    assert_same(path, PYAV if "av1" in path.stem else OPENCV, "content")


@pytest.mark.parametrize(
    "path",
    [
        FOOTAGE / "robot" / "cear_onboard_rgb_dark_to_light_DERIVED.mp4",
        FOOTAGE / "robot" / "mbra_quad_3.mp4",
        FOOTAGE / "general" / "pyscenedetect_fades.mp4",
    ],
    ids=lambda path: path.stem,
)
def test_all_cuts_of_real_footage_are_those_of_pyscenedetect(path: Path) -> None:
    if not path.exists():
        pytest.skip("no footage here")
    assert_same(path, OPENCV, *(name for name in DETECTORS if name != "content"))


def test_a_threshold_replaces_the_detectors_own(made: Path) -> None:
    found = ours(made, "content", threshold=60.0)
    expected = theirs(made, OPENCV, scenedetect.ContentDetector(threshold=60.0))
    assert found.cuts["content"] == found.frames(expected)
    assert found.cuts != ours(made, "content").cuts


class GivenScores(scenedetect.ContentDetector):  # type: ignore[misc]
    """PySceneDetect's, over scores instead of pictures."""

    def _calculate_frame_score(self, _: Any, score: float) -> float:
        return score


class GivenScoresAdaptive(GivenScores, scenedetect.AdaptiveDetector):  # type: ignore[misc]
    """The other one likewise."""


# Frames that follow each other fast or slowly, mostly alike.
scored = st.lists(
    st.tuples(
        st.one_of(st.just(1), st.integers(1, 4), st.integers(1, 90)),
        st.sampled_from([0.0, 2.0, 8.0, 14.0, 26.9, 27.0, 60.0]),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(scored, st.sampled_from(["content", "adaptive"]), st.integers(-99, 99))
@example([(1, 0.0)] * 20 + [(1, 60.0)] * 30 + [(45, 0.0), (1, 0.0), (1, 0.0)], "content", 0)
def test_the_decision_over_given_scores_is_that_of_pyscenedetect_whatever_the_frame_rate(
    frames: list[tuple[int, float]], name: str, start: int
) -> None:
    times = list(accumulate((ticks for ticks, _ in frames), initial=start))[: len(frames)]
    scores = [score for _, score in frames]
    detector = GivenScores() if name == "content" else GivenScoresAdaptive()
    expected = decided_by_theirs(detector, scores, times)
    sights = [Sight(Change(score, score)) for score in scores]
    assert decided(sights, name, times=times) == expected


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


@pytest.mark.parametrize("name", ["content", "adaptive", "histogram", "hash"])
def test_a_cut_is_reported_within_the_lag(name: str) -> None:
    detector = ShotDetector(name, None, TIME_BASE, RATE)
    sights = seen(frames_of("flashes"), name)
    lags = [now - cut for now, sight in enumerate(sights) for cut in detector.add(now, sight)]
    assert lags
    assert 0 <= min(lags) <= max(lags) <= detector.lag_frames


def test_a_frame_has_the_pts_that_it_came_with() -> None:
    detector = ShotDetector("content", None, TIME_BASE, RATE)
    for pts in (7, 9, 20):
        detector.add(pts, Sight())
    assert [detector.pts(frame) for frame in range(3)] == [7, 9, 20]


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
