"""Check of notebook 08: actions between -1 and 1, by percentiles that know nothing of the bad frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from radlite.actions import GRIPPER
from radlite.check.report import Property, Result, Wrong, ask, run, short

TOLERANCE = 1e-4  # of -1..1; the answers are float32 or float64


@dataclass(frozen=True)
class Case:
    """Actions (T, 7) and which of them are bad (T,)."""

    actions: np.ndarray
    bad: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """The answer, float64 (T, 7)."""
        low, high = np.quantile(self.actions[~self.bad].astype(np.float64), (0.01, 0.99), axis=0)
        low[GRIPPER], high[GRIPPER] = 0, 1
        width = high - low
        values = np.where(width == 0, 0, (self.actions - low) / np.where(width == 0, 1, width) * 2 - 1)
        values = np.clip(values, -1, 1)
        values[self.bad] = np.nan
        return values


def normalised(student: Callable) -> Result:
    """Checks `normalised(actions, bad) -> (T, 7)`: actions (T, 7), bad (T,) bools.

    The 1st percentile of the good frames becomes -1, their 99th 1, in each of the first six dimensions, and what lies beyond is
    clipped. A dimension whose two percentiles are the same gives 0. The gripper's 0..1 becomes -1..1 whatever the data. Bad
    frames are NaN throughout.
    """
    return run("normalised", student, (
        Property("bad frames come out as NaN, and no others", "fill their rows at the end: result[bad] = np.nan", _masked),
        Property("bad frames do not count", "take the percentiles of actions[~bad]; one wrong number must not move the others",
                 _ignored),
        Property("1st and 99th percentile become -1 and 1, and what lies beyond is clipped", "(a - q01) / (q99 - q01) * 2 - 1, "
                 "each dimension by itself (axis=0), then np.clip", lambda f: _values(f, slice(0, 6))),
        Property("the gripper's 0..1 becomes -1..1, whatever the data", "the seventh number is an opening: 2 * g - 1; its "
                 "percentiles mean nothing, for it may be open in all frames", lambda f: _values(f, slice(6, 7))),
        Property("a dimension that never moves gives 0", "q99 - q01 is 0 there: divide by 1 instead, or choose with np.where",
                 _still),
    ))  # fmt: skip


def make(length: int = 300, bad: int = 20, seed: int = 0, still: tuple[int, ...] = (), number: float = np.nan) -> Case:
    """Actions of an arm that goes further forward than back, and further than it turns; `bad` rows hold `number`."""
    rng = np.random.default_rng([seed, 43])
    actions = rng.normal([0.01, 0, -0.004, 0, 0, 0.02, 0], [0.03, 0.02, 0.01, 0.05, 0.1, 0.2, 1], (length, 7))
    actions[:, GRIPPER] = rng.choice([0, 0.2, 1, 1], length)
    actions[:, list(still)] = 0
    which = np.zeros(length, bool)
    which[rng.permutation(length)[:bad]] = True
    actions[which] = number
    return Case(actions.astype(np.float32), which)


def answer(function: Callable, case: Case) -> np.ndarray:
    """The student's actions, float64 (T, 7)."""
    found = ask(function, case.actions, case.bad)
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise Wrong(f"an array of numbers should come out, and {short(found)} does") from None
    if values.shape != case.actions.shape:
        raise Wrong(f"shape {case.actions.shape} should come out, as it went in, and {values.shape} does")
    return values


def _masked(function: Callable) -> None:
    for case in (make(), make(bad=0, seed=1), make(number=0.0, seed=2)):
        empty = np.isnan(answer(function, case))
        if (empty.all(1) != case.bad).any() or empty[~case.bad].any():
            raise Wrong(f"{int(case.bad.sum())} of {len(case.bad)} frames are bad; NaN stands in {int(empty.any(1).sum())}, "
                        f"throughout in {int(empty.all(1).sum())}")


def _ignored(function: Callable) -> None:
    plain = make(bad=30)
    good = ~plain.bad
    wanted = plain.right[good]
    for number in (0.0, 5.0, np.nan):
        actions = plain.actions.copy()
        actions[plain.bad] = number
        found = answer(function, Case(actions, plain.bad))[good]
        if not _near(found[:, :6], wanted[:, :6]):
            raise Wrong(f"with {number} in the bad frames the good ones come out otherwise than without these frames")


def _values(function: Callable, part: slice) -> None:
    for case in (make(), make(bad=0, seed=1), make(length=90, seed=2)):
        if part.start == GRIPPER:
            case.actions[~case.bad, GRIPPER] = np.linspace(0.4, 0.6, int((~case.bad).sum()))  # it never opens or closes
        good = ~case.bad
        found, wanted = answer(function, case)[good, part], case.right[good, part]
        if not _near(found, wanted):
            k, d = np.argwhere(~(np.abs(found - wanted) <= TOLERANCE))[0]
            value = case.actions[good, part][k, d]
            raise Wrong(f"{value:.4f} in dimension {part.start + d} becomes {found[k, d]:.4f}; {wanted[k, d]:.4f} would be right")


def _still(function: Callable) -> None:
    case = make(still=(3, 4))
    found = answer(function, case)[~case.bad]
    if not _near(found[:, 3:5], np.zeros((len(found), 2))):
        raise Wrong(f"dimension 3 is 0 in every frame and becomes {found[0, 3]:.4f}")


def _near(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool((np.abs(found - wanted) <= TOLERANCE).all())  # NaN is near nothing
