"""How a dog moves through a room: pace, gait and the turns of its head.

A walk gives a pose for a time; what is seen from there is `render`. All speeds are bounded here,
so that no two frames in a row differ as much as a cut does.
"""

from dataclasses import dataclass
from math import atan, cos, pi, radians, sin

from lakehouse.sample.render import Pose
from lakehouse.sample.rooms import LENGTH_M, Room
from lakehouse.sample.truth import Condition

MOUNTS: dict[str, float] = {"front": 0.0, "left": radians(62), "right": radians(-62)}
"""How far each camera is turned from straight ahead, counter-clockwise."""

_SPEED_M_PER_S = 0.28
_EYE_M = 0.56
_LANE_M = 0.2
_FULL_PACE_FPS = 15
_HALT_S = 0.4


@dataclass(frozen=True)
class Gait:
    """How far the trunk swings in a stride, and whether it gets on. Amplitudes: radians, metres."""

    gets_on: bool
    stride_hz: float
    yaw: float
    pitch: float
    roll: float
    lift_m: float


WALKING = Gait(True, 1.1, yaw=0.004, pitch=0.004, roll=0.010, lift_m=0.007)
_TROTTING = Gait(False, 1.7, yaw=0.008, pitch=0.015, roll=0.004, lift_m=0.003)
_STANDING = Gait(False, 0.0, yaw=0.0, pitch=0.0, roll=0.0, lift_m=0.0)
GAITS: dict[Condition, Gait] = {"trot": _TROTTING, "inspect": _STANDING, "still": _STANDING}
"""The gait in shots of these conditions; in all others the dog walks."""


@dataclass(frozen=True)
class Walk:
    """A walk along the middle of a room, or a stand or a trot at its start.

    It starts `start_m` from one end, or from the other and `backwards`. `phase` (radians) varies
    the path and the gaze. `pace` scales all speeds: see `pace_for`. From the first to the second
    of `stop_s` the dog stands, and then goes on from there.
    """

    room: Room
    start_m: float
    backwards: bool
    phase: float
    pace: float
    gait: Gait = WALKING
    stop_s: tuple[float, float] | None = None

    def pose(self, time_s: float, camera: str) -> Pose:
        """Where one of the dog's cameras is, so long after the start of the walk."""
        active = self._active_s(time_s) * self.pace
        time = active if self.gait.gets_on else 0.0
        ahead = self.start_m + _SPEED_M_PER_S * time
        sway = 2 * pi * 0.05 * time + self.phase
        drift = _LANE_M * 2 * pi * 0.05 * cos(sway) / _SPEED_M_PER_S
        gaze = 0.09 * sin(2 * pi * 0.08 * time + 1.7 * self.phase)
        gaze += 0.02 * sin(2 * pi * 0.21 * time + 2.9 * self.phase)
        stride = 2 * pi * self.gait.stride_hz * active + self.phase
        yaw = atan(drift) + gaze + self.gait.yaw * sin(stride)
        x, y = ahead, self.room.width_m / 2 + _LANE_M * sin(sway)
        if self.backwards:
            x, y, yaw = LENGTH_M - x, self.room.width_m - y, yaw + pi
        yaw += MOUNTS[camera]
        return Pose(
            x + 0.2 * cos(yaw),
            y + 0.2 * sin(yaw),
            # A trot lifts the trunk twice a stride.
            _EYE_M + self.gait.lift_m * sin(2 * stride),
            yaw,
            pitch=0.12 + self.gait.pitch * sin(2 * stride + 0.9),
            roll=self.gait.roll * sin(stride + 0.4),
        )

    def _active_s(self, time_s: float) -> float:
        """The time without the stop, which the dog slows down to and starts from evenly."""
        if self.stop_s is None:
            return time_s
        halt, start = self.stop_s
        before, after = min(time_s, halt), max(0.0, time_s - start)
        slowing = max(0.0, before - (halt - _HALT_S))
        starting = max(0.0, _HALT_S - after)
        lost = (slowing**2 + _HALT_S**2 - starting**2) / (2 * _HALT_S)
        return before + after - lost


def pace_for(fps: int) -> float:
    """The pace at which frames of this rate still overlap well enough to be one shot."""
    return min(1.0, fps / _FULL_PACE_FPS)
