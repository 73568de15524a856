"""What a room is made of: flat quads in space, and the pictures on them.

Geometry and sampling of one quad belong here; how a frame is drawn is `render`, and which quads a
room has is `world`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Vector = NDArray[np.float64]
MAX_LEVEL = 5


class Facing(IntEnum):
    """How a quad turns with the camera."""

    FIXED = 0
    """It doesn't: `u` and `v` are its edges, visible from the side that `v` x `u` points to."""
    AXIAL = 1
    """Around its axis `u`, as a cylinder of diameter `|v|` looks the same from all around."""
    HALO = 2
    """Fully, around its centre `origin`; `|u|` and `|v|` are its width and height."""


class Texture:
    """A BGRA picture and, made when first asked for, its copies shrunk along either axis.

    Shrinking the axes apart keeps a floor sharp across while it is averaged along, where it
    recedes. Colours are premultiplied by alpha; colour where alpha is 0 adds light.
    """

    def __init__(self, picture: Image, opaque: bool = True) -> None:
        self.opaque = opaque
        self.only_adds = not picture[..., 3].any()
        self._levels = {(0, 0): self._bordered(picture)}

    @property
    def picture(self) -> Image:
        """The picture in full."""
        return self._levels[0, 0][1:-1, 1:-1]

    def level(self, along_u: int, along_v: int) -> Image:
        """The picture shrunk by two to these powers, with a border of one texel around it."""
        known = self._levels.get((along_u, along_v))
        if known is None:
            height, width = self.picture.shape[:2]
            size = (max(1, width >> along_u), max(1, height >> along_v))
            small = cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA)
            known = self._levels[along_u, along_v] = self._bordered(small)
        return known

    def _bordered(self, picture: Image) -> Image:
        edge = cv2.BORDER_REPLICATE if self.opaque else cv2.BORDER_CONSTANT
        return cv2.copyMakeBorder(picture, 1, 1, 1, 1, edge, value=(0, 0, 0, 0))


@dataclass(frozen=True)
class Quad:
    """A picture in space, in metres: x along the room, y to the left, z up.

    `origin` is the corner of the picture's first pixel, `u` runs along its rows, `v` down its
    columns. Quads of the `backdrop` (the room's shell) are drawn before all others.
    """

    origin: Vector
    u: Vector
    v: Vector
    texture: Texture
    facing: Facing = Facing.FIXED
    backdrop: bool = False


def tiles(quad: Quad, length_m: float) -> Iterator[Quad]:
    """The quad in equal pieces of about this length along `u`, each drawn at its own sharpness."""
    count = max(1, round(float(np.linalg.norm(quad.u)) / length_m))
    columns = np.linspace(0, quad.texture.picture.shape[1], count + 1).round().astype(int)
    width = columns[-1]
    for first, end in pairwise(columns):
        yield Quad(
            quad.origin + quad.u * (first / width),
            quad.u * ((end - first) / width),
            quad.v,
            Texture(quad.texture.picture[:, first:end], quad.texture.opaque),
            quad.facing,
            quad.backdrop,
        )
