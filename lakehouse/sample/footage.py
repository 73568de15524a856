"""Writes the sample: a bucket of patrol footage, and the truth about it beside.

The set of files, their processes and the damage done to one of them belong here.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from lakehouse.errors import UserError
from lakehouse.sample.encode import write_mp4
from lakehouse.sample.lens import Lens
from lakehouse.sample.render import Pose, Renderer
from lakehouse.sample.rooms import COOL, WARM, Room
from lakehouse.sample.script import Patrol, kept_frames, patrols
from lakehouse.sample.surface import Image, Quad
from lakehouse.sample.truth import REASONS, Event, FileTruth, ShotTruth, Truth
from lakehouse.sample.walk import MOUNTS
from lakehouse.sample.world import build

TRUTH_FILE = "ground_truth.json"
BUCKET_FOLDER = "bucket"
_NAME = "patrol-0915.mp4"
_BROKEN_NAME = "patrol-1640.mp4"
_SHARE_LEFT_OF_BROKEN = 0.6
_FEWEST_FILES_FOR_ODD_ONES = 3


@dataclass(frozen=True)
class SampleOptions:
    """What is written. The same options give the same pictures and the same truth.

    Raises UserError for what can't be encoded, or is too small or short to tell shots apart.
    """

    seed: int = 7
    width: int = 480
    height: int = 270
    fps: int = 15
    duration_s: float = 40.0
    days: tuple[date, ...] = (date(2026, 3, 2), date(2026, 3, 3))
    robots: tuple[str, ...] = ("rex", "bella")
    cameras: tuple[str, ...] = ("front", "left", "right")

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"seed {self.seed} is negative; give 0 or more")
        if self.width % 2 or self.height % 2:
            raise UserError(f"size {self.width}x{self.height} is odd; H.264 needs even sides")
        if not (160 <= self.width <= 3840 and 90 <= self.height <= self.width):
            raise UserError(
                f"size {self.width}x{self.height} is out of range; "
                "give a width of 160 to 3840 and a height of 90 up to the width"
            )
        if not 8 <= self.fps <= 60:
            raise UserError(f"{self.fps} frames a second is out of range; give 8 to 60")
        if not 20 <= self.duration_s <= 3600:
            raise UserError(f"a duration of {self.duration_s} s is out of range; give 20 to 3600")
        for name, values in (("days", self.days), ("robots", self.robots)):
            if not values or len(set(values)) < len(values):
                raise UserError(f"the sample needs one or more different {name}")
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise UserError("the sample needs one or more different cameras")
        if unknown := sorted(set(self.cameras) - MOUNTS.keys()):
            raise UserError(f"unknown camera {', '.join(unknown)}; known are {', '.join(MOUNTS)}")
        for robot in self.robots:
            if not robot.replace("_", "").isalnum():
                raise UserError(f"robot {robot!r} can't be part of a key; use letters and digits")


@dataclass(frozen=True)
class _Task:
    options: SampleOptions
    patrol: Patrol
    camera: str
    codec: Literal["h264", "hevc"]
    variable: bool
    number: int

    @property
    def key(self) -> str:
        return _key(self.patrol, self.camera, _NAME)

    def kept(self) -> list[int]:
        rng = np.random.default_rng([self.options.seed, self.number])
        return kept_frames(self.patrol, self.variable, rng)


def write_sample(
    folder: Path,
    options: SampleOptions,
    workers: int,
    on_file: Callable[[str], None] | None = None,
) -> Truth:
    """Write `bucket/<robot>/<camera>/<day>/<name>.mp4` and `ground_truth.json` into `folder`.

    Every robot, day and camera gets one file; of three files or more one is HEVC and one has a
    variable frame rate. One more file is damaged beyond opening. `on_file` hears the key of each
    file once it is written. With more than one worker, fresh processes draw and encode.
    """
    tasks = _tasks(options)
    bucket = folder / BUCKET_FOLDER
    for task in tasks:
        (bucket / task.key).parent.mkdir(parents=True, exist_ok=True)
    for key in _written(bucket, tasks, workers):
        if on_file:
            on_file(key)
    broken = _break_one(bucket, tasks)
    if on_file:
        on_file(broken.key)
    truth = Truth((*planned(options), broken))
    (folder / TRUTH_FILE).write_text(truth.to_json())
    return truth


def planned(options: SampleOptions) -> tuple[FileTruth, ...]:
    """The truth about all whole files: it is decided before the first is written."""
    return tuple(_truth_of(task) for task in _tasks(options))


def _key(patrol: Patrol, camera: str, name: str) -> str:
    return f"{patrol.robot}/{camera}/{patrol.day.isoformat()}/{name}"


def _tasks(options: SampleOptions) -> list[_Task]:
    frame_count = round(options.duration_s * options.fps)
    planned = patrols(
        options.seed, options.robots, options.days, options.cameras, frame_count, options.fps
    )
    views = [(patrol, camera) for patrol in planned for camera in options.cameras]
    odd = len(views) >= _FEWEST_FILES_FOR_ODD_ONES
    return [
        _Task(
            options,
            patrol,
            camera,
            codec="hevc" if odd and i == len(views) // 3 else "h264",
            variable=odd and i == 2 * len(views) // 3,
            number=i,
        )
        for i, (patrol, camera) in enumerate(views)
    ]


def _written(bucket: Path, tasks: list[_Task], workers: int) -> Iterator[str]:
    if workers == 1:
        for task in tasks:
            yield _write(bucket, task)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), get_context("spawn"), cv2.setNumThreads, (1,)
    )
    with pool:
        for future in as_completed([pool.submit(_write, bucket, task) for task in tasks]):
            yield future.result()


def _write(bucket: Path, task: _Task) -> str:
    options = task.options
    write_mp4(
        bucket / task.key,
        _frames(task),
        (options.width, options.height),
        options.fps,
        task.codec,
        task.patrol.start,
    )
    return task.key


def _frames(task: _Task) -> Iterator[tuple[int, Image]]:
    options = task.options
    size = (options.width, options.height)
    lens = Lens(*size, options.seed + task.number)
    kept = task.kept()
    for shot in task.patrol.shots:
        condition = shot.condition_of(task.camera)
        renderer = Renderer(_quads(shot.walk.room, options.seed), *size)
        pose: Pose | None = None
        drawn = np.empty(0, np.uint8)
        for frame in kept[bisect_left(kept, shot.start) : bisect_left(kept, shot.end)]:
            before, pose = pose, shot.walk.pose((frame - shot.start) / options.fps, task.camera)
            if pose != before:
                drawn = renderer.draw(pose)
            image = lens.see(drawn, condition, frame)
            if shot.burst and shot.burst[0] <= frame < shot.burst[1]:
                image = lens.blurred(image)
            yield frame, image


@lru_cache(maxsize=len(WARM) + len(COOL))
def _quads(room: Room, seed: int) -> list[Quad]:
    return build(room, seed)


def _truth_of(task: _Task) -> FileTruth:
    kept, fps = task.kept(), task.options.fps
    end = task.patrol.shots[-1].end

    def decoded(frame: int) -> int:
        return bisect_left(kept, frame)

    def seconds(frame: int) -> float:
        position = decoded(frame)
        return (kept[position] if position < len(kept) else end) / fps

    shots = []
    for shot in task.patrol.shots:
        condition = shot.condition_of(task.camera)
        events: tuple[Event, ...] = ()
        if shot.burst:
            first, last = shot.burst
            events = (
                Event("blur_burst", decoded(first), decoded(last), seconds(first), seconds(last)),
            )
        shots.append(
            ShotTruth(
                decoded(shot.start),
                decoded(shot.end),
                seconds(shot.start),
                seconds(shot.end),
                shot.walk.room.name,
                condition,
                REASONS.get(condition),
                events,
            )
        )
    return FileTruth(
        task.key,
        task.patrol.robot,
        task.camera,
        task.patrol.day,
        task.codec,
        task.variable,
        broken=False,
        frame_count=len(kept),
        duration_s=end / fps,
        shots=tuple(shots),
    )


def _break_one(bucket: Path, tasks: list[_Task]) -> FileTruth:
    """The last file once more, as left by a recorder that lost power: without its index."""
    whole = tasks[-1]
    content = (bucket / whole.key).read_bytes()
    key = _key(whole.patrol, whole.camera, _BROKEN_NAME)
    (bucket / key).write_bytes(content[: int(len(content) * _SHARE_LEFT_OF_BROKEN)])
    return FileTruth(
        key,
        whole.patrol.robot,
        whole.camera,
        whole.patrol.day,
        whole.codec,
        variable_frame_rate=False,
        broken=True,
        frame_count=0,
        duration_s=0.0,
        shots=(),
    )
