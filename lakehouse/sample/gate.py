"""What moves in a room while the dog stands: a steel gate that swings before a camera.

All else in a room stands still and is `world`'s.
"""

from math import cos, radians, sin

import numpy as np

from lakehouse.sample import decals
from lakehouse.sample.decals import Wall, shaded
from lakehouse.sample.fixtures import PPM, STEEL, box, opaque, vector
from lakehouse.sample.light import lit
from lakehouse.sample.render import Pose
from lakehouse.sample.rooms import Room
from lakehouse.sample.surface import Image, Quad, Texture, Vector
from lakehouse.sample.textures import coloured, masonry
from lakehouse.sample.world import light_of

_AHEAD_M, _ASIDE_M = 1.5, 0.55
_WIDTH_M, _HEIGHT_M, _FOOT_M = 1.2, 1.9, 0.12
_WIDEST_RAD = radians(38)
_PERIOD_S = 6.0


class Gate:
    """A gate on a post ahead of a camera and to its right, in light as it hangs when shut."""

    def __init__(self, room: Room, camera: Pose, seed: int) -> None:
        self._ahead = vector(cos(camera.yaw), sin(camera.yaw), 0)
        self._left = vector(-self._ahead[1], self._ahead[0], 0)
        foot = vector(camera.x, camera.y, 0) + _AHEAD_M * self._ahead - _ASIDE_M * self._left
        self._hinge = foot + vector(0, 0, _FOOT_M + _HEIGHT_M)
        light = light_of(room)
        paint = _paint(room, seed)
        leaf = _WIDTH_M * self._left
        self._texture = lit(_face(self._hinge + leaf, -leaf, opaque(paint)), light).texture
        corner, size = foot - vector(0.05, 0.05, 0), vector(0.1, 0.1, room.height_m)
        self._post = list(box(corner, size, paint[:, :10].copy(), light))

    def at(self, time_s: float) -> list[Quad]:
        """Both faces of the leaf, and the post. It swings to and fro at an even speed."""
        cycle = time_s / _PERIOD_S % 1
        angle = _WIDEST_RAD * (1 - 4 * abs(cycle - 0.5))
        leaf = _WIDTH_M * (cos(angle) * self._left + sin(angle) * self._ahead)
        to_camera = _face(self._hinge + leaf, -leaf, self._texture)
        return [to_camera, _face(self._hinge, leaf, self._texture), *self._post]


def _face(corner: Vector, along: Vector, texture: Texture) -> Quad:
    """A side of the leaf from its upper left corner, as one sees it who stands before it."""
    return Quad(corner, along, vector(0, 0, -_HEIGHT_M), texture)


def _paint(room: Room, seed: int) -> Image:
    rng = np.random.default_rng([seed, *room.name.encode()])
    colour = shaded(room.door_colour, 1.15)
    paint = coloured(masonry(STEEL, _WIDTH_M, _HEIGHT_M, PPM, rng), colour)
    face = Wall(paint, np.zeros_like(paint), PPM)
    for base, height in ((0.0, 0.22), (1.5, 0.14)):
        decals.hazard_stripes(face, 0, base, _WIDTH_M, height)
    decals.warning(face, 0.35, 0.75, 0.42)
    decals.plate(face, 0.58, 0.42, "GATE", decals.SIGN_RED)
    return paint
