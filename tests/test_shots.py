"""Shots: every detector cuts where PySceneDetect's does, whatever the footage and the threshold.

What a watcher sees, in one go or in parts, is `test_watching`.
"""

import inspect
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import pytest
import scenedetect
from av.video.reformatter import VideoReformatter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse.video import shots
from lakehouse.video.content import Change, scaled
from lakehouse.video.decode import every_frame
from lakehouse.video.packets import Damage
from lakehouse.video.probe import open_container, probe, video_stream
from lakehouse.video.shots import ShotDetector, Sight, watcher
from tests.cuts import (
    DETECTORS,
    RATE,
    TIME_BASE,
    GivenScores,
    GivenScoresAdaptive,
    decided,
    decided_by_theirs,
    seen,
)
from tests.films import FRAMES, SCENES, film, frames_of
from tests.videos import B_FRAMES, record

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
OPENCV, PYAV = "opencv", "pyav"
COMPARED_S = 10.0
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
    reformatter = VideoReformatter()
    pictures = (scaled(frame, reformatter) for frame in frames)
    expected = decided_by_theirs(detector, pictures, range(len(frames)))
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
