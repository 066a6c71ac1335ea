"""A camera that needs no OpenGL: one `mj_multiRay` from the eye, one from the lamp for cast shadows.

The robot's camera stands behind the table, 60 degrees above it, with a long lens, so that metres and pixels are nearly
proportional (`viewpoint`). Without cast shadows the height of a gripper cannot be read off one picture: the shadow tells it.
"""

from __future__ import annotations

import mujoco
import numpy as np

from radlite.tabletop.scene import Look
from radlite.tabletop.tables import table_colour
from radlite.tabletop.viewpoint import HOME_VIEW

LAMP_DISTANCE = 2.0

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
    albedo[on_table] = table_colour(points[on_table], look)
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
