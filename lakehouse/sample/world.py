"""Builds a room: its shell, what hangs and stands in it, and its lamps, all as lit quads.

Layout belongs here: five bays along the room, a fixture a bay and side, piers and beams between
them. Materials and colours are `rooms`, `textures` and `decals`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from lakehouse.sample import decals
from lakehouse.sample.decals import Wall, shaded
from lakehouse.sample.fixtures import (
    BAY_M,
    BAYS,
    PPM,
    STEEL,
    box,
    fixture_at,
    opaque,
    pipe_run,
    vector,
)
from lakehouse.sample.light import Light, lit
from lakehouse.sample.rooms import LENGTH_M, Fixture, Room
from lakehouse.sample.surface import Facing, Quad, Texture, Vector, tiles
from lakehouse.sample.textures import (
    Colour,
    checker_plate,
    coloured,
    grain,
    halo,
    hsv,
    masonry,
    streaks,
)

_FLOOR_PPM = 96
_FLAT_PPM = 64
_SIGNS = ("PUMP 03", "VALVE V12", "NO ENTRY", "LINE 7", "KEEP CLEAR", "STEAM", "GATE B", "400 V")


def build(room: Room, seed: int) -> list[Quad]:
    """The room's quads, the same for the same seed. About 0.3 s."""
    rng = np.random.default_rng([seed, *room.name.encode()])
    light = light_of(room)
    quads: list[Quad] = []
    for side in (0, 1):
        fixtures = [room.fixtures[i] for i in rng.permutation(len(room.fixtures))][:BAYS]
        quads += _side(room, side, fixtures, light, rng)
    quads += _ends(room, light, rng)
    quads += _floor(room, light, rng)
    quads += _ceiling(room, light, rng)
    quads += _frames(room, light, rng)
    quads += _lamps(room, light.places)
    return quads


def light_of(room: Room) -> Light:
    """A lamp in the middle of every bay."""
    centres = [(bay + 0.5) * BAY_M for bay in range(BAYS)]
    places = np.array([(x, room.width_m / 2, room.height_m - 0.4) for x in centres])
    return Light(places, room.light, ambient=0.2)


def _wall(room: Room, length_m: float, rng: Generator) -> Wall:
    tone = streaks(masonry(room.wall, length_m, room.height_m, PPM, rng), PPM, rng, share=0.28)
    paint = coloured(tone, room.wall_colour)
    dado = tone.shape[0] - round(1.0 * PPM)
    paint[dado:] = coloured(tone[dado:], room.dado_colour)
    wall = Wall(paint, np.zeros_like(paint), PPM)
    wall.rectangle(0, 0.98, length_m, 0.05, shaded(room.dado_colour, 0.45))
    wall.rectangle(0, 0.0, length_m, 0.12, shaded(room.dado_colour, 0.5))
    return wall


def _side(
    room: Room, side: int, fixtures: list[Fixture], light: Light, rng: Generator
) -> Iterator[Quad]:
    """The wall on the left (0) or right (1) of one who walks along +x, with all that is on it."""
    wall = _wall(room, LENGTH_M, rng)
    things: list[Quad] = []
    for bay, fixture in enumerate(fixtures):
        # Places along the wall count from its left end, which on the right side is the far one.
        middle = (bay + 0.5) * BAY_M
        x = middle if side == 0 else LENGTH_M - middle
        things += fixture_at(room, wall, fixture, side, x, middle, light, rng)
        name = str(rng.choice(_SIGNS))
        decals.plate(wall, middle - 1.15, 1.75 + 0.2 * float(rng.random()), name, _sign(rng))
    for line, colour in enumerate(room.pipe_colours):
        height = room.height_m - 0.5 - 0.27 * line
        wall.shadow(0, height - 0.32, LENGTH_M, 0.16)
        things += pipe_run(room, side, height, 0.085 - 0.012 * line, colour, light, rng)
    y, turn = (room.width_m, 1.0) if side == 0 else (0.0, -1.0)
    shell = Quad(
        vector(0 if side == 0 else LENGTH_M, y, room.height_m),
        vector(turn * LENGTH_M, 0, 0),
        vector(0, 0, -room.height_m),
        opaque(wall.paint),
        backdrop=True,
    )
    yield from tiles(lit(shell, light, wall.glow, occlusion=0.45), 1.4)
    yield from things


def _sign(rng: Generator) -> Colour:
    colours = (decals.SIGN_RED, decals.SIGN_GREEN, hsv(108, 200, 150), decals.BLACK)
    return colours[int(rng.integers(len(colours)))]


