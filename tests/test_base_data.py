"""What the base may see and read: ten thousand of its scenes hold nothing reserved, and every sentence it reads is true."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from random import Random

import numpy as np
import pytest

from radlite.base import data
from radlite.base.data import CLASSES, View, draw_base_scene
from radlite.base.drills import drills
from radlite.base.facts import VERBS, facts, gripper_sentence, told, words
from radlite.reasoning import ACTION_TAG, TAGS
from radlite.tabletop.scene import HOME_TABLES, NEW_TABLES, draw_look
from radlite.tabletop.tasks import DIRECTIONS, RESERVED_PAIRS, draw_task
from radlite.tabletop.things import BASE_THINGS, NEW_THINGS, PLACES, PRACTICE_THINGS
from radlite.tabletop.viewpoint import HOME_VIEW
from radlite.vlm import action_token

DRAWS, PLACED = 10_000, 30


@pytest.fixture(scope="module")
def scenes() -> list:
    """Half free scenes, half drawn for a task, as the two kinds of pictures are."""
    rng = np.random.default_rng(2024)
    tasks = [draw_task(rng) if i % 2 else None for i in range(DRAWS)]
    return [(task, draw_base_scene(rng, task)) for task in tasks]


@lru_cache(maxsize=1)
def _views() -> tuple[View, ...]:
    """Views of both kinds of pictures, without the pictures."""
    rng, views = np.random.default_rng(5), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "_picture", data._view)
        for _ in range(PLACED):
            views += data._placed(rng)
        for _ in range(14):
            views += data._handled(rng)
    return tuple(views)


def test_base_meets_no_new_thing_and_no_reserved_pair(scenes):
    met = set()
    for _, scene in scenes:
        things, places = {s.name for s in scene.things}, {s.name for s in scene.places}
        met |= things | places
        assert not things & set(NEW_THINGS)
        assert not {(t, p) for t in things for p in places} & RESERVED_PAIRS
    assert met == {*BASE_THINGS, *PRACTICE_THINGS, *PLACES}  # and misses nothing that it may meet


def test_base_meets_no_new_table_lamp_or_tint(scenes):
    rng = np.random.default_rng(0)
    reserved = [draw_look(rng, new_scene=True) for _ in range(2000)]
    patterns = {pattern for pattern, _ in NEW_TABLES}
    tints, orange = np.array([r.tint for r in reserved]), np.array(reserved[0].colour)
    assert {r.colour for r in reserved} == {reserved[0].colour}
    homes = {pattern for pattern, _ in HOME_TABLES}
    for _, scene in scenes:
        look = scene.look
        assert not scene.new_scene and look.pattern not in patterns
        assert np.abs(tints - look.tint).max(1).min() > 0.06
        assert np.abs(orange - look.colour).max() > 0.15  # of any colour but their orange
    assert {s.look.pattern for _, s in scenes} > homes  # and sees more tables than the robot's own


def test_scene_of_a_task_has_what_the_task_needs(scenes):
    for task, scene in scenes:
        if task is not None:
            assert task.thing in {s.name for s in scene.things}
            assert task.place is None or task.place in {s.name for s in scene.places}
            assert (task.thing, task.place) not in RESERVED_PAIRS


def test_views_have_no_column_for_actions_and_no_class_for_reserved_things():
    assert {f.name for f in fields(View)} == {
        "names", "boxes", "grasps", "feet", "point", "point_pixel", "opening", "held", "embodiment",
    }  # fmt: skip
    assert not set(CLASSES) & set(NEW_THINGS) and len(set(CLASSES)) == len(CLASSES)


def test_views_tell_the_truth_in_metres_and_pixels():
    views = _views()
    assert {v.embodiment for v in views} == {"robot", "human"} and any(v.held for v in views) and len(views) > 80
    for view in views:
        assert np.abs(np.clip(HOME_VIEW.project(np.array(view.point)), 0, 254) - view.point_pixel).max() <= 1.1
        assert view.held is None or view.held in view.names
    for view in views[:PLACED]:  # things stand; one that was knocked over is grasped elsewhere
        for name, box, grasp in zip(view.names, view.boxes, view.grasps, strict=True):
            x, y = np.clip(HOME_VIEW.project(np.array(grasp)), 0, 254)
            assert box[0] - 2 <= x <= box[2] + 2 and box[1] - 2 <= y <= box[3] + 2, name


# -- sentences -------------------------------------------------------------------------------------------------------
SIGNS = {"left": (1, 1), "right": (1, -1), "forward": (0, 1), "back": (0, -1),
         "above": (2, 1), "below": (2, -1), "up": (2, 1), "down": (2, -1)}  # fmt: skip
NUMBERS = r"\[([0-9, ]+)\]"
KINDS = {
    "gripper": re.compile(rf" The gripper {NUMBERS} (holds the (?:[a-z ]+)|is (?:open|half open|closed)), ([0-9]+) cm high\."),
    "name": re.compile(rf" At {NUMBERS} is the ([a-z ]+)\."),
    "way": re.compile(r" The way is (.+)\."),
    "asked": re.compile(r" move the ([a-z ]+) (left|right|forward|back)\."),
    "apart": re.compile(rf" put it (left|right|forward|back) from {NUMBERS} to the goal {NUMBERS}\."),
    "short": re.compile(rf" the goal {NUMBERS} is ([^.]+) of it\."),
    "far": re.compile(r" the ([a-z ]+) is ([^.]+) of it\."),
    "over": re.compile(rf" the goal {NUMBERS} is ([^.]+) it\."),
    "held": re.compile(r" the ([a-z ]+) is (.+) it\."),
    "to": re.compile(rf" to the goal {NUMBERS}\."),
    "between": re.compile(r" the ([a-z ]+) from the ([a-z ]+) is (.+)\."),
    "from": re.compile(r" the ([a-z ]+) is (.+)\."),
    "box": re.compile(rf" ([a-z ]+) {NUMBERS}\."),
}


def _offset(text: str, axes: int = 3) -> np.ndarray:
    """'6 cm left, 4 cm back, 9 cm below' -> metres, x forward, y left, z up."""
    parts, offset = text.split(", "), np.full(axes, np.nan)
    assert len(parts) == axes
    for part in parts:
        number, unit, word = part.split()
        axis, sign = SIGNS[word]
        assert unit == "cm" and np.isnan(offset[axis])
        offset[axis] = sign * int(number) / 100
    return offset


def _close(said: np.ndarray, truth: np.ndarray) -> bool:
    """Right to the whole centimetre, up to the 40 that are said of anything farther."""
    return bool((np.abs(said - np.clip(truth, -0.40, 0.40)) <= 0.00511).all())


def _split(text: str) -> list[tuple[str, re.Match]]:
    """Sentences with their kinds; a sentence of no known kind fails."""
    found = []
    for sentence in re.findall(r" .+?\.(?= |$)", text):
        kind, match = next((k, m) for k, p in KINDS.items() if (m := p.fullmatch(sentence)))
        found.append((kind, match))
    return found


def _check(view: View, kind: str, match: re.Match, before: list[re.Match]) -> None:
    """Derives what a sentence says from the view once more; `before` are the sentences before it."""
    at = {n: i for i, n in enumerate(view.names)}
    grasps, point = np.array(view.grasps), np.array(view.point)
    if kind == "gripper":
        assert tuple(map(int, match[1].split(", "))) == view.point_pixel and abs(int(match[3]) / 100 - point[2]) <= 0.00511
        state = {"open": view.opening > 0.8, "closed": view.opening < 0.15, "half open": 0.15 <= view.opening <= 0.8}
        assert match[2] == f"holds the {view.held}" if view.held else state[match[2].removeprefix("is ")]
    elif kind in ("name", "box"):
        box, name = match.groups() if kind == "name" else match.groups()[::-1]
        assert tuple(map(int, box.split(", "))) == view.boxes[at[name]]
    elif kind == "from":
        assert _close(_offset(match[2]), grasps[at[match[1]]] - point)
    elif kind == "way":
        said = before[-2] if before[-1].re in (KINDS["short"], KINDS["far"]) else before[-1]
        assert np.array_equal(_offset(match[1]), _offset(said[2]))
    elif kind == "apart":
        assert match[1] == before[-1][2]
        start = np.array([*grasps[at[before[-1][1]]][:2], 0.0])
        axis, sign = SIGNS[match[1]]
        goal = start.copy()
        goal[axis] += 0.08 * sign
        for told, place in ((match[2], start), (match[3], goal)):
            assert np.abs(np.clip(HOME_VIEW.project(place), 0, 254) - [int(v) for v in told.split(", ")]).max() <= 1.1
    elif kind == "held":
        foot = np.array([*grasps[at[view.held]][:2], view.feet[at[view.held]]])
        assert match[1] in PLACES and _close(_offset(match[2]), grasps[at[match[1]]] - foot)
    elif kind == "far":
        thing = grasps[at[before[-1][1]]]
        assert match[1] in PLACES and _close(_offset(match[2], 2), (grasps[at[match[1]]] - thing)[:2])
    elif kind in ("over", "short"):
        if kind == "over":
            thing = np.array([*grasps[at[view.held]][:2], view.feet[at[view.held]]])
            goal = thing + _offset(match[2])
        else:  # of the thing that was just told
            goal = np.array([*(grasps[at[before[-1][1]]][:2] + _offset(match[2], 2)), 0.0])
        last = next(m for m in reversed(before) if m.re is KINDS["to"])  # named as a pixel, some sentences ago
        told = np.array([int(v) for v in last[1].split(", ")])
        assert last[1] == match[1] and abs(goal[2]) <= 0.00511
        assert np.abs(np.clip(HOME_VIEW.project(goal), 0, 254) - told).max() <= 5
    elif kind == "asked":
        assert match[1] in at
    elif kind == "to":
        x, y = map(int, match[1].split(", "))
        assert 0 <= x < 256 and 0 <= y < 256
    else:
        assert _close(_offset(match[3], 2), (grasps[at[match[1]]] - grasps[at[match[2]]])[:2])


CHATTER = tuple(f" {verb} the " for verb in VERBS)


def _plain(pieces):
    """Pieces without the words of no meaning; neighbours that carry no loss become one."""
    plain = []
    for text, paid in pieces:
        if text.startswith(CHATTER):
            assert not paid and not re.search("[0-9]", text)
        elif plain and not paid and not plain[-1][1]:
            plain[-1] = (plain[-1][0] + text, False)
        else:
            plain.append((text, paid))
    return plain


def test_words_of_no_meaning_come_between_and_name_what_is_there():
    views, seen = _views(), set()
    for i in range(200):
        view = views[i % len(views)]
        for text, _ in [p for p in facts(view, Random(i), 9) if p[0].startswith(CHATTER)]:
            named = {n for n in (*BASE_THINGS, *PLACES) if n in text}
            assert all(any(n in there for there in view.names) for n in named), (text, view.names)
            seen.add(text.split(" the ")[0].strip())
    assert seen == set(VERBS)


def test_every_sentence_is_true():
    kinds = set()
    for i, view in enumerate(_views()):
        text, before = "".join(t for t, _ in _plain(facts(view, Random(i), 9))), []
        text = text.replace(" high; the ", " high. the ").replace("; the ", ". the ")  # facts in one sentence
        sentences = _split(text)
        assert "".join(m[0] for _, m in sentences) == text and 9 <= len(sentences) <= 60
        for kind, match in sentences:
            _check(view, kind, match, before)
            kinds.add(kind)
            before.append(match)
    assert kinds == set(KINDS)


def test_a_wrong_number_would_be_noticed():
    """The check above can fail: one pixel, one centimetre or another name is caught."""
    view = next(v for v in _views() if not v.held)
    kind, match = _split(f" {view.names[0]} [{', '.join(map(str, view.boxes[1]))}].")[0]
    with pytest.raises(AssertionError):
        _check(view, kind, match, [])
    away = np.array(view.grasps[0]) - view.point + (0.02, 0, 0)
    said = ", ".join(f"{abs(round(v * 100))} cm {SIDES[a][int(v < 0)]}" for a, v in enumerate(away))
    kind, match = _split(f" the {view.names[0]} is {said}.")[0]
    with pytest.raises(AssertionError):
        _check(view, kind, match, [])


SIDES = (("forward", "back"), ("left", "right"), ("above", "below"))


def test_sentences_name_nothing_reserved_and_hold_no_action():
    forbidden = [*(re.escape(t) for t in TAGS.values()), re.escape(ACTION_TAG), r"<a[0-9]+>", *NEW_THINGS]
    pattern = re.compile("|".join(rf"{f}" for f in forbidden))
    for i, view in enumerate(_views()):
        text = "".join(t for t, _ in facts(view, Random(i), 12))
        assert not pattern.search(text), text
        named = {n for n in (*BASE_THINGS, *PLACES) if n in text}
        assert not {(t, p) for t in named for p in named} & RESERVED_PAIRS
    assert not set(words()) & {action_token(k) for k in range(256)} and not any(ACTION_TAG in w for w in words())


def test_what_is_chance_carries_no_loss():
    """Which thing a sentence is about cannot be known; all the rest can, and is paid."""
    paid = unpaid = 0
    for i, view in enumerate(_views()):
        for text, flag in facts(view, Random(i), 9):
            has_digit = bool(re.search(r"[0-9]", text))
            assert flag == (has_digit and not text.startswith(" At")) or text.startswith(
                (" to the goal [", *(f" {n}." for n in view.names))
            )
            paid, unpaid = paid + flag, unpaid + (not flag)
    assert paid > 400 and unpaid > 300


def test_a_told_view_tells_all_that_follows_and_is_true():
    """Without the picture: every box and the gripper are told, unpaid, ahead of what is paid."""
    for i, view in enumerate(_views()[:60]):
        pieces = told(view, Random(i), 2)
        first = next(k for k, (_, paid) in enumerate(pieces) if paid)
        head = "".join(text for text, _ in pieces[:first])
        for name, box in zip(view.names, view.boxes, strict=True):
            assert f" {name} [{', '.join(map(str, box))}]." in head
        assert gripper_sentence(view) in head
        sentences, before = _split(re.sub(r"; the ", ". the ", "".join(t for t, _ in _plain(pieces)))), []
        for kind, match in sentences:
            _check(view, kind, match, before)
            before.append(match)


def test_every_drill_is_true_and_names_base_things_only():
    ways = orders = copies = 0
    for seed in range(300):
        (said, paid), (way, pays), *again = _plain(drills(Random(seed), 1))
        assert not paid and pays and way.endswith(".")
        if copy := re.fullmatch(r" move the ([a-z ]+)( [a-z]+\.) move the \1", said):
            assert copy[2] == way and way.strip(" .") in DIRECTIONS and not again
            copies += 1
            continue
        assert [p for _, p in again] == [False, True] * (len(again) // 2)
        for (begin, _), (rest, _) in zip(again[::2], again[1::2], strict=True):
            length = _offset(way.strip(" ."))
            if begin == " It must go":  # the same lengths in another order
                assert np.array_equal(_offset(rest.strip(" .")), length)
            else:  # in words: what is 2 cm or more
                said_words = set(rest.strip(" .").split()) - {"move", "stop"}
                signs = {"forward": (0, 1), "backward": (0, -1), **{w: SIGNS[w] for w in ("left", "right", "up", "down")}}
                assert begin == " It must"
                assert said_words == {w for w, (axis, sign) in signs.items() if length[axis] * sign > 0.015}
            orders += 1
        assert not any(name in said for name in (*NEW_THINGS, *PLACES))
        height = re.search(r", ([0-9]+) cm high", said)
        if goal := re.search(r"The way to ([0-9]+) cm high is$", said):
            number, _, word = way.strip(" .").split()
            assert int(height[1]) + SIGNS[word][1] * int(number) == int(goal[1])
        else:
            offset = re.search(r"; the [a-z ]+ is ([^;]+?)(?: it)?\. The way is$", said)[1]
            assert np.array_equal(_offset(offset), _offset(way.strip(" .")))
            ways += 1
    assert 100 < ways < 260 and 120 < orders < 260 and 15 < copies < 70
    assert drills(Random(3), 4) == drills(Random(3), 4)


def test_facts_are_a_function_of_the_generator():
    view = _views()[0]
    assert facts(view, Random(1), 9) == facts(view, Random(1), 9) != facts(view, Random(2), 9)
