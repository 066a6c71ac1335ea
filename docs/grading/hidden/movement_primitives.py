"""Graded cases of `movement_primitives`, exercise 2 of notebook 02. Not for students."""

import numpy as np
from otter.test_files import test_case

from radlite import check
from radlite.check.ways import answer, make, straight

OK_FORMAT = False  # cases are functions that raise
name = "movement_primitives"
SEED = 1  # choose your own: this one is public


def same(student, way):
    return answer(student, way) == list(way.right)


@test_case(name="public check", points=4)
def test_public(movement_primitives):
    assert check.movement_primitives(movement_primitives), "run radlite.check.movement_primitives(movement_primitives)"


@test_case(name="random paths with gaps", points=4, hidden=True)
def test_random(movement_primitives):
    rng = np.random.default_rng(SEED)
    for seed in range(60):
        length = int(rng.integers(1, 70))
        gaps = np.flatnonzero(rng.random(length) < rng.choice([0, 0.1, 0.5]))
        rule = {"window": int(rng.integers(1, 8)), "threshold": float(rng.uniform(0.005, 0.06))}
        assert same(movement_primitives, make(length, gaps, seed, float(rng.uniform(0.003, 0.04)), **rule))


@test_case(name="windows longer than the path, three axes nearly alike", points=2, hidden=True)
def test_ends(movement_primitives):
    assert same(movement_primitives, make(5, (2,), 1, 0.05, window=30))
    assert same(movement_primitives, straight((0.011, -0.0113, 0.0112), 12, window=9))
