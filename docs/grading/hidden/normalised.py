"""Graded cases of `normalised`, exercise 2 of notebook 08. Not for students."""

import numpy as np
from otter.test_files import test_case

from radlite import check
from radlite.check.normal import make

OK_FORMAT = False  # cases are functions that raise
name = "normalised"
SEED = 1  # choose your own: this one is public


def near(student, case):
    """Equal, NaN where NaN should be."""
    return np.allclose(np.asarray(student(case.actions.copy(), case.bad.copy()), float), case.right, atol=1e-4, equal_nan=True)


@test_case(name="public check", points=2)
def test_public(normalised):
    assert check.normalised(normalised), "run radlite.check.normalised(normalised) in the notebook"


@test_case(name="random actions", points=2, hidden=True)
def test_random(normalised):
    for seed in range(SEED, SEED + 40):
        rng = np.random.default_rng(seed)
        length = int(rng.integers(20, 2_000))
        bad, number = int(rng.integers(0, length // 2)), [np.nan, 0.0, 7.0, np.inf][seed % 4]
        assert near(normalised, make(length, bad, seed, number=number))


@test_case(name="one good frame, an arm that never turns", points=1, hidden=True)
def test_ends(normalised):
    assert near(normalised, make(12, 11)) and near(normalised, make(200, 40, 2, still=(3, 4, 5)))
