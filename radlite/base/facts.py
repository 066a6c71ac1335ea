"""Grounding text: true sentences about one picture, in random order, with the words that could not be known left unpaid.

Names and places of things, where the gripper is and what it holds, what is left of what and by how much. That is what a
general vision-language model knows of a table; nothing here tells what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

import numpy as np

from radlite.base.data import View
from radlite.phrases import centimetres
from radlite.tabletop.narrate import goal_name, jaws, pixel
from radlite.tabletop.tasks import DIRECTIONS, MOVE_BY
from radlite.tabletop.things import BASE_THINGS, NEW_THINGS, PLACES

# a piece of text and whether it carries loss: the name that a sentence picks is chance, its place is not
Piece = tuple[str, bool]

KINDS = ("seen", "box", "name", "from", "way", "between", "held", "apart")
SHARES = (40, 12, 6, 12, 8, 4, 12, 14)
VERBS = ("reach", "grasp", "lift", "rise to", "lower onto", "move above", "carry", "hold", "let go of", "move to", "go to")


def _minus(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _box(view: View, i: int) -> list[Piece]:
    return [(f" {view.names[i]}", False), (f" [{', '.join(map(str, view.boxes[i]))}].", True)]


def _name(view: View, i: int) -> list[Piece]:
    return [(f" At [{', '.join(map(str, view.boxes[i]))}] is the", False), (f" {view.names[i]}.", True)]


def gripper_sentence(view: View, end: str = ".") -> str:
    """The same words as the chain's: 'The gripper [x, y] is open, 12 cm high.'"""
    x, y = view.point_pixel
    state = f"holds the {view.held}" if view.held else f"is {jaws(view.opening)}"
    return f" The gripper [{x}, {y}] {state}, {int(round(view.point[2] * 100))} cm high{end}"


def _from_gripper(view: View, i: int) -> list[Piece]:
    offset = _minus(view.grasps[i], view.point)
    return [(f" the {view.names[i]}", False), (f" is {centimetres(offset, ('above', 'below'))}.", True)]


def chatter(rng: Random, names: Sequence[str]) -> list[Piece]:
    """A few words of no meaning for what comes behind them, or none.

    A length is found again by what it is the length of: a model that counts tokens back loses it with the first word that
    somebody puts between.
    """
    if rng.random() < 0.3:
        return []
    said = (f" {rng.choice(VERBS)} the {rng.choice(names)}." for _ in range(rng.choice((1, 1, 2, 3))))
    return [("".join(said), False)]


def _way(view: View, i: int, rng: Random) -> list[Piece]:
    """An offset and the way that closes it: the same lengths, 'below' becomes 'down'."""
    offset = _minus(view.grasps[i], view.point)
    return [*_from_gripper(view, i), *chatter(rng, (*view.names, "goal")), (f" The way is {centimetres(offset)}.", True)]


def _held_foot(view: View) -> tuple[float, ...]:
    """Where the foot of the held thing is: from there one measures where it goes."""
    held = view.names.index(view.held)
    return (*view.grasps[held][:2], view.feet[held])


def _from_held(view: View, i: int) -> list[Piece]:
    offset = _minus(view.grasps[i], _held_foot(view))
    return [(f" the {view.names[i]}", False), (f" is {centimetres(offset, ('above', 'below'))} it.", True)]


def _target(view: View, start: Sequence[float], rng: Random, but: int = -1) -> tuple[tuple[float, ...], str, list[Piece]]:
    """Where a thing at `start` may go: a place (not number `but`), or a point of the table around the thing, often under it.

    Returns its position (3,), its name, and the sentence that says where that is in the picture.
    """
    places = [k for k, name in enumerate(view.names) if name in PLACES and k != but]
    if places and rng.random() < 0.6:
        k = rng.choice(places)
        return view.grasps[k], view.names[k], _box(view, k)
    reach = rng.choice((0.03, 0.10, 0.15))
    goal = tuple(min(0.19, max(-0.19, v + rng.uniform(-reach, reach))) for v in start[:2]) + (0.0,)
    return goal, goal_name(goal), [(f" to the {goal_name(goal)}.", False)]


def _boxes(view: View, rng: Random, counts: Sequence[int]) -> list[Piece]:
    """Boxes of a few things, which may be nobody's business."""
    return [piece for k in rng.sample(range(len(view.names)), rng.choice(counts)) for piece in _box(view, k)]


def _seen(view: View, i: int, rng: Random) -> list[Piece]:
    """A thing's box, the gripper and the offset between the two in one sentence, in the order in which one looks."""
    return [*_box(view, i), (gripper_sentence(view, ";"), True), *_way(view, i, rng)]


