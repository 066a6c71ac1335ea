"""Points on the surface of things and places: what a box is drawn around, and how low a tipped thing reaches."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from radlite.tabletop.things import PLACES, THINGS, Part


@lru_cache(maxsize=64)
def hull(name: str) -> np.ndarray:
    """Points (n, 3) on the surface of a thing or place in its own frame: what its box is drawn around."""
    parts = (THINGS.get(name) or PLACES[name]).parts
    return np.concatenate([_part_points(p) for p in parts])


def _part_points(part: Part) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], 1)
    s = part.size
    if part.kind == "box":
        corners = np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
        points = corners * s
    elif part.kind == "cylinder":
        points = np.concatenate([ring * s[0] + (0, 0, h) for h in (-s[1], s[1])])
    else:  # sphere, ellipsoid, capsule: parallels of a ball
        radii = np.array(s if part.kind == "ellipsoid" else (s[0],) * 3)
        polar = np.linspace(-np.pi / 2, np.pi / 2, 9)
        ball = np.concatenate([ring * np.cos(p) + (0, 0, np.sin(p)) for p in polar]) * radii
        points = ball if part.kind != "capsule" else np.concatenate([ball + (0, 0, h) for h in (-s[1], s[1])])
    return points @ _euler(part.euler).T + part.at


def _euler(degrees: tuple[float, float, float]) -> np.ndarray:
    """MuJoCo's default euler sequence: intrinsic x, y, z."""
    a, b, c = np.deg2rad(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rx @ ry @ rz
