"""What is painted on a wall: doors, cabinets, gauges, signs, grilles, screens.

A `Wall` takes paint in metres; each function here adds one thing to it. Things that stand out of
the wall are `world`'s.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from lakehouse.sample.surface import Image
from lakehouse.sample.textures import Colour

BLACK: Colour = (38.0, 38.0, 38.0)
WHITE: Colour = (215.0, 222.0, 222.0)
SIGN_YELLOW: Colour = (24.0, 160.0, 205.0)
SIGN_RED: Colour = (32.0, 40.0, 190.0)
SIGN_GREEN: Colour = (90.0, 150.0, 20.0)
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class Wall:
    """A wall's paint and its own light, BGR; x from its left end, z from the floor, metres."""

    paint: Image
    glow: Image
    ppm: int

    def at(self, x_m: float, z_m: float) -> tuple[int, int]:
        """The pixel at a place."""
        return round(x_m * self.ppm), self.paint.shape[0] - round(z_m * self.ppm)

    def rectangle(
        self, x_m: float, z_m: float, width_m: float, height_m: float, colour: Colour
    ) -> None:
        """Paint a rectangle from its lower left corner."""
        low, high = self.at(x_m, z_m), self.at(x_m + width_m, z_m + height_m)
        cv2.rectangle(self.paint, low, high, colour, -1)
        cv2.rectangle(self.glow, low, high, (0, 0, 0), -1)

    def shine(
        self, x_m: float, z_m: float, width_m: float, height_m: float, colour: Colour
    ) -> None:
        """Paint a rectangle that gives its own light."""
        low, high = self.at(x_m, z_m), self.at(x_m + width_m, z_m + height_m)
        cv2.rectangle(self.glow, low, high, colour, -1)

    def shadow(self, x_m: float, z_m: float, width_m: float, height_m: float) -> None:
        """Darken a soft-edged rectangle, as cast by something before the wall."""
        soft = round(0.07 * self.ppm)
        (x0, y1), (x1, y0) = self.at(x_m, z_m), self.at(x_m + width_m, z_m + height_m)
        rows = slice(max(0, y0 - 2 * soft), max(0, y1 + 2 * soft))
        columns = slice(max(0, x0 - 2 * soft), max(0, x1 + 2 * soft))
        part = self.paint[rows, columns]
        if part.size == 0:
            return
        mask = np.zeros(part.shape[:2], np.float32)
        mask[max(0, y0 - rows.start) : y1 - rows.start, x0 - columns.start : x1 - columns.start] = 1
        mask = cv2.blur(cv2.blur(mask, (2 * soft, 2 * soft)), (soft, soft))
        part[:] = (part * (1 - 0.55 * mask[..., None])).astype(np.uint8)

    def text(self, text: str, x_m: float, z_m: float, height_m: float, colour: Colour) -> None:
        """Write a line; its base line starts at x, z."""
        scale = height_m * self.ppm / 21
        thickness = max(1, round(scale * 1.8))
        cv2.putText(
            self.paint, text, self.at(x_m, z_m), _FONT, scale, colour, thickness, cv2.LINE_AA
        )


def shaded(colour: Colour, gain: float) -> Colour:
    """A lighter or darker colour of the same hue."""
    blue, green, red = (min(255.0, channel * gain) for channel in colour)
    return blue, green, red


def hazard_stripes(
    wall: Wall, x_m: float, z_m: float, width_m: float, height_m: float, period_m: float = 0.22
) -> None:
    """Slanted yellow and black stripes."""
    wall.rectangle(x_m, z_m, width_m, height_m, SIGN_YELLOW)
    (x0, y1), (x1, y0) = wall.at(x_m, z_m), wall.at(x_m + width_m, z_m + height_m)
    y0, x0 = max(y0, 0), max(x0, 0)
    part = wall.paint[y0:y1, x0:x1]
    rows, columns = np.indices(part.shape[:2])
    black = ((rows + columns) / (period_m * wall.ppm)) % 1 < 0.5
    part[black] = np.array(BLACK, np.uint8)


