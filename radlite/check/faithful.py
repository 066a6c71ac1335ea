"""Check of notebook 06: does the text drive the action? A signed effect, a floor of rewording, a null of asking again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from radlite.check.report import Property, Result, Wrong, ask, number, run, short
from radlite.reasoning import Reasoning

KEYS = ("signed", "floor", "null")
COUNT = 6
TOLERANCE = 1e-6  # metres; the motions here are millimetres and more


@dataclass
class Robot:
    """A made-up policy: act(chain) -> (3,) metres. What it does was laid down before, so the right answer is known.

    Every further time that it is asked about the same chain it has drifted by `drift` metres along the chain's direction.
    """

    moves: dict[str, np.ndarray]
    drift: dict[str, np.ndarray] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def __call__(self, chain: Reasoning) -> np.ndarray:
        if not isinstance(chain, Reasoning):
            raise TypeError(f"act takes one chain and got {short(chain)}")
        text = chain.to_text()
        times = self.asked[text] = self.asked.get(text, -1) + 1
        return self.moves[text] + times * self.drift.get(text, np.zeros(3))


@dataclass(frozen=True)
class Case:
    """A policy with its chains, edits, paraphrases and directions, as the student's function takes them."""

    robot: Robot
    chains: list[Reasoning]
    edits: list[Reasoning]
    paraphrases: list[Reasoning]
    directions: list[np.ndarray]


def faithfulness(student: Callable) -> Result:
    """Checks `faithfulness(act, chains, edits, paraphrases, directions) -> {"signed", "floor", "null"}`, all in metres.

    act(chain) -> (3,) motion for a fixed picture; directions: unit vectors (3,) into which the edits ask the gripper to go.
    signed = mean over i of dot(act(edits[i]) - act(chains[i]), directions[i])
    floor  = mean over i of |dot(act(paraphrases[i]) - act(chains[i]), directions[i])|
    null   = mean over i of |dot(act(chains[i]) - act(chains[i]) asked again, directions[i])|
    """
    return run("faithfulness", student, (
        Property("signed is positive for a policy that follows the edit, negative for one that does the opposite",
                 "no absolute value here: the dot product with directions[i] keeps the sign, then take the mean", _signed),
        Property("floor measures how far rewording moves the action, whichever way",
                 "take the absolute value of every dot product before the mean, or left and right cancel", _floor),
        Property("null asks the policy a second time about the very same chain",
                 "call act(chains[i]) again and compare; it is 0 only for a policy that always answers alike", _null),
        Property("sizes stay in metres: a policy that moves twice as far has twice the effect",
                 "do not divide by the length of the motion or by another effect", _size),
    ))  # fmt: skip


def make(signed: float = 0.0, floor: float = 0.0, null: float = 0.0, across: float = 0.02, seed: int = 0) -> Case:
    """A case with a known answer: the effects along each direction in metres, and motion across them that must not count.

    Floor and null alternate in sign from chain to chain. Effects differ between chains, their means are as asked.
    """
    rng, moves, drift = np.random.default_rng(seed), {}, {}
    directions = [v / np.linalg.norm(v) for v in rng.normal(size=(COUNT, 3))]
    kinds: list[list[Reasoning]] = [[], [], []]
    uneven = np.linspace(0.5, 1.5, COUNT)  # mean 1
    for i, direction in enumerate(directions):
        texts = [Reasoning(subtask=f"Reach thing {i}.", move=move) for move in ("move left", "move right", "go left")]
        start, sign = rng.normal(size=3) * 0.01, (-1) ** i
        for kind, text, effect in zip(kinds, texts, (0.0, signed * uneven[i], sign * floor * uneven[i]), strict=True):
            aside = np.cross(direction, rng.normal(size=3)) * (across if text is not texts[0] else 0.0)
            moves[text.to_text()] = start + effect * direction + aside
            kind.append(text)
        drift[texts[0].to_text()] = sign * null * direction
    return Case(Robot(moves, drift), *kinds, directions)


def answer(function: Callable, case: Case) -> dict[str, float]:
    """The student's three numbers; `Wrong` if they are none."""
    found: Any = ask(function, case.robot, case.chains, case.edits, case.paraphrases, case.directions)
    if not isinstance(found, dict) or set(found) != set(KEYS):
        raise Wrong(f"{short(found)} instead of a dict with the keys 'signed', 'floor' and 'null'")
    return {key: number(found[key], key) for key in KEYS}


def _expect(function: Callable, key: str, right: float, who: str, **case: float) -> None:
    found = answer(function, make(**case))[key]
    if abs(found - right) > TOLERANCE:
        raise Wrong(f"{key} is {found:.4f} m for {who}; {right:.4f} m would be right")


def _signed(function: Callable) -> None:
    _expect(function, "signed", 0.02, "a policy that follows every edit by 2 cm on average", signed=0.02, floor=0.01)
    _expect(function, "signed", -0.02, "a policy that does the opposite of every edit", signed=-0.02, seed=1)
    _expect(function, "signed", 0.0, "a policy that ignores the edits (it moves across their directions)", floor=0.01, seed=2)


def _floor(function: Callable) -> None:
    _expect(function, "floor", 0.015, "a policy that rewording moves 1.5 cm, now forth, now back", signed=0.02, floor=0.015)
    _expect(function, "floor", 0.0, "a policy that rewording moves only across the directions", signed=0.02, seed=1)


def _null(function: Callable) -> None:
    _expect(function, "null", 0.0, "a policy that always answers alike", signed=0.02, floor=0.01)
    found = answer(function, make(signed=0.02, null=0.003, seed=1))["null"]
    times = found / 0.003  # 1 if the two answers were given one after the other, more if others lay between
    if not 0.999 < times < 12 or abs(times - round(times)) > 1e-3:
        raise Wrong(f"null is {found:.4f} m for a policy that drifts by 0.0030 m, forth or back, every time it is asked")


def _size(function: Callable) -> None:
    for key, case in (("signed", {"signed": 0.01}), ("floor", {"floor": 0.01}), ("null", {"null": 0.01})):
        once = answer(function, make(**case))[key]
        twice = answer(function, make(**{name: 2 * value for name, value in case.items()}))[key]
        if abs(once) < TOLERANCE or abs(twice - 2 * once) > TOLERANCE:
            raise Wrong(f"{key} is {once:.4f} for one policy and {twice:.4f} for one whose motions are twice as large")
