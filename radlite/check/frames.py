"""Check of notebook 08: which frames of a robot's episode have an action that nobody should learn from?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from radlite.check.report import Property, Result, Wrong, ask, run, short

LEAST = 5  # zeros in a row that are looked at: jaws close within three or four frames
FAR = 0.02  # metres between the first and the last state of such a run; a robot that waits trembles by millimetres

Episode = tuple[np.ndarray, np.ndarray]  # actions and states, each (T, 7)


def bad_frames(student: Callable) -> Result:
    """Checks `bad_frames(actions, states) -> T bools`, both arguments (T, 7), x y z of a state in metres.

    A frame is bad where its action holds NaN or an infinity, and where it belongs to made-up zeros: 5 or more frames in a row
    whose first six numbers are all exactly 0, of which the last has its x, y, z more than 2 cm from those of the first.
    """
    return run("bad_frames", student, (
        Property("one bool a frame, and none of a good episode is True", "T frames, T values; noise and small actions are fine",
                 lambda f: _same(f, [make(30, seed=s) for s in (0, 1)])),
        Property("NaN and infinity are found, and no frame beside them", "np.isfinite of all seven numbers of a frame",
                 _broken),
        Property("a robot that waits or closes its jaws is left alone", "zeros are bad only where the gripper got more than 2 cm "
                 "away meanwhile, and only from 5 in a row on", _waits),
        Property("made-up zeros are found, all frames of the run", "a run may begin or end the episode, or be the whole of it; "
                 "the seventh number is the jaws' opening and need not be 0", _zeros),
    ))  # fmt: skip


def right(actions: np.ndarray, states: np.ndarray) -> list[bool]:
    """The frames as the exercise has them."""
    bad = ~np.isfinite(actions).all(1)
    still = [*(actions[:, :6] == 0).all(1), False]  # one more, so that the last run ends
    first = None
    for k, zero in enumerate(still):
        if zero:
            first = k if first is None else first
        elif first is not None:
            if k - first >= LEAST and np.linalg.norm(states[k - 1, :3] - states[first, :3]) > FAR:
                bad[first:k] = True
            first = None
    return bad.tolist()


@dataclass(frozen=True)
class Zeros:
    """Frames `start` to `stop` - 1 say zero; meanwhile the gripper goes on (True) or waits (False)."""

    start: int
    stop: int
    moving: bool


def make(length: int, zeros: Sequence[Zeros] = (), broken: Sequence[int] = (), number: float = np.nan, seed: int = 0) -> Episode:
    """An episode, float32: the gripper goes about 1 cm a frame; some actions are zero, some hold `number` in the first six."""
    rng = np.random.default_rng([seed, 41])
    actions = np.zeros((length, 7))
    actions[:, :3] = [0.008, 0.006, -0.003] + rng.normal(0, 0.001, (length, 3))
    actions[:, 5] = rng.normal(0, 0.02, length)
    actions[:, 6] = 1.0
    moved = actions[:, :6].copy()
    for part in zeros:
        span = slice(part.start, part.stop)
        actions[span, :6] = 0
        if not part.moving:
            moved[span] = rng.normal(0, 0.0005, (part.stop - part.start, 6))
    states = np.concatenate([rng.uniform(-0.1, 0.1, (1, 6)), moved[:-1]]).cumsum(0)
    states = np.column_stack([states, actions[:, 6]])
    for k in broken:
        actions[k, rng.integers(6)] = number
    return actions.astype(np.float32), states.astype(np.float32)


def answer(function: Callable, episode: Episode) -> list[bool]:
    """The student's bools."""
    found, length = ask(function, *episode), len(episode[0])
    try:
        values = np.asarray(found)
    except ValueError:
        values = np.empty(0)
    if values.shape != (length,) or not np.isin(values, (0, 1)).all():
        raise Wrong(f"{length} values True or False should come out, one a frame, and {short(found)} does")
    return values.astype(bool).tolist()


def _same(function: Callable, episodes: Sequence[Episode]) -> None:
    for episode in episodes:
        wanted = right(*episode)
        for k, (mine, true) in enumerate(zip(answer(function, episode), wanted, strict=True)):
            if mine != true:
                raise Wrong(f"frame {k} of {len(wanted)} is called {'bad' if mine else 'good'}; bad are {_listed(wanted)}")


def _listed(bad: list[bool]) -> str:
    return ", ".join(str(k) for k, value in enumerate(bad) if value) or "none"


def _broken(function: Callable) -> None:
    jaws = make(18, seed=2)
    jaws[0][9, 6] = np.nan
    _same(function, [make(24, broken=(0, 7, 23)), make(20, broken=(5, 6), number=np.inf, seed=1), jaws])


def _waits(function: Callable) -> None:
    closing = make(26, [Zeros(10, 14, False)])
    closing[0][10:14, 6] = 0
    shoved = make(26, [Zeros(6, 10, True)], seed=1)  # four zeros, however far it goes meanwhile
    _same(function, [make(26, [Zeros(8, 20, False)]), closing, shoved, make(12, [Zeros(0, 12, False)], seed=2)])


def _zeros(function: Callable) -> None:
    closed = make(20, [Zeros(7, 15, True)], seed=3)
    closed[0][7:15, 6] = 0
    ends = [make(26, [Zeros(0, 5, True)], seed=1), make(22, [Zeros(12, 22, True)], seed=2)]
    ends.append(make(15, [Zeros(0, 15, True)], seed=4))  # begins and ends it
    _same(function, [make(30, [Zeros(9, 18, True)]), *ends, closed, make(40, [Zeros(4, 12, False), Zeros(20, 29, True)], seed=5)])
