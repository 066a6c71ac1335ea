"""Where a robot's gripper is in the picture: by its camera where that is known, else by a map from states to pixels.

A robot knows where its gripper is in metres, but seldom where its camera stands. ECoT looks for the gripper in every frame,
poorly (an open-vocabulary detector), and fits one linear map per episode from homogeneous state to pixel with RANSAC: the few
good detections agree with each other, the many bad ones do not. The fitted map then gives the gripper in every frame. For a
camera near the table, whose picture no linear map gives, the full projective one (DLT) is here, too; it needs more and better
points. Episodes of one camera that stands still may be put end to end: the more points, the better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from radlite.annotate.evidence import GripperTrack
from radlite.errors import RadliteError
from radlite.reasoning import FRAME_SIZE

TRIALS = 1000  # samples drawn: with 30% outliers, a hundred of them are of inliers only, also of six points
ROUNDS = 10  # of fitting again to the inliers
FLAT = 0.003  # metres: a spread below that is no direction in which anything was measured
SPARE = 4  # detections beyond a sample that a fit has to agree with


@dataclass(frozen=True, eq=False)
class PixelFit:
    """A map from states to pixels, and how well it was found.

    Attributes:
        camera: float (3, 4), from homogeneous metres to homogeneous pixels of the frame, as `project` takes it.
        points: float (T, 2), pixels of the frame for every state, not clipped; NaN for a state outside the plane in which all
            detections lay, where nothing was learnt.
        inliers: bool (T,), detections that the map agrees with.
        median_error: pixels from those to the map.
    """

    camera: np.ndarray
    points: np.ndarray
    inliers: np.ndarray
    median_error: float

    def __str__(self) -> str:
        return f"{self.inliers.sum()} detections agree, median error {self.median_error:.1f} pixels"


def project(states: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Pixels of the gripper by a calibrated camera.

    Args:
        states: (T, 3 or more), x, y, z in metres first.
        camera: (3, 4), K [R | t]: from homogeneous metres to homogeneous pixels of the 256 x 256 frame, third row the distance
            ahead of the camera. A matrix for a picture of another size is scaled first: see `View`.

    Returns:
        float (T, 2), not clipped; NaN behind the camera.

    Raises:
        RadliteError: other shapes, or what is not finite.
    """
    points, camera = _states(states), np.asarray(camera, float)
    if camera.shape != (3, 4) or not np.isfinite(camera).all():
        raise RadliteError("a camera matrix (3, 4) of finite numbers", f"{camera.shape}", "multiply K by [R | t]")
    x, y, depth = camera @ np.vstack([points.T, np.ones(len(points))])
    depth = np.where(depth > 1e-9, depth, np.nan)
    return np.stack([x / depth, y / depth], -1)


def fit_pixels(
    states: np.ndarray,
    detections: np.ndarray,
    frame: int = FRAME_SIZE,
    kind: Literal["linear", "projective"] = "linear",
    threshold: float = 0.03,
    share: float = 0.4,
    seed: int = 0,
) -> PixelFit:
    """The map from states to pixels that most detections agree with, by RANSAC.

    Args:
        states: (T, 3 or more), x, y, z in metres first.
        detections: (T, 2) pixels of the frame, NaN where nothing was found; any share of them below one half may be wrong.
        frame: side of the frame, pixels.
        kind: "linear" (ECoT's; parallel projection) or "projective" (any pinhole camera).
        threshold: share of `frame` that an inlier may be off: 0.03 is 8 pixels of 256.
        share: least share of the detections that has to agree.
        seed: of the samples; the same seed gives the same map.

    Raises:
        RadliteError: shapes; too few detections, states that lie on a line, or too few detections that agree with any one map.
    """
    points, pixels = _states(states), np.asarray(detections, float)
    if pixels.shape != (len(points), 2):
        raise RadliteError(f"detections ({len(points)}, 2), one a state", f"{pixels.shape}", "NaN stands for none")
    known = np.isfinite(pixels).all(1)
    basis, centre = _directions(points[known], _sample(3, kind) + SPARE)
    flat = (points - centre) @ basis.T  # (T, r): r = 2 where all states with a detection lie in one plane
    unit = pixels / frame - 0.5
    solve = _linear if kind == "linear" else _dlt
    best = _ransac(flat[known], unit[known], solve, _sample(len(basis), kind), threshold, seed)
    errors = np.full(len(points), np.inf)
    errors[known] = _errors(best[None], flat[known], unit[known])[0]
    inliers = errors < threshold
    _check(inliers, known, share, _sample(len(basis), kind), points)
    camera = _camera(best, basis, centre, frame)
    off = np.abs(points - centre - flat @ basis).max(1) > 2 * FLAT
    return PixelFit(
        camera, np.where(off[:, None], np.nan, project(points, camera)), inliers, float(np.median(errors[inliers]) * frame)
    )


def robot_track(states: np.ndarray, points: np.ndarray) -> GripperTrack:
    """A robot's gripper as the rest of annotation takes it.

    Args:
        states: (T, 7), the pose, and 1 open, 0 closed; shorter ones tell nothing of the jaws.
        points: (T, 2) pixels of the frame, of `project` or `fit_pixels`; what lies outside the frame is not known.
    """
    states, points = np.asarray(states, float), np.array(points, float)
    points[~((points >= 0) & (points <= FRAME_SIZE - 1)).all(1)] = np.nan
    unknown = np.full(len(points), np.nan)
    return GripperTrack(points, states[:, 6] if states.shape[1] > 6 else unknown, unknown, np.isfinite(points).all(1))


