"""What is true of the sample: the shape of `ground_truth.json`.

Only plain facts about files belong here; how they come about is `script`, who writes them is
`footage`.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

Condition = Literal[
    "good", "trot", "inspect", "blur", "blackout", "over_exposure", "noise", "still"
]
"""What holds for a whole shot. In `trot` a dog trots on the spot: the camera shakes, the scene
stays; in `inspect` it stands, and something before it moves. Both are footage to keep."""

State = Literal["moving", "dark", "covered", "blurred", "still"]
BoundaryKind = State | Literal["cut"]

REASONS: dict[Condition, str] = {
    "blur": "blurred",
    "blackout": "dark",
    "over_exposure": "over_exposed",
    "noise": "noisy",
    "still": "still",
}
"""The verdict's reason by which a shot of this condition has to be rejected."""

STATES: dict[Condition, State] = {"blur": "blurred", "blackout": "dark", "still": "still"}
"""The state that a whole shot of this condition is in; all others are `moving`."""

STATE_REASONS: dict[State, str] = {
    "dark": "dark",
    "covered": "empty",
    "blurred": "blurred",
    "still": "still",
}
"""The reason for which a stretch in this state inside a good shot has to be rejected."""


@dataclass(frozen=True)
class Event:
    """A fault inside a good shot, too short to reject it. Frames as decoded, the end exclusive."""

    kind: Literal["blur_burst"]
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class StateSpan:
    """A stretch in one state: frames and seconds as of its shot, ends exclusive.

    A change that takes a moment, as light that goes out, counts from its middle.
    """

    state: State
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    rejected_for: str | None


@dataclass(frozen=True)
class ShotTruth:
    """One shot: frames as decoded, seconds since the file's first frame, ends exclusive.

    Its `states` tile it. `rejected_for` is of the shot as far as no state inside it says more.
    """

    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    room: str
    condition: Condition
    rejected_for: str | None
    events: tuple[Event, ...]
    states: tuple[StateSpan, ...]


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

    @property
    def boundaries(self) -> tuple[tuple[float, BoundaryKind], ...]:
        """All that segmentation should find: seconds, and `cut` or the state that begins there.

        In order, without the file's start; where a shot starts in another state than the one
        before it ended in, that is a cut only.
        """
        found: list[tuple[float, BoundaryKind]] = []
        for shot in self.shots:
            found.append((shot.start_s, "cut"))
            found += [(span.start_s, span.state) for span in shot.states[1:]]
        return tuple(found[1:])


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
    shots = tuple(_shot(shot) for shot in entry["shots"])
    return FileTruth(**{**entry, "day": date.fromisoformat(entry["day"]), "shots": shots})


def _shot(entry: dict[str, Any]) -> ShotTruth:
    events = tuple(Event(**event) for event in entry["events"])
    states = tuple(StateSpan(**span) for span in entry["states"])
    return ShotTruth(**{**entry, "events": events, "states": states})
