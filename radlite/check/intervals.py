"""Checks of notebook 04: the Wilson interval, and how many trials one needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral

from radlite.check.report import Property, Result, Wrong, ask, number, run, short
from radlite.stats import wilson

TOLERANCE = 5e-4  # between 1.96 and more digits of it: 1e-5; to the next best interval: 0.01
COUNTS = ((1, 10), (5, 10), (3, 7), (27, 80), (140, 200))
PLAIN = ((0.5, 0.1), (0.5, 0.05), (0.25, 0.1), (0.75, 0.2))  # share, half width
EDGES = ((0.0, 0.05), (1.0, 0.05), (0.0, 0.2))
UNEVEN = ((1 / 3, 0.1), (0.07, 0.05), (0.93, 0.03), (0.618, 0.15))


def wilson_interval(student: Callable) -> Result:
    """Checks `wilson_interval(successes, trials) -> (low, high)`: the 95% Wilson score interval of a success rate."""
    return run("wilson_interval", student, (
        Property("the interval lies in [0, 1] and holds the measured share", "is the share inside, and which end is which?",
                 _inside),
        Property("0 of n and n of n keep a width", "`p +- z * sqrt(p * (1 - p) / n)` has none there; Wilson adds z*z / (4*n*n) "
                 "under the root", _edges),
        Property("successes and failures swapped give the mirrored interval", "the centre is (p + z*z / (2*n)) / (1 + z*z / n): "
                 "it is drawn towards one half", _mirrored),
        Property("known values come out", "z = 1.96; centre and half width are both divided by 1 + z*z / n", _known),
    ))  # fmt: skip


def trials_needed(student: Callable) -> Result:
    """Checks `trials_needed(share, half_width) -> int`.

    The smallest whole n >= 1 at which the 95% Wilson interval of the success rate `share` has a half width
    (high - low) / 2 <= half_width, where share * n need not be whole: with p = share,

        (high - low) / 2 = z * sqrt(p * (1 - p) / n + z*z / (4*n*n)) / (1 + z*z / n),   z = 1.96.
    """
    return run("trials_needed", student, (
        Property("so many trials are enough", "half the width (high - low) / 2 counts, and 0.1 means 10 points to either side",
                 lambda function: _enough(function, PLAIN)),
        Property("one trial fewer is not enough", "the width falls with every trial: count up from 1 and stop at the first n",
                 lambda function: _smallest(function, PLAIN)),
        Property("shares of 0 and 1 need trials, too", "p * (1 - p) is 0 there, the Wilson interval is not",
                 lambda function: (_enough(function, EDGES), _smallest(function, EDGES))),
        Property("shares that no whole number of successes gives", "put share into the formula as it is; "
                 "round(share * n) makes the width jump",
                 lambda function: (_enough(function, UNEVEN), _smallest(function, UNEVEN))),
    ))  # fmt: skip


def half_width(share: float, trials: int, z: float = 1.96) -> float:
    """Half the width of the Wilson interval at a share that need not be a count of successes."""
    return z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)


# -------------------------------------------------------------------------------------------- wilson_interval
def _interval(function: Callable, successes: int, trials: int) -> tuple[float, float]:
    answer = ask(function, successes, trials)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Wrong(f"{successes} of {trials} should give two numbers (low, high) and gives {short(answer)}")
    return number(answer[0], "low"), number(answer[1], "high")


def _inside(function: Callable) -> None:
    for trials in (1, 2, 7, 20, 80):
        for successes in range(trials + 1):
            low, high = _interval(function, successes, trials)
            if not -1e-9 <= low <= successes / trials + 1e-9 or not successes / trials - 1e-9 <= high <= 1 + 1e-9:
                raise Wrong(f"{successes} of {trials} give ({low:.3f}, {high:.3f})")


def _edges(function: Callable) -> None:
    for successes, trials in ((0, 10), (10, 10), (0, 1), (80, 80)):
        low, high = _interval(function, successes, trials)
        right_low, right_high = wilson(successes, trials)
        if high - low < (right_high - right_low) / 2:
            raise Wrong(f"{successes} of {trials} give ({low:.3f}, {high:.3f}), as if the rate were known (nearly) exactly")


def _mirrored(function: Callable) -> None:
    for successes, trials in ((0, 10), *COUNTS):
        low, high = _interval(function, successes, trials)
        other_low, other_high = _interval(function, trials - successes, trials)
        if abs(low + other_high - 1) > 1e-6 or abs(high + other_low - 1) > 1e-6:
            raise Wrong(f"{successes} of {trials} give ({low:.3f}, {high:.3f}), {trials - successes} of {trials} "
                        f"({other_low:.3f}, {other_high:.3f})")
        if high - low < 1e-9:
            raise Wrong(f"{successes} of {trials} give an interval without any width")


def _known(function: Callable) -> None:
    for successes, trials in ((0, 10), *COUNTS):
        found, right = _interval(function, successes, trials), wilson(successes, trials)
        if max(abs(a - b) for a, b in zip(found, right, strict=True)) > TOLERANCE:
            raise Wrong(f"{successes} of {trials} give ({found[0]:.4f}, {found[1]:.4f}); known: ({right[0]:.4f}, {right[1]:.4f})")


# ---------------------------------------------------------------------------------------------- trials_needed
def _trials(function: Callable, share: float, width: float) -> int:
    answer = ask(function, share, width)
    if not isinstance(answer, Integral) or isinstance(answer, bool) or answer < 1:
        raise Wrong(f"trials_needed({share:.3g}, {width:g}) should be a whole number from 1 on and is {short(answer)}")
    return int(answer)


def _enough(function: Callable, cases: tuple[tuple[float, float], ...]) -> None:
    for share, width in cases:
        trials = _trials(function, share, width)
        if min(half_width(share, trials, z) for z in (1.96, 1.95996)) > width + 1e-12:
            raise Wrong(f"trials_needed({share:.3g}, {width:g}) gives {trials}, and there the interval reaches "
                        f"{half_width(share, trials):.4f} to either side")


def _smallest(function: Callable, cases: tuple[tuple[float, float], ...]) -> None:
    for share, width in cases:
        trials = _trials(function, share, width)
        if trials > 1 and max(half_width(share, trials - 1, z) for z in (1.96, 1.95996)) <= width - 1e-12:
            raise Wrong(f"trials_needed({share:.3g}, {width:g}) gives {trials}, but {trials - 1} would do "
                        f"({half_width(share, trials - 1):.4f} to either side)")
