"""What hangs and stands in a room: pipes, valves, tanks, crates, and the boxes of piers and beams.

Each function yields lit quads, and paints on the wall behind what belongs there. Where each goes
is `world`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from lakehouse.sample import decals
from lakehouse.sample.decals import Wall, shaded
from lakehouse.sample.light import Light, exposed, lit
from lakehouse.sample.rooms import LENGTH_M, Fixture, Room
from lakehouse.sample.surface import Facing, Image, Quad, Texture, Vector
from lakehouse.sample.textures import (
    Colour,
    Masonry,
    bands,
    coloured,
    cylinder,
    hand_wheel,
    hsv,
    masonry,
    streaks,
)

BAYS = 5
BAY_M = LENGTH_M / BAYS
PPM = 104
"""Pixels a metre of walls and of what stands before them."""
STEEL = Masonry((0.7, 0.5), 0.01, 0.6, 0.04, grain=0.04)
_TANK_SIDES = 14


def vector(x: float, y: float, z: float) -> Vector:
    """A point or way in metres."""
    return np.array([x, y, z], dtype=float)


def opaque(picture: Image) -> Texture:
    """A BGR picture as a texture that hides what is behind it."""
    return Texture(np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]))


def fixture_at(
    room: Room,
    wall: Wall,
    fixture: Fixture,
    side: int,
    x: float,
    middle: float,
    light: Light,
    rng: Generator,
) -> Iterator[Quad]:
    """Paint on the wall around `middle`, and yield what stands before it at `x`."""
    metal = room.door_colour
    match fixture:
        case "door":
            decals.door(wall, middle - 0.55, metal, int(rng.integers(1, 60)))
            decals.exit_sign(wall, middle - 0.26, 2.36)
            decals.warning(wall, middle + 0.95, 1.3, 0.32)
        case "cabinet":
            decals.cabinet(wall, middle - 0.95, metal, rng)
            decals.cabinet(wall, middle + 0.05, shaded(metal, 0.85), rng)
        case "signs":
            decals.hazard_stripes(wall, middle - 1.2, 0.85, 2.4, 0.14)
            decals.warning(wall, middle - 0.5, 1.2, 0.42)
            decals.warning(wall, middle + 0.75, 1.2, 0.34)
            decals.grille(wall, middle - 0.2, 0.15, metal)
        case "grille":
            decals.grille(wall, middle - 1.05, 1.25, metal)
            decals.grille(wall, middle + 0.1, 1.25, metal)
            decals.hazard_stripes(wall, middle - 1.1, 0.5, 2.2, 0.12)
        case "screens":
            decals.screens(wall, middle - 0.8, metal, rng)
        case "valves":
            decals.gauge(wall, middle - 0.2, 1.5, 0.13, rng)
            decals.gauge(wall, middle + 0.2, 1.5, 0.13, rng)
            yield from _valves(room, wall, side, x, middle, light, rng)
        case "tank":
            yield from _tank(room, side, x, light, rng)
        case "crates":
            yield from _crates(room, side, x, light, rng)


def _depth(room: Room, side: int, from_wall_m: float) -> float:
    return room.width_m - from_wall_m if side == 0 else from_wall_m


def _inwards(side: int) -> Vector:
    return vector(0, -1 if side == 0 else 1, 0)


def _pipe(
    start: Vector,
    axis: Vector,
    radius_m: float,
    colour: Colour,
    light: Light,
    facing: Vector,
    rng: Generator,
    rings: tuple[tuple[float, Colour], ...] = (),
) -> Quad:
    body = cylinder(float(np.linalg.norm(axis)), 2 * radius_m, PPM, colour, rng)
    for place, ring in rings:
        bands(body, [place], 0.05, ring)
    gain = np.clip(light.at(start + axis / 2, facing), 0.45, 1.25)
    picture = exposed(body * np.float32(gain * 1.15))
    opaque = np.full(picture.shape[:2], 255, np.uint8)
    texture = Texture(np.dstack([picture, opaque]), opaque=False)
    return Quad(start, axis, vector(2 * radius_m, 0, 0), texture, Facing.AXIAL)


def pipe_run(
    room: Room,
    side: int,
    height: float,
    radius_m: float,
    colour: Colour,
    light: Light,
    rng: Generator,
) -> Iterator[Quad]:
    """A pipe along the whole wall with a flange a bay."""
    y = _depth(room, side, 0.3)
    inwards = _inwards(side)
    for bay in range(BAYS):
        start = vector(bay * BAY_M, y, height)
        ring = ((0.3, decals.WHITE), (0.36, decals.SIGN_GREEN)) if bay % 2 else ()
        yield _pipe(start, vector(BAY_M, 0, 0), radius_m, colour, light, inwards, rng, ring)
        flange = start + vector(0.62 * BAY_M, 0, 0)
        yield _pipe(
            flange, vector(0.09, 0, 0), radius_m * 1.5, shaded(colour, 0.7), light, inwards, rng
        )


def _valves(
    room: Room,
    wall: Wall,
    side: int,
    x: float,
    middle: float,
    light: Light,
    rng: Generator,
) -> Iterator[Quad]:
    """Two standing pipes with a red hand-wheel each, joined near the floor."""
    inwards = _inwards(side)
    y = _depth(room, side, 0.28)
    colour = room.pipe_colours[0]
    top = room.height_m - 0.5
    for shift in (-0.62, 0.62):
        wall.shadow(middle + shift - 0.06, 0.3, 0.2, top - 0.3)
        foot = vector(x + shift, y, 0.32)
        yield _pipe(foot, vector(0, 0, top - 0.32), 0.075, colour, light, inwards, rng)
        for height in (0.5, 0.86, 1.9):
            joint = vector(x + shift, y, height)
            yield _pipe(joint, vector(0, 0, 0.08), 0.125, shaded(colour, 0.65), light, inwards, rng)
        height = 0.72 + 0.2 * float(rng.random())
        yield _wheel(vector(x + shift, y, height), inwards, light)
    bar = vector(x - 1.0, y, 0.34)
    wall.shadow(middle - 1.0, 0.14, 2.0, 0.14)
    yield _pipe(bar, vector(2.0, 0, 0), 0.075, shaded(colour, 0.85), light, inwards, rng)


def _wheel(place: Vector, inwards: Vector, light: Light, side_m: float = 0.44) -> Quad:
    centre = place + inwards * 0.2
    right = np.cross(vector(0, 0, 1), inwards)
    gain = float(np.clip(light.at(centre, inwards), 0.6, 1.2))
    picture = hand_wheel(hsv(4, 225, min(255, 225 * gain)))
    corner = centre - right * side_m / 2 + vector(0, 0, side_m / 2)
    return Quad(corner, right * side_m, vector(0, 0, -side_m), Texture(picture, opaque=False))


def _tank(room: Room, side: int, x: float, light: Light, rng: Generator) -> Iterator[Quad]:
    """A standing tank of 1.1 m across with hoops and a label, as a prism of many sides."""
    radius, height = 0.55, room.height_m - 0.75
    colour = shaded(room.pipe_colours[0], 0.85)
    centre = vector(x, _depth(room, side, 0.66), 0)
    tone = masonry(STEEL, 2 * np.pi * radius, height, PPM, rng)
    tone = streaks(tone, PPM, rng, share=0.3)
    paint = coloured(tone, colour)
    tank = Wall(paint, np.zeros_like(paint), PPM)
    round_m = 2 * np.pi * radius
    for hoop in (0.12, 0.9, 1.7, height - 0.12):
        tank.rectangle(0, hoop - 0.035, round_m, 0.07, shaded(colour, 0.5))
        tank.rectangle(0, hoop + 0.015, round_m, 0.015, shaded(colour, 1.3))
    for quarter in range(3):
        left = (quarter + 0.2) * round_m / 3
        decals.plate(tank, left, 1.25, f"T-{int(rng.integers(10, 99))}", decals.SIGN_RED)
        decals.warning(tank, left + 0.75, 1.12, 0.36)
        decals.gauge(tank, left + 0.1, 0.6, 0.1, rng)
    columns = np.linspace(0, paint.shape[1], _TANK_SIDES + 1).round().astype(int)
    angles = np.linspace(0, 2 * np.pi, _TANK_SIDES + 1)
    rim = centre + radius * np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], 1)
    for part in range(_TANK_SIDES):
        stave = np.ascontiguousarray(paint[:, columns[part] : columns[part + 1]])
        quad = Quad(
            rim[part] + vector(0, 0, height),
            rim[part + 1] - rim[part],
            vector(0, 0, -height),
            opaque(stave),
        )
        yield lit(quad, light)
    neck = centre + vector(0, 0, height)
    yield _pipe(neck, vector(0, 0, 0.75), 0.14, room.pipe_colours[-1], light, _inwards(side), rng)


def _crates(room: Room, side: int, x: float, light: Light, rng: Generator) -> Iterator[Quad]:
    """Two crates on the floor and one on top."""
    y = _depth(room, side, 0.5)
    colour = shaded(room.door_colour, 1.1)
    for shift, low in ((-0.45, 0.0), (0.4, 0.0), (-0.1, 0.7)):
        size = 0.7 + 0.08 * float(rng.random())
        look = Masonry((2.0, 0.14), 0.012, 0.35, 0.12, grain=0.06)
        paint = coloured(masonry(look, size, 0.7, PPM, rng), colour)
        face = Wall(paint, np.zeros_like(paint), PPM)
        for left in (0.0, size - 0.09):
            face.rectangle(left, 0, 0.09, 0.7, shaded(colour, 0.7))
        for base in (0.0, 0.61):
            face.rectangle(0, base, size, 0.09, shaded(colour, 0.8))
        face.text(f"{int(rng.integers(100, 999))}", 0.2, 0.3, 0.13, decals.BLACK)
        yield from box(
            vector(x + shift - size / 2, y - 0.35, low), vector(size, 0.7, 0.7), face.paint, light
        )


def box(low: Vector, size: Vector, picture: Image, light: Light) -> Iterator[Quad]:
    """A box from its lowest corner: four sides with the same picture, and its underside."""
    dx, dy, dz = (np.diag(size)[axis] for axis in range(3))
    texture = opaque(picture)
    top = low + dz
    for origin, u in ((top, dx), (top + dx, dy), (top + dx + dy, -dx), (top + dy, -dy)):
        yield lit(Quad(origin, u, -dz, texture), light)
    yield lit(Quad(low, dx, dy, texture), light)