def door(wall: Wall, x_m: float, colour: Colour, number: int) -> None:
    """A steel door of 1.1 by 2.15 m in its frame, with a lit window; x is its left edge."""
    wall.shadow(x_m - 0.16, 0, 1.5, 2.25)
    wall.rectangle(x_m - 0.1, 0, 1.3, 2.27, shaded(colour, 0.45))
    wall.rectangle(x_m - 0.07, 0, 1.24, 2.24, shaded(colour, 0.75))
    wall.rectangle(x_m, 0, 1.1, 2.15, BLACK)
    wall.rectangle(x_m + 0.02, 0.02, 1.06, 2.11, colour)
    for z in (0.42, 1.12):
        wall.rectangle(x_m + 0.12, z, 0.86, 0.55, shaded(colour, 0.78))
        wall.rectangle(x_m + 0.14, z, 0.84, 0.53, shaded(colour, 1.12))
        wall.rectangle(x_m + 0.14, z + 0.02, 0.82, 0.51, shaded(colour, 0.95))
    hazard_stripes(wall, x_m + 0.02, 0.03, 1.06, 0.2, 0.18)
    wall.rectangle(x_m + 0.3, 1.2, 0.5, 0.72, shaded(colour, 0.4))
    wall.shine(x_m + 0.34, 1.24, 0.42, 0.64, (150.0, 165.0, 160.0))
    wall.shine(x_m + 0.34, 1.55, 0.42, 0.03, (60.0, 60.0, 60.0))
    wall.rectangle(x_m + 0.92, 0.98, 0.05, 0.16, BLACK)
    wall.rectangle(x_m + 0.8, 1.03, 0.16, 0.035, WHITE)
    wall.rectangle(x_m + 0.34, 2.0, 0.42, 0.11, WHITE)
    wall.text(f"D-{number:02d}", x_m + 0.38, 2.02, 0.07, BLACK)


def cabinet(wall: Wall, x_m: float, colour: Colour, rng: Generator) -> None:
    """A switch cabinet of 0.9 by 1.5 m with slots, lamps and a warning; x is its left edge."""
    wall.shadow(x_m - 0.05, 0.2, 1.05, 1.5)
    wall.rectangle(x_m, 0.25, 0.9, 1.5, shaded(colour, 0.5))
    wall.rectangle(x_m + 0.02, 0.28, 0.86, 1.45, colour)
    wall.rectangle(x_m + 0.44, 0.28, 0.02, 1.45, shaded(colour, 0.45))
    for slot in range(6):
        wall.rectangle(x_m + 0.08, 0.36 + 0.05 * slot, 0.3, 0.02, shaded(colour, 0.35))
        wall.rectangle(x_m + 0.52, 0.36 + 0.05 * slot, 0.3, 0.02, shaded(colour, 0.35))
    for lamp in range(5):
        lit = (60.0, 230.0, 120.0) if rng.random() < 0.7 else (40.0, 60.0, 250.0)
        wall.shine(x_m + 0.53 + 0.06 * lamp, 1.52, 0.03, 0.03, lit)
    warning(wall, x_m + 0.23, 1.12, 0.26)
    gauge(wall, x_m + 0.66, 1.25, 0.1, rng)


def gauge(wall: Wall, x_m: float, z_m: float, radius_m: float, rng: Generator) -> None:
    """A round pressure gauge around its centre."""
    centre, radius = wall.at(x_m, z_m), round(radius_m * wall.ppm)
    cv2.circle(wall.paint, centre, radius, BLACK, -1, cv2.LINE_AA)
    cv2.circle(wall.paint, centre, round(radius * 0.85), WHITE, -1, cv2.LINE_AA)
    inner = round(radius * 0.68)
    cv2.ellipse(wall.paint, centre, (inner, inner), 0, -60, 40, SIGN_RED, 2, cv2.LINE_AA)
    cv2.ellipse(wall.paint, centre, (inner, inner), 0, 140, 300, BLACK, 1, cv2.LINE_AA)
    angle = rng.uniform(2.6, 5.6)
    tip = (round(centre[0] + inner * np.cos(angle)), round(centre[1] + inner * np.sin(angle)))
    cv2.line(wall.paint, centre, tip, BLACK, 2, cv2.LINE_AA)


