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
