"""Success, read from physics once things are at rest."""

from __future__ import annotations

import numpy as np

from radlite.tabletop.tasks import DIRECTIONS, Task
from radlite.tabletop.things import PLACES
from radlite.tabletop.world import World

PICK_HEIGHT, PICK_STEPS = 0.05, 5  # metres up, for one second at 5 Hz
MOVE_DISTANCE = 0.05
REST_SPEED = 0.02  # m/s


class Judge:
    """Watches one episode; call `update` after every step, it returns True from the step on which the task is done.

    `floor` is the height of the thing's foot on the table, metres; by default where its foot is now.
    """

    def __init__(self, world: World, task: Task, floor: float | None = None) -> None:
        self.world, self.task = world, task
        self.start = world.position(task.thing).copy()
        self._floor = world.foot(task.thing) if floor is None else floor
        self._up_for = 0
        self.success = False

    def update(self) -> bool:
        """One step further; a success once reached is kept."""
        self.success = self.success or getattr(self, f"_{self.task.family}")()
        return self.success

    def _at_rest(self) -> bool:
        return (
            self.world.held != self.task.thing
            and self.world.opening > 0.6
            and self.world.speed(self.task.thing) < REST_SPEED
        )

    def _put(self) -> bool:
        place = PLACES[self.task.place]
        offset = self.world.position(self.task.thing)[:2] - self.world.position(self.task.place)[:2]
        on_it = np.hypot(*offset) < place.radius and self._foot_on(place.top)
        return bool(on_it and self._at_rest())

    def _foot_on(self, top: float) -> bool:
        return -0.006 < self.world.foot(self.task.thing) - self._floor - top < 0.022

    def _pick(self) -> bool:
        up = self.world.foot(self.task.thing) - self._floor > PICK_HEIGHT
        self._up_for = self._up_for + 1 if up else 0
        return self._up_for >= PICK_STEPS

    def _move(self) -> bool:
        moved = self.world.position(self.task.thing)[:2] - self.start[:2]
        way = np.array(DIRECTIONS[self.task.direction], float)
        along = float(moved @ way)
        aside = abs(float(moved @ way[::-1]))
        return bool(along >= MOVE_DISTANCE and along > aside and self._at_rest())