def _states(states: np.ndarray) -> np.ndarray:
    states = np.asarray(states, float)
    if states.ndim != 2 or states.shape[1] < 3 or not np.isfinite(states[:, :3]).all():
        raise RadliteError("states (T, 3 or more) of finite metres, x, y, z first", f"{states.shape}", "see Episode.states")
    return states[:, :3]


def _sample(dimensions: int, kind: str) -> int:
    """Points that a map of so many dimensions needs."""
    if kind not in ("linear", "projective"):
        raise RadliteError("kind 'linear' or 'projective'", repr(kind), "ECoT's is linear")
    return dimensions + 1 if kind == "linear" else -(-(3 * dimensions + 2) // 2)


def _directions(points: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions (2 or 3, 3) in which states spread, and their middle (3,)."""
    if len(points) < least:
        raise RadliteError(f"at least {least} frames with a detection", f"{len(points)}", "detect with a lower threshold")
    centre = points.mean(0)
    _, spread, directions = np.linalg.svd(points - centre, full_matrices=False)
    rank = int((spread / np.sqrt(len(points)) > FLAT).sum())
    if rank < 2:
        raise RadliteError("a gripper that moves in two directions or three", "states on a line", "take a longer episode")
    return directions[:rank], centre


def _ransac(points: np.ndarray, pixels: np.ndarray, solve, size: int, threshold: float, seed: int) -> np.ndarray:
    """The map (3, r+1) with the least sum of squared errors, each capped at the threshold, fitted again to its inliers."""
    rng = np.random.default_rng(seed)
    picks = rng.random((TRIALS, len(points))).argpartition(size - 1, 1)[:, :size]
    maps = solve(points[picks], pixels[picks])
    best = maps[_cost(maps, points, pixels, threshold).argmin()]
    for _ in range(ROUNDS):
        inliers = _errors(best[None], points, pixels)[0] < threshold
        if inliers.sum() <= size:
            break
        again = solve(points[inliers][None], pixels[inliers][None])
        if _cost(again, points, pixels, threshold)[0] >= _cost(best[None], points, pixels, threshold)[0]:
            break
        best = again[0]
    return best


def _cost(maps: np.ndarray, points: np.ndarray, pixels: np.ndarray, threshold: float) -> np.ndarray:
    return (np.minimum(_errors(maps, points, pixels), threshold) ** 2).sum(1)


def _errors(maps: np.ndarray, points: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Distances (N, T) of N maps, in shares of the frame; infinite for a point that is not on the middle's side of the camera."""
    with np.errstate(all="ignore"):
        x, y, depth = np.moveaxis(_ones(points) @ np.swapaxes(maps / maps[:, 2:, -1:], 1, 2), -1, 0)
        errors = np.hypot(x / depth - pixels[:, 0], y / depth - pixels[:, 1])
    return np.where((depth > 0) & np.isfinite(errors), errors, np.inf)


def _ones(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((*points.shape[:-1], 1))], -1)


def _linear(points: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Least squares of N samples: (N, m, r) and (N, m, 2) to (N, 3, r+1), whose last row is 0, ..., 0, 1."""
    rows = np.swapaxes(np.linalg.pinv(_ones(points)) @ pixels, 1, 2)
    last = np.zeros((len(rows), 1, rows.shape[2]))
    last[..., -1] = 1
    return np.concatenate([rows, last], 1)


def _dlt(points: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Direct linear transformation of N samples (Hartley and Zisserman, 7.1), in coordinates of size one."""
    middle = points.mean(1, keepdims=True)
    scale = 1 / np.maximum(np.sqrt(((points - middle) ** 2).sum(-1).mean(1)), 1e-9)[:, None, None]
    X, zero = _ones((points - middle) * scale), np.zeros((*points.shape[:2], points.shape[2] + 1))
    u, v = pixels[..., :1] * 4, pixels[..., 1:] * 4  # the frame is one wide
    rows = np.concatenate([np.concatenate([X, zero, -u * X], 2), np.concatenate([zero, X, -v * X], 2)], 1)
    found = np.linalg.svd(rows)[2][:, -1].reshape(len(points), 3, -1)
    found[:, :2] /= 4
    found[..., -1:] -= found[..., :-1] @ np.swapaxes(middle * scale, 1, 2)
    found[..., :-1] *= scale
    return found


def _check(inliers: np.ndarray, known: np.ndarray, share: float, size: int, points: np.ndarray) -> None:
    least = max(size + SPARE, int(np.ceil(share * known.sum())))
    if inliers.sum() < least:
        found = f"{inliers.sum()} of {known.sum()}"
        fix = "look at the detections; a camera that is carried along sees the gripper always in one place and has no such map"
        raise RadliteError(f"at least {least} detections that agree with one camera", found, fix)
    _directions(points[inliers], size)


def _camera(best: np.ndarray, basis: np.ndarray, centre: np.ndarray, frame: int) -> np.ndarray:
    """The map (3, r+1) of centred, turned states and centred pixels as a camera (3, 4) of metres and pixels of the frame."""
    turn = np.zeros((len(basis) + 1, 4))
    turn[:-1, :3], turn[:-1, 3], turn[-1, 3] = basis, -basis @ centre, 1
    return np.array([[frame, 0, frame / 2], [0, frame, frame / 2], [0, 0, 1.0]]) @ (best / best[2, -1]) @ turn
