"""From a gripper's path in pixels to movement primitives in words.

ECoT reads primitives off a robot's state in metres. A hand has pixels only: they become metres by the size of the hand (one
view) or by triangulation (two views, as RAD's own recordings have), noise is taken out by total variation, which keeps the
sudden starts and stops that labels depend on, and then ECoT's own rule applies, without rotations (RAD: too noisy for hands).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from radlite.actions import ACTION_DIM, GRIPPER, primitive
from radlite.annotate.evidence import GripperTrack
from radlite.errors import RadliteError

PALM = 0.09
"""Metres from the wrist to the base of the middle finger of a grown-up's hand."""

DIRECTIONS = {"forward": (0, 1), "backward": (0, -1), "left": (1, 1), "right": (1, -1), "up": (2, 1), "down": (2, -1)}
"""Direction word -> (axis, sign) in metres: x forward, y left, z up, as a robot behind the table sees it."""

_GAUSS = 0.6745 * np.sqrt(6)  # median of |second differences| of white noise of standard deviation one


@dataclass(frozen=True)
class Axes:
    """What the picture's directions mean on the table; by default for a camera that looks down from behind the robot or person.

    A camera that looks level from there has `up="up", nearer="backward"`; one that looks from the front `right="left"`.

    Args:
        right: where a thing goes that moves right in the picture.
        up: the same for up in the picture.
        nearer: where a hand goes that grows, or None to leave depth alone.
        elevation: of the camera above the table, degrees; tells how much shorter than it is a way looks that goes up, or along
            the table away from the camera. Matters where the picture's vertical may mean either.
    """

    right: str = "right"
    up: str = "forward"
    nearer: str | None = None
    elevation: float = 45.0

    def __post_init__(self) -> None:
        named = [word for word in (self.right, self.up, self.nearer) if word is not None]
        unknown = sorted(map(str, set(named) - set(DIRECTIONS)))
        if unknown:
            raise RadliteError(f"directions out of {', '.join(DIRECTIONS)}", ", ".join(unknown), "correct the word")
        if len({DIRECTIONS[word][0] for word in named}) < len(named):
            raise RadliteError("three different axes", ", ".join(named), "say for each what else it could be")
        if not 10 <= self.elevation <= 80:
            raise RadliteError("a camera 10 to 80 degrees above the table", f"{self.elevation}", "say level or straight down so")


ABOVE = Axes()
"""A camera that looks down at 45 degrees from behind the robot or person."""


def metric_path(track: GripperTrack, axes: Axes = ABOVE, palm: float = PALM) -> np.ndarray:
    """Pixels to metres (T, 3) forward, left, up, by the size of the hand; an axis that the view does not show stays 0.

    The scale is that of the hand's median size, so it is right at the hand's usual distance. Depth, where `axes` asks for it,
    follows from the size by similar triangles, at an assumed focal length of one frame's width: it is a rough cue.

    Returns:
        float (T, 3), NaN where the track has no point (or, with depth, no size).

    Raises:
        RadliteError: no size of the hand in any frame, which then gives no scale.
    """
    known = np.isfinite(track.size) & (track.size > 0)
    if not known.any():
        raise RadliteError("the size of the hand in some frame", "none", "give landmarks of a hand, or a second view")
    typical = float(np.median(track.size[known]))
    right, down = ((track.points - np.nanmedian(track.points, 0)) * (palm / typical)).T
    path = np.zeros((len(track), 3))
    path[~track.known] = np.nan
    moves = [(axes.right, right), (axes.up, -down)]
    if axes.nearer is not None:
        distance = palm * 256 / np.where(known, track.size, np.nan)
        moves.append((axes.nearer, palm * 256 / typical - distance))
    for word, metres in moves:
        axis, sign = DIRECTIONS[word]
        path[:, axis] = sign * metres
    return path


