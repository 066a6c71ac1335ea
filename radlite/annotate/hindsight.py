"""A clip's motion as a whole, looked at from its end: path, subtasks and primitives that agree with each other.

One view cannot tell height from distance: up in the picture is both. The subtask tells: a hand that lowers onto a thing moves
down, one that reaches for it moves across the table. So subtasks are found first, and then what the picture's vertical meant.
While nobody sees the hand there is no subtask, so nobody knows either by how much it rose or went away meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from radlite.actions import ACTION_DIM, GRIPPER, primitive, primitive_to_vector
from radlite.annotate.evidence import GripperTrack
from radlite.annotate.motion import ABOVE, DIRECTIONS, PALM, Axes, metric_path, moves, runs, smoothed
from radlite.annotate.subtasks import backed, subtasks

FORWARD, LEFT, UP = range(3)
Moves = Literal["way", "window"]
"""Where MOVE comes from: what is left of the subtask, or what ECoT's window shows."""

WAY = 0.0167
"""Metres to the end of a subtask that earn a direction word: the tabletop's expert covers 0.6 of the way in a step, and says a
word for 1 cm of it."""

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
        joined: of the three axes, whether the path has one origin on it throughout. Where it has not, every known run has one of
            its own, and two places on both sides of a gap are not to be compared (`offset`).
    """

    path: np.ndarray
    subtasks: tuple[str | None, ...]
    moves: tuple[str | None, ...]
    joined: tuple[bool, bool, bool] = (True, True, True)

    def unbroken(self, start: int, stop: int) -> bool:
        """Whether the hand is known in all frames from start to stop, both included."""
        low, high = sorted((start, stop))
        return bool(np.isfinite(self.path[low : high + 1]).any(1).all())

    def offset(self, here: int, there: int) -> np.ndarray:
        """From the gripper at one frame to where it is at another, (3,) metres forward, left, up; NaN on axes nobody knows."""
        change = self.path[there] - self.path[here]
        return change if self.unbroken(here, there) else np.where(self.joined, change, np.nan)

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
        trembles, and means nothing for the subtask. Of one that leads into a gap nobody saw the end: all NaN, since as far as it
        was seen is not as far as it goes.
        """
        end = self.end_of_subtask(t)
        if self.subtasks[t] in (*_ACROSS, *_UPRIGHT) and self.subtasks[end] == self.subtasks[t] and end + 1 < len(self.subtasks):
            return np.full(3, np.nan)
        change = self.path[end] - self.path[t]
        if self.subtasks[t] in _ACROSS:
            return change
        left = np.where(np.isnan(change), np.nan, 0.0)
        if self.subtasks[t] in _UPRIGHT:
            left[UP] = (np.minimum if self.subtasks[t] in ("lower", "place") else np.maximum)(change[UP], 0)
        return left


def moves_on_the_way(motion: Motion, threshold: float = WAY) -> tuple[str | None, ...]:
    """Primitives that follow from the way to the end of the subtask, as MOVE REASONING tells it, instead of from a window.

    They are what somebody would do who heads there by a share of the way at every step: every axis with more than `threshold`
    metres left is named, the jaws while they are about to grasp or let go. None where the subtask or its way is not known.
    """
    labels: list[str | None] = []
    for t, subtask in enumerate(motion.subtasks):
        change, way = np.zeros(ACTION_DIM), motion.way(t) if subtask is not None else np.full(3, np.nan)
        change[: UP + 1] = np.nan_to_num(way)
        change[GRIPPER] = {"grasp": -1.0, "release": 1.0}.get(subtask, 0.0)
        labels.append(None if np.isnan(way).all() else primitive(change, threshold, np.inf, rotations=False))
    return tuple(labels)


def leads_along(move: str, way: np.ndarray, threshold: float = 0.03) -> bool:
    """Whether a primitive leads along a way (3,), metres forward, left, up, so that the one can be told as the other's reason.

    Every direction that it names has to be the way's, in whole centimetres, as they are told; and it has to name the longest of
    the way's, unless that is less than `threshold` metres. A primitive of a window looks past the subtask's end and may not.
    """
    signs = primitive_to_vector(move)[: UP + 1]
    told = np.rint(100 * np.nan_to_num(way))
    longest = int(np.abs(told).argmax())
    asked = abs(told[longest]) < 100 * threshold or signs[longest] != 0
    return bool(asked and (np.sign(told) == signs)[signs != 0].all())


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
    labels = subtasks(clean[:, :UP], clean[:, UP], open_, fps)
    return Motion(clean, backed(labels, open_), moves(clean, open_, fps, **rule))


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
    seen, split = {sideways, vertical}, {vertical, UP} if vertical != UP else set()
    if split and set(labels) & set(_UPRIGHT):
        path = _stood_up(path, vertical, sign, labels, axes.elevation)
        seen.add(UP)
    said = moves(path, track.open, fps, **rule)
    path[:, sorted({FORWARD, LEFT, UP} - seen)] = np.nan
    return Motion(path, backed(labels, track.open), said, tuple(axis not in split for axis in (FORWARD, LEFT, UP)))


def _stood_up(path: np.ndarray, vertical: int, sign: int, labels: tuple[str | None, ...], elevation: float) -> np.ndarray:
    """The picture's vertical as height in the subtasks that go up or down, and along the table in the others.

    Each known run begins where the picture has it and at height 0: which of both the gap before it was for, nobody knows.
    """
    result, angle = path.copy(), np.deg2rad(elevation)
    for run in runs(path):
        step = np.diff(path[run, vertical])
        upright = np.array([label in _UPRIGHT for label in labels[run][:-1]], bool)
        result[run, UP][1:] += np.cumsum(np.where(upright, sign * step, 0)) / np.cos(angle)
        result[run, vertical][1:] = path[run.start, vertical] + np.cumsum(np.where(upright, 0, step)) / np.sin(angle)
    return result
