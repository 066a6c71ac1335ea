"""Graded cases of `wilson_interval`, exercise 1 of notebook 04. Not for students."""

import random

from otter.test_files import test_case

from radlite import check, wilson

OK_FORMAT = False  # cases are functions that raise
name = "wilson_interval"
SEED = 1  # choose your own: this one is public


def agrees(student, successes, trials):
    return all(abs(a - b) < 5e-4 for a, b in zip(student(successes, trials), wilson(successes, trials), strict=True))


@test_case(name="public check", points=2)
def test_public(wilson_interval):
    assert check.wilson_interval(wilson_interval), "run radlite.check.wilson_interval(wilson_interval) in the notebook"


@test_case(name="random counts", points=2, hidden=True)
def test_counts(wilson_interval):
    draw = random.Random(SEED)
    for trials in (draw.randrange(1, 2000) for _ in range(300)):
        assert agrees(wilson_interval, draw.randrange(trials + 1), trials)


@test_case(name="none, all, and a million trials", points=1, hidden=True)
def test_ends(wilson_interval):
    for trials in (1, 3, 1000, 1_000_000):
        assert agrees(wilson_interval, 0, trials) and agrees(wilson_interval, trials, trials)
        low, high = wilson_interval(0, trials)
        assert 0 <= low <= 1e-12 and high > 0
