"""How a dog moves through a room: pace, gait and the turns of its head.

A walk gives a pose for a time; what is seen from there is `render`. All speeds are bounded here,
so that no two frames in a row differ as much as a cut does.
"""

from dataclasses import dataclass
from math import atan, cos, pi, radians, sin

from lakehouse.sample.render import Pose
from lakehouse.sample.rooms import LENGTH_M, Room

MOUNTS: dict[str, float] = {"front": 0.0, "left": radians(62), "right": radians(-62)}
"""How far each camera is turned from straight ahead, counter-clockwise."""

_SPEED_M_PER_S = 0.28
_STRIDE_HZ = 1.1
_EYE_M = 0.56
_LANE_M = 0.2
_FULL_PACE_FPS = 15


@dataclass(frozen=True)
class Walk:
    """A walk along the middle of a room, or a stand at its start.

    It starts `start_m` from one end, or from the other and `backwards`. `phase` (radians) varies
    the path and the gaze. `pace` scales all speeds: see `pace_for`.
    """

    room: Room
    start_m: float
    backwards: bool
    phase: float
    pace: float
    standing: bool = False

    def pose(self, time_s: float, camera: str) -> Pose:
        """Where one of the dog's cameras is, so long after the start of the walk."""
        time = 0.0 if self.standing else time_s * self.pace
        ahead = self.start_m + _SPEED_M_PER_S * time
        sway = 2 * pi * 0.05 * time + self.phase
        drift = _LANE_M * 2 * pi * 0.05 * cos(sway) / _SPEED_M_PER_S
        gaze = 0.09 * sin(2 * pi * 0.08 * time + 1.7 * self.phase)
        gaze += 0.02 * sin(2 * pi * 0.21 * time + 2.9 * self.phase)
        stride = 2 * pi * _STRIDE_HZ * time + self.phase
        yaw = atan(drift) + gaze + 0.004 * sin(stride)
        x, y = ahead, self.room.width_m / 2 + _LANE_M * sin(sway)
        if self.backwards:
            x, y, yaw = LENGTH_M - x, self.room.width_m - y, yaw + pi
        yaw += MOUNTS[camera]
        return Pose(
            x + 0.2 * cos(yaw),
            y + 0.2 * sin(yaw),
            # A trot lifts the trunk twice a stride.
            _EYE_M + 0.007 * sin(2 * stride),
            yaw,
            pitch=0.12 + 0.004 * sin(2 * stride + 0.9),
            roll=0.010 * sin(stride + 0.4),
        )


def pace_for(fps: int) -> float:
    """The pace at which frames of this rate still overlap well enough to be one shot."""
    return min(1.0, fps / _FULL_PACE_FPS)
