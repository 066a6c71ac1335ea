"""The best path of one thing through the candidates of every frame: dynamic programming, and two cans at once are two cans.

Of all ways to choose at most one box a frame, the path is the one with the greatest sum of scores less what its leaps cost. That
alone would hop to another thing of the same name while the right one is covered. So boxes are also put together to *pieces*, what
lies in one place from frame to frame; two pieces that were seen side by side are two things, and a path that goes through both
is not allowed. The best that is allowed is searched for best first: a path that is not allowed is replaced by the best ones
without the one and without the other of the two pieces.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

Candidates = tuple[np.ndarray, Sequence[float]]
"""Of one frame: boxes (N, 4), x1, y1, x2, y2 in pixels, and N scores > 0."""

MOST_SEARCHED = 64  # paths that are looked at; from then on the piece of less score goes


@dataclass(frozen=True)
class PathConfig:
    """How boxes become a path.

    Attributes:
        leap: score that it costs to go from one box to another, times ((1 - generalised IoU) / 2)^3: nothing for the same box, an
            eighth for one right beside it, nearly all across the frame, where it outweighs any one detection.
        reach: pixels that the middle of a thing moves in one frame, at most; 64 are a quarter of the frame, 1.3 m/s at 5 frames
            a second where the frame shows a metre.
        same: least intersection over union of boxes of one piece.
        memory: frames for which a thing may go unseen and still be the same where it reappears; after that it begins anew, at
            the cost of a whole leap.
        beside: frames in which two pieces may be seen at once and still be one thing; a detector doubles a thing now and then.
        gap: unseen frames between two seen ones that are filled in, in a straight line; a longer stay is left unknown.
    """

    leap: float = 2.0
    reach: float = 64.0
    same: float = 0.3
    memory: int = 25
    beside: int = 2
    gap: int = 5


def best_path(frames: Sequence[Candidates], config: PathConfig | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The best path through the candidates of T frames.

    Returns:
        boxes (T, 4), NaN where nobody knows, and seen (T,), bool: found there, not filled in.
    """
    config = config or PathConfig()
    track, seen = np.full((len(frames), 4), np.nan), np.zeros(len(frames), bool)
    nodes = _Nodes(frames, config)
    path = _search(nodes, config) if len(nodes.scores) else []
    at = nodes.frames[path].tolist()
    track[at], seen[at] = nodes.boxes[path], True
    for a, b in pairwise(at):
        if 1 < b - a <= config.gap + 1:
            share = (np.arange(a + 1, b) - a)[:, None] / (b - a)
            track[a + 1 : b] = (1 - share) * track[a] + share * track[b]
    return track, seen


def overlaps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union, and generalised IoU (Rezatofighi et al., CVPR 2019), of each box of a with each of b.

    Args:
        a, b: (N, 4) and (M, 4), x1, y1, x2, y2.

    Returns:
        Two arrays (N, M): IoU in 0..1, and IoU less the share of the common hull that neither covers, in -1..1.
    """
    a, b = np.asarray(a, float)[:, None], np.asarray(b, float)[None]
    within = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    hull = (np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - within
    iou = within / np.maximum(union, 1e-9)
    return iou, iou - (hull - union) / np.maximum(hull, 1e-9)


class _Nodes:
    """All N candidates in one row, frame by frame: boxes (N, 4), scores (N,), frames (N,), pieces (N,), and what ways cost.

    `starts[t]` is the first of frame t, `costs[t]` the cost from each candidate of the `memory` frames before to each of t.
    """

    def __init__(self, frames: Sequence[Candidates], config: PathConfig) -> None:
        self.boxes = np.concatenate([np.zeros((0, 4)), *(boxes for boxes, _ in frames)])
        self.scores = np.array([score for _, scores in frames for score in scores])
        counts = [len(scores) for _, scores in frames]
        self.frames, self.starts = np.repeat(np.arange(len(frames)), counts), np.cumsum([0, *counts])
        self.pieces = self._pieces(config)
        self.costs = [self._cost(t, config) for t in range(len(frames))]

    def before(self, t: int, memory: int) -> slice:
        """Candidates of the frames from which one can come to frame t."""
        return slice(self.starts[max(0, t - memory)], self.starts[t])

    def at(self, t: int) -> slice:
        """Candidates of frame t."""
        return slice(self.starts[t], self.starts[t + 1])

    def _cost(self, t: int, config: PathConfig) -> np.ndarray:
        """Of each way to frame t; infinite beyond reach."""
        old, new = self.boxes[self.before(t, config.memory)], self.boxes[self.at(t)]
        way = np.linalg.norm((old[:, None, :2] + old[:, None, 2:] - new[None, :, :2] - new[None, :, 2:]) / 2, axis=-1)
        far = way > config.reach * (t - self.frames[self.before(t, config.memory)])[:, None]
        return np.where(far, np.inf, config.leap * ((1 - overlaps(old, new)[1]) / 2) ** 3)

    def _pieces(self, config: PathConfig) -> np.ndarray:
        """A number for each candidate, the same for those that lay in one place."""
        pieces, last = np.zeros(len(self.scores), int), np.zeros(0, int)  # last: of each piece that may go on
        for t in range(len(self.starts) - 1):
            here = np.arange(self.starts[t], self.starts[t + 1])
            last = last[t - self.frames[last] <= config.memory]
            matches = _matches(self.boxes[last], self.boxes[here], config.same)
            for j, node in enumerate(here):
                pieces[node] = pieces[last[matches[j]]] if j in matches else node  # named after its first
            last = np.append(np.delete(last, list(matches.values())), here)
        return np.unique(pieces, return_inverse=True)[1]


def _matches(live: np.ndarray, boxes: np.ndarray, same: float) -> dict[int, int]:
    """Box -> piece, where each is the other's best and they overlap enough."""
    if not (len(live) and len(boxes)):
        return {}
    iou = overlaps(live, boxes)[0]
    return {j: int(i) for j, i in enumerate(iou.argmax(0)) if iou[i, j] >= same and iou[i].argmax() == j}