def warning(wall: Wall, x_m: float, z_m: float, side_m: float) -> None:
    """A yellow triangle with a bolt; x, z is the middle of its base."""
    apex, half = z_m + side_m * 0.87, side_m / 2
    for grow, colour in ((1.12, BLACK), (0.9, SIGN_YELLOW)):
        corners = ((-half * grow, -0.05 * (grow - 1)), (half * grow, -0.05 * (grow - 1)))
        points = [wall.at(x_m + dx, z_m + dz + (1 - grow) * -0.1) for dx, dz in corners]
        points.append(wall.at(x_m, z_m + (apex - z_m) * grow + (1 - grow) * 0.35 * side_m))
        cv2.fillPoly(wall.paint, [np.array(points)], colour, cv2.LINE_AA)
    bolt = [(0.06, 0.66), (-0.12, 0.34), (0.0, 0.34), (-0.05, 0.1), (0.13, 0.42), (0.01, 0.42)]
    points = [wall.at(x_m + dx * side_m, z_m + dz * side_m) for dx, dz in bolt]
    cv2.fillPoly(wall.paint, [np.array(points)], BLACK, cv2.LINE_AA)


def plate(wall: Wall, x_m: float, z_m: float, text: str, colour: Colour) -> None:
    """A lettered sign of 0.2 m height; x, z is its lower left corner."""
    width = 0.1 + 0.095 * len(text)
    wall.shadow(x_m, z_m - 0.03, width, 0.2)
    wall.rectangle(x_m, z_m, width, 0.2, WHITE)
    wall.rectangle(x_m + 0.015, z_m + 0.015, width - 0.03, 0.17, colour)
    wall.text(text, x_m + 0.06, z_m + 0.055, 0.09, WHITE)


def exit_sign(wall: Wall, x_m: float, z_m: float) -> None:
    """A green sign that glows."""
    wall.rectangle(x_m - 0.02, z_m - 0.02, 0.56, 0.26, BLACK)
    wall.shine(x_m, z_m, 0.52, 0.22, (75.0, 150.0, 15.0))
    scale = 0.15 * wall.ppm / 21
    place = wall.at(x_m + 0.06, z_m + 0.04)
    cv2.putText(wall.glow, "EXIT", place, _FONT, scale, (235, 245, 235), 2, cv2.LINE_AA)


def grille(wall: Wall, x_m: float, z_m: float, colour: Colour) -> None:
    """A louvred vent of 1.0 by 0.6 m."""
    wall.rectangle(x_m - 0.04, z_m - 0.04, 1.08, 0.68, shaded(colour, 0.6))
    wall.rectangle(x_m, z_m, 1.0, 0.6, BLACK)
    for louvre in range(8):
        wall.rectangle(x_m, z_m + 0.02 + louvre * 0.075, 1.0, 0.035, shaded(colour, 0.9))
        wall.rectangle(x_m, z_m + 0.05 + louvre * 0.075, 1.0, 0.01, shaded(colour, 1.3))


def screens(wall: Wall, x_m: float, colour: Colour, rng: Generator) -> None:
    """A rack of 1.6 by 1.5 m with two glowing screens and rows of lamps."""
    wall.shadow(x_m - 0.05, 0.3, 1.7, 1.5)
    wall.rectangle(x_m, 0.3, 1.6, 1.5, shaded(colour, 0.35))
    wall.rectangle(x_m + 0.03, 0.33, 1.54, 1.44, shaded(colour, 0.6))
    for left in (x_m + 0.1, x_m + 0.85):
        wall.rectangle(left, 1.05, 0.65, 0.6, BLACK)
        wall.shine(left + 0.03, 1.08, 0.59, 0.54, (70.0, 45.0, 12.0))
        points = [
            wall.at(left + 0.05 + 0.55 * step / 12, 1.15 + 0.35 * float(rng.random()))
            for step in range(13)
        ]
        cv2.polylines(wall.glow, [np.array(points)], False, (190, 230, 90), 2, cv2.LINE_AA)
    for row in range(4):
        wall.rectangle(x_m + 0.1, 0.42 + 0.14 * row, 1.4, 0.09, BLACK)
        for column in range(14):
            if rng.random() < 0.6:
                lit = (70.0, 220.0, 90.0) if rng.random() < 0.8 else (30.0, 140.0, 250.0)
                wall.shine(x_m + 0.14 + 0.095 * column, 0.45 + 0.14 * row, 0.03, 0.025, lit)
