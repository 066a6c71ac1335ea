"""Check of notebook 03: the mixture sampler, an order of samples that is a function of (seed, step)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import chain
from numbers import Integral

import numpy as np

from radlite.check.report import Property, Result, Wrong, ask, run, short

STEPS = 40
CASES = (  # robot, human, robot_per_batch, ratio, seed
    (23, 11, 4, 1.0, 0),
    (10, 37, 4, 0.3, 1),  # 1.2 human samples a step
    (17, 5, 3, 1.5, 7),  # 4.5
    (8, 9, 3, 0.1, 3),  # 0.3
)
Indices = tuple[list[int], list[int]]


def mixture_sampler(student: Callable) -> Result:
    """Checks `mixture_sampler(step, robot, human, robot_per_batch, ratio, seed) -> (robot indices, human indices)`.

    robot and human are how many samples there are. Every step has robot_per_batch robot samples and, on average,
    ratio times as many human ones: after n steps their count is within one of n * robot_per_batch * ratio.
    """
    return run("mixture_sampler", student, (
        Property("every step has robot_per_batch robot samples and, on average, ratio times as many human ones",
                 "count the human samples before this step and before the next one, both rounded down; "
                 "the difference is what this step draws. The sizes of the datasets play no part", _counts),
        Property("the order is a function of (seed, step) and of nothing else",
                 "make a generator of your own, np.random.default_rng([seed, ...]), in every call", _pure),
        Property("every sample is seen once before any is seen twice",
                 "think of an endless row of shuffled epochs: draw number p is entry p % size of epoch p // size", _epochs),
        Property("the robot samples do not depend on the human data or the ratio",
                 "give each kind a generator of its own, seeded with its own number", _deaf),
    ))  # fmt: skip


def _step(function: Callable, step: int, case: Sequence) -> Indices:
    """The student's indices of one step, as lists of ints in range."""
    answer = ask(function, step, *case)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Wrong(f"{_call(step, case)} should give two lists, (robot, human), and gives {short(answer)}")
    return _indices(answer[0], case[0], "robot", _call(step, case)), _indices(answer[1], case[1], "human", _call(step, case))


def _indices(values: object, size: int, kind: str, call: str) -> list[int]:
    try:
        values = [value.item() if hasattr(value, "item") else value for value in values]
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{call}: the {kind} indices should be a list and are {short(values)}") from None
    for value in values:
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise Wrong(f"{call}: {short(value)} among the {kind} indices is no whole number")
        if not 0 <= value < size:
            raise Wrong(f"{call}: index {value} among {size} {kind} samples, which are counted from 0 to {size - 1}")
    return values


def _call(step: int, case: Sequence) -> str:
    return f"mixture_sampler({step}, {', '.join(f'{value:g}' for value in case)})"


def _counts(function: Callable) -> None:
    for case in (*CASES, (12, 6, 4, 0.0, 0)):
        drawn, (per_batch, ratio) = 0, case[2:4]
        for step in range(STEPS):
            robot, human = _step(function, step, case)
            drawn += len(human)
            if len(robot) != per_batch:
                raise Wrong(f"{_call(step, case)}: {len(robot)} robot samples, and {per_batch} belong there")
            if abs(drawn - (step + 1) * per_batch * ratio) >= 1 + 1e-6:
                raise Wrong(f"{drawn} human samples in steps 0 to {step} at {per_batch} robot samples a step and "
                            f"ratio {ratio:g}; {(step + 1) * per_batch * ratio:g} would be right")


def _global_state() -> tuple:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tobytes(), tuple(rest)


def _pure(function: Callable) -> None:
    for case in CASES:
        before = _global_state()
        forward = [_step(function, step, case) for step in range(STEPS)]
        if _global_state() != before:
            raise Wrong("it draws from, or reseeds, the random generator that all programs of this notebook share")
        for step in (*reversed(range(STEPS)), 0, 0):
            if (again := _step(function, step, case)) != forward[step]:
                raise Wrong(f"{_call(step, case)} gives {short(forward[step])} when first asked and {short(again)} another time")
    other = [_step(function, step, (*CASES[0][:4], CASES[0][4] + 1)) for step in range(STEPS)]
    first = [_step(function, step, CASES[0]) for step in range(STEPS)]
    for side, kind in enumerate(("robot", "human")):
        if [a[side] for a in first] == [b[side] for b in other]:
            raise Wrong(f"seeds {CASES[0][4]} and {CASES[0][4] + 1} give the same {kind} samples in the same order")


def _epochs(function: Callable) -> None:
    for case in CASES:
        steps = [_step(function, step, case) for step in range(STEPS)]
        for side, kind in enumerate(("robot", "human")):
            stream, size = list(chain.from_iterable(pair[side] for pair in steps)), case[side]
            for start in range(0, len(stream), size):
                epoch = stream[start : start + size]
                twice = [index for index in epoch if epoch.count(index) > 1]
                if twice:
                    raise Wrong(f"of {size} {kind} samples, number {twice[0]} comes {epoch.count(twice[0])} times among draws "
                                f"{start} to {start + len(epoch) - 1} (seed {case[4]})")
            if not stream:
                raise Wrong(f"no {kind} sample in {STEPS} steps of {_call(0, case)}")


def _deaf(function: Callable) -> None:
    robot, human, per_batch, ratio, seed = CASES[0]
    alone = [_step(function, step, (robot, human, per_batch, 0.0, seed))[0] for step in range(STEPS)]
    for others in ((human, ratio), (human, 0.3), (3 * human, ratio), (3 * human, 2.5)):
        for step in range(STEPS):
            found, _ = _step(function, step, (robot, others[0], per_batch, others[1], seed))
            if found != alone[step]:
                raise Wrong(f"step {step} draws robot samples {short(alone[step])} without human data and {short(found)} "
                            f"beside {others[0]} human samples at ratio {others[1]:g}")
