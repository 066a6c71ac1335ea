"""Graded cases of `faithfulness`, exercise 1 of notebook 06. Not for students."""

from otter.test_files import test_case

from radlite import check
from radlite.check.faithful import answer, make

OK_FORMAT = False  # cases are functions that raise
name = "faithfulness"
SEED = 1  # choose your own: this one is public


def near(found, right):
    return abs(found - right) < 1e-6


@test_case(name="public check", points=4)
def test_public(faithfulness):
    assert check.faithfulness(faithfulness), "run radlite.check.faithfulness(faithfulness) in the notebook"


@test_case(name="effects and floors of many policies", points=3, hidden=True)
def test_effects(faithfulness):
    for k in range(20):
        signed, floor = (-1) ** k * 0.004 * k, 0.002 * (k % 7)
        said = answer(faithfulness, make(signed=signed, floor=floor, across=0.01 * k, seed=SEED * 1000 + k))
        assert near(said["signed"], signed) and near(said["floor"], floor) and near(said["null"], 0.0)


@test_case(name="one chain only", points=1, hidden=True)
def test_one(faithfulness):
    case = make(signed=0.03, floor=0.02, seed=SEED)
    parts = (case.chains[:1], case.edits[:1], case.paraphrases[:1], case.directions[:1])
    said = faithfulness(case.robot, *parts)
    assert near(said["signed"], 0.015) and near(said["floor"], 0.01)  # its effects are half of the mean


@test_case(name="policies that do not answer alike", points=2, hidden=True)
def test_null(faithfulness):
    for k in range(1, 6):
        assert answer(faithfulness, make(null=0.001 * k, seed=SEED + k))["null"] >= 0.001 * k - 1e-9
