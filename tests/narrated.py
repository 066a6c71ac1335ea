"""A clip of twelve frames as evidence, and an answer of a model that fits it."""

from __future__ import annotations

import json

import numpy as np

from radlite.annotate.evidence import GripperTrack, ObjectTrack
from radlite.annotate.narrator import Evidence

MOVES = ("move left",) * 4 + ("move down",) * 4 + (None,) * 2 + ("close gripper",) * 2


def evidence(instruction: str = "pick up the red can", name: str = "red can", moves: tuple = MOVES) -> Evidence:
    """Left, down, two frames of which nobody knows anything, then the gripper closes; the can is hidden in frame 3."""
    count = len(moves)
    points = np.stack([200 - 8.0 * np.arange(count), 60 + 4.0 * np.arange(count)], -1)
    opened = np.where(np.arange(count) < 8, 1.0, 0.0)
    points[8:10], opened[8:10] = np.nan, np.nan
    boxes = np.tile([100.2, 110.0, 130.0, 300.0], (count, 1))
    boxes[3:4] = np.nan
    seen = np.isfinite(points).all(-1)
    gripper = GripperTrack(points, opened, np.full(count, np.nan), seen)
    frames = np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3), np.uint8)
    return Evidence(instruction, frames, 5.0, gripper, (ObjectTrack(name, boxes, np.isfinite(boxes).all(-1)),), moves)


def answered(**other: object) -> dict:
    """The fields of a good answer, or others in their place."""
    segments = [
        {"from": 0, "to": 7, "subtask": "reach the red can", "subtask_reason": "The can stands to the left."},
        {"from": 8, "to": 11, "subtask": "grasp the red can", "subtask_reason": "The hand is at the can."},
    ]
    moves = {"0": "The can is to the left.", "1": "The can is below.", "2": "The can is between the fingers."}
    return {"plan": ["reach the red can", "grasp it"], "segments": segments, "moves": moves} | other


def answer(**other: object) -> str:
    """A good answer as a model writes it."""
    return json.dumps(answered(**other))
