"""Writes the sample: a bucket of patrol footage, and the truth about it beside.

The set of files, their processes and the damage done to one of them belong here.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import cv2

from lakehouse.errors import UserError
from lakehouse.sample.encode import write_mp4
from lakehouse.sample.script import patrols
from lakehouse.sample.take import Take, frames, truth_of
from lakehouse.sample.truth import FileTruth, Truth
from lakehouse.sample.walk import MOUNTS

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
    duration_s: float = 60.0
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
    takes = _takes(options)
    bucket = folder / BUCKET_FOLDER
    for take in takes:
        (bucket / take.key(_NAME)).parent.mkdir(parents=True, exist_ok=True)
    for key in _written(bucket, takes, workers):
        if on_file:
            on_file(key)
    broken = _break_one(bucket, takes)
    if on_file:
        on_file(broken.key)
    truth = Truth((*planned(options), broken))
    (folder / TRUTH_FILE).write_text(truth.to_json())
    return truth


def planned(options: SampleOptions) -> tuple[FileTruth, ...]:
    """The truth about all whole files: it is decided before the first is written."""
    return tuple(truth_of(take, _NAME) for take in _takes(options))


def _takes(options: SampleOptions) -> list[Take]:
    frame_count = round(options.duration_s * options.fps)
    planned = patrols(
        options.seed, options.robots, options.days, options.cameras, frame_count, options.fps
    )
    views = [(patrol, camera) for patrol in planned for camera in options.cameras]
    odd = len(views) >= _FEWEST_FILES_FOR_ODD_ONES
    return [
        Take(
            patrol,
            camera,
            codec="hevc" if odd and i == len(views) // 3 else "h264",
            variable=odd and i == 2 * len(views) // 3,
            number=i,
            seed=options.seed,
            size=(options.width, options.height),
            fps=options.fps,
        )
        for i, (patrol, camera) in enumerate(views)
    ]


def _written(bucket: Path, takes: list[Take], workers: int) -> Iterator[str]:
    if workers == 1:
        for take in takes:
            yield _write(bucket, take)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(takes)), get_context("spawn"), cv2.setNumThreads, (1,)
    )
    with pool:
        for future in as_completed([pool.submit(_write, bucket, take) for take in takes]):
            yield future.result()


def _write(bucket: Path, take: Take) -> str:
    key = take.key(_NAME)
    start = take.patrol.start
    write_mp4(bucket / key, frames(take), take.size, take.fps, take.codec, start)
    return key


def _break_one(bucket: Path, takes: list[Take]) -> FileTruth:
    """The last file once more, as left by a recorder that lost power: without its index."""
    whole = takes[-1]
    content = (bucket / whole.key(_NAME)).read_bytes()
    key = whole.key(_BROKEN_NAME)
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
