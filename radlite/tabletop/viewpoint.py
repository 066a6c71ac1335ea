"""Where a camera stands and what it sees where: world points to pixels, pixels to rays. A pinhole, no lens errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from radlite.reasoning import FRAME_SIZE


@dataclass(frozen=True)
class Viewpoint:
    """A camera behind the table that looks at its middle.

    Attributes:
        elevation: of the camera above the table, degrees.
        azimuth: how far it has been carried around the table, degrees; positive to the left (+y), and it looks right.
        half_view: metres from the middle of the picture to its border, at the target.
        distance: metres from the target. A long one (a long lens) keeps metres and pixels nearly proportional.
        target: the point (x, y, z) in metres that is in the middle of the picture.
    """

    elevation: float = 60.0
    azimuth: float = 0.0
    half_view: float = 0.235
    distance: float = 1.5
    target: tuple[float, float, float] = (0.0, 0.0, 0.055)

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors forward, right and up of the picture, each (3,), in the world."""
        up, round_ = np.deg2rad(self.elevation), np.deg2rad(self.azimuth)
        forward = np.array([np.cos(up) * np.cos(round_), -np.cos(up) * np.sin(round_), -np.sin(up)])
        right = np.array([-np.sin(round_), -np.cos(round_), 0.0])
        return forward, right, np.cross(right, forward)

    @cached_property
    def eye(self) -> np.ndarray:
        """Where the camera is, (3,) metres."""
        return np.array(self.target) - self.distance * self.axes[0]

    @property
    def matrix(self) -> np.ndarray:
        """float (3, 4), from homogeneous metres to homogeneous pixels of the 256 x 256 frame, third row the distance ahead."""
        forward, right, up = self.axes
        scale, middle = self.distance / self.half_view * FRAME_SIZE / 2, FRAME_SIZE / 2
        rows = np.stack([scale * right + middle * forward, -scale * up + middle * forward, forward])
        return np.c_[rows, -rows @ self.eye]

    def project(self, points: np.ndarray, size: int = FRAME_SIZE) -> np.ndarray:
        """World points (..., 3) in metres to pixels (..., 2) as x, y of a size x size frame (not clipped)."""
        forward, right, up = self.axes
        offset = np.asarray(points, float) - self.eye
        scale = self.distance / self.half_view / (offset @ forward)
        u, v = (offset @ right) * scale, -(offset @ up) * scale
        return np.stack([u, v], -1) * (size / 2) + size / 2

    def rays(self, size: int) -> np.ndarray:
        """Unit directions of all pixels, (size*size, 3), row by row from the top left."""
        return _rays(self, size)


@lru_cache(maxsize=8)
def _rays(view: Viewpoint, size: int) -> np.ndarray:
    forward, right, up = view.axes
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    u, v = np.meshgrid(grid, grid)
    rays = forward + view.half_view / view.distance * (u[..., None] * right - v[..., None] * up)
    return np.ascontiguousarray((rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3))


HOME_VIEW = Viewpoint()
ELSEWHERE_VIEW = Viewpoint(elevation=52.0, azimuth=14.0, half_view=0.25)
"""The camera of another environment: lower, further to the side, a little wider."""
