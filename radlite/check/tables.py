"""Check of notebook 09: could two counts come from one rate?"""

from __future__ import annotations

from collections.abc import Callable

from radlite.check.report import Property, Result, Wrong, ask, number, run
from radlite.stats import fisher

Table = tuple[int, int, int, int]  # successes, trials, other successes, other trials
ALIKE: tuple[Table, ...] = ((3, 10, 3, 10), (0, 5, 0, 7), (8, 8, 5, 5), (2, 4, 4, 8))
APART: tuple[Table, ...] = ((2, 10, 5, 10), (27, 80, 45, 80), (28, 80, 45, 80), (43, 80, 45, 80), (1, 20, 9, 13))


def fisher_test(student: Callable) -> Result:
    """Checks `fisher_test(successes, trials, others, other_trials) -> p`: two-sided, exact.

    With successes + others successes in all, k of them in the first group have the probability
    comb(trials, k) * comb(other_trials, all - k) / comb(trials + other_trials, all). p is the sum of the probabilities of every
    k that is possible and no more probable than the k that was found.
    """
    return run("fisher_test", student, (
        Property("p is a probability, and 1 where both rates are the same", "the k that was found counts, too: no more probable "
                 "than itself", _alike),
        Property("the two groups may change places", "k runs from max(0, all - other_trials) to min(all, trials)", _swapped),
        Property("it is two-sided", "sum over k on both sides of the one that was found, all that are no more probable", _sided),
        Property("known values come out", "equal probabilities differ by rounding: compare with a little slack, "
                 "<= found * (1 + 1e-7)", _known),
    ))  # fmt: skip


def _p(function: Callable, table: Table) -> float:
    found = number(ask(function, *table), "p")
    if not 0 <= found <= 1 + 1e-9:
        raise Wrong(f"{_told(table)} give p = {found:.4g}")
    return found


def _told(table: Table) -> str:
    return f"{table[0]} of {table[1]} against {table[2]} of {table[3]}"


def _alike(function: Callable) -> None:
    for table in (*ALIKE, *APART):
        found = _p(function, table)
        if table in ALIKE and abs(found - 1) > 1e-6:
            raise Wrong(f"{_told(table)} give p = {found:.4g}")


def _swapped(function: Callable) -> None:
    for table in (*ALIKE, *APART):
        one, other = _p(function, table), _p(function, (*table[2:], *table[:2]))
        if abs(one - other) > 1e-6:
            raise Wrong(f"{_told(table)} give p = {one:.4g}, and the other way round {other:.4g}")


def _sided(function: Callable) -> None:
    for table in APART:
        found, right = _p(function, table), fisher(*table)
        if found < 0.7 * right:
            raise Wrong(f"{_told(table)} give p = {found:.4g}; as unlikely tables on the other side make it {right:.4g}")


def _known(function: Callable) -> None:
    for table in (*ALIKE, *APART):
        found, right = _p(function, table), fisher(*table)
        if abs(found - right) > 1e-5:
            raise Wrong(f"{_told(table)} give p = {found:.5f}; known: {right:.5f}")
