from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import scenedetect

from lakehouse.video.decode import Decoder
from lakehouse.video.probe import open_container, probe, video_stream
from lakehouse.video.shots import ShotDetector
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


def film(width: int = 128, height: int = 96) -> Iterator[Picture]:
    """Cuts at frames 30, 55 and 140, a fade to black and back around 71, the light out at 116."""
    yield from moving(30, 1, width, height)
    yield from moving(25, 2, width, height)
    for number, picture in enumerate(moving(31, 3, width, height)):
        yield (picture * (abs(number - 16) / 16)).astype(np.uint8)
    yield from moving(30, 4, width, height)
    yield from (picture // 3 for picture in moving(24, 4, width, height))
    yield from moving(20, 5, width, height)


def as_frame(picture: Picture) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")


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
    with path.open("rb") as source:
        facts = probe(source)
        detectors = {
            name: ShotDetector(name, threshold, facts.time_base, facts.frame_rate) for name in names
        }
        cuts: dict[str, list[int]] = {name: [] for name in names}
        starts: list[int] = []
        with open_container(source, facts.container) as container:
            for pts, frame in Decoder(container, video_stream(container), 2).frames():
                if starts and (pts - starts[0]) * facts.time_base > COMPARED_S:
                    break
                starts.append(pts)
                for name, detector in detectors.items():
                    cuts[name] += detector.add_frame(pts, frame)
    for name, detector in detectors.items():
        cuts[name] += detector.finish()
    return Found([float((pts - starts[0]) * facts.time_base) for pts in starts], cuts)


def assert_same(path: Path, reader: str, *names: str) -> None:
    found = ours(path, *names)
    for name in names:
        assert found.cuts[name] == found.frames(theirs(path, reader, DETECTORS[name]())), name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "film.mp4"
    path.write_bytes(record(film()))
    return path


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


@pytest.mark.parametrize("name", ["content", "adaptive", "histogram", "hash"])
def test_a_cut_is_reported_within_the_lag(name: str) -> None:
    detector = ShotDetector(name, None, Fraction(1, 25), 25.0)
    lags = [
        now - cut
        for now, picture in enumerate(film())
        for cut in detector.add_frame(now, as_frame(picture))
    ]
    assert lags
    assert 0 <= min(lags) <= max(lags) <= detector.lag_frames


def test_pictures_of_another_size_are_passed_over_but_counted() -> None:
    mixed = ShotDetector("content", None, Fraction(1, 50), 25.0)
    uniform = ShotDetector("content", None, Fraction(1, 50), 25.0)
    among_others, alone = [], []
    for number, picture in enumerate(film()):
        among_others += mixed.add_frame(2 * number, as_frame(picture))
        among_others += mixed.add_frame(2 * number + 1, as_frame(picture[::2, ::2]))
        alone += uniform.add_frame(2 * number, as_frame(picture))
    assert among_others == [2 * cut for cut in alone] != []


def test_a_stream_without_frames_has_no_cuts() -> None:
    assert ShotDetector("threshold", None, Fraction(1, 25), 25.0).finish() == []
