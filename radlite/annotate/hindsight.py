"""A clip's motion as a whole, looked at from its end: path, subtasks and primitives that agree with each other.

One view cannot tell height from distance: up in the picture is both. The subtask tells: a hand that lowers onto a thing moves
down, one that reaches for it moves across the table. So subtasks are found first, and then what the picture's vertical meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radlite.annotate.evidence import GripperTrack
from radlite.annotate.motion import ABOVE, DIRECTIONS, PALM, Axes, metric_path, moves, smoothed
from radlite.annotate.subtasks import subtasks

FORWARD, LEFT, UP = range(3)
_UPRIGHT = ("lower", "lift", "place", "retreat")


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
        path = smoothed(metric_path(track, axes, palm))
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