def _search(nodes: _Nodes, config: PathConfig) -> list[int]:
    """The best path through no two pieces that were seen beside each other, best first over what is left out."""
    beside = _beside(nodes, config.beside)
    weight = np.bincount(nodes.pieces, nodes.scores)
    value, path = _viterbi(nodes, config, frozenset())
    heap, tried = [(-value, (), path)], {frozenset()}
    while True:
        _, left_out, path = heapq.heappop(heap)
        through = set(nodes.pieces[path].tolist())
        pair = next((pair for pair in beside if through.issuperset(pair)), None)
        if pair is None:
            return path
        for piece in sorted(pair, key=lambda p: weight[p])[: 2 if len(tried) < MOST_SEARCHED else 1]:
            fewer = frozenset((*left_out, piece))
            if fewer not in tried:
                tried.add(fewer)
                value, path = _viterbi(nodes, config, fewer)
                heapq.heappush(heap, (-value, tuple(sorted(fewer)), path))


def _beside(nodes: _Nodes, most: int) -> list[tuple[int, int]]:
    """Pairs of pieces, the lower number first, that were seen at once in more than `most` frames."""
    counts: Counter[tuple[int, int]] = Counter()
    for t in range(len(nodes.costs)):
        counts.update(combinations(np.unique(nodes.pieces[nodes.at(t)]).tolist(), 2))
    return [pair for pair, count in counts.items() if count > most]


def _viterbi(nodes: _Nodes, config: PathConfig, left_out: frozenset[int]) -> tuple[float, list[int]]:
    """Value and nodes of the best path that goes through none of the pieces `left_out`."""
    usable = ~np.isin(nodes.pieces, list(left_out))
    value, came = np.full(len(usable), -np.inf), np.full(len(usable), -1)
    oldest = -1  # the best node that is more than `memory` frames old
    for t, costs in enumerate(nodes.costs):
        here, window = nodes.at(t), nodes.before(t, config.memory)
        gone = range(max(0, nodes.starts[max(0, t - 1 - config.memory)]), window.start)
        oldest = max((oldest, *gone), key=lambda k: value[k] if k >= 0 else 0.0)
        start = max(0.0, value[oldest] - config.leap) if oldest >= 0 else 0.0
        best, by = np.full(costs.shape[1], start), np.full(costs.shape[1], oldest if start > 0 else -1)
        if len(costs):
            total = value[window, None] - costs
            better = total.max(0) > best
            best, by = np.where(better, total.max(0), best), np.where(better, window.start + total.argmax(0), by)
        value[here], came[here] = np.where(usable[here], nodes.scores[here] + best, -np.inf), by
    node, path = int(value.argmax()), []
    total = float(value[node])
    while node >= 0 and np.isfinite(total):
        path.append(node)
        node = int(came[node])
    return total, path[::-1]
