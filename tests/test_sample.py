"""The sample: footage whose truth holds for any options, and that looks like what it claims."""

from dataclasses import astuple, replace
from datetime import date
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect import ContentDetector, detect

from lakehouse.errors import UserError
from lakehouse.sample.footage import BUCKET_FOLDER, TRUTH_FILE, SampleOptions, planned, write_sample
from lakehouse.sample.rooms import WARM
from lakehouse.sample.truth import (
    REASONS,
    STATE_REASONS,
    FileTruth,
    ShotTruth,
    StateSpan,
    Truth,
    read_truth,
)
from lakehouse.sample.walk import Walk

DAY = date(2026, 3, 2)
SMALL = SampleOptions(width=160, height=90, fps=10, duration_s=20, days=(DAY,), robots=("rex",))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("sample")
    # Three dogs, each with two spoiled shots, one that trots or inspects and two that change:
    # every condition and every state has its turn.
    robots = ("rex", "bella", "max")
    options = replace(SMALL, seed=5, robots=robots, cameras=("front", "left"), duration_s=42)
    return folder, write_sample(folder, options, workers=2)


def whole_files(truth: Truth) -> list[FileTruth]:
    return [file for file in truth.files if not file.broken]


def grey_frames(folder: Path, file: FileTruth) -> list[np.ndarray]:
    with av.open(str(folder / BUCKET_FOLDER / file.key)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_truth_beside_the_bucket_says_what_was_returned(sample):
    folder, truth = sample
    assert read_truth(folder / TRUTH_FILE) == truth
    written = (folder / BUCKET_FOLDER).rglob("*.*")
    keys = {path.relative_to(folder / BUCKET_FOLDER).as_posix() for path in written}
    assert keys == {file.key for file in truth.files}


def test_keys_are_robot_camera_day_and_name(sample):
    _, truth = sample
    for file in truth.files:
        robot, camera, day, name = file.key.split("/")
        assert (robot, camera, day) == (file.robot, file.camera, file.day.isoformat())
        assert name.endswith(".mp4")


def test_shots_tile_every_whole_file(sample):
    _, truth = sample
    for file in whole_files(truth):
        frames = [0, *(shot.end_frame for shot in file.shots)]
        seconds = [0.0, *(shot.end_s for shot in file.shots)]
        assert [shot.start_frame for shot in file.shots] == frames[:-1]
        assert [shot.start_s for shot in file.shots] == seconds[:-1]
        assert (frames[-1], seconds[-1]) == (file.frame_count, file.duration_s)
        assert min(shot.end_s - shot.start_s for shot in file.shots) > 4.5


def test_files_hold_the_frames_times_and_codecs_of_the_truth(sample):
    folder, truth = sample
    for file in whole_files(truth):
        with av.open(str(folder / BUCKET_FOLDER / file.key)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == file.codec
            times = np.array([frame.time for frame in container.decode(stream)])
            length_s = float(stream.duration * stream.time_base)
        assert len(times) == file.frame_count
        assert length_s == pytest.approx(file.duration_s, abs=0.001)
        assert file.variable_frame_rate == (np.ptp(np.diff(times)) > 0.01)
        for span in (*file.shots, *(span for _, span in spans_of(file))):
            assert times[span.start_frame] - times[0] == pytest.approx(span.start_s, abs=0.001)


def test_one_file_is_hevc_one_has_a_variable_rate_and_one_can_not_be_opened(sample):
    folder, truth = sample
    files = truth.files
    assert sum(file.codec == "hevc" for file in files if not file.broken) == 1
    assert sum(file.variable_frame_rate for file in files) == 1
    (broken,) = (file for file in files if file.broken)
    path = folder / BUCKET_FOLDER / broken.key
    assert path.stat().st_size > 10_000
    with pytest.raises(av.error.InvalidDataError):
        av.open(str(path))


def test_h264_files_have_b_frames_and_few_key_frames(sample):
    folder, truth = sample
    file = whole_files(truth)[0]
    with av.open(str(folder / BUCKET_FOLDER / file.key)) as container:
        frames = list(container.decode(video=0))
    keys = {index for index, frame in enumerate(frames) if frame.key_frame}
    assert len(keys) == -(-len(frames) // 48)
    assert not keys & set(file.cuts)
    assert any(frame.pict_type == av.video.frame.PictureType.B for frame in frames)


@pytest.mark.parametrize(
    "options",
    [
        replace(SMALL, seed=1),
        replace(SMALL, seed=2, width=400, height=226, fps=15, duration_s=26, cameras=("right",)),
        replace(SMALL, seed=3, fps=8, duration_s=45.5, cameras=("left",)),
        replace(SMALL, seed=4, width=256, height=256, fps=30, duration_s=21, cameras=("front",)),
    ],
    ids=lambda options: f"{options.seed}-{options.width}x{options.height}@{options.fps}",
)
def test_scene_detection_finds_every_cut_and_no_other(tmp_path, options):
    truth = write_sample(tmp_path, options, workers=1)
    assert_cuts_found(tmp_path, truth)


def test_scene_detection_agrees_on_every_condition_and_takes_no_change_of_state_for_a_cut(sample):
    folder, truth = sample
    conditions = {shot.condition for file in truth.files for shot in file.shots}
    assert conditions == {"good", "trot", "inspect", *REASONS}
    assert {span.state for _, span in changes(truth)} == set(STATE_REASONS)
    assert_cuts_found(folder, truth)


def assert_cuts_found(folder: Path, truth: Truth) -> None:
    for file in whole_files(truth):
        path = str(folder / BUCKET_FOLDER / file.key)
        # By PyAV, as OpenCV's reader numbers frames of a variable rate by their time.
        scenes = detect(path, ContentDetector(), backend="pyav")
        found = [scene[0].seconds for scene in scenes[1:]]
        assert found == pytest.approx([shot.start_s for shot in file.shots[1:]], abs=0.01)


def spans_of(file: FileTruth) -> list[tuple[ShotTruth, StateSpan]]:
    return [(shot, span) for shot in file.shots for span in shot.states]


def changes(truth: Truth) -> list[tuple[ShotTruth, StateSpan]]:
    """All stretches in another state than the rest of their shot."""
    shots = [shot for file in truth.files for shot in file.shots]
    return [(shot, shot.states[1]) for shot in shots if len(shot.states) > 1]


def test_all_conditions_and_states_come_up_in_the_default_set_and_most_shots_pass():
    truth = Truth(planned(SampleOptions()))
    shots = [shot for file in truth.files for shot in file.shots]
    for condition in ("trot", "inspect", *REASONS):
        assert sum(shot.condition == condition for shot in shots) >= 3
    for state in STATE_REASONS:
        assert sum(span.state == state for _, span in changes(truth)) >= 3
    assert all(shot.rejected_for == REASONS.get(shot.condition) for shot in shots)
    assert sum(shot.rejected_for is None for shot in shots) >= 0.6 * len(shots)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    fps=st.integers(8, 60),
    duration_s=st.floats(20, 200),
    robots=st.sampled_from([("rex",), ("rex", "bella", "max")]),
)
def test_states_tile_their_shots_and_change_well_inside_of_good_ones(seed, fps, duration_s, robots):
    options = replace(SMALL, seed=seed, fps=fps, duration_s=duration_s, robots=robots)
    truth = Truth(planned(options))
    for shot in (shot for file in truth.files for shot in file.shots):
        frames = [shot.start_frame, *(span.end_frame for span in shot.states)]
        seconds = [shot.start_s, *(span.end_s for span in shot.states)]
        assert [span.start_frame for span in shot.states] == frames[:-1]
        assert [span.start_s for span in shot.states] == seconds[:-1]
        assert (frames[-1], seconds[-1]) == (shot.end_frame, shot.end_s)
    assert changes(truth)
    for shot, span in changes(truth):
        assert shot.condition == "good"
        assert [span.state for span in shot.states] == ["moving", span.state, "moving"]
        assert [part.rejected_for for part in shot.states] == [
            None,
            STATE_REASONS[span.state],
            None,
        ]
        assert shot.start_s + 2 <= span.start_s < span.end_s <= shot.end_s - 2
        assert 2 - 1 / fps <= span.end_s - span.start_s <= 6 + 1 / fps


def test_boundaries_are_the_cuts_and_the_states_that_begin_inside_shots(sample):
    _, truth = sample
    for file in whole_files(truth):
        cuts = [seconds for seconds, kind in file.boundaries if kind == "cut"]
        assert cuts == [shot.start_s for shot in file.shots[1:]]
        inside = [(seconds, kind) for seconds, kind in file.boundaries if kind != "cut"]
        spans = [span for shot in file.shots for span in shot.states[1:]]
        assert inside == [(span.start_s, span.state) for span in spans]
        assert list(file.boundaries) == sorted(file.boundaries)


def test_whole_shots_are_in_the_state_of_their_condition(sample):
    _, truth = sample
    states = {"blackout": "dark", "blur": "blurred", "still": "still"}
    for shot in (shot for file in truth.files for shot in file.shots if len(shot.states) == 1):
        (span,) = shot.states
        assert span.state == states.get(shot.condition, "moving")
        assert span.rejected_for == shot.rejected_for


def test_cameras_of_one_dog_share_its_cuts_and_rooms(sample):
    _, truth = sample
    walks: dict[tuple[str, date], set[tuple[tuple[float, str], ...]]] = {}
    for file in whole_files(truth):
        seen = tuple((shot.start_s, shot.room) for shot in file.shots)
        walks.setdefault((file.robot, file.day), set()).add(seen)
    assert all(len(seen) == 1 for seen in walks.values())


def test_pictures_show_what_the_conditions_say(sample):
    folder, truth = sample
    for file in whole_files(truth):
        frames = grey_frames(folder, file)
        for shot, span in spans_of(file):
            quiet = frames[span.start_frame + 5 : span.end_frame - 5]
            bright = np.mean([(frame >= 240).mean() for frame in quiet])
            moved = np.mean([moved_by(a, b) for a, b in zip(quiet, quiet[5:], strict=False)])
            detail = np.median([cv2.Laplacian(frame, cv2.CV_32F).std() for frame in quiet])
            lit = np.array([np.percentile(frame, 95) for frame in quiet])
            match "good" if span.state == "moving" else span.state, shot.condition:
                case _, "blackout":
                    assert np.max([np.percentile(frame, 99) for frame in quiet]) < 12
                case _, "over_exposure":
                    assert bright > 0.5
                case _, "noise":
                    assert detail > 60
                case "dark", _:
                    assert lit.max() < 35
                case "covered", _:
                    assert max(coarse(frame).std() for frame in quiet) < 5
                    assert all(60 < frame.mean() < 120 for frame in quiet)
                case "blurred", _:
                    assert detail < 6
                    assert moved > 1
                case "still", _:
                    assert moved < 0.5
                case "good", _:
                    assert bright < 0.2
                    assert moved > 2.5
                    assert 10 < detail < 50
                    assert lit.min() > 90


def coarse(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (64, 36), interpolation=cv2.INTER_AREA).astype(np.float32)


def moved_by(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.abs(coarse(before) - coarse(after)).mean())


def test_a_dog_that_stops_stands_in_one_place_and_goes_on_from_there(sample):
    folder, truth = sample
    stops = [
        (file, span)
        for file in whole_files(truth)
        for shot, span in spans_of(file)
        if span.state == "still" and shot.condition == "good"
    ]
    assert stops
    for file, span in stops:
        frames = grey_frames(folder, file)
        stood = frames[span.start_frame : span.end_frame]
        assert max(moved_by(stood[0], frame) for frame in stood) < 1.5
        assert moved_by(frames[span.start_frame - 1], stood[0]) < 1.5
        assert moved_by(stood[-1], frames[span.end_frame]) < 1.5


def test_a_stop_changes_when_the_dog_is_where_but_not_its_path():
    straight = Walk(WARM[0], start_m=2.0, backwards=False, phase=1.0, pace=1.0)
    stopping = replace(straight, stop_s=(2.0, 5.0))
    stood = {stopping.pose(float(time_s), "left") for time_s in np.linspace(2, 5, 50)}
    assert len(stood) == 1
    # Slowing down and starting take 0.4 s each, on average at half the pace.
    delay_s = 3.0 + 0.4
    for time_s in (5.4, 6.0, 9.5):
        late, on_time = stopping.pose(time_s, "left"), straight.pose(time_s - delay_s, "left")
        assert astuple(late) == pytest.approx(astuple(on_time))
    ways = [stopping.pose(float(time_s), "left").x for time_s in np.arange(0, 8, 0.01)]
    assert np.abs(np.diff(ways)).max() < 0.01


def test_a_trot_on_the_spot_shakes_the_camera_only_and_an_inspection_moves_in_view_only(sample):
    folder, truth = sample
    explained = {"trot": [], "inspect": []}
    for file in whole_files(truth):
        frames = grey_frames(folder, file)
        for shot in (shot for shot in file.shots if shot.condition in explained):
            for first in range(shot.start_frame, shot.end_frame - 5, 5):
                before, after = frames[first], frames[first + 5]
                raw = moved_by(before, after)
                assert raw > 1
                explained[shot.condition].append(1 - moved_by(aligned(before, after), after) / raw)
            if shot.condition == "inspect":
                stood = np.array(frames[shot.start_frame : shot.end_frame]).std(axis=0)
                assert 0.2 < (stood < 3).mean() < 0.8
    assert np.median(explained["trot"]) > 0.7
    assert np.median(explained["inspect"]) < 0.3


def aligned(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """`before` as a camera that only turned would see it, turned towards `after`."""
    start, ends = np.eye(3, dtype=np.float32), (cv2.TERM_CRITERIA_COUNT, 50, 0)
    _, warp = cv2.findTransformECC(after, before, start, cv2.MOTION_HOMOGRAPHY, ends, None, 5)
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (after.shape[1], after.shape[0])
    return cv2.warpPerspective(before, warp, size, flags=way, borderMode=cv2.BORDER_REPLICATE)


def test_blur_bursts_lie_inside_good_stretches_and_are_short(sample):
    _, truth = sample
    events = [(shot, event) for file in truth.files for shot in file.shots for event in shot.events]
    assert events
    for shot, event in events:
        assert shot.start_s + 1 < event.start_s < event.end_s < shot.end_s - 1
        assert event.end_s - event.start_s < 0.5


def test_the_same_seed_gives_the_same_files_whoever_writes_them(tmp_path):
    options = replace(SMALL, fps=8, cameras=("front", "left"))
    alone = write_sample(tmp_path / "alone", options, workers=1)
    together = write_sample(tmp_path / "together", options, workers=2)
    assert alone == together
    for file in alone.files:
        contents = [
            (tmp_path / name / BUCKET_FOLDER / file.key).read_bytes()
            for name in ("alone", "together")
        ]
        assert contents[0] == contents[1]


def test_another_seed_tells_another_story():
    one, other = planned(replace(SMALL, seed=1)), planned(replace(SMALL, seed=2))
    assert [file.shots for file in one] != [file.shots for file in other]


def test_each_file_is_announced_once_written(tmp_path):
    heard: list[str] = []

    def hear(key: str) -> None:
        assert (tmp_path / BUCKET_FOLDER / key).stat().st_size > 0
        heard.append(key)

    truth = write_sample(tmp_path, replace(SMALL, cameras=("front",)), 1, hear)
    assert sorted(heard) == sorted(file.key for file in truth.files)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 161}, "161x90"),
        ({"height": 46}, "160x46"),
        ({"fps": 7}, "7 frames"),
        ({"duration_s": 19.9}, "19.9 s"),
        ({"duration_s": float("nan")}, "nan"),
        ({"seed": -1}, "seed -1"),
        ({"days": ()}, "days"),
        ({"robots": ("rex", "rex")}, "robots"),
        ({"robots": ("../rex",)}, "../rex"),
        ({"cameras": ("tail",)}, "tail"),
    ],
)
def test_impossible_options_are_refused_by_name(changes, named):
    with pytest.raises(UserError) as refusal:
        replace(SMALL, **changes)
    assert named in str(refusal.value)
