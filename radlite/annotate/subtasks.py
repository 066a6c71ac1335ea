"""Which subtask a hand is in, frame by frame, from its path and its grip alone.

Reaching and carrying go across, lowering and lifting go up and down, grasping and letting go change the grip; a task is these in
an order (ECoT's subtasks of pick and place). Hindsight helps twice: where the grip is about to close is where the thing is, where
it opens is the goal. The cheapest sequence in that order is found by dynamic programming (Viterbi), so one noisy frame does not
break it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radlite.annotate.motion import runs
from radlite.errors import RadliteError

SUBTASKS = ("reach", "lower", "grasp", "lift", "carry", "place", "release", "retreat", "stop", "hold")
"""Names as of the tabletop's expert; "hold" is a thing held up, with which a task of picking up ends."""

_NEXT = {
    "reach": ("lower", "grasp"), "lower": ("grasp", "reach"), "grasp": ("lift", "carry", "place", "hold"),
    "lift": ("carry", "place", "hold"), "carry": ("place", "release"), "place": ("release", "carry"),
    "release": ("retreat", "stop"), "retreat": ("stop", "reach"), "stop": ("reach", "lower"), "hold": ("carry", "place"),
}  # fmt: skip
_HELD = ("lift", "carry", "place", "release", "hold")  # something has to be in the hand
_OPEN = np.array([name in ("reach", "lower", "grasp", "retreat", "stop") for name in SUBTASKS])

# The prices below were fitted on 200 simulated demonstrations with noise, and rounded; benchmarks/annotation.py judges others.
SPEED = 0.07  # metres a second: half of it is slow, twice is fast
NEAR = 0.02  # metres across within which a hand is over a thing
_TURN, _STAY = 0.25, 0.5  # what a change of subtask costs, and a second frame of grasping
_IN_VAIN = 0.5  # what lowering and carrying cost that nothing comes of in the clip
_GRIP = 2.0  # what a grip costs that does not fit
_ASIDE, _HEIGHT = 0.7, 1.7  # what motion across costs where it should be upright, and height where nothing should move
_LEVEL = (0.4, 0.8)  # what height costs on the way across: with one view, whose vertical may also mean distance, and with more
_SLOW = 0.4  # seconds before a grip counts as open in which it may be about to let go: jaws take their time
_EVIDENT = 0.5  # what speaks for letting go in them
_ENDS, _BEGINS = 3.0, 10.0  # a clip ends with stopping or holding up, and does not begin with the end of something


def subtasks(across: np.ndarray, up: np.ndarray, open_: np.ndarray, fps: float) -> tuple[str | None, ...]:
    """The subtask about to be carried on at each frame; None where the path or the grip is unknown, or only in that one frame.

    Args:
        across: float (T, K), metres in directions that only motion across changes: forward and left of a path in space; of one
            view only the picture's horizontal, since its vertical mixes height and distance.
        up: float (T,), metres in a direction that lifting changes: height, or of one view the picture's vertical.
        open_: float (T,), 1 open, 0 closed, NaN unknown.
        fps: frames a second.
    """
    if not (np.ndim(across) == 2 and len(across) == len(up) == len(open_) and np.isfinite(fps) and fps > 0):
        found = f"{np.shape(across)}, {np.shape(up)}, {np.shape(open_)} at {fps} frames a second"
        raise RadliteError("across (T, K), up (T,) and open (T,) at a rate above 0", found, "take them from one clip")
    everything = np.column_stack([across, up, open_]).astype(float)
    labels: list[str | None] = [None] * len(everything)
    for run in runs(everything):
        part = everything[run]
        if len(part) < 2:
            continue  # nobody sees where a hand goes that is seen once
        costs = _costs(part[:, :-2], part[:, -2], _empty_first(part[:, -1] > 0.5), fps)
        labels[run] = [SUBTASKS[k] for k in _cheapest(costs, _TRANSITIONS)]
    return tuple(labels)


def backed(labels: Sequence[str | None], open_: np.ndarray) -> tuple[str | None, ...]:
    """The labels without those that say something is held where nobody saw it; they become None.

    A hand that comes in closed, or closes unseen, may hold nothing. One that was seen to grasp holds on, also through a gap with
    a closed hand before and after it. One that is open (T,) from some frame on until it is lost sight of holds nothing in these.
    """
    empty, after = np.zeros(len(labels), bool), None
    for t in reversed(range(len(labels))):
        ends = after not in _HELD or empty[t + 1]
        empty[t] = labels[t] in _HELD and labels[t] != "release" and ends and open_[t] > 0.5
        after = labels[t]
    told, holds = [], False
    for label, gone in zip(labels, empty, strict=True):
        if label is not None and (label not in _HELD or gone):
            holds = label == "grasp"
        told.append(label if holds or label not in _HELD else None)
    return tuple(told)


