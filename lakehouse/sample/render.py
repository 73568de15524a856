"""From a room and a pose to a frame.

Each quad is ray-cast: for every pixel of its outline on the screen, the ray's hit on the quad's
plane picks the texel (one inverse homography a quad). Far quads are drawn before near ones.
Lens and sensor faults are `lens`; what there is to see is `world`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin, tan

import cv2
import numpy as np
from numpy.typing import NDArray

from lakehouse.sample.surface import MAX_LEVEL, Facing, Image, Quad, Texture, Vector

NEAR_M = 0.05
FIELD_OF_VIEW_RAD = 1.5
_SPECK_PX = 12
_WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Pose:
    """Where a camera is (metres) and how it is turned (radians).

    Yaw is counter-clockwise from +x seen from above, pitch is upwards, roll is clockwise.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    roll: float

    def axes(self) -> Vector:
        """The camera's right, down and forward as rows."""
        forward = np.array([cos(self.yaw) * cos(self.pitch), sin(self.yaw) * cos(self.pitch), 0.0])
        forward[2] = sin(self.pitch)
        right = np.array([sin(self.yaw), -cos(self.yaw), 0.0])
        down = np.cross(forward, right)
        turn = np.array([[cos(self.roll), sin(self.roll)], [-sin(self.roll), cos(self.roll)]])
        return np.vstack([turn @ np.vstack([right, down]), forward])