def _short_of(view: View, i: int, rng: Random) -> list[Piece]:
    """The same, and how far from the thing a place is, or a goal that was named some sentences ago."""
    goal, name, first = _target(view, view.grasps[i], rng, but=i)
    thing, there = _minus(view.grasps[i], view.point), centimetres(_minus(goal, view.grasps[i])[:2])
    names, others = (*view.names, "goal"), _boxes(view, rng, (0, 0, 1))
    start = [*first, *chatter(rng, names), *_box(view, i), *others, (gripper_sentence(view, ";"), True)]
    said = f" {centimetres(thing, ('above', 'below'))}; the {name} is {there} of it."
    seen = [*start, (f" the {view.names[i]} is", False), (said, True), *chatter(rng, names)]
    return [*seen, (f" The way is {centimetres(thing)}.", True)]


def _over(view: View, rng: Random) -> list[Piece]:
    """What is in the grasp, and the way from its foot to a place, or to a pixel of the table that is called the goal."""
    foot = _held_foot(view)
    goal, name, start = _target(view, foot, rng)
    offset = _minus(goal, foot)
    said = f" the {name} is {centimetres(offset, ('above', 'below'))} it."
    names, others = (*view.names, "goal"), _boxes(view, rng, (0, 0, 1, 2))
    seen = [*start, *chatter(rng, names), *others, (gripper_sentence(view, ";"), True), (said, True)]
    return [*seen, *chatter(rng, names), (f" The way is {centimetres(offset)}.", True)]


def _between(view: View, i: int, j: int) -> list[Piece]:
    offset = _minus(view.grasps[i], view.grasps[j])[:2]
    return [(f" the {view.names[i]} from the {view.names[j]}", False), (f" is {centimetres(offset)}.", True)]


def _apart(view: View, i: int, direction: str, rng: Random) -> list[Piece]:
    """Where a thing is over the table, and the pixel that is eight centimetres from there, as plans of a `move` name it."""
    start = np.array([*view.grasps[i][:2], 0.0])
    x, y = pixel(start)
    goal = goal_name(start[:2] + MOVE_BY * np.array(DIRECTIONS[direction]))
    asked = [(f" move the {view.names[i]} {direction}.", False), *chatter(rng, (*view.names, "goal")), (" put it", False)]
    return [*asked, (f" {direction} from [{x}, {y}] to the {goal}.", True)]


def facts(view: View, rng: Random, count: int) -> list[Piece]:
    """`count` random true sentences about a picture, as pieces of text with their loss flags."""
    sentences = {gripper_sentence(view): [(gripper_sentence(view), True)]}
    for _ in range(4 * count):  # a sentence that is there already does not count
        if len(sentences) >= count:
            break
        pieces = _sentence(view, rng)
        sentences.setdefault("".join(text for text, _ in pieces), pieces)
    order = list(sentences.values())
    if (
        rng.random() < 0.5
    ):  # the gripper's sentence comes first only half of the time, so that no other leans on it
        rng.shuffle(order)
    return [piece for sentence in order for piece in sentence]


def told(view: View, rng: Random, count: int) -> list[Piece]:
    """The same for a reader who does not see the picture: boxes and gripper are told first, what follows from them is paid."""
    order = rng.sample(range(len(view.names)), len(view.names))
    boxes = [(text, False) for k in order for text, _ in _box(view, k)]
    return [*boxes, (gripper_sentence(view), False), *facts(view, rng, count)]


def _sentence(view: View, rng: Random) -> list[Piece]:
    """One random sentence."""
    n = len(view.names)
    i, j = rng.randrange(n), rng.randrange(1, n)
    places = [k for k in range(n) if view.names[k] in PLACES]
    kind = rng.choices(KINDS, SHARES)[0]
    if kind == "held" and view.held and places:
        return _from_held(view, rng.choice(places))
    if kind == "seen" and view.held and rng.random() < 0.6:
        return _over(view, rng)
    if kind == "seen" and rng.random() < 0.3:
        return _short_of(view, i, rng)
    if kind == "apart":
        return _apart(view, i, rng.choice(list(DIRECTIONS)), rng)
    if kind == "between":
        return _between(view, i, (i + j) % n)
    makers = {"box": _box, "held": _box, "name": _name, "from": _from_gripper}
    makers |= {"seen": partial(_seen, rng=rng), "way": partial(_way, rng=rng)}
    first = _box(view, i) if kind in ("from", "way") and rng.random() < 0.6 else []  # places compared in text, or by eye
    return first + makers[kind](view, i)


def words() -> list[str]:
    """All plain words of the facts and of the tabletop's language, for the tokenizer."""
    text = " ".join(
        [
            "At is the from The gripper holds open half closed it way let go of",
            *BASE_THINGS,
            *NEW_THINGS,
            *PLACES,
            "put on in pick up move left right forward back reach grasp lift to let go rise above lower onto carry away hold",
            "stop goal It must go jaws backward close gripper down release What action should the robot take to",
        ]
    )
    return sorted(set(text.split()))
