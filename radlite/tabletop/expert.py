"""The scripted expert: a law without memory, from what one can see to the next subtask, what is needed, and the action.

It slows down as it nears its goal (a proportional law), so that the size of a motion can be learnt and not only its
direction. Everything it decides on is in the picture, but for the goal of a `move` task, which the plan of the first
frame names. It measures in whole centimetres, as a person would tell it: what it does follows from the very numbers that
the chain says, so that reasoning is enough to act on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radlite.tabletop.embodiment import HAND_GRASP_OFFSET
from radlite.tabletop.tasks import Task, goal_of_move
from radlite.tabletop.things import PLACES, THINGS
from radlite.tabletop.world import World

GAIN = 0.6  # share of the remaining way that one step covers
REACH_TOLERANCE = 0.016  # metres off the thing's axis at which lowering starts: (1, 1) cm is near enough, (2, 0) is not
GOAL_TOLERANCE = 0.021  # the same over a place
LOW = 0.085  # metres; a gripper below it rises before it travels
OPEN, CLOSED = 0.80, 0.15  # openings of the jaws that are called so


@dataclass(frozen=True)
class Style:
    """How an embodiment moves: largest step (m), travel height of the grasp point (m), noise of executed actions (m)."""

    max_step: float
    travel: float
    noise: float


STYLES = {"robot": Style(0.045, 0.14, 0.003), "human": Style(0.065, 0.16, 0.0015)}


def whole_cm(metres: np.ndarray | float) -> np.ndarray:
    """Metres, rounded to whole centimetres: what one can tell of a distance."""
    return np.rint(np.asarray(metres) * 100) / 100


@dataclass(frozen=True)
class Intent:
    """What the expert wants now.

    Attributes:
        phase: one of PHASES.
        need: (3,) metres the grasp point has yet to go to finish this subtask, whole centimetres.
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
        if self.world.held == self.task.thing:
            return self._with_thing()
        return self._after() if self.done() else self._towards_thing()

    def action(self, intent: Intent) -> np.ndarray:
        """(7,) Bridge action of an intent: metres, radians (always 0 here), gripper 1 open / 0 closed."""
        step = self.style.max_step
        delta = np.clip(GAIN * intent.need, -step, step)  # each axis by itself: what it needs says what it does
        return np.array([*delta, 0, 0, 0, float(intent.open)], np.float32)

    # -- what it goes by -------------------------------------------------------------------------------------------
    def offset(self) -> np.ndarray:
        """From the grasp point to the thing, metres in whole centimetres."""
        return whole_cm(self.world.position(self.task.thing) - self.world.point)

    def goal_offset(self) -> np.ndarray:
        """From the foot of the thing to its goal, metres in whole centimetres."""
        goal, floor = self.target()
        thing = self.task.thing
        foot = np.array([*self.world.position(thing)[:2], self.world.foot(thing)])
        return whole_cm(np.array([*goal, floor]) - foot)

    def _height(self) -> tuple[float, float]:
        """Height of the grasp point, and how far it is below the height at which one travels; whole centimetres."""
        height = float(whole_cm(self.world.point[2]))
        return height, self.style.travel - height

    # -- the three situations --------------------------------------------------------------------------------------
    def _towards_thing(self) -> Intent:
        offset, (height, up) = self.offset() + self._lift_grasp, self._height()
        aside = float(np.hypot(*offset[:2]))
        between = aside <= REACH_TOLERANCE and -0.035 < offset[2] < 0.015
        if between and CLOSED <= self.world.opening < OPEN and not self._over_goal():
            # one cannot see whether jaws that close touch the thing yet; rising tells, and is right if they do. It is called
            # lifting, so that a policy which takes one for the other does the same in both
            return Intent("lift", np.array([0, 0, 0.02]), False, False)
        if aside > REACH_TOLERANCE:
            if height < LOW and aside > 0.022:  # do not sweep through the neighbours
                return Intent("rise", np.array([0, 0, up]), True, False)
            up = up if aside > 0.03 else min(up, 0)
            return Intent("reach", np.array([*offset[:2], up]), True, False)
        if self.world.opening < CLOSED:  # closed on nothing: try again
            return Intent("rise", np.array([0, 0, up]), True, False)
        if not -0.005 < offset[2] < 0.015:  # a centimetre too low is low enough
            return Intent("lower", offset, True, False)
        return Intent("grasp", offset, False, False)

    def _with_thing(self) -> Intent:
        height, up = self._height()
        if self.task.family == "pick":
            return Intent("lift" if up > 0.015 else "hold", np.array([0, 0, up]), False, True)
        offset = self.goal_offset()
        if float(np.hypot(*offset[:2])) > GOAL_TOLERANCE:
            if height < LOW:
                return Intent("lift", np.array([0, 0, up]), False, True)
            return Intent("carry", np.array([*offset[:2], up]), False, True)
        if offset[2] < -0.015:  # lets go a centimetre above the surface
            return Intent("place", offset + [0, 0, 0.01], False, True)
        return Intent("release", np.zeros(3), True, True)

    def _after(self) -> Intent:
        if self.world.opening < OPEN:  # shoved below its grasp, the pads rub on what they stand on and cannot open: rise
            low = self.world.position(self.task.thing)[2] + self._lift_grasp[2] - self.world.point[2]
            return Intent("release", np.array([0, 0, max(0.0, np.ceil(low * 100 - 0.2) / 100)]), True, False)
        up = self._height()[1]
        if up > 0.015:
            return Intent("retreat", np.array([0, 0, up]), True, False)
        return Intent("stop", np.zeros(3), True, False)

    # -- goals -----------------------------------------------------------------------------------------------------
    def target(self) -> tuple[np.ndarray, float]:
        """Goal of the thing on the table (x, y) and the height of the surface there, metres."""
        if self.task.family == "put":
            return self.world.position(self.task.place)[:2], PLACES[self.task.place].top
        return self.goal, 0.0

    def done(self) -> bool:
        """Whether the thing lies at its goal, in nobody's grasp or just let go."""
        if not self._over_goal():
            return False
        position, floor = self.world.position(self.task.thing), self.target()[1]
        return bool(position[2] - THINGS[self.task.thing].grasp < floor + 0.02)

    def _over_goal(self) -> bool:
        """Whether the thing is where it shall be, however high."""
        if self.task.family == "pick":
            return False
        return bool(np.hypot(*self.goal_offset()[:2]) < 0.032)
