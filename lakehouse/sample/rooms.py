"""The rooms of the plant as data: their sizes, materials and colours.

Two families, warm and cool, lie so far apart in hue that a jump between them can't be mistaken
for motion: in OpenCV's units warm rooms keep to hues of 8 to 20, cool ones to 92 to 112. `script`
alternates between them. What a room's parts look like is `textures`; where they stand is `world`.
"""

from dataclasses import dataclass
from typing import Literal

from lakehouse.sample.textures import Colour, Masonry, hsv

LENGTH_M = 14.0
Fixture = Literal["door", "cabinet", "valves", "tank", "signs", "grille", "screens", "crates"]

_BRICK = Masonry((0.25, 0.085), 0.012, 0.69, 0.098, bond=0.5, grain=0.033)
_BLOCK = Masonry((0.5, 0.25), 0.014, 0.73, 0.045, bond=0.5, grain=0.022)
_STONE = Masonry((0.7, 0.38), 0.02, 0.65, 0.083, bond=0.5, grain=0.039)
_PLANK = Masonry((2.4, 0.16), 0.01, 0.58, 0.09, bond=0.37, grain=0.033)
_PLATE = Masonry((1.4, 1.0), 0.014, 0.61, 0.045, grain=0.017, rivets=True)
_TILE = Masonry((0.2, 0.2), 0.012, 0.72, 0.045, grain=0.011)
_SLAB = Masonry((1.2, 0.6), 0.012, 0.69, 0.053, grain=0.028)
_BOARD = Masonry((1.75, 0.22), 0.008, 0.72, 0.045, bond=0.5, grain=0.028)


@dataclass(frozen=True)
class Room:
    """One room: metres, materials and BGR colours."""

    name: str
    warm: bool
    width_m: float
    height_m: float
    wall: Masonry
    wall_colour: Colour
    dado_colour: Colour
    """Paint of the wall's lowest metre."""
    floor: Masonry | None
    """None for checker plate."""
    floor_colour: Colour
    ceiling: Masonry
    ceiling_colour: Colour
    pipe_colours: tuple[Colour, ...]
    door_colour: Colour
    lamp_colour: Colour
    light: float
    fixtures: tuple[Fixture, ...]


WARM: tuple[Room, ...] = (
    Room(
        name="boiler room",
        warm=True,
        width_m=5.4,
        height_m=3.3,
        wall=_BRICK,
        wall_colour=hsv(9, 150, 168),
        dado_colour=hsv(9, 165, 128),
        floor=_SLAB,
        floor_colour=hsv(13, 95, 120),
        ceiling=_BOARD,
        ceiling_colour=hsv(12, 110, 105),
        pipe_colours=(hsv(12, 185, 215), hsv(16, 130, 175)),
        door_colour=hsv(15, 150, 150),
        lamp_colour=(105.0, 185.0, 255.0),
        light=5.8,
        fixtures=("tank", "valves", "door", "tank", "signs", "valves", "grille"),
    ),
    Room(
        name="pump hall",
        warm=True,
        width_m=5.8,
        height_m=3.6,
        wall=_BLOCK,
        wall_colour=hsv(19, 100, 200),
        dado_colour=hsv(18, 190, 190),
        floor=None,
        floor_colour=hsv(16, 105, 135),
        ceiling=_PLATE,
        ceiling_colour=hsv(18, 105, 130),
        pipe_colours=(hsv(20, 205, 230), hsv(14, 190, 200)),
        door_colour=hsv(13, 175, 170),
        lamp_colour=(140.0, 215.0, 255.0),
        light=5.0,
        fixtures=("valves", "cabinet", "tank", "door", "valves", "signs", "grille"),
    ),
    Room(
        name="store",
        warm=True,
        width_m=5.2,
        height_m=3.1,
        wall=_PLANK,
        wall_colour=hsv(14, 145, 178),
        dado_colour=hsv(13, 160, 140),
        floor=_BOARD,
        floor_colour=hsv(14, 120, 128),
        ceiling=_PLANK,
        ceiling_colour=hsv(13, 135, 105),
        pipe_colours=(hsv(10, 175, 185),),
        door_colour=hsv(10, 165, 150),
        lamp_colour=(120.0, 195.0, 255.0),
        light=5.0,
        fixtures=("crates", "door", "crates", "signs", "cabinet", "crates", "grille"),
    ),
    Room(
        name="old tunnel",
        warm=True,
        width_m=5.0,
        height_m=3.0,
        wall=_STONE,
        wall_colour=hsv(17, 120, 178),
        dado_colour=hsv(16, 130, 150),
        floor=_STONE,
        floor_colour=hsv(16, 110, 122),
        ceiling=_STONE,
        ceiling_colour=hsv(15, 120, 110),
        pipe_colours=(hsv(9, 180, 165), hsv(17, 160, 180)),
        door_colour=hsv(11, 170, 135),
        lamp_colour=(95.0, 180.0, 255.0),
        light=5.0,
        fixtures=("signs", "valves", "grille", "door", "crates", "valves"),
    ),
)

