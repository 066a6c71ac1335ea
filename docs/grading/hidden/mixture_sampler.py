"""Graded cases of `mixture_sampler`, exercise 1 of notebook 03. Not for students."""

import random

from otter.test_files import test_case

from radlite import check

OK_FORMAT = False  # cases are functions that raise
name = "mixture_sampler"
SEED = 1  # choose your own: this one is public


def cases(count):
    """(robot, human, robot_per_batch, ratio, seed)."""
    draw = random.Random(SEED)
    return [(draw.randrange(20, 90), draw.randrange(20, 90), draw.randrange(2, 9), draw.choice((0.25, 0.7, 1.0, 1.9, 3.0)),
             draw.randrange(1000)) for _ in range(count)]


def stream(sampler, side, case, steps):
    return [int(k) for step in steps for k in sampler(step, *case)[side]]


@test_case(name="public check", points=4)
def test_public(mixture_sampler):
    assert check.mixture_sampler(mixture_sampler), "run radlite.check.mixture_sampler(mixture_sampler) in the notebook"


@test_case(name="whole epochs, of robots and of humans", points=2, hidden=True)
def test_epochs(mixture_sampler):
    for case in cases(6):
        for side in (0, 1):
            drawn, size = stream(mixture_sampler, side, case, range(150)), case[side]
            assert len(drawn) >= 2 * size or case[3] < 1
            for start in range(0, len(drawn) - size + 1, size):
                assert sorted(drawn[start : start + size]) == list(range(size))


@test_case(name="step 100,000 without the steps before it", points=2, hidden=True)
def test_far_steps(mixture_sampler):
    for case in cases(3):
        for step in (100_000, 99_999):
            robot, human = mixture_sampler(step, *case)
            assert len(robot) == case[2] and abs(len(human) - case[2] * case[3]) < 1
            assert (list(robot), list(human)) == tuple(map(list, mixture_sampler(step, *case)))


@test_case(name="the robot's order knows nothing of the humans", points=2, hidden=True)
def test_deaf(mixture_sampler):
    for robot, human, count, ratio, seed in cases(6):
        alone = stream(mixture_sampler, 0, (robot, human, count, 0.0, seed), range(50))
        assert alone == stream(mixture_sampler, 0, (robot, human + 13, count, ratio, seed), range(50))
