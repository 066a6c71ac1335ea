"""Check of notebook 01: which tokens of a RAD sample carry loss. What is right is asked of the library's own collate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from radlite.check.report import Property, Result, Wrong, ask, run, short
from radlite.reasoning import ACTION_TAG, FIELDS, Box, Reasoning

BEFORE, ACTING = {"image", "prompt", "pad"}, {"action_tag", "action", "eos"}
CHAIN = Reasoning(
    task="Pick up the can.", plan="Reach the can. Grasp it. Lift it.", bboxes=(Box("can", (90, 110, 120, 150)),),
    subtask_reason="The gripper is left of the can.", subtask="Reach the can.", move_reason="The can is to the right.",
    move="move right", gripper=((60, 128), (70, 128), (80, 129), (90, 130), (100, 131)),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One sequence of a batch: the role of each token, and whether the library trains on it."""

    what: str
    roles: tuple[str, ...]
    embodiment: str
    paid: tuple[bool, ...]


def loss_mask(student: Callable) -> Result:
    """Checks `loss_mask(roles, embodiment) -> list[bool]`: True for tokens that carry loss.

    roles: of the tokens of one sequence, in order: "image", "prompt", the fields of `radlite.FIELDS` (a field's tag belongs
    to it), "action_tag", "action", "eos", "pad". embodiment: "robot" or "human".
    """
    _rows()  # ahead of the clock: the first time this loads torch and the model
    return run("loss_mask", student, (
        Property("the picture, the prompt and padding carry no loss", "they are given to the policy: it never has to write them",
                 lambda function: _compare(function, BEFORE)),
        Property("every field of the reasoning carries loss, for robots and humans alike",
                 "a human video shows what is done and why; this is all that RAD learns from it, so train on it",
                 lambda function: _compare(function, set(FIELDS))),
        Property("a robot's action, its tag and the end of sequence carry loss",
                 "this is what the robot has to say at the end of its chain, and then stop",
                 lambda function: _compare(function, ACTING, "robot")),
        Property("a human sample carries no loss on actions and no end of sequence, even where they were filled in",
                 "nobody measured how the hand moved; zeros would teach standing still, an end would teach to stop before acting",
                 lambda function: _compare(function, ACTING, "human")),
    ))  # fmt: skip


def _compare(function: Callable, asked: set[str], embodiment: str = "") -> None:
    """The student's mask against the library's labels, at tokens of the roles that are asked about."""
    for row in _rows():
        if row.embodiment != (embodiment or row.embodiment):
            continue
        mask = _mask(ask(function, list(row.roles), row.embodiment), row)
        for at, (role, found, right) in enumerate(zip(row.roles, mask, row.paid, strict=True)):
            if role in asked and found != right:
                raise Wrong(f"{found} for token {at} ({role!r}) of {row.what}; the library says {right}")


def _mask(answer: object, row: Row) -> list[bool]:
    try:
        values = [value.item() if hasattr(value, "item") else value for value in answer]
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{short(answer)} instead of a list of bools, for {row.what}") from None
    if len(values) != len(row.roles):
        raise Wrong(f"{len(values)} values for the {len(row.roles)} tokens of {row.what}")
    for value in values:
        if not isinstance(value, bool):
            raise Wrong(f"{short(value)} instead of True or False, for {row.what}")
    return values


@cache
def _rows() -> tuple[Row, ...]:
    """Rows of a real batch as the library makes it, and human rows to which somebody appended what does not belong there."""
    from radlite.actions import BRIDGE_STATS
    from radlite.bases import load_vlm
    from radlite.collate import IGNORE, ROLES, collate
    from radlite.episodes import Sample

    vlm, picture = load_vlm("radlite-tiny", device="cpu"), np.zeros((96, 96, 3), np.uint8)
    made = [
        ("a robot sample", CHAIN, np.full(7, 0.01, np.float32)),
        ("a human sample", CHAIN, None),
        ("a robot sample with a short chain", Reasoning(task=CHAIN.task, move=CHAIN.move), np.zeros(7, np.float32)),
        ("a human sample with a short chain", CHAIN.without("plan", "bboxes", "gripper"), None),
        ("a robot sample without reasoning", None, np.zeros(7, np.float32)),
    ]
    samples = [Sample(picture, "pick up the can", chain, action, "human" if action is None else "robot", 0, 0)
               for _, chain, action in made]
    batch, rows = collate(samples, vlm, BRIDGE_STATS), []
    tag = len(vlm.encode(f" {ACTION_TAG}"))
    for k, (what, *_) in enumerate(made):
        roles = [ROLES[role] for role in batch.roles[k].tolist()]
        for at in [at for at, role in enumerate(roles) if role == "action"][:tag]:
            roles[at] = "action_tag"  # the library counts the tag as part of the action; here it has a name of its own
        paid = (batch.labels[k] != IGNORE).tolist()
        rows.append(Row(what, tuple(roles), samples[k].embodiment, tuple(paid)))
    return (*rows, *(_filled_in(row) for row in rows if row.embodiment == "human"))


def _filled_in(row: Row) -> Row:
    """A human row whose maker appended zero-filled actions and an end of sequence."""
    length = len([role for role in row.roles if role != "pad"])
    extra = ("action_tag", *["action"] * 7, "eos")
    pads = len(row.roles) - length
    return Row(f"{row.what} with zero-filled actions", (*row.roles[:length], *extra, *["pad"] * pads), "human",
               (*row.paid[:length], *[False] * (len(extra) + pads)))
