"""What a table looks like: procedural colours of wood, tiles and tablecloths at any point of it."""

from __future__ import annotations

import math

import numpy as np

from radlite.tabletop.scene import Look
from radlite.tabletop.things import BLUE, GREEN, ORANGE, PURPLE, RED, WHITE, YELLOW

PRINT_CELL = 0.08  # metres from one print of a tablecloth to the next
PRINT_INKS = (RED, GREEN, BLUE, YELLOW, ORANGE, PURPLE, WHITE)


def table_colour(points: np.ndarray, look: Look) -> np.ndarray:
    """Colours (n, 3) in [0, 1] of a table at world points (n, 3)."""
    x, y = points[:, 0], points[:, 1]
    if look.pattern == "wood":
        value = 0.06 * np.sin(90 * y + 3 * np.sin(14 * x + look.phase) + look.phase)
    elif look.pattern == "speckle":
        value = 0.05 * np.sin(410 * x + look.phase) * np.sin(390 * y - look.phase)
    elif look.pattern == "dots":
        value = 0.18 * (np.sin(95 * x + look.phase) + np.sin(95 * y) > 1.2) - 0.04
    elif look.pattern == "tiles":  # dark joints between large tiles
        value = -0.22 * (np.maximum(np.cos(58 * x + look.phase), np.cos(52 * y - look.phase)) > 0.9) + 0.03
    elif look.pattern == "blotches":
        value = 0.13 * np.sin(31 * x + 2 * np.sin(23 * y + look.phase)) * np.sin(27 * y + 2 * np.sin(19 * x - look.phase))
    else:
        value = np.zeros_like(x)
    colour = np.clip(np.asarray(look.tint) + value[:, None], 0, 1)
    if look.pattern.startswith("woven"):
        return _woven(points, colour, look)
    return _printed(points, colour, look) if look.pattern.startswith("printed") else colour


def _printed(points: np.ndarray, colour: np.ndarray, look: Look) -> np.ndarray:
    """A tablecloth (n, 3) with discs or squares printed on it, as large as things and in their colours, but flat."""
    cell = np.floor(points[:, :2] / PRINT_CELL)
    chance = [_hash(cell, look.phase + k) for k in range(4)]
    away = points[:, :2] / PRINT_CELL - cell - 0.5 - 0.3 * (np.stack(chance[:2], 1) - 0.5)
    away *= PRINT_CELL
    inside = np.hypot(*away.T) < 0.022 if look.pattern == "printed discs" else np.abs(away).max(1) < 0.019
    inside &= chance[2] < 0.6
    inks = np.array(PRINT_INKS)[(chance[3] * len(PRINT_INKS)).astype(int)]
    return np.where(inside[:, None], inks, colour)


def _woven(points: np.ndarray, colour: np.ndarray, look: Look) -> np.ndarray:
    """A tablecloth (n, 3) woven in bands of any colours and widths: straight, in waves, or crossing each other."""
    turn, wide = (float(v) for v in _hash(np.array([[1.0, 2.0], [3.0, 4.0]]), look.phase))
    along, across = (points[:, :2] @ axis for axis in _turned(math.pi * turn).T)
    if look.pattern == "woven waves":
        across = across + 0.02 * np.sin(70 * along)
    bands = _bands(across, colour, look, 0.04 + 0.05 * wide, 0)
    if look.pattern == "woven plaid":  # where bands cross, both are seen
        bands = 0.5 * (bands + _bands(along, colour, look, 0.04 + 0.05 * wide, 50))
    return bands


def _bands(place: np.ndarray, colour: np.ndarray, look: Look, width: float, salt: int) -> np.ndarray:
    """Every other band keeps the cloth's own colour; the rest have an ink each, and none is as wide as the next."""
    index = np.floor(place / width)
    band = np.stack([index, index], 1)
    inked = place / width - index < 0.25 + 0.5 * _hash(band, look.phase + salt + 9)
    inks = [0.06 + 0.9 * _hash(band, look.phase + salt + k) for k in range(3)]
    return np.where(inked[:, None], np.stack(inks, 1), colour)


def _turned(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _hash(cell: np.ndarray, salt: float) -> np.ndarray:
    """A number in [0, 1) for each cell (n, 2) that looks random and is always the same."""
    return np.modf(np.abs(np.sin(cell @ (12.9898, 78.233) + 37.719 * salt)) * 43758.5453)[0]
