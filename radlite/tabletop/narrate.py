"""The chain of reasoning that is true at this moment, in ECoT's fields, read from the simulator.

Distances are whole centimetres, pixels are even numbers of a 256 x 256 frame. Robot and hand are told in the same
words, as in the paper: the midpoint of thumb and index stands for the gripper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radlite.actions import primitive
from radlite.phrases import SUBTASK_WORDS, centimetres, offset_text
from radlite.reasoning import FRAME_SIZE, Box, Reasoning
from radlite.tabletop.expert import CLOSED, OPEN, Expert, Intent
from radlite.tabletop.shape import hull
from radlite.tabletop.things import PLACES
from radlite.tabletop.viewpoint import HOME_VIEW, Viewpoint
from radlite.tabletop.world import CONTROL_DT, World

MOVE_THRESHOLD = 0.010  # metres in one step that earn a direction word; ECoT's 3 cm is for its 0.6 s window


def pixel(point: np.ndarray, view: Viewpoint = HOME_VIEW) -> tuple[int, int]:
    """World point (3,) to an even pixel of the frame, clipped to it."""
    x, y = np.clip(np.round(view.project(point) / 2) * 2, 0, FRAME_SIZE - 2).astype(int)
    return int(x), int(y)


def box_of(world: World, name: str) -> Box:
    """The whole thing's box (also where something hides it), even pixels, clipped to the frame."""
    body = world.data.body(name)
    corners = world.scene.look.view.project(hull(name) @ body.xmat.reshape(3, 3).T + body.xpos)
    low = np.clip(np.round(corners.min(0) / 2) * 2, 0, FRAME_SIZE - 2).astype(int)
    high = np.clip(np.round(corners.max(0) / 2) * 2, 0, FRAME_SIZE - 2).astype(int)
    return Box(name, (int(low[0]), int(low[1]), int(high[0]), int(high[1])))


def jaws(opening: float) -> str:
    """The state of empty jaws in a word."""
    return "open" if opening > OPEN else "closed" if opening < CLOSED else "half open"


def gripper_text(world: World, thing: str) -> str:
    """'The gripper [x, y] is half open, 12 cm high': where, how wide, how high the grasp point is."""
    x, y = pixel(world.point, world.scene.look.view)
    state = f"holds the {thing}" if world.held == thing else f"is {jaws(world.opening)}"
    return f"The gripper [{x}, {y}] {state}, {int(round(world.point[2] * 100))} cm high"


def goal_name(point: Sequence[float], view: Viewpoint = HOME_VIEW) -> str:
    """'goal [u, v]': a point of the table, x and y in metres, as a `move` names where it brings its thing."""
    u, v = pixel(np.array([*point[:2], 0.0]), view)
    return f"goal [{u}, {v}]"


def plan_text(expert: Expert) -> str:
    """The plan of a task; a `move` names the pixels on the table from and to which it goes.

    The plan of the first frame is the memory: later nobody sees where the thing stood.
    """
    task = expert.task
    if task.family == "pick":
        return f"1. reach the {task.thing} 2. grasp it 3. lift it."
    if task.family == "put":
        goal = f"{PLACES[task.place].preposition} the {task.place}"
    else:
        view = expert.world.scene.look.view
        stand = next(s for s in expert.world.scene.things if s.name == task.thing)
        x, y = pixel(np.array([stand.x, stand.y, 0.0]), view)
        goal = f"{task.direction} from [{x}, {y}] to the {goal_name(expert.goal, view)}"
    return f"1. reach the {task.thing} 2. grasp it 3. put it {goal} 4. let go."


def bystander(expert: Expert) -> str:
    """One thing that stands there beside what the task needs, another one at every step.

    ECoT lists all that is visible, which costs tokens; one at a time tells, over a clip, where everything is, also what no
    hand is near.
    """
    world, task = expert.world, expert.task
    others = [s.name for s in (*world.scene.things, *world.scene.places) if s.name not in (task.thing, task.place)]
    return others[round(world.data.time / CONTROL_DT) % len(others)]


def reason(expert: Expert, intent: Intent) -> Reasoning:
    """The whole chain but the gripper's path, which only the frames to come can tell (see `with_paths`)."""
    world, task = expert.world, expert.task
    names = [task.thing, *([task.place] if task.place else []), bystander(expert)]
    towards = f"to the {task.place or 'goal'}"
    action = expert.action(intent)
    turn = {"grasp": -1.0, "release": 1.0}.get(
        intent.phase, 0.0
    )  # what the jaws are about to do, not how they are
    move = primitive(np.array([*action[:3], 0, 0, 0, turn]), threshold=MOVE_THRESHOLD, max_norm=1.0)
    side = "open" if action[6] > 0.5 else "closed"
    return Reasoning(
        task=f"{task.instruction}.",
        plan=plan_text(expert),
        bboxes=tuple(box_of(world, n) for n in names),
        subtask_reason=f"{gripper_text(world, task.thing)}; {_seen_offset(expert, intent)}.",
        subtask=f"{SUBTASK_WORDS[intent.phase].format(x=task.thing, y=towards)}.",
        move_reason=f"The way is {centimetres(intent.need)}, jaws {side}.",
        move=move,
    )


def _seen_offset(expert: Expert, intent: Intent) -> str:
    """Where the thing is from the gripper, and the goal from the thing; of a thing in the grasp only the latter, from its foot.

    How far the goal is, is said at every step: words then tell a thing that has arrived from one that is still to be fetched,
    and jaws that let go from jaws that are about to close.
    """
    task = expert.task
    if task.family == "pick":
        return offset_text(task.thing, expert.offset())
    goal, offset = task.place or goal_name(expert.goal, expert.world.scene.look.view), expert.goal_offset()
    if intent.holding:
        return f"{offset_text(goal, offset)} it"
    return f"{offset_text(task.thing, expert.offset())}; {offset_text(goal, offset[:2])} of it"


def with_paths(
    chains: list[Reasoning], points: list[np.ndarray], view: Viewpoint = HOME_VIEW, ahead: int = 5
) -> list[Reasoning]:
    """Adds GRIPPER POSITION: this frame's and the next four grasp points in pixels; the last one repeats (ECoT)."""
    pixels = [pixel(p, view) for p in points]
    last = len(pixels) - 1
    return [
        c.replace(gripper=tuple(pixels[min(t + k, last)] for k in range(ahead))) for t, c in enumerate(chains)
    ]