class Renderer:
    """Draws one room at one frame size."""

    def __init__(self, quads: Sequence[Quad], width_px: int, height_px: int) -> None:
        self._textures = [quad.texture for quad in quads]
        self._texels = np.array([quad.texture.picture.shape[1::-1] for quad in quads])
        self._origin = np.array([quad.origin for quad in quads])
        self._u = np.array([quad.u for quad in quads])
        self._v = np.array([quad.v for quad in quads])
        self._facing = np.array([quad.facing for quad in quads])
        self._backdrop = np.array([quad.backdrop for quad in quads])
        self._size = (width_px, height_px)
        focal_px = width_px / 2 / tan(FIELD_OF_VIEW_RAD / 2)
        self._screen = np.array(
            [[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1]]
        )

    def draw(self, pose: Pose) -> Image:
        """The frame seen from `pose`: height x width x BGRA."""
        width, height = self._size
        frame = np.zeros((height, width, 4), np.uint8)
        eye = np.array([pose.x, pose.y, pose.z])
        axes = pose.axes()
        origin, u, v = self._turned(eye, axes)
        seen = np.flatnonzero(self._in_front(origin, u, v, eye))
        to_screen = np.stack([u[seen], v[seen], origin[seen] - eye], axis=2)
        to_screen = self._screen @ axes @ to_screen
        boxes = self._boxes(to_screen)
        kept = np.flatnonzero(np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1) > _SPECK_PX)
        seen, boxes, to_screen = seen[kept], boxes[kept], to_screen[kept]
        to_quad = np.linalg.inv(to_screen)
        levels = self._levels(to_quad, boxes, self._texels[seen])
        to_texel = self._to_texels(to_quad, boxes, self._texels[seen], levels)
        centre = origin[seen] + (u[seen] + v[seen]) / 2 - eye
        distance = np.linalg.norm(centre, axis=1) + 1e3 * self._backdrop[seen]
        order = np.argsort(-distance, kind="stable")
        for i, (x0, y0, x1, y1), (along_u, along_v), warp in zip(
            seen[order].tolist(),
            boxes[order].tolist(),
            levels[order].tolist(),
            to_texel[order],
            strict=True,
        ):
            _paint(frame[y0:y1, x0:x1], self._textures[i], (along_u, along_v), warp)
        return frame

    def _turned(self, eye: Vector, axes: Vector) -> tuple[Vector, Vector, Vector]:
        origin, u, v = self._origin.copy(), self._u.copy(), self._v.copy()
        axial = self._facing == Facing.AXIAL
        axis = u[axial]
        across = np.cross(axis, origin[axial] + axis / 2 - eye)
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
        # Row 0 of a pipe's picture is its lit side: above, or left for a pipe that stands.
        lit = np.where(np.abs(across[:, 2:]) > 0.05, across[:, 2:], -(across @ axes[0])[:, None])
        v[axial] = -np.sign(lit) * across * np.linalg.norm(v[axial], axis=1, keepdims=True)
        origin[axial] -= v[axial] / 2
        halo = self._facing == Facing.HALO
        u[halo] = axes[0] * np.linalg.norm(u[halo], axis=1, keepdims=True)
        v[halo] = axes[1] * np.linalg.norm(v[halo], axis=1, keepdims=True)
        origin[halo] -= (u[halo] + v[halo]) / 2
        return origin, u, v

    def _in_front(self, origin: Vector, u: Vector, v: Vector, eye: Vector) -> NDArray[np.bool_]:
        towards = np.einsum("ij,ij->i", np.cross(v, u), eye - origin)
        return (towards > 1e-9) | (self._facing != Facing.FIXED)

    def _boxes(self, to_screen: Vector) -> NDArray[np.int64]:
        """Of each quad the screen box of its part before the near plane: x0, y0, x1, y1."""
        corners = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=float)
        outline = (to_screen @ corners).transpose(0, 2, 1)
        following = np.roll(outline, -1, axis=1)
        depth, depth_next = outline[..., 2:], following[..., 2:]
        crosses = (depth > NEAR_M) != (depth_next > NEAR_M)
        share = (NEAR_M - depth) / np.where(crosses, depth_next - depth, 1.0)
        points = np.concatenate([outline, outline + share * (following - outline)], axis=1)
        valid = np.concatenate([depth > NEAR_M, crosses], axis=1)
        flat = points[..., :2] / np.where(valid, points[..., 2:], 1.0)
        low = np.where(valid, flat, np.inf).min(axis=1)
        high = np.where(valid, flat, -np.inf).max(axis=1)
        size = np.array(self._size)
        low = np.clip(np.floor(low - 0.5), 0, size)
        high = np.clip(np.ceil(high + 1.5), 0, size)
        return np.concatenate([low, high], axis=1).astype(np.int64)

    @staticmethod
    def _levels(to_quad: Vector, boxes: NDArray[np.int64], texels: Vector) -> NDArray[np.int64]:
        """How far to shrink each picture along u and v: by its texels a pixel, mid-box."""
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        hit = np.einsum("nij,nj->ni", to_quad, np.stack([x, y, np.ones_like(x)], axis=1))
        slope = to_quad[:, :2, :2] - (hit[:, :2] / hit[:, 2:])[..., None] * to_quad[:, 2:, :2]
        footprint = np.linalg.norm(slope, axis=2) / np.abs(hit[:, 2:]) * texels
        shrink = np.floor(np.log2(np.maximum(footprint, 1e-6)) + 0.4)
        return np.clip(shrink, 0, MAX_LEVEL).astype(np.int64)

    @staticmethod
    def _to_texels(
        to_quad: Vector, boxes: NDArray[np.int64], texels: Vector, levels: NDArray[np.int64]
    ) -> Vector:
        """Of each quad the homography from pixels of its box to texels of its shrunk picture."""
        size = np.maximum(1, texels.astype(np.int64) >> levels)
        warp = to_quad.copy()
        warp[:, :2] *= size[..., None]
        # One texel of border, and pixel centres at whole numbers: half a texel on.
        warp[:, :2] += 0.5 * warp[:, 2:]
        warp[:, :, 2] += np.einsum("nij,nj->ni", warp[:, :, :2], boxes[:, :2].astype(float))
        return warp


def _paint(screen: Image, texture: Texture, levels: tuple[int, int], warp: Vector) -> None:
    picture = texture.level(*levels)
    size = (screen.shape[1], screen.shape[0])
    if texture.opaque:
        cv2.warpPerspective(picture, warp, size, screen, _WARP, cv2.BORDER_TRANSPARENT)
        return
    drawn = cv2.warpPerspective(picture, warp, size, None, _WARP, cv2.BORDER_CONSTANT)
    if not texture.only_adds:
        behind = cv2.cvtColor(255 - drawn[..., 3], cv2.COLOR_GRAY2BGRA)
        cv2.multiply(screen, behind, dst=screen, scale=1 / 255)
    cv2.add(screen, drawn, dst=screen)
