"""A camera that needs no OpenGL: one `mj_multiRay` from the eye, one from the lamp for cast shadows.

The robot's camera stands behind the table, 60 degrees above it, with a long lens, so that metres and pixels are nearly
proportional (`viewpoint`). Without cast shadows the height of a gripper cannot be read off one picture: the shadow tells it.
"""

from __future__ import annotations

import mujoco
import numpy as np

from radlite.tabletop.scene import Look
from radlite.tabletop.things import BLUE, GREEN, ORANGE, PURPLE, RED, WHITE, YELLOW
from radlite.tabletop.viewpoint import HOME_VIEW

LAMP_DISTANCE = 2.0
PRINT_CELL = 0.08  # metres from one print of a tablecloth to the next
PRINT_INKS = (RED, GREEN, BLUE, YELLOW, ORANGE, PURPLE, WHITE)

def _cast(model, data, origin: np.ndarray, rays: np.ndarray, normals: np.ndarray | None):
    count = len(rays)
    geom, dist = np.empty(count, np.int32), np.empty(count)
    flat = None if normals is None else normals.reshape(-1)
    # mj_multiRay caches body bounds as the rays are cast; geoms of group 3 are collision-only and unseen
    groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
    mujoco.mj_multiRay(
        model, data, origin, rays.reshape(-1), groups, True, -1, geom, dist, flat, count, mujoco.mjMAXVAL
    )
    return geom, dist


def render(model, data, look: Look, size: int, shadows: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """One picture.

    Args:
        model, data: MuJoCo model and data with positions up to date.
        look: table pattern, tint, lamp and camera.
        size: pixels a side.
        shadows: cast a second ray from the lamp to every point that is seen.

    Returns:
        rgb uint8 (size, size, 3) and geom id int32 (size, size), -1 where nothing is hit.
    """
    eye, rays = look.view.eye, look.view.rays(size)
    normals = np.zeros((len(rays), 3))
    geom, dist = _cast(model, data, eye, rays, normals)
    points = eye + rays * dist[:, None]
    light = np.asarray(look.light)
    facing = np.clip(normals @ light, 0.0, 1.0)
    if shadows:
        facing = facing * _lit(model, data, points, light)
    albedo = model.geom_rgba[geom, :3].astype(float)
    on_table = geom == 0
    albedo[on_table] = _table_colour(points[on_table], look)
    shade = look.ambient + (1.08 - look.ambient) * facing
    rgb = np.clip(albedo * shade[:, None] * np.asarray(look.colour), 0, 1)
    rgb[geom < 0] = 0.5
    picture = (rgb * 255 + 0.5).astype(np.uint8)
    return picture.reshape(size, size, 3), geom.reshape(size, size)


def _lit(model, data, points: np.ndarray, light: np.ndarray) -> np.ndarray:
    """1 where the lamp sees the point, 0 in shadow."""
    lamp = np.array(HOME_VIEW.target) + LAMP_DISTANCE * light
    rays = points - lamp
    far = np.linalg.norm(rays, axis=1)
    _, first = _cast(model, data, lamp, np.ascontiguousarray(rays / far[:, None]), None)
    return (first > far - 2e-3).astype(float)


def _table_colour(points: np.ndarray, look: Look) -> np.ndarray:
    """Procedural table patterns at world points (n, 3)."""
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


def _hash(cell: np.ndarray, salt: float) -> np.ndarray:
    """A number in [0, 1) for each cell (n, 2) that looks random and is always the same."""
    return np.modf(np.abs(np.sin(cell @ (12.9898, 78.233) + 37.719 * salt)) * 43758.5453)[0]
