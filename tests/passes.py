"""One pass over the bytes of a video, with settings that give a short one several spans.

Only making the pass and taking its result apart belongs here; what is expected of it stays in the
tests.
"""

from io import BytesIO

from lakehouse.settings import ClipSettings
from lakehouse.video.one_pass import OnePass, facts_of, run_one_pass
from lakehouse.video.probe import Probe, probe
from lakehouse.video.tiling import Span
from tests.videos import Picture, moving

SETTINGS = ClipSettings(
    min_clip_s=0.4, max_clip_s=2.0, frames_per_clip=3, frame_longest_px=64, sample_interval_s=0.2
)
WALK = ClipSettings(frames_per_clip=4, frame_longest_px=160)
FRAMES = 150


def passed(data: bytes, settings: ClipSettings = SETTINGS) -> tuple[OnePass, Probe]:
    found = probe(BytesIO(data))
    return run_one_pass(lambda: BytesIO(data), facts_of(found), settings), found


def film() -> list[Picture]:
    """Two shots that meet at frame 60."""
    return [*moving(60, 1), *moving(FRAMES - 60, 2)]


def spans_of(result: OnePass) -> list[Span]:
    return [sampled.span for sampled in result.spans]
