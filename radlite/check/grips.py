"""Check of notebook 02: a hand as a gripper, thumb tip and index tip in, a point and open or closed out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radlite.check.report import Property, Result, Wrong, ask, run, short

CLOSED, OPENED = 0.42, 0.58  # palms between the tips; those of radlite.annotate.hands
TOLERANCE = 1e-4  # pixels; the answers are float32 or float64


@dataclass(frozen=True)
class Hands:
    """A hand through T frames: tips (T, 2) pixels, palm (T,) pixels, NaN where nobody saw it; two thresholds in palms."""

    thumb: np.ndarray
    index: np.ndarray
    palm: np.ndarray
    closed: float = CLOSED
    opened: float = OPENED

    @property
    def points(self) -> np.ndarray:
        """The right points, (T, 2)."""
        return (self.thumb + self.index) / 2

    @property
    def states(self) -> list[bool | None]:
        """The right states: the last frame of a loud ratio decides, and before the first one the hand is open."""
        state, found = True, []
        for apart, palm in zip(np.linalg.norm(self.thumb - self.index, axis=1), self.palm, strict=True):
            if apart < self.closed * palm:
                state = False
            elif apart > self.opened * palm:
                state = True
            found.append(None if np.isnan(apart) else state)
        return found


def hand_as_gripper(student: Callable) -> Result:
    """Checks `hand_as_gripper(thumb, index, palm, closed, opened) -> (points, states)`.

    thumb, index (T, 2) and palm (T,) in pixels, all NaN in frames without a hand. points (T, 2): the midpoint of the tips, NaN
    without a hand. states: T values, True open, False closed, None without a hand. The tips' distance in palms closes the hand
    below `closed` and opens it above `opened`; between them it stays as it was, and at first it is open.
    """
    return run("hand_as_gripper", student, (
        Property("the point is the midpoint of the two tips", "(thumb + index) / 2, each of shape (T, 2)", _points),
        Property("closed below the one threshold, open above the other, at any distance from the camera",
                 "np.linalg.norm(thumb - index, axis=1) / palm: pixels alone grow when the hand comes nearer", _loud),
        Property("between the thresholds nothing changes", "remember the state in a variable; at first it is True, and only a "
                 "ratio below `closed` or above `opened` changes it", _between),
        Property("a frame without a hand is NaN and None, and is passed over", "np.isnan(ratio): append None, and keep the state "
                 "that you remember for the next frame", _unseen),
    ))  # fmt: skip


def make(ratios: Sequence[float], seed: int = 0, sizes: tuple[float, float] = (40.0, 40.0), **thresholds: float) -> Hands:
    """A hand that wanders, its tips `ratios` palms apart (NaN: not seen), its palm growing from one of `sizes` to the other."""
    rng, length = np.random.default_rng([seed, 47]), len(ratios)
    palm = np.linspace(*sizes, length)
    middle = rng.uniform(60, 200, (1, 2)) + rng.normal(0, 6, (length, 2)).cumsum(0)
    turn = rng.uniform(0, 2 * np.pi, length)
    half = (np.asarray(ratios, float) * palm / 2)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    return Hands(middle - half, middle + half, np.where(np.isnan(ratios), np.nan, palm), **thresholds)


def answer(function: Callable, hands: Hands) -> tuple[np.ndarray, list[bool | None]]:
    """The student's points (T, 2) and states."""
    found = ask(function, hands.thumb, hands.index, hands.palm, hands.closed, hands.opened)
    if not (isinstance(found, (tuple, list)) and len(found) == 2):
        raise Wrong(f"two things should come out, points and states, and {short(found)} does")
    try:
        points = np.asarray(found[0], np.float64)
    except (TypeError, ValueError):
        raise Wrong(f"the points should be an array of numbers and are {short(found[0])}") from None
    if points.shape != hands.thumb.shape:
        raise Wrong(f"the points should have the shape {hands.thumb.shape} and have {points.shape}")
    states = list(found[1]) if isinstance(found[1], (list, tuple, np.ndarray)) else []
    if len(states) != len(points) or not all(map(_is_state, states)):
        raise Wrong(f"{len(points)} states should come out, each True, False or None, and {short(found[1])} does")
    return points, [None if state is None else bool(state) for state in states]


def _is_state(state: Any) -> bool:
    return state is None or (isinstance(state, (bool, np.bool_, int, float)) and state in (0, 1))


def _points(function: Callable) -> None:
    for hands in (make([0.8] * 6), make([0.2] * 4, seed=1)):
        found = answer(function, hands)[0]
        if not np.allclose(found, hands.points, atol=TOLERANCE):
            k = int(np.abs(found - hands.points).max(1).argmax())
            tips = f"{hands.thumb[k].round(1).tolist()} and {hands.index[k].round(1).tolist()}"
            raise Wrong(f"tips at {tips} give {found[k].round(1).tolist()}; {hands.points[k].round(1).tolist()} would be right")


def _same(function: Callable, cases: Sequence[Hands]) -> None:
    for hands in cases:
        found = answer(function, hands)[1]
        ratios = np.linalg.norm(hands.thumb - hands.index, axis=1) / hands.palm
        for k, (mine, true) in enumerate(zip(found, hands.states, strict=True)):
            if mine != true:
                said = ", ".join("none" if np.isnan(r) else f"{r:.2f}" for r in ratios[max(0, k - 3) : k + 1])
                raise Wrong(f"after ratios of {said} (thresholds {hands.closed} and {hands.opened}) the state is {mine}; {true} "
                            "would be right")


def _loud(function: Callable) -> None:
    steps = [0.8, 0.7, 0.3, 0.2, 0.3, 0.9, 0.8]
    others = make(steps, 3, closed=0.25, opened=0.75)
    _same(function, [make(steps), make(steps, 1, (20.0, 90.0)), make([0.3, 0.1, 0.8], 2), others])


def _between(function: Callable) -> None:
    _same(function, [make([0.9, 0.5, 0.45, 0.3, 0.45, 0.55, 0.5, 0.7, 0.5]), make([0.5, 0.5, 0.3, 0.5], 1), make([0.5] * 3, 2)])


def _unseen(function: Callable) -> None:
    none = float("nan")
    hands = make([none, 0.9, none, 0.3, none, none, 0.5, 0.8, none])
    _same(function, [hands, make([none] * 3, 1)])
    empty, lost = np.isnan(answer(function, hands)[0]).any(1), np.isnan(hands.palm)
    if (empty != lost).any():
        raise Wrong(f"points are NaN in {int(empty.sum())} frames, and {int(lost.sum())} have no hand")
