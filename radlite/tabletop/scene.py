"""A scene is plain data: what stands where, the table's look, the light. Drawn from a seed, compiled to MuJoCo later.

Frame: x forward (away from the camera, up in the picture), y left, z up; origin in the middle of the table (Bridge V2).
Splits follow the paper's axes: the *new scene* axis has tables and lights of its own that nothing else is drawn from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from radlite.tabletop.things import BASE_THINGS, PLACES
from radlite.tabletop.viewpoint import ELSEWHERE_VIEW, HOME_VIEW, Viewpoint

REACH_X, REACH_Y = 0.135, 0.170  # things are drawn inside this half-rectangle of the table, metres
GAP_THING, GAP_PLACE = (
    0.088,
    0.105,
)  # least distance of two things, and of a thing and a place: open jaws pass between

# table looks: pattern and base tint. The new-scene axis owns its own list; a test checks that nothing else draws from it.
# What one learns there from people is what is a thing: a printed orange disc is no orange ball
HOME_TABLES = (
    ("plain", (0.78, 0.76, 0.72)),
    ("wood", (0.72, 0.58, 0.42)),
    ("speckle", (0.66, 0.67, 0.69)),
    ("plain", (0.58, 0.60, 0.60)),
    ("wood", (0.60, 0.46, 0.34)),
    ("speckle", (0.84, 0.82, 0.76)),
)
NEW_TABLES = (
    ("printed discs", (0.22, 0.30, 0.42)),
    ("printed squares", (0.40, 0.20, 0.24)),
    ("printed discs", (0.20, 0.36, 0.28)),
)
BASE_PATTERNS = ("plain", "wood", "speckle", "dots", "blotches", "tiles")
WOVEN = ("woven bands", "woven waves", "woven plaid")  # bold tablecloths of the base
HOME_LAMP_SIDE = 0.25 * math.pi  # azimuth in the middle of where lamps stand, radians
DARK_SIDE = 0.75 * math.pi  # azimuth from which no low lamp ever shines: a shadow that falls this way is news to everybody
NEW_LAMP = (1.12, 0.95, 0.72)  # colour of the new-scene axis' lamps
# another environment, of human clips only: its tables and its lamp, and a camera of its own (`ELSEWHERE_VIEW`)
ELSEWHERE_TABLES = (("tiles", (0.52, 0.62, 0.66)), ("blotches", (0.62, 0.55, 0.62)), ("plain", (0.40, 0.50, 0.42)))
ELSEWHERE_LAMP, ELSEWHERE_SIDE = (0.88, 0.97, 1.12), -0.45 * math.pi  # colour; azimuth in the middle of where lamps stand


@dataclass(frozen=True)
class Stand:
    """Where one thing or place stands: name, x and y in metres, yaw in radians."""

    name: str
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Look:
    """What the table and the light look like, and from where; `light` is the unit vector towards the lamp."""

    pattern: str
    tint: tuple[float, float, float]
    light: tuple[float, float, float]
    colour: tuple[float, float, float]
    ambient: float
    phase: float
    view: Viewpoint = HOME_VIEW


@dataclass(frozen=True)
class Scene:
    """Everything that makes one scene, and the gripper's start (x, y, z in metres)."""

    things: tuple[Stand, ...]
    places: tuple[Stand, ...]
    look: Look
    start: tuple[float, float, float]
    new_scene: bool = False


def _towards(azimuth: float, tilt: float) -> tuple[float, float, float]:
    """Unit vector towards a lamp that stands at that azimuth, tilted that far from the vertical, radians."""
    return (math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth), math.cos(tilt))


def draw_look(rng: np.random.Generator, new_scene: bool = False) -> Look:
    """A random table and lamp; `new_scene` takes both from the reserved ones (printed tablecloths, orange light)."""
    tables = NEW_TABLES if new_scene else HOME_TABLES
    pattern, base = tables[rng.integers(len(tables))]
    tint = tuple(float(np.clip(c + rng.uniform(-0.05, 0.05), 0.05, 0.95)) for c in base)
    azimuth, tilt = rng.uniform(-0.6, 0.6) + HOME_LAMP_SIDE, rng.uniform(0.25, 0.45)
    warm = rng.uniform(-0.06, 0.06)
    colour = (1.0 + warm, 1.0, 1.0 - warm) if not new_scene else NEW_LAMP
    return Look(pattern, tint, _towards(azimuth, tilt), colour, float(rng.uniform(0.40, 0.55)), float(rng.uniform(0, 10)))


