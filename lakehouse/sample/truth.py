"""What is true of the sample: the shape of `ground_truth.json`.

Only plain facts about files belong here; how they come about is `script`, who writes them is
`footage`.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

Condition = Literal["good", "blur", "blackout", "over_exposure", "noise", "still"]

REASONS: dict[Condition, str] = {
    "blur": "blurred",
    "blackout": "dark",
    "over_exposure": "over_exposed",
    "noise": "noisy",
    "still": "still",
}
"""The verdict's reason by which a shot of this condition has to be rejected."""


@dataclass(frozen=True)
class Event:
    """A fault inside a good shot, too short to reject it. Frames as decoded, the end exclusive."""

    kind: Literal["blur_burst"]
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ShotTruth:
    """One shot: frames as decoded, seconds since the file's first frame, ends exclusive."""

    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    room: str
    condition: Condition
    rejected_for: str | None
    events: tuple[Event, ...]


@dataclass(frozen=True)
class FileTruth:
    """One file of the bucket. A broken file has no frames and no shots."""

    key: str
    robot: str
    camera: str
    day: date
    codec: Literal["h264", "hevc"]
    variable_frame_rate: bool
    broken: bool
    frame_count: int
    duration_s: float
    shots: tuple[ShotTruth, ...]

    @property
    def cuts(self) -> tuple[int, ...]:
        """The frames at which a new shot starts, without the file's first."""
        return tuple(shot.start_frame for shot in self.shots[1:])


@dataclass(frozen=True)
class Truth:
    """All files, the good ones in the order of robot, day and camera, the broken one last."""

    files: tuple[FileTruth, ...]

    def to_json(self) -> str:
        """The text of `ground_truth.json`."""
        return json.dumps(asdict(self), default=str, indent=1) + "\n"


def read_truth(path: Path) -> Truth:
    """The truth as `write_sample` left it."""
    return Truth(tuple(_file(entry) for entry in json.loads(path.read_text())["files"]))


def _file(entry: dict[str, Any]) -> FileTruth:
    shots = tuple(
        ShotTruth(**{**shot, "events": tuple(Event(**event) for event in shot["events"])})
        for shot in entry["shots"]
    )
    return FileTruth(**{**entry, "day": date.fromisoformat(entry["day"]), "shots": shots})
