"""Procedural materials and sprites, as pictures.

Brick, tile, plate, pipe and wheel belong here, without light and without place; what hangs on a
wall is `decals`, light is `light`.
"""

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lakehouse.sample.surface import Image

Tone = NDArray[np.float32]
Colour = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A BGR colour of 0 to 255 from OpenCV's 8-bit HSV (hue 0 to 180, the rest 0 to 255)."""
    pixel = np.array([[[hue, saturation, value]]], dtype=np.uint8)
    blue, green, red = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0]
    return float(blue), float(green), float(red)


@dataclass(frozen=True)
class Masonry:
    """Cells with joints between: brick, tile, plank, plate or cast concrete. Sizes in metres."""

    cell: tuple[float, float]
    joint: float
    joint_tone: float
    spread: float
    """Standard deviation of the cells' tones."""
    bond: float = 0.0
    """Shift of every other row, as a share of a cell."""
    grain: float = 0.05
    rivets: bool = False


def clouds(shape: tuple[int, int], cell_px: float, rng: Generator) -> Tone:
    """Smooth noise of unit variance, about, with blobs of this size."""
    rows, columns = (max(2, round(side / cell_px)) + 1 for side in shape)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def masonry(look: Masonry, width_m: float, height_m: float, ppm: int, rng: Generator) -> Tone:
    """Tones around 1 of a wall or floor of this look; `ppm` is pixels a metre."""
    shape = (round(height_m * ppm), round(width_m * ppm))
    y, x = (np.arange(side, dtype=np.float32) / ppm for side in shape)
    row = np.floor(y / look.cell[1]).astype(int)
    shifted = x[None, :] + (row % 2)[:, None] * np.float32(look.bond * look.cell[0])
    column = np.floor(shifted / look.cell[0]).astype(int)
    tones = rng.standard_normal((row.max() + 1, column.max() + 1), dtype=np.float32)
    tone = 1 + np.float32(look.spread) * np.clip(tones, -2, 2)[row[:, None], column]
    into_x = shifted - column * np.float32(look.cell[0])
    into_y = (y - row * np.float32(look.cell[1]))[:, None]
    # Light from above: a cell's upper edge shines, its lower one lies in its own shade.
    edge = np.float32(1.6 / ppm)
    bevel = 1 + 0.08 * (np.abs(into_y - look.joint - edge) < edge)
    bevel -= 0.1 * (into_y > look.cell[1] - 2 * edge)
    tone *= bevel.astype(np.float32)
    tone[(into_x < look.joint) | (into_y < look.joint)] = look.joint_tone
    if look.rivets:
        _rivet(tone, look, ppm)
    return tone * grain(shape, look.grain, ppm, rng)


def grain(shape: tuple[int, int], amount: float, ppm: int, rng: Generator) -> Tone:
    """Tones around 1: a fine grain of this standard deviation over faint stains."""
    fine = rng.standard_normal(shape, dtype=np.float32)
    return (
        np.float32(1) + np.float32(amount) * fine + np.float32(0.05) * clouds(shape, ppm * 0.5, rng)
    )


def _rivet(tone: Tone, look: Masonry, ppm: int) -> None:
    height, width = tone.shape
    inset = look.joint + 0.04
    for y in np.arange(inset, height / ppm, look.cell[1]):
        for x in np.arange(inset, width / ppm, look.cell[0] / 4):
            centre = (round(x * ppm), round(y * ppm))
            cv2.circle(tone, centre, 2, 0.7, -1, cv2.LINE_AA)
            cv2.circle(tone, (centre[0], centre[1] - 1), 1, 1.25, -1, cv2.LINE_AA)


