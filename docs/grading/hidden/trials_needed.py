"""Graded cases of `trials_needed`, exercise 2 of notebook 04. Not for students."""

import random

from otter.test_files import test_case

from radlite import check
from radlite.check.intervals import half_width

OK_FORMAT = False  # cases are functions that raise
name = "trials_needed"
SEED = 1  # choose your own: this one is public


def smallest(student, share, width):
    """Whether the answer is enough and one trial fewer is not; a hair's breadth is nobody's mistake (1.96 or 1.959964)."""
    trials = student(share, width)
    fewer = trials == 1 or half_width(share, trials - 1, 1.96001) > width
    return half_width(share, trials, 1.95996) <= width + 1e-12 and fewer


@test_case(name="public check", points=2)
def test_public(trials_needed):
    assert check.trials_needed(trials_needed), "run radlite.check.trials_needed(trials_needed) in the notebook"


@test_case(name="random shares and widths", points=2, hidden=True)
def test_random(trials_needed):
    draw = random.Random(SEED)
    assert all(smallest(trials_needed, draw.random(), draw.uniform(0.02, 0.3)) for _ in range(100))


@test_case(name="wide, narrow, none and all", points=1, hidden=True)
def test_ends(trials_needed):
    for share in (0.0, 0.001, 0.5, 1.0):
        assert all(smallest(trials_needed, share, width) for width in (0.6, 0.45, 0.01))