def _empty_first(open_: np.ndarray) -> np.ndarray:
    """A hand that begins closed, opens, and closes later, came with nothing in it: as good as open."""
    changes = np.flatnonzero(np.diff(open_.astype(int)))
    return open_ | (np.arange(len(open_)) <= changes[0]) if len(changes) > 1 and not open_[0] else open_


def _costs(across: np.ndarray, up: np.ndarray, open_: np.ndarray, fps: float) -> np.ndarray:
    """What it costs to call a frame by each of SUBTASKS, (T, 10); everything is measured in steps at SPEED."""
    step, soon = SPEED / fps, np.r_[open_[1:], open_[-1:]]
    flat, rise = np.linalg.norm(_steps(across), axis=1) / step, _steps(up[:, None])[:, 0] / step
    level = _LEVEL[across.shape[1] > 1]
    travel = 0.6 * np.maximum(0, 1 - flat) + level * np.abs(rise)
    sink, climb = _ASIDE * flat + np.maximum(0, 0.5 + rise), _ASIDE * flat + np.maximum(0, 0.5 - rise)
    still = np.hypot(flat, _HEIGHT * rise)
    thing, closes = _off(across, open_ & ~soon)  # -0.5 over it, 0.5 away from it
    goal, opens = _off(across, ~open_ & soon)
    by_name = {
        "reach": travel - thing, "lower": sink + thing + _IN_VAIN * ~closes, "grasp": still,
        "lift": climb - 0.5 * goal, "carry": travel - goal + _IN_VAIN * ~opens,
        "place": sink + goal + _IN_VAIN * ~opens, "release": still - _EVIDENT,
        "retreat": climb, "stop": still + 0.5, "hold": still + 0.5,
    }  # fmt: skip
    costs = np.stack([by_name[name] for name in SUBTASKS], 1)
    costs += _GRIP * (open_[:, None] != _OPEN)
    costs[soon == open_, SUBTASKS.index("grasp")] += _GRIP
    costs[~_before(~open_ & soon, round(_SLOW * fps)), SUBTASKS.index("release")] += _GRIP
    costs[:-1, SUBTASKS.index("hold")] -= 0.4
    costs[-1, [SUBTASKS.index("stop"), SUBTASKS.index("hold")]] -= _ENDS
    costs[0, [SUBTASKS.index("release"), SUBTASKS.index("retreat")]] += _BEGINS
    return costs


def _steps(path: np.ndarray) -> np.ndarray:
    """The step from each frame (T, D) to the next, a quarter of it from the steps before and after, which err otherwise."""
    steps = np.diff(path, axis=0, append=path[-1:])
    around = np.concatenate([steps[:1], steps, steps[-1:]])
    return 0.75 * steps + 0.125 * (around[:-2] + around[2:])


def _before(events: np.ndarray, frames: int) -> np.ndarray:
    """bool (T,): an event happens at this frame or at most so many after it."""
    return np.convolve(events, np.ones(frames + 1))[frames:].astype(bool)


def _off(across: np.ndarray, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each frame is across from where the next event will be, -0.5 (there) to 0.5 (away), and whether one will be."""
    off, start = np.zeros(len(across)), 0
    for t in np.flatnonzero(events):
        place = across[max(0, t - 1) : t + 1].mean(0)
        off[start : t + 1] = np.minimum(np.linalg.norm(across[start : t + 1] - place, axis=1) / NEAR, 2) / 2 - 0.5
        start = t + 1
    return off, np.arange(len(across)) < start


def _transitions() -> np.ndarray:
    table = np.full((len(SUBTASKS),) * 2, np.inf)
    for i, name in enumerate(SUBTASKS):
        table[i, i] = _STAY * (name == "grasp")
        table[i, [SUBTASKS.index(other) for other in _NEXT[name]]] = _TURN
    return table


_TRANSITIONS = _transitions()


def _cheapest(costs: np.ndarray, transitions: np.ndarray) -> list[int]:
    """The cheapest sequence of states: costs (T, K) of being in one, transitions (K, K) of going from row to column."""
    best, came = costs[0], []
    for cost in costs[1:]:
        reached = best[:, None] + transitions
        came.append(reached.argmin(0))
        best = reached.min(0) + cost
    path = [int(best.argmin())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return path[::-1]
