"""Graded cases of `training_bytes`, the exercise of notebook 07. Not for students."""

import random

from otter.test_files import test_case

from radlite import check
from radlite.check.memory import Case
from radlite.train_config import OPTIMIZERS

OK_FORMAT = False  # cases are functions that raise
name = "training_bytes"
SEED = 1  # choose your own: this one is public


def near(student, case):
    """All three numbers within half a per cent."""
    found = student(*case.arguments)
    return all(abs(float(f) - right) <= 0.005 * right for f, right in zip(found, case.right, strict=True))


@test_case(name="public check", points=2)
def test_public(training_bytes):
    assert check.training_bytes(training_bytes), "run radlite.check.training_bytes(training_bytes) in the notebook"


@test_case(name="random models", points=2, hidden=True)
def test_random(training_bytes):
    draw = random.Random(SEED)
    for _ in range(100):
        case = Case(64 * 256 * draw.randrange(1, 10**6), draw.randrange(1, 10**10), draw.randrange(1, 10**8),
                    draw.random() < 0.7, draw.choice(list(OPTIMIZERS)))
        assert near(training_bytes, case)


@test_case(name="nothing outside the decoder, nothing trained", points=1, hidden=True)
def test_ends(training_bytes):
    for nf4 in (False, True):
        for optimizer in OPTIMIZERS:
            assert near(training_bytes, Case(64 * 256 * 100, 0, 1_000, nf4, optimizer))
            assert near(training_bytes, Case(64 * 256 * 100, 5_000, 0, nf4, optimizer))