COOL: tuple[Room, ...] = (
    Room(
        name="corridor",
        warm=False,
        width_m=5.0,
        height_m=3.0,
        wall=_PLATE,
        wall_colour=hsv(107, 105, 170),
        dado_colour=hsv(109, 165, 132),
        floor=_SLAB,
        floor_colour=hsv(106, 95, 118),
        ceiling=_SLAB,
        ceiling_colour=hsv(105, 80, 135),
        pipe_colours=(hsv(110, 160, 190), hsv(98, 140, 190)),
        door_colour=hsv(102, 150, 165),
        lamp_colour=(255.0, 225.0, 190.0),
        light=4.9,
        fixtures=("door", "signs", "cabinet", "door", "screens", "grille", "valves"),
    ),
    Room(
        name="filter station",
        warm=False,
        width_m=5.6,
        height_m=3.4,
        wall=_TILE,
        wall_colour=hsv(95, 95, 185),
        dado_colour=hsv(94, 170, 142),
        floor=_TILE,
        floor_colour=hsv(97, 110, 122),
        ceiling=_SLAB,
        ceiling_colour=hsv(96, 90, 118),
        pipe_colours=(hsv(108, 180, 205), hsv(93, 150, 195)),
        door_colour=hsv(106, 150, 155),
        lamp_colour=(255.0, 235.0, 195.0),
        light=4.8,
        fixtures=("tank", "valves", "tank", "door", "valves", "screens", "signs"),
    ),
    Room(
        name="cable tunnel",
        warm=False,
        width_m=5.0,
        height_m=2.9,
        wall=_BOARD,
        wall_colour=hsv(111, 90, 150),
        dado_colour=hsv(111, 115, 125),
        floor=None,
        floor_colour=hsv(110, 95, 118),
        ceiling=_BOARD,
        ceiling_colour=hsv(112, 95, 98),
        pipe_colours=(hsv(104, 175, 180), hsv(112, 120, 150), hsv(95, 150, 170)),
        door_colour=hsv(108, 140, 140),
        lamp_colour=(255.0, 205.0, 170.0),
        light=5.2,
        fixtures=("cabinet", "grille", "signs", "valves", "cabinet", "door"),
    ),
    Room(
        name="control room",
        warm=False,
        width_m=5.6,
        height_m=3.1,
        wall=_SLAB,
        wall_colour=hsv(92, 90, 180),
        dado_colour=hsv(96, 140, 140),
        floor=_SLAB,
        floor_colour=hsv(100, 100, 115),
        ceiling=_SLAB,
        ceiling_colour=hsv(93, 75, 145),
        pipe_colours=(hsv(100, 130, 180),),
        door_colour=hsv(104, 145, 150),
        lamp_colour=(255.0, 240.0, 205.0),
        light=4.6,
        fixtures=("screens", "cabinet", "door", "screens", "grille", "cabinet", "signs"),
    ),
)
