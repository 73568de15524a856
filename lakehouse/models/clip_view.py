"""What a model may see of a clip, whatever it makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FrameView:
    """One sampled frame: `time_s` since the clip's start, `jpeg` upright."""

    time_s: float
    jpeg: bytes


@dataclass(frozen=True)
class ClipView:
    """`scores` holds the numeric columns of table `scores`, `samples` the clip's samples as table
    `clips` holds them; each is empty for models that don't read it."""

    clip_id: str
    camera: str
    duration_s: float
    frames: tuple[FrameView, ...]
    scores: Mapping[str, float]
    samples: Sequence[Mapping[str, float | None]] = ()
