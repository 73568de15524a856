"""How much light falls where.

Lamps and what they give to points and to pictures belong here; the lamps' own look is `world`'s.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lakehouse.sample.surface import Image, Quad, Texture, Vector

_CELL_M = 0.2
_LAMP_SIZE_M2 = 0.7


@dataclass(frozen=True)
class Light:
    """Lamps of one strength at places (n x 3, metres) and the light that comes from everywhere."""

    places: Vector
    strength: float
    ambient: float

    def at(self, points: Vector, normal: Vector) -> Vector:
        """The light on points (... x 3) that face along `normal`: 1 is full exposure.

        Lambert's cosine law and the inverse square, softened near a lamp by its size.
        """
        light = np.full(points.shape[:-1], self.ambient)
        for place in self.places:
            way = place - points
            square = np.einsum("...i,...i->...", way, way)
            cosine = np.maximum(0, way @ normal) / np.sqrt(square + 1e-9)
            light += self.strength * cosine / (square + _LAMP_SIZE_M2)
        return light


def lit(quad: Quad, light: Light, glow: Image | None = None, occlusion: float = 0.0) -> Quad:
    """The quad with the light that falls on it, and its own `glow`, burnt into its picture.

    `occlusion` is the darkening at its borders, where a wall meets the next.
    """
    rows, columns = quad.texture.picture.shape[:2]
    cells = [max(2, round(float(np.linalg.norm(side)) / _CELL_M)) for side in (quad.v, quad.u)]
    down, along = ((np.arange(count) + 0.5) / count for count in cells)
    points = quad.origin + along[None, :, None] * quad.u + down[:, None, None] * quad.v
    normal = np.cross(quad.v, quad.u)
    gain = light.at(points, normal / np.linalg.norm(normal))
    if occlusion:
        gain *= _border(down, quad.v, occlusion)[:, None] * _border(along, quad.u, occlusion)
    smooth = cv2.resize(gain.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    picture = quad.texture.picture.copy()
    picture[..., :3] = exposed(picture[..., :3] * smooth[..., None])
    if glow is not None:
        # What glows stands in black paint, so the sum is the glow alone.
        own = glow.max(axis=2) > 0
        picture[own, :3] = glow[own]
    texture = Texture(picture, quad.texture.opaque)
    return Quad(quad.origin, quad.u, quad.v, texture, quad.facing, quad.backdrop)


def exposed(tone: NDArray[np.float32]) -> Image:
    """Tones as bytes, with a soft shoulder instead of a clip above 170 of 255. Uses `tone` up."""
    bright = tone > 170
    tone[bright] = 250 - 80 * np.exp((170 - tone[bright]) / 80)
    return tone.astype(np.uint8)


def _border(share: Vector, side: Vector, occlusion: float) -> Vector:
    inset_m = np.minimum(share, 1 - share) * np.linalg.norm(side)
    return np.asarray(1 - occlusion * np.exp(-inset_m / 0.35))
