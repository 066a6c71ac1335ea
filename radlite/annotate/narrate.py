"""Chains by rules: offline, deterministic, and nothing in them that was not measured.

The sentences are those of the tabletop, so that human video mixes with robot data that says the same. They are written in
hindsight, as ECoT's are: where the hand will close its grip is where the thing is, where it lets go is the goal, and the way is
that to the end of the subtask. What hindsight has not seen is not said: no step of a plan without a grasp, no goal where nothing
was let go of, no length across a gap in which nobody knows which way it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from radlite.annotate.gripper_pixels import project
from radlite.annotate.hindsight import UP, Motion, leads_along
from radlite.annotate.narrator import Evidence, measured, pixel, task_text
from radlite.annotate.nouns import object_names
from radlite.phrases import SUBTASK_WORDS, centimetres, offset_text
from radlite.reasoning import FRAME_SIZE, Reasoning

UNNAMED = "object"
"""What is grasped where neither the instruction nor a box gives it a name."""

_SHUT = ("grasp", "lift", "carry", "place", "hold")  # subtasks in which the jaws are to be closed
_HELD = ("lift", "carry", "place", "hold", "release")
_NEARBY = 0.15 * FRAME_SIZE  # pixels from a box within which a grip is at that thing


@dataclass(frozen=True)
class Roles:
    """Who is who in an instruction.

    Attributes:
        thing: what is grasped.
        place: where it goes, or None.
        preposition: between them, such as "on".
        way: where it goes if not to a place, such as "left from [100, 80] to the goal [144, 80]", or None.
    """

    thing: str
    place: str | None = None
    preposition: str = "to"
    way: str | None = None

    @property
    def goal(self) -> str:
        """What the goal is called: the place, else "goal" and, where they are known, its pixels."""
        return self.place or (self.way.rpartition(" the ")[2] if self.way else "goal")


class RuleNarrator:
    """Writes chains by rules. Frames whose subtask or grip nobody knows keep a shorter chain.

    MOVE REASONING is told where it is a reason: a way that MOVE does not lead along (`hindsight.leads_along`) is left out.
    """

    identity = "rules, version 2"  # count up with every change of the words, so that stored ones of older rules are not taken

    def narrate(self, evidence: Evidence) -> list[Reasoning]:
        """See `Narrator`."""
        roles = roles_of(evidence)
        plan = plan_text(evidence.motion, roles)
        task = task_text(evidence.instruction)
        chains = []
        for t, chain in enumerate(measured(evidence)):
            chains.append(chain.replace(task=task, plan=plan, **_words(evidence, roles, t)))
        return chains


def roles_of(evidence: Evidence) -> Roles:
    """The thing is what stands where the grip first closes, the place what is there when it last opens; else as the words say."""
    named = object_names(evidence.instruction)
    motion = evidence.motion
    closes = motion.subtasks.index("grasp") if motion and "grasp" in motion.subtasks else None
    thing = _at(evidence, closes) or next(iter(named), UNNAMED)
    last = motion.change("release", len(motion.subtasks), back=True) if closes is not None else None  # some grasp twice
    opens = last if last is not None and last > closes else None
    others = [name for name in named if name != thing and not _left_behind(name, evidence.instruction)]
    place = (_at(evidence, opens, (thing,)) if opens is not None else None) or next(iter(others), None)
    said = re.search(rf"\b(on|onto|in|into|inside|under|near|by|beside|behind)\b[\w ]*\b{re.escape(place)}\b",
                     evidence.instruction.casefold()) if place else None  # fmt: skip
    return Roles(thing, place, said[1] if said else "to", None if place else _way(evidence, closes, opens))


def _left_behind(name: str, instruction: str) -> bool:
    """Whether the words say that something is taken from there: no goal, then."""
    return bool(re.search(rf"\b(from|off|out of) (\w+ )?{re.escape(name)}\b", instruction.casefold()))


def _way(evidence: Evidence, closes: int | None, opens: int | None) -> str | None:
    """From where on the table to where a thing is moved, as the tabletop says it, if its direction is said and a camera tells."""
    direction = re.search(r"\b(forward|left|right|back)\b", evidence.instruction.casefold())
    if evidence.camera is None or not evidence.heights or not direction or closes is None or opens is None:
        return None
    ends = evidence.motion.path[[closes, opens]] * (1, 1, 0)
    start, goal = (pixel(np.rint(point / 2) * 2) for point in project(ends, evidence.camera))
    return f"{direction[1]} from {list(start)} to the goal {list(goal)}" if start and goal else None


def _at(evidence: Evidence, t: int | None, besides: tuple[str, ...] = ()) -> str | None:
    """The name of the thing whose box is nearest to the gripper at frame t (its last known one, as a hand hides it)."""
    if t is None or not evidence.gripper.known[t]:
        return None
    point, found = evidence.gripper.points[t], []
    for track in evidence.objects:
        boxes = track.boxes[: t + 1][np.isfinite(track.boxes[: t + 1]).all(1)]
        if len(boxes) and track.name not in besides:
            low, high = boxes[-1][:2], boxes[-1][2:]
            off = float(np.linalg.norm(np.maximum(0, np.maximum(low - point, point - high))))
            found.append((off, float(np.prod(high - low)), track.name))  # of a thing and what it stands on, the thing
    off, _, name = min(found, default=(np.inf, 0, None))
    return name if off <= _NEARBY else None


def plan_text(motion: Motion | None, roles: Roles) -> str | None:
    """The steps that were seen to be done, numbered; None where nothing was grasped: a hand that waves has no plan to show."""
    done = set(motion.subtasks) if motion else set()
    if "grasp" not in done:
        return None
    goal = f"{roles.preposition} the {roles.place}" if roles.place else roles.way or "down"
    steps = [(("reach", "lower"), f"reach the {roles.thing}"), (("grasp",), "grasp it"),
             (("place", "release"), f"put it {goal}"), (("release",), "let go")]  # fmt: skip
    if "release" not in done and not (roles.place and "place" in done):  # a hand that sinks a little has put nothing down
        where = f"to the {roles.place}" if roles.place else "away"
        steps[2:] = [(("lift", "hold"), "lift it"), (("carry",), f"carry it {where}")]
    said = [text for subtasks, text in steps if done & set(subtasks)]
    return " ".join(f"{k}. {text}" for k, text in enumerate(said, 1)) + "."


def _words(evidence: Evidence, roles: Roles, t: int) -> dict[str, str]:
    """The fields of frame t that are sentences; absent where their evidence is."""
    motion = evidence.motion
    subtask = motion.subtasks[t] if motion else None
    reason = _seen(evidence, roles, t)
    words = {"subtask_reason": reason} if reason else {}
    if subtask is not None:
        goal = f"to the {roles.place or 'goal'}" if roles.place or motion.change("release", t) is not None else ""
        words["subtask"] = SUBTASK_WORDS[subtask].format(x=roles.thing, y=goal).strip() + "."
        jaws = "closed" if subtask in _SHUT else "open"
        way = centimetres(motion.way(t))
        if way and _reason_of(evidence.moves[t], motion.way(t), jaws):
            words["move_reason"] = f"The way is {way}, jaws {jaws}."
    return words


def _reason_of(move: str | None, way: np.ndarray, jaws: str) -> bool:
    """Whether MOVE, where there is one, follows from this way and these jaws."""
    other = {"open": "close gripper", "closed": "open gripper"}[jaws]
    return move is None or (other not in move and leads_along(move, way))


def _seen(evidence: Evidence, roles: Roles, t: int) -> str | None:
    """'The gripper [x, y] is open, 12 cm high; the red can is 6 cm left, ...': how things stand at frame t."""
    motion, point, opened = evidence.motion, pixel(evidence.gripper.points[t]), evidence.open[t]
    if point is None or opened is None:
        return None
    held = motion is not None and motion.subtasks[t] in _HELD
    state = f"holds the {roles.thing}" if held and not opened else f"is {'open' if opened else 'closed'}"
    height = f", {round(motion.path[t, UP] * 100)} cm high" if evidence.heights and motion is not None else ""
    said = [f"The gripper [{point[0]}, {point[1]}] {state}{height}"]
    if motion is not None and motion.subtasks[t] is not None and not (held and opened):
        said += _offsets(evidence, roles, t, held)
    return "; ".join(said) + "."


def _offsets(evidence: Evidence, roles: Roles, t: int, held: bool) -> list[str]:
    """Where thing and goal are, as far as the clip shows it later."""
    goal, motion = roles.goal, evidence.motion
    closes, opens = motion.change("grasp", t), motion.change("release", t)
    if held:
        if opens is not None:
            return _told(goal, motion.offset(t, opens), " it")
        # as the tabletop says of a thing that is only picked up; one view measures nothing within a hand
        return _told(roles.thing, np.zeros(3)) if evidence.heights and _in_grip(motion, t) else []
    if opens is not None and (closes is None or closes > opens):
        closes = None  # it is let go of before it is grasped again
    if closes is None:
        opens = motion.change("release", t, back=True)
        if opens is None:
            return []
        there = _of_it(goal, np.where(np.isnan(motion.path[t]), np.nan, 0.0))  # where it was let go is the goal
        return [*_told(roles.thing, motion.offset(t, opens)), *there]
    opens = motion.change("release", closes)
    there = _of_it(goal, motion.offset(closes, opens)) if opens is not None else []
    return [*_told(roles.thing, motion.offset(t, closes)), *there]


def _in_grip(motion: Motion, t: int) -> bool:
    """Whether the thing was grasped before frame t and the hand never lost sight of since."""
    closes = motion.change("grasp", t, back=True)
    return closes is not None and motion.unbroken(closes, t)


def _told(name: str, offset: np.ndarray, whose: str = "") -> list[str]:
    """'the red can is 6 cm left, ...', or nothing where no axis is known."""
    return [offset_text(name, offset) + whose] if np.isfinite(offset).any() else []


def _of_it(goal: str, offset: np.ndarray) -> list[str]:
    """'the goal is 6 cm left, 4 cm forward of it', or nothing where neither is known."""
    across = centimetres(offset[:UP])
    return [f"the {goal} is {across} of it"] if across else []
