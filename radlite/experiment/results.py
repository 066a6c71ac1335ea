"""Reading what an experiment wrote: cells, pooled over axes and seeds, compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from radlite.errors import RadliteError
from radlite.experiment.arms import ARMS
from radlite.experiment.cells import TABLES
from radlite.formats.staging import read_json
from radlite.stats import difference, fisher, wilson

REFERENCE = "ecot"  # what every arm is compared with


@dataclass(frozen=True)
class Count:
    """Successes of trials, with what one can say about the rate."""

    successes: int
    trials: int

    @property
    def rate(self) -> float:
        """Share of successes; 0 where there are no trials."""
        return self.successes / self.trials if self.trials else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the rate."""
        return wilson(self.successes, self.trials)

    def p(self, other: Count) -> float:
        """Two-sided p-value of Fisher's exact test against another count."""
        return fisher(self.successes, self.trials, other.successes, other.trials)

    def above(self, other: Count) -> tuple[float, float, float]:
        """By how much the rate lies above another one, with Newcombe's 95% interval."""
        return difference(self.successes, self.trials, other.successes, other.trials)

    def __str__(self) -> str:
        bounds = [100 * b for b in self.interval]
        digits = 0 if round(bounds[0]) < round(bounds[1]) else 1  # none of 1,800 is 0-0.2, not 0-0
        low, high = (f"{round(b, digits):g}" for b in bounds)
        return f"{100 * self.rate:.0f}% ({low}-{high}), {self.successes}/{self.trials}"


class Results(list):
    """Cells as dictionaries, as their files hold them."""

    @classmethod
    def read(cls, folder: str | Path) -> Results:
        """Every cell in a folder.

        Raises:
            RadliteError: no cells there, or a file that is none.
        """
        found, paths = cls(), sorted(Path(folder).glob("*.json"))
        for path in paths:
            cell = read_json(path, "a cell")
            lacks = [k for k in ("table", "arm", "variant", "axis", "seed", "successes", "trials", "metrics") if k not in cell]
            if lacks or cell["table"] not in TABLES or cell["arm"] not in ARMS or not _plain(cell["variant"], cell["axis"]):
                odd = {k: cell[k] for k in ("table", "arm", "variant", "axis")} if not lacks else {}
                raise RadliteError(f"a cell with table, arm, axis, seed, successes and trials in {path}",
                                   f"no {', '.join(lacks)}" if lacks else f"{odd}"[:120], "move it away, or run that cell again")
            found.append(cell)
        if not found:
            raise RadliteError(f"cells (*.json) in {folder}", "none", "run `radlite experiment paper` first")
        table, arm = list(TABLES).index, list(ARMS).index
        found.sort(key=lambda c: (table(c["table"]), arm(c["arm"]), c["x"] or 0, c["variant"], c["axis"], c["seed"]))
        return found

    def where(self, **values: object) -> Results:
        """The cells that have these values; a tuple or list of them means any of these."""
        def fits(cell: dict) -> bool:
            return all(cell[k] in v if isinstance(v, tuple | list | set) else cell[k] == v for k, v in values.items())

        return Results(c for c in self if fits(c))

    def count(self, **values: object) -> Count:
        """Successes and trials of these cells together."""
        chosen = self.where(**values)
        return Count(sum(c["successes"] for c in chosen), sum(c["trials"] for c in chosen))

    def values(self, key: str) -> list:
        """The different values of a key, in order of their first cell."""
        return list(dict.fromkeys(c[key] for c in self))

    def rows(self) -> list[tuple[str, str]]:
        """(arm, variant) of these cells, in order."""
        return list(dict.fromkeys((c["arm"], c["variant"]) for c in self))


def name_of(arm: str, variant: str) -> str:
    """How a row is called."""
    return f"{arm}, {variant}" if variant else arm


def paired(results: Results, one: tuple[str, str], other: tuple[str, str]) -> tuple[Count, Count] | None:
    """Counts of two rows on the axes and seeds that both have; None where there are none."""
    mine, theirs = (results.where(arm=a, variant=v) for a, v in (one, other))
    shared = {(c["axis"], c["seed"]) for c in mine} & {(c["axis"], c["seed"]) for c in theirs}
    return (_of(mine, shared), _of(theirs, shared)) if shared else None


def compare(results: Results, one: tuple[str, str], other: tuple[str, str]) -> str | None:
    """One sentence about two rows, see `paired`."""
    counts = paired(results, one, other)
    if counts is None:
        return None
    a, b = counts
    gap, low, high = (100 * g for g in a.above(b))
    apart = a.interval[0] > b.interval[1] or a.interval[1] < b.interval[0]
    way = "above" if gap >= 0 else "below"
    names, points = (name_of(*one), name_of(*other)), round(abs(gap))
    return (f"{names[0]} {a} is {points} point{'s' * (points != 1)} {way} {names[1]} {b}: "
            f"difference {low:+.0f} to {high:+.0f}, {p_text(a.p(b))}, intervals {'apart' if apart else 'overlap'}.")


def p_text(p: float) -> str:
    """A p-value in words of a table."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _plain(*words: object) -> bool:
    """Whether these are words that a table can hold as they are."""
    return all(isinstance(w, str) and re.fullmatch(r"[\w ,-]{0,40}", w) for w in words)


def _of(rows: Iterable[dict], shared: set[tuple[str, int]]) -> Count:
    chosen = [c for c in rows if (c["axis"], c["seed"]) in shared]
    return Count(sum(c["successes"] for c in chosen), sum(c["trials"] for c in chosen))


def missing(results: Results, wanted: Sequence) -> list:
    """The cells of an experiment that are not among the results."""
    there = {(c["table"], c["arm"], c["variant"], c["axis"], c["seed"]) for c in results}
    return [c for c in wanted if (c.table, c.arm, c.variant, c.axis, c.seed) not in there]
