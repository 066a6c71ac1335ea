"""A clip's motion as a whole, looked at from its end: path, subtasks and primitives that agree with each other.

One view cannot tell height from distance: up in the picture is both. The subtask tells: a hand that lowers onto a thing moves
down, one that reaches for it moves across the table. So subtasks are found first, and then what the picture's vertical meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radlite.actions import ACTION_DIM, GRIPPER, primitive
from radlite.annotate.evidence import GripperTrack
from radlite.annotate.motion import ABOVE, DIRECTIONS, PALM, Axes, metric_path, moves, smoothed
from radlite.annotate.subtasks import subtasks

FORWARD, LEFT, UP = range(3)
MOMENT = 2  # frames for which two cameras may differ about a change of grip
_UPRIGHT = ("lower", "lift", "place", "retreat")
_ACROSS = ("reach", "carry")


@dataclass(frozen=True, eq=False)
class Motion:
    """What the gripper does in T frames.

    Attributes:
        path: float (T, 3), metres forward, left, up, without noise; NaN where nobody knows. Only differences mean something,
            unless a calibrated camera or robot gave it. An axis that nothing measured is NaN throughout.
        subtasks: about to be carried on, out of `SUBTASKS`, or None.
        moves: primitive about to be executed, or None.
    """

    path: np.ndarray
    subtasks: tuple[str | None, ...]
    moves: tuple[str | None, ...]

    def change(self, subtask: str, t: int, back: bool = False) -> int | None:
        """The frame nearest to t, from it on or (`back`) before it, in which `subtask` is about to happen; None without one."""
        frames = range(t - 1, -1, -1) if back else range(t, len(self.subtasks))
        return next((k for k in frames if self.subtasks[k] == subtask), None)

    def end_of_subtask(self, t: int) -> int:
        """The first frame of the next subtask, or the last frame of this one where no other follows or it is not known."""
        k = t
        while k + 1 < len(self.subtasks) and self.subtasks[k + 1] == self.subtasks[t]:
            k += 1
        known = k + 1 < len(self.subtasks) and self.subtasks[k + 1] is not None
        return k + 1 if known else k

    def way(self, t: int) -> np.ndarray:
        """What is left of the subtask of frame t, (3,) metres forward, left, up; NaN on axes that nobody knows.

        Lowering and lifting go one way only, and grasping goes nowhere: what the path does besides is noise, or a hand that
        trembles, and means nothing for the subtask.
        """
        change = self.path[self.end_of_subtask(t)] - self.path[t]
        if self.subtasks[t] in _ACROSS:
            return change
        left = np.where(np.isnan(change), np.nan, 0.0)
        if self.subtasks[t] in _UPRIGHT:
            left[UP] = (np.minimum if self.subtasks[t] in ("lower", "place") else np.maximum)(change[UP], 0)
        return left


def moves_on_the_way(motion: Motion, threshold: float) -> tuple[str | None, ...]:
    """Primitives that follow from the way to the end of the subtask, as MOVE REASONING tells it, instead of from a window.

    They are what somebody would do who heads there by a share of the way at every step: every axis with more than `threshold`
    metres left is named, the jaws while they are about to grasp or let go. None where the subtask is not known.
    """
    labels: list[str | None] = []
    for t, subtask in enumerate(motion.subtasks):
        change = np.zeros(ACTION_DIM)
        change[: UP + 1] = np.nan_to_num(motion.way(t))
        change[GRIPPER] = {"grasp": -1.0, "release": 1.0}.get(subtask, 0.0)
        labels.append(None if subtask is None else primitive(change, threshold, np.inf, rotations=False))
    return tuple(labels)


def agreed(views: Sequence[np.ndarray]) -> np.ndarray:
    """Open or closed, float (T,), out of what several cameras say: NaN where none knows.

    Where they differ for a moment (`MOMENT`), one of them has seen a change first: it is what they agree on next. Where they
    differ for longer, the first camera that knows is believed.
    """
    stacked = np.stack([np.asarray(view, float) for view in views])
    known = np.isfinite(stacked)
    first = np.take_along_axis(stacked, known.argmax(0)[None], 0)[0]
    differ = (np.where(known, stacked, first) != first).any(0) & known.any(0)
    result = first.copy()
    for start, stop in np.flatnonzero(np.diff(np.r_[False, differ, False].astype(int))).reshape(-1, 2):
        if stop - start <= MOMENT and stop < len(first) and np.isfinite(first[stop]):
            result[start:stop] = first[stop]
    return result


def motion_in_space(path: np.ndarray, open_: np.ndarray, fps: float, **rule: float) -> Motion:
    """Motion from a path in space (two views, or a robot's states).

    Args:
        path: float (T, 3), metres forward, left, up, with noise; NaN where unknown.
        open_: float (T,), 1 open, 0 closed, NaN unknown.
        fps: frames a second.
        rule: window and threshold of `moves`.
    """
    clean = smoothed(path)
    return Motion(clean, subtasks(clean[:, :UP], clean[:, UP], open_, fps), moves(clean, open_, fps, **rule))


def motion_in_view(
    track: GripperTrack, fps: float, axes: Axes = ABOVE, palm: float = PALM, depth: bool = False, **rule: float
) -> Motion:
    """Motion from one view of a hand.

    Args:
        track: T frames.
        fps: frames a second.
        axes: what the picture's directions mean.
        palm: metres from wrist to the middle finger's base.
        depth: believe the hand's size as `axes.nearer` instead of telling height by subtasks.
        rule: window and threshold of `moves`.
    """
    flat = Axes(axes.right, axes.up)
    if depth and axes.nearer is not None:
        path = metric_path(track, axes, palm)
        if {DIRECTIONS[word][0] for word in (axes.right, axes.up, axes.nearer)} == {FORWARD, LEFT, UP}:
            return motion_in_space(path, track.open, fps, **rule)
    path = smoothed(metric_path(track, flat, palm))
    sideways, (vertical, sign) = DIRECTIONS[axes.right][0], DIRECTIONS[axes.up]
    labels = subtasks(path[:, [sideways]], sign * path[:, vertical], track.open, fps)
    seen = {sideways, vertical}
    if vertical != UP and set(labels) & set(_UPRIGHT):
        path = _stood_up(path, vertical, sign, labels, axes.elevation)
        seen.add(UP)
    said = moves(path, track.open, fps, **rule)
    path[:, sorted({FORWARD, LEFT, UP} - seen)] = np.nan
    return Motion(path, labels, said)


def _stood_up(path: np.ndarray, vertical: int, sign: int, labels: tuple[str | None, ...], elevation: float) -> np.ndarray:
    """The picture's vertical as height in the subtasks that go up or down, and along the table in the others."""
    result, step = path.copy(), np.nan_to_num(np.diff(path[:, vertical]))
    upright = np.array([label in _UPRIGHT for label in labels[:-1]], bool)
    angle = np.deg2rad(elevation)
    result[1:, UP] += np.cumsum(np.where(upright, sign * step, 0)) / np.cos(angle)
    result[1:, vertical] = result[0, vertical] + np.cumsum(np.where(upright, 0, step)) / np.sin(angle)
    return result
