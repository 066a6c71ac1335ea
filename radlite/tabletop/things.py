"""The things on the table and the places to put them, built of MuJoCo primitive geoms.

A `Thing` is graspable at any yaw (no part is wider than the open jaws); a `Place` is fixed to the table. Sizes are
metres, half extents as MuJoCo takes them; `z` in a part is measured from the table when the thing stands at rest.
Several things share a colour and differ in shape, or the other way round, so that a name must be read as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[float, float, float]

RED, GREEN, BLUE, YELLOW = (0.82, 0.12, 0.10), (0.15, 0.58, 0.20), (0.13, 0.30, 0.80), (0.95, 0.80, 0.12)
ORANGE, PURPLE, WHITE, BLACK = (0.96, 0.50, 0.08), (0.42, 0.15, 0.50), (0.93, 0.93, 0.92), (0.10, 0.10, 0.11)
PINK, SILVER = (0.95, 0.45, 0.65), (0.78, 0.79, 0.82)
TEAL, SALMON, CREAM, LEAF = (0.10, 0.55, 0.55), (0.98, 0.55, 0.42), (0.96, 0.91, 0.78), (0.25, 0.50, 0.12)


@dataclass(frozen=True)
class Part:
    """One primitive geom: MuJoCo type, half sizes (m), centre relative to the foot of the body (m), colour, euler (deg)."""

    kind: str
    size: tuple[float, ...]
    at: tuple[float, float, float]
    rgb: RGB
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Thing:
    """Something to grasp: `grasp` is the height of its grasp point over its foot (m), `height` its full height (m)."""

    name: str
    parts: tuple[Part, ...]
    grasp: float
    height: float


@dataclass(frozen=True)
class Place:
    """Somewhere to put a thing: `top` is the height of its surface (m), `radius` how far from its centre counts (m)."""

    name: str
    parts: tuple[Part, ...]
    top: float
    radius: float
    preposition: str = "on"


def _can(name: str, rgb: RGB) -> Thing:
    body = Part("cylinder", (0.021, 0.032), (0, 0, 0.032), rgb)
    return Thing(name, (body, Part("cylinder", (0.016, 0.003), (0, 0, 0.067), SILVER)), 0.034, 0.070)


def _block(name: str, rgb: RGB) -> Thing:
    return Thing(name, (Part("box", (0.020, 0.020, 0.020), (0, 0, 0.020), rgb),), 0.022, 0.040)


def _ball(name: str, rgb: RGB) -> Thing:
    return Thing(name, (Part("ellipsoid", (0.024, 0.024, 0.022), (0, 0, 0.022), rgb),), 0.022, 0.044)


def _mug(name: str, rgb: RGB) -> Thing:
    cup = Part("cylinder", (0.021, 0.024), (0, 0, 0.024), rgb)
    inside = Part("cylinder", (0.016, 0.001), (0, 0, 0.0485), (0.25, 0.20, 0.18))
    return Thing(
        name, (cup, inside, Part("box", (0.007, 0.004, 0.013), (0.027, 0, 0.025), rgb)), 0.026, 0.050
    )


_BASE = (
    _can("red can", RED),
    _can("green can", GREEN),
    _block("yellow block", YELLOW),
    _block("blue block", BLUE),
    _ball("orange ball", ORANGE),
    _ball("green ball", (0.35, 0.75, 0.25)),
    _mug("white mug", WHITE),
    _mug("red mug", (0.75, 0.10, 0.14)),
    Thing(
        "carrot",
        (
            Part("capsule", (0.015, 0.016), (-0.004, 0, 0.015), ORANGE, (0, 90, 0)),
            Part("box", (0.006, 0.010, 0.005), (0.028, 0, 0.017), LEAF),
        ),
        0.018,
        0.030,
    ),
    Thing(
        "eggplant",
        (
            Part("ellipsoid", (0.030, 0.020, 0.019), (-0.003, 0, 0.019), PURPLE),
            Part("cylinder", (0.010, 0.007), (0.027, 0, 0.021), LEAF, (0, 90, 0)),
        ),
        0.020,
        0.038,
    ),
    Thing(
        "banana",
        (
            Part("capsule", (0.0115, 0.011), (-0.015, 0.006, 0.0115), YELLOW, (90, 0, 55)),
            Part("capsule", (0.012, 0.009), (0.000, 0.000, 0.012), (0.98, 0.86, 0.20), (90, 0, 90)),
            Part("capsule", (0.0115, 0.011), (0.015, 0.006, 0.0115), YELLOW, (90, 0, 125)),
        ),
        0.016,
        0.024,
    ),
    Thing(
        "bottle",
        (
            Part("cylinder", (0.019, 0.026), (0, 0, 0.026), (0.20, 0.62, 0.85)),
            Part("cylinder", (0.008, 0.012), (0, 0, 0.064), (0.20, 0.62, 0.85)),
            Part("cylinder", (0.010, 0.005), (0, 0, 0.080), WHITE),
        ),
        0.032,
        0.085,
    ),
)

_PRACTICE = (
    *(_can(f"{name} can", rgb) for name, rgb in (("blue", BLUE), ("yellow", YELLOW), ("orange", ORANGE))),
    *(_block(f"{name} block", rgb) for name, rgb in (("red", RED), ("green", GREEN), ("white", WHITE))),
    *(_ball(f"{name} ball", rgb) for name, rgb in (("red", RED), ("blue", BLUE), ("yellow", YELLOW))),
    *(_mug(f"{name} mug", rgb) for name, rgb in (("blue", BLUE), ("green", GREEN), ("yellow", YELLOW))),
)

_NEW = (
    Thing(
        "milk",
        (
            Part("box", (0.019, 0.019, 0.028), (0, 0, 0.028), WHITE),
            Part("box", (0.0195, 0.0195, 0.008), (0, 0, 0.024), BLUE),
            Part("box", (0.012, 0.019, 0.008), (0, 0, 0.062), (0.30, 0.45, 0.85)),
        ),
        0.034,
        0.070,
    ),
    Thing(
        "tape",
        (
            Part("cylinder", (0.028, 0.012), (0, 0, 0.012), (0.10, 0.25, 0.75)),
            Part("cylinder", (0.016, 0.0006), (0, 0, 0.0242), CREAM),
        ),
        0.016,
        0.025,
    ),
    Thing(
        "tiger",
        (
            Part("box", (0.024, 0.014, 0.013), (0, 0, 0.024), ORANGE),
            Part("box", (0.003, 0.0145, 0.0135), (0.010, 0, 0.024), BLACK),
            Part("box", (0.003, 0.0145, 0.0135), (-0.004, 0, 0.024), BLACK),
            Part("box", (0.003, 0.0145, 0.0135), (-0.018, 0, 0.024), BLACK),
            Part("sphere", (0.012,), (0.026, 0, 0.038), ORANGE),
            Part("box", (0.020, 0.011, 0.006), (0, 0, 0.006), CREAM),
        ),
        0.026,
        0.050,
    ),
    Thing(
        "plushie",
        (
            Part("sphere", (0.021,), (0, 0, 0.021), PINK),
            Part("sphere", (0.015,), (0, 0, 0.050), PINK),
            Part("sphere", (0.007,), (0.002, 0.012, 0.064), (0.70, 0.20, 0.45)),
            Part("sphere", (0.007,), (0.002, -0.012, 0.064), (0.70, 0.20, 0.45)),
            Part("cylinder", (0.015, 0.004), (0, 0, 0.004), PINK),
        ),
        0.030,
        0.070,
    ),
    Thing(
        "mushroom",
        (
            Part("cylinder", (0.012, 0.016), (0, 0, 0.016), CREAM),
            Part("ellipsoid", (0.026, 0.026, 0.016), (0, 0, 0.038), (0.70, 0.08, 0.08)),
            Part("sphere", (0.006,), (0.010, 0.008, 0.049), WHITE),
            Part("sphere", (0.006,), (-0.011, -0.004, 0.049), WHITE),
            Part("cylinder", (0.018, 0.003), (0, 0, 0.003), CREAM),
        ),
        0.036,
        0.054,
    ),
    Thing(
        "sushi",
        (
            Part("box", (0.026, 0.015, 0.011), (0, 0, 0.011), WHITE),
            Part("box", (0.027, 0.016, 0.006), (0, 0, 0.027), SALMON),
            Part("box", (0.005, 0.0165, 0.0175), (0, 0, 0.0175), BLACK),
        ),
        0.018,
        0.035,
    ),
)


def _disc(name: str, rgb: RGB) -> Place:
    rim = Part("cylinder", (0.058, 0.003), (0, 0, 0.003), rgb)
    return Place(
        name,
        (rim, Part("cylinder", (0.040, 0.0005), (0, 0, 0.0062), tuple(0.85 * c for c in rgb))),
        0.007,
        0.055,
    )


def _walled(name: str, rgb: RGB, half: float = 0.058, wall: float = 0.008) -> Place:
    floor = Part("box", (half, half, 0.003), (0, 0, 0.003), rgb)
    lip = tuple(0.7 * c for c in rgb)
    long, thin = half + 0.006, 0.006
    sides = tuple(
        Part("box", size, (sx * half, sy * half, wall), lip)
        for sx, sy, size in (
            (1, 0, (thin, long, wall)),
            (-1, 0, (thin, long, wall)),
            (0, 1, (long, thin, wall)),
            (0, -1, (long, thin, wall)),
        )
    )
    return Place(name, (floor, *sides), 0.006, 0.055, "in")


_PLACES = (
    _disc("white plate", WHITE),
    _disc("blue plate", (0.25, 0.45, 0.85)),
    Place("board", (Part("box", (0.055, 0.060, 0.005), (0, 0, 0.005), (0.72, 0.50, 0.28)),), 0.010, 0.055),
    Place("towel", (Part("box", (0.060, 0.052, 0.0025), (0, 0, 0.0025), TEAL),), 0.005, 0.055),
    _walled("tray", (0.30, 0.30, 0.33)),
    _walled("basket", (0.80, 0.58, 0.40)),
)

THINGS: dict[str, Thing] = {t.name: t for t in _BASE + _PRACTICE + _NEW}
PLACES: dict[str, Place] = {p.name: p for p in _PLACES}
BASE_THINGS: tuple[str, ...] = tuple(t.name for t in _BASE)
PRACTICE_THINGS: tuple[str, ...] = tuple(t.name for t in _PRACTICE)  # in the base's pictures and in no demonstration
NEW_THINGS: tuple[str, ...] = tuple(t.name for t in _NEW)
