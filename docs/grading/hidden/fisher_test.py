"""Graded cases of `fisher_test`, exercise 1 of notebook 09. Not for students."""

import random

from otter.test_files import test_case

from radlite import check
from radlite.stats import fisher

OK_FORMAT = False  # cases are functions that raise
name = "fisher_test"
SEED = 1  # choose your own: this one is public


@test_case(name="public check", points=2)
def test_public(fisher_test):
    assert check.fisher_test(fisher_test), "run radlite.check.fisher_test(fisher_test) in the notebook"


@test_case(name="random tables", points=2, hidden=True)
def test_tables(fisher_test):
    draw = random.Random(SEED)
    for _ in range(200):
        n, m = draw.randrange(1, 120), draw.randrange(1, 120)
        a, b = draw.randrange(n + 1), draw.randrange(m + 1)
        assert abs(fisher_test(a, n, b, m) - fisher(a, n, b, m)) < 1e-5


@test_case(name="none, all, and cells of this experiment's size", points=1, hidden=True)
def test_ends(fisher_test):
    for table in ((0, 1, 1, 1), (0, 9, 9, 9), (120, 200, 150, 200), (300, 600, 400, 600)):
        assert abs(fisher_test(*table) - fisher(*table)) < 1e-5
