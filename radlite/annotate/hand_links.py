"""Which hand is which: detections, each frame for itself, become one left and one right hand through the whole clip.

A detector gives the hands of a picture in any order, mistakes left for right where a hand is blurred or seen edge-on, finds one
hand twice, and now and then finds one where there is none. So a hand is followed by where it is and how it is held: a detection
goes on with the link that was nearest and of the likest shape, and only a doubt is settled by the side that the detector says.
Which side a link is on, its detections then vote, and links of one side that are not there at the same time are one hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from radlite.annotate.evidence import (
    INDEX_BASE,
    INDEX_TIP,
    LANDMARKS,
    LITTLE_BASE,
    MIDDLE_BASE,
    THUMB_TIP,
    WRIST,
    Hand,
    View,
)  # fmt: skip
from radlite.errors import RadliteError

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")

PALM = 1.5  # length over breadth of a palm: wrist to middle base is some 9 cm, index base to little base some 6
LEAST_SIZE = 2.0  # pixels of the frame; of a smaller hand nothing can be measured
SHAPE = 2.0  # how much more a change of shape counts than a motion of the whole hand: from picture to picture it is small
GATE = 4.0  # sizes of the hand that both may come to since it was seen last
FLIP = 1.0  # sizes of the hand that a detection seems farther off for being called the other side with full score
TWICE = 0.5  # sizes of the hand within which two detections in one picture are the same hand
JUMP = 2.0  # sizes of the hand that a detection must be off both of its neighbours to be no hand
SOON = 3  # frames at most between those neighbours: given more time, a hand may go there and back
STRIDE = 0.25  # sizes of the hand from which on a motion is one, and not the detector's tremble


@dataclass(frozen=True, eq=False)
class SeenHand:
    """A detection in pixels of the frame.

    Attributes:
        shape: float (21, 2).
        side, score: as the detector says.
    """

    shape: np.ndarray
    side: Side
    score: float

    @property
    def point(self) -> np.ndarray:
        """float (2,): midpoint of thumb tip and index tip."""
        return (self.shape[THUMB_TIP] + self.shape[INDEX_TIP]) / 2

    @property
    def tips(self) -> float:
        """Distance of thumb tip and index tip."""
        return self._distance(THUMB_TIP, INDEX_TIP)

    @property
    def size(self) -> float:
        """Length of the palm. Where it points at the camera it looks short, and its breadth, which does not, stands for it."""
        return max(self._distance(WRIST, MIDDLE_BASE), PALM * self._distance(INDEX_BASE, LITTLE_BASE))

    def _distance(self, one: int, other: int) -> float:
        return float(np.linalg.norm(self.shape[one] - self.shape[other]))

    def apart(self, other: SeenHand) -> float:
        """Mean distance of the landmarks of two detections, in sizes of the larger hand."""
        return float(np.linalg.norm(self.shape - other.shape, axis=-1).mean()) / max(self.size, other.size)

    def unlike(self, other: SeenHand) -> float:
        """How far two detections are from being one hand, in sizes: the way between them, and what else their shapes differ in.

        Two hands that meet lie close together, but differ in where their fingers point.
        """
        way = self.shape.mean(0) - other.shape.mean(0)
        rest = np.linalg.norm(self.shape - other.shape - way, axis=-1).mean()
        return float(np.linalg.norm(way) + SHAPE * rest) / max(self.size, other.size)


Path = dict[int, SeenHand]
"""One hand: the frames in which it was seen, in order, and what was seen there."""


@dataclass
class _Link:
    """Detections that follow each other closely; `vote` is above 0 where they say "right"."""

    seen: Path = field(default_factory=dict)
    vote: float = 0.0

    def add(self, frame: int, hand: SeenHand) -> None:
        self.seen[frame] = hand
        self.vote += hand.score if hand.side == "right" else -hand.score

    @property
    def last(self) -> int:
        return next(reversed(self.seen))

    @property
    def side(self) -> Side:
        return "right" if self.vote > 0 else "left"

    def cost(self, hand: SeenHand) -> float:
        """How little it looks as if `hand` were this one."""
        doubt = 0.0 if hand.side == self.side else FLIP * max(0.0, 2 * hand.score - 1)
        return self.seen[self.last].unlike(hand) + doubt


def hands_by_side(hands: Sequence[Iterable[Hand]], view: View, most_gap: int = 3) -> dict[Side, Path]:
    """The left and the right hand of a clip, those that there are.

    Args:
        hands: the detections of each of T pictures.
        view: how the pictures lie in the chain's frame.
        most_gap: frames in which a hand may be missed and still be followed by where it is.

    Raises:
        RadliteError: a detection that is not 21 landmarks with finite coordinates.
    """
    links = _linked([_in_frame(t, found, view) for t, found in enumerate(hands)], most_gap)
    paths = {side: _one_hand([link.seen for link in links if link.side == side]) for side in SIDES}
    return {side: without_jumps(path) for side, path in paths.items() if path}


def without_jumps(path: Path) -> Path:
    """Without single detections far off both neighbours, which are near each other: the detector jumped, not the hand."""
    frames, bad = list(path), set()
    for a, b, c in zip(frames, frames[1:], frames[2:], strict=False):
        before, here, after = (path[t].point for t in (a, b, c))
        off = min(np.linalg.norm(here - before), np.linalg.norm(here - after))
        size = float(np.median([path[t].size for t in (a, b, c)]))
        if a not in bad and c - a <= SOON and off > JUMP * size and np.linalg.norm(after - before) < off / 2:
            bad.add(b)
    return {t: hand for t, hand in path.items() if t not in bad}


def path_length(path: Path) -> float:
    """Pixels that the gripper point travels in strides; jumps and tremble are no motion."""
    length, stood = 0.0, None
    for hand in without_jumps(path).values():
        way = 0.0 if stood is None else float(np.linalg.norm(hand.point - stood))
        if stood is None or way > STRIDE * hand.size:
            length, stood = length + way, hand.point
    return length


def acting_side(paths: Mapping[Side, Path]) -> Side:
    """Whose gripper point moves farther; where none moves, who is seen more often, or more surely.

    Two hands are compared over the frames in which both are seen, unless these are few: a moving camera moves both of them there.
    """
    common = set.intersection(*(set(path) for path in paths.values()))
    if len(common) >= max(2, min(map(len, paths.values())) / 2):
        lengths = {side: path_length({t: hand for t, hand in path.items() if t in common}) for side, path in paths.items()}
    else:
        lengths = {side: path_length(path) for side, path in paths.items()}
    return max(paths, key=lambda s: (lengths[s], len(paths[s]), max(hand.score for hand in paths[s].values())))


def _in_frame(frame: int, found: Iterable[Hand], view: View) -> list[SeenHand]:
    """The detections of a picture that can be measured, surest first."""
    seen = []
    for hand in found:
        landmarks = np.asarray(hand.landmarks, np.float64)
        if landmarks.shape not in ((LANDMARKS, 2), (LANDMARKS, 3)) or not np.isfinite(landmarks).all():
            found = f"{landmarks.shape} in picture {frame}" + ("" if np.isfinite(landmarks).all() else ", not all finite")
            raise RadliteError(f"hands of ({LANDMARKS}, 3) finite landmarks", found, "look at what found them")
        seen.append(SeenHand(view.to_frame(landmarks[:, :2]), hand.side, float(hand.score)))
    return sorted((hand for hand in seen if hand.size >= LEAST_SIZE), key=lambda hand: -hand.score)


def _linked(frames: Sequence[list[SeenHand]], most_gap: int) -> list[_Link]:
    links: list[_Link] = []
    for t, found in enumerate(frames):
        alive = [link for link in links if t - link.last <= most_gap + 1]
        pairs = sorted((link.cost(hand), i, j) for i, link in enumerate(alive) for j, hand in enumerate(found))
        taken: dict[int, int] = {}  # detection -> link
        for cost, i, j in pairs:
            if cost < GATE and j not in taken and i not in taken.values():
                taken[j] = i
        placed = [found[j] for j in taken]
        for j, i in taken.items():
            alive[i].add(t, found[j])
        for j, hand in enumerate(found):
            if j not in taken and all(hand.apart(other) > TWICE for other in placed):
                links.append(_Link())
                links[-1].add(t, hand)
                placed.append(hand)
    return links


def _one_hand(parts: list[Path]) -> Path:
    """Links of one side as one hand: those with most motion, and the others where they leave time."""
    chosen: list[Path] = []
    for part in sorted(parts, key=lambda part: (path_length(part), len(part)), reverse=True):
        if all(max(part) < min(other) or min(part) > max(other) for other in chosen):
            chosen.append(part)
    return {t: part[t] for part in sorted(chosen, key=min) for t in part}


def runs(frames: Iterable[int], most_gap: int) -> list[list[int]]:
    """Frame numbers in order, apart wherever more than `most_gap` are missing between two."""
    frames = list(frames)
    starts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(frames)) if b - a > most_gap + 1), len(frames)]
    return [frames[a:b] for a, b in pairwise(starts) if b > a]
