"""Text without a picture: the same lengths said in other words, and heights compared.

"Nine below" is "nine down" whatever the picture shows, also where the three lengths come in another order. A small
decoder learns to copy and compare quantities from such lines ten times as cheaply as from pictures; nothing here tells
what to do next.
"""

from __future__ import annotations

from random import Random

from radlite.actions import primitive
from radlite.base.facts import Piece, chatter
from radlite.phrases import centimetres
from radlite.tabletop.tasks import DIRECTIONS
from radlite.tabletop.things import BASE_THINGS, PRACTICE_THINGS


def _length(rng: Random, most: int) -> float:
    """Metres in whole centimetres: small ones as often as all others, either side of zero."""
    return rng.choice((-1, 1)) * rng.randint(0, rng.choice((3, most))) / 100


def _gripper(rng: Random, name: str, height: int) -> str:
    x, y = (2 * rng.randrange(128) for _ in "xy")
    state = rng.choice((f"holds the {name}", "is open", "is half open", "is closed"))
    return f" The gripper [{x}, {y}] {state}, {height} cm high"


def drill(rng: Random) -> list[Piece]:
    """One line: an offset and the way that closes it, in numbers and in words, a height and the way to another one, or words
    that come a second time."""
    name, height = rng.choice(BASE_THINGS + PRACTICE_THINGS), rng.randint(1, 24)
    said = _gripper(rng, name, height)
    if rng.random() < 0.12:
        asked = f" {rng.choice(list(DIRECTIONS))}."
        return [(f" move the {name}{asked}", False), *chatter(rng, (name, "goal")), (f" move the {name}", False), (asked, True)]
    if rng.random() < 0.35:
        goal = rng.choice((14, 16, rng.randint(1, 24)))
        way = centimetres((0, 0, (goal - height) / 100)).split(", ")[2]
        return [(f"{said}. The way to {goal} cm high is", False), (f" {way}.", True)]
    offset = (_length(rng, 34), _length(rng, 30), _length(rng, 22))
    seen = f"; the {rng.choice((name, 'goal'))} is {centimetres(offset, ('above', 'below'))}{rng.choice(('', ' it'))}."
    names = (name, "goal", "gripper")
    way = [(said + seen, False), *chatter(rng, names), (" The way is", False), (f" {centimetres(offset)}.", True)]
    if rng.random() < 0.4:
        sideways, ahead, high = centimetres(offset).split(", ")
        way += [*chatter(rng, names), (" It must go", False), (f" {ahead}, {sideways}, {high}.", True)]
    if rng.random() < 0.6:  # in words, all lengths alike: 2 cm left and 25 cm left are both left
        words = primitive([*offset, 0, 0, 0, 0], threshold=0.015, max_norm=10.0)
        way += [(" It must", False), (f" {words}.", True)]
    return way


def drills(rng: Random, count: int) -> list[Piece]:
    """`count` lines as pieces of text with their loss flags."""
    return [piece for _ in range(count) for piece in drill(rng)]
