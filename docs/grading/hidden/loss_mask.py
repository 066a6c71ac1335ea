"""Graded cases of `loss_mask`, exercise 1 of notebook 01. Not for students."""

import random

from otter.test_files import test_case

from radlite import check
from radlite.reasoning import FIELDS

OK_FORMAT = False  # cases are functions that raise
name = "loss_mask"
SEED = 1  # choose your own: this one is public
ROLES = ("image", "prompt", *FIELDS, "action_tag", "action", "eos", "pad")


def sequences(count):
    """Random role sequences, whatever their order: the rule asks only what a token is and who acts."""
    draw = random.Random(SEED)
    return [[draw.choice(ROLES) for _ in range(draw.randrange(60))] for _ in range(count)]


def right(roles, embodiment):
    paid = {*FIELDS, "action_tag", "action", "eos"} if embodiment == "robot" else set(FIELDS)
    return [role in paid for role in roles]


@test_case(name="public check", points=4)
def test_public(loss_mask):
    assert check.loss_mask(loss_mask), "run radlite.check.loss_mask(loss_mask) in the notebook"


@test_case(name="robots", points=3, hidden=True)
def test_robots(loss_mask):
    assert all(list(loss_mask(list(roles), "robot")) == right(roles, "robot") for roles in sequences(200))


@test_case(name="humans", points=3, hidden=True)
def test_humans(loss_mask):
    assert all(list(loss_mask(list(roles), "human")) == right(roles, "human") for roles in sequences(200))
