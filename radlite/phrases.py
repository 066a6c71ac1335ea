"""The words in which chains tell a way and a subtask: the simulator's, and those of annotated video, so that they mix.

Distances are whole centimetres, as a person would tell them; left, forward and up as a robot behind the table sees it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LONGEST_CM = 40
"""A longer way is told as this one: beyond it numbers are rare, and a policy would not learn them."""

SUBTASK_WORDS = {
    "rise": "rise",
    "reach": "move above the {x}",
    "lower": "lower onto the {x}",
    "grasp": "grasp the {x}",
    "lift": "lift the {x}",
    "carry": "carry the {x} {y}",
    "place": "lower the {x} {y}",
    "release": "let go of the {x}",
    "retreat": "move away",
    "hold": "hold the {x} up",
    "stop": "stop",
}
"""Subtask -> its sentence; x is the thing, y where to, such as "to the plate"."""


def centimetres(offset: Sequence[float], words: tuple[str, str] = ("up", "down")) -> str:
    """An offset (3,) or (2,) in metres as '6 cm left, 4 cm forward, 9 cm down'; a zero takes the first word of its pair.

    The axes are forward, left, up; one that is NaN is not known and not told.
    """
    pairs = (("left", "right", 1), ("forward", "back", 0), (*words, 2))
    said = []
    for positive, negative, axis in pairs[: len(offset)]:
        if not math.isnan(offset[axis]):
            value = max(-LONGEST_CM, min(LONGEST_CM, round(float(offset[axis]) * 100)))
            said.append(f"{abs(value)} cm {negative if value < 0 else positive}")
    return ", ".join(said)


def offset_text(name: str, offset: Sequence[float]) -> str:
    """'the red can is 6 cm left, 4 cm forward, 9 cm below': seen from the gripper, metres in, centimetres out."""
    return f"the {name} is {centimetres(offset, ('above', 'below'))}"
