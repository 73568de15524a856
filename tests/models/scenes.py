"""Pictures of rooms as a robot sees them, of several sizes and shapes, as JPEGs."""

from functools import cache
from io import BytesIO

import cv2
from PIL import Image

from lakehouse.sample.render import Pose, Renderer
from lakehouse.sample.rooms import COOL, WARM
from lakehouse.sample.world import build

_SIZES_PX = ((640, 360), (360, 640), (64, 48), (333, 77), (1280, 720), (200, 200), (31, 29))


@cache
def jpegs() -> list[bytes]:
    """One picture for each size, each from another place."""
    found = []
    for number, (width, height) in enumerate(_SIZES_PX):
        room = (WARM + COOL)[number % len(WARM + COOL)]
        pose = Pose(1.0 + number, 0.1, 0.6, 0.15 * number, -0.05, 0.0)
        drawn = Renderer(build(room, seed=number), width, height).draw(pose)
        found.append(bytes(cv2.imencode(".jpg", drawn)[1]))
    return found


def pictures() -> list[Image.Image]:
    """The same, decoded."""
    return [Image.open(BytesIO(jpeg)).convert("RGB") for jpeg in jpegs()]
