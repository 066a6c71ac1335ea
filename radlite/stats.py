"""Statistics of counted trials: how sure is one about a success rate?

A policy that solves 27 of 80 scenes has a measured rate of 34%, but other scenes would have given another
count. The Wilson score interval (Wilson 1927) says which true rates fit the count. Unlike the textbook `p +-
z * sqrt(p(1-p)/n)` it stays inside [0, 1] and keeps a width at 0 of n and n of n, which is where robot
policies often are.
"""

from __future__ import annotations

import math

from radlite.errors import RadliteError


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a success rate.

    Args:
        successes: trials that succeeded, 0 <= successes <= trials.
        trials: number of independent trials; 0 gives (0.0, 1.0), for nothing is known then.
        z: normal quantile; 1.96 is a two-sided 95% interval.

    Returns:
        (low, high), both in [0, 1]. `wilson(27, 80)` is about (0.24, 0.45).

    Raises:
        RadliteError: counts that are no counts, or z that is not a positive number.
    """
    _check(successes, trials, z)
    if trials == 0:
        return 0.0, 1.0
    p = successes / trials
    shrink = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / shrink
    # Rounding may leave 1e-17 where theory says exactly 0 (or 1), and the rate itself must lie inside.
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def _check(successes: int, trials: int, z: float) -> None:
    # NumPy integers count too; they are no `int`, but they are an index.
    whole = all(hasattr(n, "__index__") and not isinstance(n, bool) for n in (successes, trials))
    if not whole or not 0 <= successes <= trials:
        raise RadliteError(
            "whole counts with 0 <= successes <= trials",
            f"{successes!r} of {trials!r}",
            "count each trial once, as a success or not",
        )
    if not (isinstance(z, (int, float)) and math.isfinite(z) and z > 0):
        raise RadliteError("a positive z such as 1.96", repr(z), "use 1.96 for a 95% interval")


def fisher(successes: int, trials: int, others: int, other_trials: int) -> float:
    """Two-sided p-value of Fisher's exact test: could both counts come from one rate?

    The sum over all tables with these margins that are no likelier than the one found. For ten trials a cell it is the test to
    take; where counts are large it agrees with the two-proportion z test.

    Args:
        successes, trials: of one arm.
        others, other_trials: of the other.

    Raises:
        RadliteError: counts that are no counts.
    """
    _check(successes, trials, 1.96)
    _check(others, other_trials, 1.96)
    wins, total = successes + others, trials + other_trials

    def log_ways(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    low, high = max(0, wins - other_trials), min(wins, trials)
    logs = [log_ways(trials, k) + log_ways(other_trials, wins - k) - log_ways(total, wins) for k in range(low, high + 1)]
    found = logs[successes - low]
    return min(1.0, sum(math.exp(p) for p in logs if p <= found + 1e-7))


def difference(successes: int, trials: int, others: int, other_trials: int, z: float = 1.96) -> tuple[float, float, float]:
    """Difference of two success rates with Newcombe's interval: (rate - other rate, low, high).

    Newcombe 1998, method 10: it joins the two Wilson intervals, so it holds for small counts and near 0 and 1 as well.
    """
    low, high = wilson(successes, trials, z)
    other_low, other_high = wilson(others, other_trials, z)
    if not (trials and other_trials):
        return 0.0, low - other_high, high - other_low
    p, q = successes / trials, others / other_trials
    return p - q, p - q - math.hypot(p - low, other_high - q), p - q + math.hypot(high - p, q - other_low)
