"""Check of notebook 02: words for the motion of a hand. What is right is asked of the library's own rule, `annotate.motion`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from radlite.annotate.motion import moves
from radlite.check.report import Property, Result, Wrong, ask, run, short


@dataclass(frozen=True)
class Way:
    """A path (T, 3) in metres, NaN where unknown; how many frames are looked ahead; metres that earn a word."""

    path: np.ndarray
    window: int = 3
    threshold: float = 0.03

    @property
    def right(self) -> tuple[str | None, ...]:
        """The T labels."""
        return moves(self.path, np.full(len(self.path), np.nan), 1.0, self.window, self.threshold)


def movement_primitives(student: Callable) -> Result:
    """Checks `movement_primitives(path, window, threshold) -> T labels`.

    path (T, 3): metres forward, left, up, NaN where unknown. A label is "stop" or "move" and up to two of forward/backward,
    left/right, up/down in that order; None where the path is unknown, or known in a single frame between unknown ones. It names
    the change to the frame `window` later, or to the last one of the known stretch if that is nearer; the last frame of a
    stretch has the label before it. A change of which the three sizes sum to more than 3 x threshold is shrunk to that sum; then
    an axis is named that changes by more than the threshold.
    """
    return run("movement_primitives", student, (
        Property("one direction has one word, and little motion is 'stop'", "forward and backward, left and right, up and down "
                 "are the two signs of path[:, 0], path[:, 1], path[:, 2]; compare with the threshold", _words),
        Property("a label looks `window` frames ahead, to the stretch's last frame at most, which repeats the label before it",
                 "end = min(t + window, last); the label of `last` is that of last - 1", _ahead),
        Property("long ways are shrunk first, so that at most two words remain", "with size = np.abs(change).sum(): if it is "
                 "above 3 * threshold, multiply the change by 3 * threshold / size", _long),
        Property("None where the path is unknown, and no way leads across a gap", "find the stretches of frames in a row whose "
                 "three numbers are all known, and treat each by itself; one of a single frame has no motion", _gaps),
    ))  # fmt: skip


def make(length: int, gaps: Sequence[int] = (), seed: int = 0, speed: float = 0.012, **rule: float) -> Way:
    """A hand that wanders, `speed` metres a frame and axis, and changes its mind every few frames; `gaps` are unknown."""
    rng = np.random.default_rng([seed, 53])
    steps = np.repeat(rng.normal(0, speed, (length // 4 + 1, 3)), 4, axis=0)[:length] * rng.choice([0.1, 1], (1, 3))
    path = (steps + rng.normal(0, speed / 8, (length, 3))).cumsum(0)
    path[list(gaps)] = np.nan
    return Way(path, **rule)


def straight(step: Sequence[float], length: int = 7, **rule: float) -> Way:
    """The same step (3,) in every frame."""
    return Way(np.arange(length)[:, None] * np.asarray(step, float), **rule)


def answer(function: Callable, way: Way) -> list[str | None]:
    """The student's labels."""
    found = ask(function, way.path, way.window, way.threshold)
    labels = list(found) if isinstance(found, (list, tuple, np.ndarray)) else []
    if len(labels) != len(way.path) or not all(label is None or isinstance(label, str) for label in labels):
        raise Wrong(f"{len(way.path)} labels should come out, each text or None, and {short(found)} does")
    return [None if label is None else " ".join(label.split()) for label in labels]


def _same(function: Callable, ways: Sequence[Way]) -> None:
    for way in ways:
        for t, (mine, true) in enumerate(zip(answer(function, way), way.right, strict=True)):
            if mine != true:
                known = np.isfinite(way.path).all(1)
                unknown = f", of which {', '.join(map(str, np.flatnonzero(~known)))} unknown" if not known.all() else ""
                raise Wrong(f"frame {t} of {len(known)}{unknown} is {short(mine)} (window {way.window}, threshold "
                            f"{way.threshold} m); {true!r} would be right")


def _words(function: Callable) -> None:
    sides = [sign * 0.012 * np.eye(3)[axis] for axis in range(3) for sign in (1, -1)]
    _same(function, [straight(step) for step in (*sides, np.zeros(3), (0.008, -0.008, 0.008))])


def _ahead(function: Callable) -> None:
    turn = np.cumsum([[0.012, 0, 0]] * 5 + [[0, 0.012, 0]] * 5, axis=0)
    ways = [Way(turn), Way(turn, window=1, threshold=0.01), Way(turn, window=5), make(24, seed=1), make(2, speed=0.08)]
    _same(function, [*ways, straight((0.012, 0, 0), 3, window=6)])


def _long(function: Callable) -> None:
    diagonal = [(0.012, 0.012, 0), (0, -0.012, -0.014), (0.02, 0.0193, 0.018), (0.04, 0.012, 0), (0.03, 0.011, -0.03)]
    _same(function, [straight(step) for step in diagonal] + [make(40, seed=seed, speed=0.03) for seed in (0, 2)])


def _gaps(function: Callable) -> None:
    part = make(16, seed=3)
    part.path[5, 2] = np.nan  # two of three numbers do not make a place
    ends = make(12, (0, 1, 10, 11), seed=4)
    _same(function, [part, ends, make(20, (6, 7, 9, 14), seed=5), make(5, range(5)), make(1), make(9, (1, 3, 5, 7), seed=6)])