def triangulate(views: Sequence[np.ndarray], cameras: Sequence[np.ndarray]) -> np.ndarray:
    """Points seen by several calibrated cameras, in the world, by linear least squares (DLT).

    Args:
        views: of each camera, float (T, 2) pixels, NaN where it does not see.
        cameras: of each, float (3, 4), from homogeneous world metres to homogeneous pixels.

    Returns:
        float (T, 3) metres, NaN where fewer than two cameras see.

    Raises:
        RadliteError: fewer than two cameras, shapes that differ, or cameras that stand in one place.
    """
    seen, matrices = [np.asarray(v, float) for v in views], [np.asarray(c, float) for c in cameras]
    if len(seen) < 2 or len(seen) != len(matrices) or any(v.shape != seen[0].shape or v.shape[1:] != (2,) for v in seen):
        found = f"{len(matrices)} cameras and paths of {[v.shape for v in seen]}"
        raise RadliteError("two or more cameras, each with a path (T, 2) of the same T", found, "give one path a camera")
    if any(c.shape != (3, 4) for c in matrices):
        raise RadliteError("camera matrices (3, 4)", f"{[c.shape for c in matrices]}", "from metres to pixels of the frame")
    centres = [np.linalg.svd(c)[2][-1] for c in matrices]
    if np.linalg.matrix_rank(np.stack(centres), tol=1e-6) < 2:
        raise RadliteError("cameras that stand apart", "the same place", "use another view")
    path = np.full((len(seen[0]), 3), np.nan)
    for t in range(len(path)):
        rows = [v[t, k] * c[2] - c[k] for v, c in zip(seen, matrices, strict=True) if np.isfinite(v[t]).all() for k in (0, 1)]
        if len(rows) >= 4:
            rows = [row / np.linalg.norm(row[:3]) for row in rows]
            point = np.linalg.svd(np.stack(rows))[2][-1]
            path[t] = point[:3] / point[3]
    return path


def jitter(path: np.ndarray) -> float:
    """Standard deviation of the noise in a path (T, D), in its unit: from second differences, of which most see no motion."""
    bends = [np.diff(path[run], 2, axis=0) for run in runs(path) if run.stop - run.start > 2]
    return float(np.median(np.abs(np.concatenate(bends)), 0).max() / _GAUSS) if bends else 0.0


def runs(path: np.ndarray) -> Iterator[slice]:
    """Stretches of frames in a row whose values (T, D) are all known."""
    known = np.isfinite(path).all(1)
    edges = np.flatnonzero(np.diff(np.r_[False, known, False].astype(int)))
    for start, stop in edges.reshape(-1, 2):
        yield slice(int(start), int(stop))


def smoothed(path: np.ndarray, strength: float | None = None) -> np.ndarray:
    """The path (T, D) with less noise: least squares plus `strength` x total variation, each axis and known run by itself.

    `strength` is in the path's unit; by default 0.35 x `jitter`, after which bends are rounded off a little as well: total
    variation leaves stairs. Projected gradient on the dual problem (Chambolle 2004).
    """
    rounded = strength is None
    strength = 0.35 * jitter(path) if rounded else strength
    result = np.array(path, float)
    for run in runs(path):
        noisy = result[run]
        force = np.zeros((len(noisy) - 1, noisy.shape[1]))
        for _ in range(300 if strength > 0 else 0):
            force = np.clip(force + 0.25 * np.diff(_pulled(noisy, force), axis=0), -strength, strength)
        result[run] = _pulled(noisy, force)
        if rounded and len(noisy) > 2:
            bends = 0.03 * np.diff(result[run], 2, axis=0)
            result[run] = _pulled(result[run], -np.diff(np.pad(bends, ((1, 1), (0, 0))), axis=0))
    return result


def _pulled(path: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Neighbours drawn together: each force (T-1, D) pulls one step's ends."""
    return path + np.pad(force, ((0, 1), (0, 0))) - np.pad(force, ((1, 0), (0, 0)))


def moves(
    path: np.ndarray, open_: np.ndarray, fps: float, window: float = 0.6, threshold: float = 0.03
) -> tuple[str | None, ...]:
    """The primitive about to be executed at each frame, or None where nobody knows.

    Args:
        path: float (T, 3), metres forward, left, up; NaN where unknown.
        open_: float (T,), 1 open, 0 closed, NaN unknown; then the label says nothing of the jaws.
        fps: frames a second.
        window: seconds looked ahead, at least one frame; ECoT's 4 states at 5 Hz are 0.6.
        threshold: metres within the window that earn a direction word; ECoT's for 0.6 s is 0.03. A longer motion is shrunk to
            three times that first, so that at most two axes are named.

    At the end of a known stretch the window is as long as there are frames, and its last frame repeats the label before it.
    """
    if not (fps > 0 and window > 0 and threshold > 0):
        raise RadliteError("fps, window and threshold above 0", f"{fps}, {window}, {threshold}", "ECoT: 5, 0.6 and 0.03")
    ahead, labels = max(1, round(window * fps)), [None] * len(path)
    for run in runs(path):
        last = run.stop - 1
        for t in range(run.start, last):
            end = min(t + ahead, last)
            change = np.zeros(ACTION_DIM)
            change[:3] = path[end] - path[t]
            change[GRIPPER] = np.nan_to_num(open_[end] - open_[t])
            labels[t] = primitive(change, threshold, 3 * threshold, rotations=False)
        if last > run.start:
            labels[last] = labels[last - 1]
    return tuple(labels)