def _ends(room: Room, light: Light, rng: Generator) -> Iterator[Quad]:
    for x, turn in ((LENGTH_M, -1.0), (0.0, 1.0)):
        wall = _wall(room, room.width_m, rng)
        middle = room.width_m / 2
        decals.door(wall, middle - 0.55, room.door_colour, int(rng.integers(60, 99)))
        decals.exit_sign(wall, middle - 0.26, 2.36)
        decals.warning(wall, middle - 1.4, 1.3, 0.4)
        decals.cabinet(wall, middle + 1.0, shaded(room.door_colour, 0.9), rng)
        shell = Quad(
            vector(x, room.width_m if turn < 0 else 0, room.height_m),
            vector(0, turn * room.width_m, 0),
            vector(0, 0, -room.height_m),
            opaque(wall.paint),
            backdrop=True,
        )
        yield lit(shell, light, wall.glow, occlusion=0.45)


def _floor(room: Room, light: Light, rng: Generator) -> Iterator[Quad]:
    size = (LENGTH_M, room.width_m)
    tone = (
        checker_plate(*size, _FLOOR_PPM, rng)
        if room.floor is None
        else masonry(room.floor, *size, _FLOOR_PPM, rng)
    )
    paint = coloured(tone, room.floor_colour)
    floor = Wall(paint, np.zeros_like(paint), _FLOOR_PPM)
    for y in (1.15, room.width_m - 1.25):
        floor.rectangle(0, y, LENGTH_M, 0.09, decals.SIGN_YELLOW)
    worn = grain(tone.shape, 0.04, _FLOOR_PPM, rng)
    paint[:] = np.clip(paint * worn[..., None], 0, 255).astype(np.uint8)
    shell = Quad(
        vector(0, room.width_m, 0),
        vector(LENGTH_M, 0, 0),
        vector(0, -room.width_m, 0),
        opaque(paint),
        backdrop=True,
    )
    yield from tiles(lit(shell, light, occlusion=0.5), 1.0)


def _ceiling(room: Room, light: Light, rng: Generator) -> Iterator[Quad]:
    tone = masonry(room.ceiling, LENGTH_M, room.width_m, _FLAT_PPM, rng)
    paint = coloured(tone, room.ceiling_colour)
    shell = Quad(
        vector(0, 0, room.height_m),
        vector(LENGTH_M, 0, 0),
        vector(0, room.width_m, 0),
        opaque(paint),
        backdrop=True,
    )
    up = Light(light.places - vector(0, 0, 0.35), light.strength, 0.35)
    yield from tiles(lit(shell, up, occlusion=0.5), 2.8)


def _frames(room: Room, light: Light, rng: Generator) -> Iterator[Quad]:
    """Between bays a pier at either wall, striped at its foot, and a beam across."""
    colour = shaded(room.dado_colour, 0.9)
    for border in range(1, BAYS):
        x = border * BAY_M
        for y in (0.0, room.width_m - 0.2):
            tone = masonry(STEEL, 0.36, room.height_m, PPM, rng)
            paint = coloured(tone, colour)
            pier = Wall(paint, np.zeros_like(paint), PPM)
            decals.hazard_stripes(pier, 0, 0.12, 0.36, 0.5, 0.3)
            low = vector(x - 0.18, y, 0)
            yield from box(low, vector(0.36, 0.2, room.height_m), pier.paint, light)
        tone = masonry(STEEL, room.width_m, 0.26, PPM, rng)
        low = vector(x - 0.13, 0, room.height_m - 0.26)
        beam = vector(0.26, room.width_m, 0.26)
        yield from box(low, beam, coloured(tone, colour), light)


def _lamps(room: Room, places: Vector) -> Iterator[Quad]:
    """Tubes under the ceiling, their glow, and its reflection in the floor."""
    tube = np.full((12, 128, 4), 255, np.uint8)
    tube[..., :3] = np.minimum(np.array(room.lamp_colour) * 0.35 + 165, 255).astype(np.uint8)
    wide = Texture(halo(room.lamp_colour, 0.42), opaque=False)
    close = Texture(halo(room.lamp_colour, 0.8), opaque=False)
    gleam = Texture(halo(room.lamp_colour, 0.3), opaque=False)
    for place in places:
        start = place + vector(-0.6, 0, 0.12)
        yield Quad(start, vector(1.2, 0, 0), vector(0.11, 0, 0), Texture(tube), Facing.AXIAL)
        for texture, size in ((wide, 2.6), (close, 0.8)):
            yield Quad(
                place + vector(0, 0, 0.1),
                vector(size * 1.3, 0, 0),
                vector(size, 0, 0),
                texture,
                Facing.HALO,
            )
        mirrored = place * vector(1, 1, -1)
        yield Quad(mirrored, vector(1.3, 0, 0), vector(3.4, 0, 0), gleam, Facing.HALO)
