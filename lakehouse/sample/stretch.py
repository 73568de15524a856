"""A change of state inside a shot: when it holds, and how far it has come at a frame.

Which shots have one is `script`; what it does to pictures is `lens`, to the walk `walk`.
"""

from dataclasses import dataclass

from lakehouse.sample.truth import State

_FADE_S = 0.3
_FEWEST_FADE_FRAMES = 5


@dataclass(frozen=True)
class Stretch:
    """Frames of the steady rate in another state than `moving`, the end exclusive."""

    state: State
    start: int
    end: int
    camera: str | None
    """The one camera that it hits; none for all."""
    fade: int
    """Frames that the change takes, half of them on either side of `start` and of `end`."""

    def depth(self, frame: int) -> float:
        """How far the state has come, from 0 to 1: a half between the frames of its borders."""
        inside = min(frame + 0.5 - self.start, self.end - frame - 0.5)
        return min(1.0, max(0.0, 0.5 + inside / self.fade))

    @property
    def changing(self) -> set[int]:
        """The frames at which a change is under way, and those beside them."""
        reach = self.fade // 2 + 1
        return {edge + i for edge in (self.start, self.end) for i in range(-reach, reach + 1)}


def fade_for(fps: int) -> int:
    """Frames of a fade: so many that no step of it is taken for a cut."""
    return max(_FEWEST_FADE_FRAMES, round(_FADE_S * fps))