def checker_plate(width_m: float, height_m: float, ppm: int, rng: Generator) -> Tone:
    """Steel floor plate with raised lozenges, in sheets of 1.4 m."""
    cell = max(4, round(0.11 * ppm))
    stamp = np.full((2 * cell, 2 * cell), 0.96, np.float32)
    reach = (round(cell * 0.34), max(1, round(cell * 0.12)))
    for x, y, angle in ((0.5, 0.5, 45), (1.5, 0.5, -45), (0.5, 1.5, -45), (1.5, 1.5, 45)):
        centre = (round(x * cell), round(y * cell))
        cv2.ellipse(stamp, (centre[0], centre[1] + 1), reach, angle, 0, 360, 0.84, -1, cv2.LINE_AA)
        cv2.ellipse(stamp, centre, reach, angle, 0, 360, 1.08, -1, cv2.LINE_AA)
    shape = (round(height_m * ppm), round(width_m * ppm))
    repeats = (shape[0] // (2 * cell) + 1, shape[1] // (2 * cell) + 1)
    plate = np.tile(stamp, repeats)[: shape[0], : shape[1]]
    sheets = masonry(Masonry((1.4, 1.4), 0.015, 0.5, 0.06), width_m, height_m, ppm, rng)
    return plate * sheets


def streaks(tone: Tone, ppm: int, rng: Generator, share: float) -> Tone:
    """The wall with dirt run down it; `share` is the darkening of the worst streak."""
    height, width = tone.shape
    columns = np.clip(clouds((1, width), ppm * 0.12, rng), 0, 2) / 2
    depth = np.linspace(1, 0.25, height, dtype=np.float32)[:, None]
    dirt = (columns * depth).astype(np.float32)
    return tone * (np.float32(1) - np.float32(share) * dirt)


def coloured(tone: Tone, colour: Colour) -> Image:
    """The tones in one hue, as BGR bytes."""
    return np.clip(tone[..., None] * np.array(colour, np.float32), 0, 255).astype(np.uint8)


def cylinder(length_m: float, diameter_m: float, ppm: int, colour: Colour, rng: Generator) -> Tone:
    """A round body along the picture's rows, lit from row 0's side: BGR tones of 0 to 255."""
    rows, columns = max(8, round(diameter_m * ppm)), max(8, round(length_m * ppm))
    around = np.linspace(1, -1, rows, dtype=np.float32)
    facing = np.sqrt(np.maximum(0, 1 - around**2))
    shade = 0.22 + 0.85 * np.maximum(0, 0.62 * around + 0.62 * facing)
    gloss = 0.55 * np.exp(-(((around - 0.52) / 0.12) ** 2))
    wear = 1 + 0.07 * clouds((rows, columns), rows / 2, rng)
    wear += 0.03 * rng.standard_normal((rows, columns), dtype=np.float32)
    body = (shade[:, None] * wear)[..., None] * np.array(colour, np.float32)
    return (body * (1 + gloss[:, None, None]) + 26 * gloss[:, None, None]).astype(np.float32)


def bands(body: Tone, places: list[float], width: float, colour: Colour) -> None:
    """Paint rings of a colour around a `cylinder`, at shares of its length, keeping its shading."""
    columns = body.shape[1]
    for place in places:
        ring = slice(round((place - width / 2) * columns), round((place + width / 2) * columns))
        tone = body[:, ring].max(axis=2, keepdims=True)
        body[:, ring] = tone / max(float(tone.max(initial=1)), 1) * np.array(colour, np.float32)


def hand_wheel(colour: Colour, side_px: int = 96) -> Image:
    """A valve's wheel with five spokes, face on, as premultiplied BGRA."""
    scale = 4
    side = side_px * scale
    alpha = np.zeros((side, side), np.uint8)
    centre, rim = (side // 2, side // 2), int(side * 0.42)
    cv2.circle(alpha, centre, rim, 255, int(side * 0.1))
    cv2.circle(alpha, centre, int(side * 0.11), 255, -1)
    for spoke in range(5):
        angle = 2 * pi * spoke / 5 + 0.3
        end = (int(centre[0] + rim * np.cos(angle)), int(centre[1] + rim * np.sin(angle)))
        cv2.line(alpha, centre, end, 255, int(side * 0.06))
    # The distance to the outline rounds the flat shape off.
    depth = np.sqrt(cv2.distanceTransform(alpha, cv2.DIST_L2, 3) / (side * 0.05)).clip(0, 1)
    slope = cv2.Sobel(cv2.GaussianBlur(depth, (0, 0), scale * 1.5), cv2.CV_32F, 0, 1)
    shade = 0.55 + 0.35 * depth + np.clip(slope * 2.5, -0.35, 0.5)
    picture = np.dstack([coloured(shade.astype(np.float32), colour), alpha])
    picture[..., :3] = cv2.multiply(picture[..., :3], cv2.merge([alpha] * 3), scale=1 / 255)
    return cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA)


def halo(colour: Colour, strength: float, side_px: int = 64) -> Image:
    """A round glow that only adds light: BGRA with alpha 0."""
    ramp = np.linspace(-1, 1, side_px, dtype=np.float32)
    radius = np.sqrt(ramp[:, None] ** 2 + ramp**2)
    glow = np.clip(1 - radius, 0, 1) ** 2.2 * np.float32(strength)
    return np.dstack([coloured(glow, colour), np.zeros_like(glow, np.uint8)])
