"""Graded cases of `hand_as_gripper`, exercise 1 of notebook 02. Not for students."""

import numpy as np
from otter.test_files import test_case

from radlite import check
from radlite.check.grips import answer, make

OK_FORMAT = False  # cases are functions that raise
name = "hand_as_gripper"
SEED = 1  # choose your own: this one is public


def same(student, hands):
    points, states = answer(student, hands)
    return states == hands.states and np.allclose(points, hands.points, atol=1e-4, equal_nan=True)


@test_case(name="public check", points=2)
def test_public(hand_as_gripper):
    assert check.hand_as_gripper(hand_as_gripper), "run radlite.check.hand_as_gripper(hand_as_gripper) in the notebook"


@test_case(name="random hands", points=2, hidden=True)
def test_random(hand_as_gripper):
    rng = np.random.default_rng(SEED)
    for seed in range(40):
        ratios = rng.uniform(0.1, 1.0, rng.integers(5, 60))
        ratios[rng.random(len(ratios)) < 0.2] = np.nan
        low, high = sorted(rng.uniform(0.2, 0.9, 2))
        assert same(hand_as_gripper, make(ratios, seed, (30.0, 70.0), closed=low, opened=high))


@test_case(name="one frame, one threshold for both, a hand seen once", points=1, hidden=True)
def test_ends(hand_as_gripper):
    nan = float("nan")
    assert same(hand_as_gripper, make([0.5])) and same(hand_as_gripper, make([nan, nan, 0.2, nan]))
    assert same(hand_as_gripper, make([0.9, 0.4, 0.6, 0.4], closed=0.5, opened=0.5))
