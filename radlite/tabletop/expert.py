"""The scripted expert: a law without memory, from what one can see to the next subtask, what is needed, and the action.

It slows down as it nears its goal (a proportional law), so that the size of a motion can be learnt and not only its
direction. Everything it decides on is in the picture, but for the goal of a `move` task, which the plan of the first
frame names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radlite.tabletop.embodiment import HAND_GRASP_OFFSET
from radlite.tabletop.tasks import Task, goal_of_move
from radlite.tabletop.things import PLACES, THINGS
from radlite.tabletop.world import World

GAIN = 0.6  # share of the remaining way that one step covers
REACH_TOLERANCE = 0.016  # metres off the thing's axis at which lowering starts
GOAL_TOLERANCE = 0.020  # the same over a place


@dataclass(frozen=True)
class Style:
    """How an embodiment moves: largest step (m), travel height of the grasp point (m), noise of executed actions (m)."""

    max_step: float
    travel: float
    noise: float


STYLES = {"robot": Style(0.045, 0.135, 0.003), "human": Style(0.065, 0.160, 0.0015)}


@dataclass(frozen=True)
class Intent:
    """What the expert wants now.

    Attributes:
        phase: one of PHASES.
        need: (3,) metres the grasp point has yet to go to finish this subtask.
        open: whether the jaws shall be open.
        holding: whether the thing is in the grasp.
    """

    phase: str
    need: np.ndarray
    open: bool
    holding: bool


PHASES = ("rise", "reach", "lower", "grasp", "lift", "carry", "place", "release", "retreat", "hold", "stop")


class Expert:
    """Decides for one task in one world; `goal` is where a `move` task brings its thing (metres), fixed at the start."""

    def __init__(self, world: World, task: Task) -> None:
        self.world, self.task = world, task
        self.style = STYLES[world.embodiment]
        self.goal = None if task.family != "move" else np.array(goal_of_move(world.scene, task))
        self._lift_grasp = HAND_GRASP_OFFSET if world.embodiment == "human" else np.zeros(3)

    def intent(self) -> Intent:
        """Reads the world and decides; calling it twice gives the same answer."""
        world, task = self.world, self.task
        point, holding = world.point, world.held == task.thing
        grasp = world.position(task.thing) + self._lift_grasp
        if holding:
            return self._with_thing(point, grasp)
        if self._done():
            return self._after(point)
        return self._towards_thing(point, grasp)

    def action(self, intent: Intent) -> np.ndarray:
        """(7,) Bridge action of an intent: metres, radians (always 0 here), gripper 1 open / 0 closed."""
        delta = GAIN * intent.need
        delta = delta * min(1.0, self.style.max_step / (np.abs(delta).max() + 1e-9))
        return np.array([*delta, 0, 0, 0, float(intent.open)], np.float32)

    # -- the three situations --------------------------------------------------------------------------------------
    def _towards_thing(self, point: np.ndarray, grasp: np.ndarray) -> Intent:
        offset = grasp - point
        aside = float(np.hypot(*offset[:2]))
        up = self.style.travel - point[2]
        if aside > REACH_TOLERANCE:
            if point[2] < 0.085 and aside > 0.022:  # do not sweep through the neighbours
                return Intent("rise", np.array([0, 0, up]), True, False)
            return Intent(
                "reach", np.array([offset[0], offset[1], up if aside > 0.03 else min(up, 0)]), True, False
            )
        if self.world.opening < 0.12:  # closed on nothing: try again
            return Intent("rise", np.array([0, 0, up]), True, False)
        if abs(offset[2]) > 0.009:
            return Intent("lower", offset, True, False)
        return Intent("grasp", offset, False, False)

    def _with_thing(self, point: np.ndarray, grasp: np.ndarray) -> Intent:
        up = self.style.travel - point[2]
        if self.task.family == "pick":
            return Intent("lift" if up > 0.02 else "hold", np.array([0, 0, up]), False, True)
        goal, floor = self.target()
        offset = goal - (grasp - self._lift_grasp)[:2]
        aside = float(np.hypot(*offset))
        if aside > GOAL_TOLERANCE:
            if point[2] < 0.085:
                return Intent("lift", np.array([0, 0, up]), False, True)
            return Intent("carry", np.array([*offset, up]), False, True)
        down = floor + 0.006 - self.world.foot(self.task.thing)
        if down < -0.010:
            return Intent("place", np.array([*offset, down]), False, True)
        return Intent("release", np.zeros(3), True, True)

    def _after(self, point: np.ndarray) -> Intent:
        if self.world.opening < 0.80:  # shoved below its grasp, the pads rub on what they stand on and cannot open: rise
            low = self.world.position(self.task.thing)[2] + self._lift_grasp[2] - point[2]
            return Intent("release", np.array([0, 0, max(0.0, low)]), True, False)
        up = self.style.travel - point[2]
        if up > 0.02:
            return Intent("retreat", np.array([0, 0, up]), True, False)
        return Intent("stop", np.zeros(3), True, False)

    # -- goals -----------------------------------------------------------------------------------------------------
    def target(self) -> tuple[np.ndarray, float]:
        """Goal of the thing on the table (x, y) and the height of the surface there, metres."""
        if self.task.family == "put":
            return self.world.position(self.task.place)[:2], PLACES[self.task.place].top
        return self.goal, 0.0

    def _done(self) -> bool:
        if self.task.family == "pick":
            return False
        goal, floor = self.target()
        position = self.world.position(self.task.thing)
        near = np.hypot(*(position[:2] - goal)) < 0.032
        low = position[2] - THINGS[self.task.thing].grasp < floor + 0.02
        return bool(near and low)
