"""Task families, instructions, and the splits of the paper's axes.

Families: put X on/in Y, pick up X, move X left/right/forward/back. A task is *human-only* when no robot demonstration has it:

- `compositional`: a thing and a place that both stand in robot data, but never as this pair;
- `new_object`: a thing that neither the base model nor the robot has met;
- `new_scene`: a robot task on a table and under a lamp that neither has met: tablecloths with prints as large as things and in
  their colours, which only human clips tell from things.

A task is *unseen* when nobody at all has shown it; each axis of these joins what is known from different sources:

- `pair_in_new_scene`: a reserved pair on a printed tablecloth, each of which human clips show, but never together;
- `object_in_new_scene`: a new object on such a tablecloth, likewise;
- `base_object`: a thing that only the base has pictures and words of; it is in no demonstration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radlite.errors import RadliteError
from radlite.tabletop.scene import Scene, draw_scene
from radlite.tabletop.things import BASE_THINGS, NEW_THINGS, PLACES, PRACTICE_THINGS

FAMILIES = ("put", "pick", "move")
DIRECTIONS: dict[str, tuple[float, float]] = {
    "forward": (1, 0),
    "back": (-1, 0),
    "left": (0, 1),
    "right": (0, -1),
}
AXES = ("compositional", "new_object", "new_scene")
UNSEEN_AXES = ("pair_in_new_scene", "object_in_new_scene", "base_object")
_PAIR_AXES = ("compositional", "pair_in_new_scene")
_NEW_SCENE_AXES = ("new_scene", "pair_in_new_scene", "object_in_new_scene")
_THINGS_OF = {"new_object": NEW_THINGS, "object_in_new_scene": NEW_THINGS, "base_object": PRACTICE_THINGS}
MOVE_BY = 0.08  # metres a `move` demonstration carries its thing; success asks for 0.05

# each place is reserved for two things and each thing for one place: 12 of 72 pairs that no robot demonstration shows
_PLACE_NAMES = tuple(PLACES)
RESERVED_PAIRS = frozenset(
    (thing, _PLACE_NAMES[i % len(_PLACE_NAMES)]) for i, thing in enumerate(BASE_THINGS)
)


@dataclass(frozen=True)
class Task:
    """What to do: a family, the thing, and the place (put) or the direction (move)."""

    family: str
    thing: str
    place: str | None = None
    direction: str | None = None

    @property
    def instruction(self) -> str:
        """The task in words, as a user would type it."""
        if self.family == "put":
            return f"put the {self.thing} {PLACES[self.place].preposition} the {self.place}"
        return (
            f"pick up the {self.thing}"
            if self.family == "pick"
            else f"move the {self.thing} {self.direction}"
        )


def parse_task(instruction: str) -> Task:
    """The task that an instruction names; the inverse of `Task.instruction`.

    Raises:
        RadliteError: the words name no task of the tabletop.
    """
    for task in all_tasks():
        if task.instruction == instruction.strip().rstrip(".").lower():
            return task
    raise RadliteError(
        "an instruction such as 'put the red can on the white plate'",
        repr(instruction[:80]),
        "use a thing of radlite.tabletop.things.THINGS and a place of its PLACES",
    )


def all_tasks(things: tuple[str, ...] = BASE_THINGS + NEW_THINGS + PRACTICE_THINGS) -> list[Task]:
    """Every task with these things."""
    puts = [Task("put", t, place=p) for t in things for p in PLACES]
    return (
        puts
        + [Task("pick", t) for t in things]
        + [Task("move", t, direction=d) for t in things for d in DIRECTIONS]
    )


def tasks_in(scene: Scene) -> list[Task]:
    """Every task that names only what stands in the scene."""
    places = {s.name for s in scene.places}
    return [t for t in all_tasks(tuple(s.name for s in scene.things)) if t.place is None or t.place in places]


def draw_task(rng: np.random.Generator, axis: str | None = None, family: str | None = None) -> Task:
    """A random task of the robot's own (`axis=None`), of a human-only or an unseen axis; half are `put` unless `family` is given.

    Raises:
        RadliteError: an unknown axis or family, or a task about a pair that is no `put`.
    """
    if axis not in (None, *AXES, *UNSEEN_AXES):
        raise RadliteError(f"an axis out of {AXES + UNSEEN_AXES} or None", repr(axis), "choose one of them")
    if family not in (None, *(("put",) if axis in _PAIR_AXES else FAMILIES)):
        raise RadliteError(f"a family out of {FAMILIES}, and 'put' for pairs", f"{family!r} with axis {axis!r}",
                           "choose one of them, or None")
    if axis in _PAIR_AXES:
        thing, place = sorted(RESERVED_PAIRS)[rng.integers(len(RESERVED_PAIRS))]
        return Task("put", thing, place=place)
    family = family or str(rng.choice(FAMILIES, p=(0.5, 0.25, 0.25)))
    thing = str(rng.choice(_THINGS_OF.get(axis, BASE_THINGS)))
    if family == "put":
        allowed = [p for p in PLACES if (thing, p) not in RESERVED_PAIRS]
        return Task("put", thing, place=str(rng.choice(allowed)))
    if family == "pick":
        return Task("pick", thing)
    return Task("move", thing, direction=str(rng.choice(tuple(DIRECTIONS))))


def draw_task_scene(rng: np.random.Generator, task: Task, axis: str | None = None) -> Scene | None:
    """A scene for this task: its thing and place, distractors, one more place half of the time.

    The rule is the same for every arm; it looks at the task and the axis only. A `move` scene is drawn until the way
    of the thing is free; None when fifty draws found no such scene.
    """
    new_scene = axis in _NEW_SCENE_AXES
    others = _THINGS_OF.get(axis, BASE_THINGS)  # beside one of the robot's own, see draw_scene
    for _ in range(50):
        places = [task.place] if task.place else []
        if rng.random() < (0.5 if places else 0.7):
            places.append(str(rng.choice([p for p in PLACES if p not in places])))
        scene = draw_scene(rng, [task.thing], places, others, BASE_THINGS, new_scene)
        if task.family != "move" or _way_is_free(scene, task):
            return scene
    return None


def goal_of_move(scene: Scene, task: Task) -> tuple[float, float]:
    """Where a `move` demonstration carries its thing, metres on the table."""
    stand = next(s for s in scene.things if s.name == task.thing)
    dx, dy = DIRECTIONS[task.direction]
    return stand.x + MOVE_BY * dx, stand.y + MOVE_BY * dy


def _way_is_free(scene: Scene, task: Task) -> bool:
    x, y = goal_of_move(scene, task)
    if abs(x) > 0.15 or abs(y) > 0.185:
        return False
    others = [s for s in scene.things if s.name != task.thing] + list(scene.places)
    return all(np.hypot(s.x - x, s.y - y) > (0.085 if s.name not in PLACES else 0.10) for s in others)
