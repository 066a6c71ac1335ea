"""Which subtask a hand is in, frame by frame, from its path and its grip alone.

Reaching and carrying go across, lowering and lifting go up and down, grasping and letting go change the grip; a task is these in
an order (ECoT's subtasks of pick and place). Hindsight helps twice: where the grip is about to close is where the thing is, where
it opens is the goal. The cheapest sequence in that order is found by dynamic programming (Viterbi), so one noisy frame does not
break it.
"""

from __future__ import annotations

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
_OPEN = np.array([name in ("reach", "lower", "grasp", "retreat", "stop") for name in SUBTASKS])
_CHANGE = np.array([name in ("grasp", "release") for name in SUBTASKS])

SPEED = 0.10  # metres a second: half of it is slow, twice is fast
NEAR = 0.02  # metres across within which a hand is over a thing
_TURN, _STAY = 0.3, 1.5  # what a change of subtask costs, and a second frame of one that is over at once
_IN_VAIN = 1.5  # what lowering and carrying cost that nothing comes of in the clip
_GRIP, _ABOUT = 3.0, 1.5  # what a grip costs that does not fit, now and in the next frame


def subtasks(across: np.ndarray, up: np.ndarray, open_: np.ndarray, fps: float) -> tuple[str | None, ...]:
    """The subtask about to be carried on at each frame, None where the path or the grip is unknown.

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
        costs = _costs(part[:, :-2], part[:, -2], _empty_first(part[:, -1] > 0.5), fps)
        labels[run] = [SUBTASKS[k] for k in _cheapest(costs, _TRANSITIONS)]
    return tuple(labels)


def _empty_first(open_: np.ndarray) -> np.ndarray:
    """A hand that begins closed, opens, and closes later, came with nothing in it: as good as open."""
    changes = np.flatnonzero(np.diff(open_.astype(int)))
    return open_ | (np.arange(len(open_)) <= changes[0]) if len(changes) > 1 and not open_[0] else open_


def _costs(across: np.ndarray, up: np.ndarray, open_: np.ndarray, fps: float) -> np.ndarray:
    """What it costs to call a frame by each of SUBTASKS, (T, 10); everything is measured in steps at SPEED."""
    step, soon = SPEED / fps, np.r_[open_[1:], open_[-1:]]
    flat = np.linalg.norm(np.diff(across, axis=0, append=across[-1:]), axis=1) / step
    rise = np.diff(up, append=up[-1:]) / step
    travel = np.maximum(0, 1 - flat) + 0.3 * np.abs(rise)
    sink, climb, still = flat + np.maximum(0, rise + 0.3), flat + np.maximum(0, 0.3 - rise), np.hypot(flat, rise)
    thing, closes = _off(across, open_ & ~soon)  # -0.5 over it, 0.5 away from it
    goal, opens = _off(across, ~open_ & soon)
    by_name = {
        "reach": travel - thing, "lower": sink + thing + _IN_VAIN * ~closes, "grasp": still,
        "lift": climb - 0.5 * goal, "carry": travel - goal + _IN_VAIN * ~opens,
        "place": sink + goal + _IN_VAIN * ~opens, "release": still,
        "retreat": climb, "stop": still + 0.2, "hold": still + 0.2,
    }  # fmt: skip
    costs = np.stack([by_name[name] for name in SUBTASKS], 1)
    costs += _GRIP * (open_[:, None] != _OPEN)
    changes = (soon != open_)[:, None]
    costs += np.where(_CHANGE, _GRIP * ~changes, _ABOUT * changes)
    costs[:-1, SUBTASKS.index("hold")] += 0.3  # only a clip's end tells holding up from a pause on the way
    costs[-1, [SUBTASKS.index("stop"), SUBTASKS.index("hold")]] -= 1
    costs[0, [SUBTASKS.index("release"), SUBTASKS.index("retreat")]] += 2  # a clip seldom begins with its end
    return costs


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
        table[i, i] = _STAY * _CHANGE[i]
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