def draw_look_elsewhere(rng: np.random.Generator) -> Look:
    """Another environment: its own tables, cold light from the other side, and another camera."""
    pattern, base = ELSEWHERE_TABLES[rng.integers(len(ELSEWHERE_TABLES))]
    tint = tuple(float(np.clip(c + rng.uniform(-0.05, 0.05), 0.05, 0.95)) for c in base)
    light = _towards(rng.uniform(-0.4, 0.4) + ELSEWHERE_SIDE, rng.uniform(0.25, 0.45))
    return Look(pattern, tint, light, ELSEWHERE_LAMP, float(rng.uniform(0.45, 0.60)), float(rng.uniform(0, 10)), ELSEWHERE_VIEW)


def draw_base_look(rng: np.random.Generator) -> Look:
    """Tables and lamps of all sorts for the base, none of the new-scene axis: other patterns, tints and colours of light.

    Like a general vision-language model the base has seen many tables and much light; it has not seen those. A shadow tells
    how high the gripper is, so lamps stand on all sides, high and low, but for low ones on the dark side; and on a bold cloth a
    shadow has to be found first, so a third of the tables have one. Woven bands look like no thing:
    that the prints of the new-scene axis are none is still for people to show.
    """
    if rng.random() < 0.3:
        return draw_look(rng)
    tint = rng.uniform(0.12, 0.95, 3)
    while min(np.abs(tint - reserved).max() for _, reserved in NEW_TABLES) < 0.12:
        tint = rng.uniform(0.12, 0.95, 3)
    azimuth, tilt = DARK_SIDE, 1.0
    while tilt > (0.40 if abs(math.remainder(azimuth - DARK_SIDE, math.tau)) < 0.85 else 0.75):
        azimuth, tilt = rng.uniform(-math.pi, math.pi), rng.uniform(0.10, 0.75)
    colour = rng.uniform(0.74, 1.14, 3)
    while np.abs(colour - NEW_LAMP).max() < 0.2:
        colour = rng.uniform(0.74, 1.14, 3)
    pattern = str(rng.choice(WOVEN if rng.random() < 0.5 else BASE_PATTERNS))
    tint, colour = tuple(map(float, tint)), tuple(map(float, colour))
    return Look(pattern, tint, _towards(azimuth, tilt), colour, float(rng.uniform(0.35, 0.60)), float(rng.uniform(0, 10)))


def draw_stands(
    rng: np.random.Generator, things: list[str], places: list[str]
) -> tuple[tuple[Stand, ...], tuple[Stand, ...]]:
    """Random places and things that do not crowd each other; starts again when the last one finds no room."""
    while True:
        taken: list[tuple[float, float, bool]] = []
        stands: list[Stand] = []
        for name in [*places, *things]:
            stand = _fit(rng, name, taken)
            if stand is None:
                break
            taken.append((stand.x, stand.y, name in PLACES))
            stands.append(stand)
        else:
            return tuple(stands[len(places) :]), tuple(stands[: len(places)])


def _fit(rng: np.random.Generator, name: str, taken: list[tuple[float, float, bool]]) -> Stand | None:
    is_place = name in PLACES
    shrink = 0.02 if is_place else 0.0
    for _ in range(60):
        x, y = (
            rng.uniform(-REACH_X + shrink, REACH_X - shrink),
            rng.uniform(-REACH_Y + shrink, REACH_Y - shrink),
        )
        gaps = (
            (math.hypot(x - a, y - b), GAP_PLACE + 0.03 * (p and is_place) if p or is_place else GAP_THING)
            for a, b, p in taken
        )
        if all(d >= g for d, g in gaps):
            yaw = 0.0 if is_place else rng.uniform(-math.pi, math.pi)
            return Stand(name, float(x), float(y), float(yaw))
    return None


def draw_scene(
    rng: np.random.Generator,
    must: list[str],
    places: list[str],
    others: tuple[str, ...] = BASE_THINGS,
    home: tuple[str, ...] = BASE_THINGS,
    new_scene: bool = False,
) -> Scene:
    """A scene that holds the things in `must` and the `places`, and three or four other things out of `others`.

    At least one of the other things is out of `home`, the robot's own objects, so that a task always has a wrong answer
    that the robot knows well.
    """
    count = int(rng.integers(3, 5)) if len(places) < 2 else 3
    extra = [str(rng.choice([n for n in home if n not in must]))]
    pool = [n for n in others if n not in must and n not in extra]
    extra += [str(n) for n in rng.choice(pool, size=count - 1, replace=False)]
    things, spots = draw_stands(rng, [*must, *extra], places)
    start = (float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.15, 0.15)), float(rng.uniform(0.11, 0.18)))
    return Scene(things, spots, draw_look(rng, new_scene), start, new_scene)
