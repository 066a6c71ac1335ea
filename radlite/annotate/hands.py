"""A hand as a gripper: where it is, how wide it is open, through a whole clip.

RAD takes the midpoint of thumb tip and index tip for the gripper. Open or closed follows from the distance of the two tips,
measured in sizes of the hand so that it does not matter how near the camera is, and with two thresholds: what lies between them
changes nothing, and what lies a little outside for one noisy frame does not either (`_states`). A hand that holds a mug is open
wider than one that holds a pen, so where a clip has two levels of its own, the thresholds go between these (`_thresholds`), and
a change then comes when the fingers are halfway. A short gap between two sightings
is filled on a straight line and says so (`seen`); what lies before the first, after the last or in a longer gap stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from radlite.annotate.evidence import GripperTrack, Hand, View
from radlite.annotate.hand_links import SIDES, Path, acting_side, hands_by_side, runs
from radlite.errors import RadliteError

CLOSED, OPEN = 0.42, 0.58
"""Thumb to index tip in lengths of the palm: closed below, open above, between them as it was."""

NEAR = 3  # sightings on each side that the median of sizes goes over: a palm does not grow from frame to frame
_GAUSS = 0.6745 * np.sqrt(2)  # median of |differences| of white noise of standard deviation one
SWITCH = 2.0  # what a change between open and closed costs; a frame whose ratio is at a threshold speaks with 1 (`_states`)
MOST = 3.0  # what one frame speaks with at most, however far outside it is
APART = 0.12  # lengths of the palm between two levels of a clip, at least
STEADY = 3.0  # the same in standard deviations of the noise from frame to frame: one level's noise makes two that are 1.6 apart
CLEAR = 3.5  # the same in standard deviations within them: 3.46 if all widths between were as frequent, 2.65 of one level's noise


def gripper_track(
    hands: Sequence[tuple[Hand, ...]],
    view: View,
    side: Literal["left", "right"] | None = None,
    *,
    most_gap: int = 3,
    closed: float = CLOSED,
    open: float = OPEN,
    looks: int = 1,
    moments: int | None = None,
) -> GripperTrack:
    """The path and the opening of the hand that acts.

    Args:
        hands: the detections of each picture in the order of time.
        view: how the pictures lie in the chain's frame.
        side: whose hand; by default the one whose gripper point travels farther (`hand_links.acting_side`).
        most_gap: moments without a sighting that are filled in between two.
        closed, open: thumb tip to index tip, in lengths of the palm, below which the hand closes and above which it opens, unless
            the clip shows clearly two levels of its own.
        looks: pictures from one moment to the next; of several, those around a moment tell together where the hand was.
        moments: T; by default as many as there are pictures for.

    Raises:
        RadliteError: no hand in any picture, none of that side, detections that are none, or bad thresholds.
    """
    _check(side, most_gap, closed, open, looks)
    path = _chosen(hands, view, side, most_gap * looks)
    track = _track(path, len(hands), most_gap * looks, (closed, open), looks)
    return at_moments(track, looks, -(-len(hands) // looks) if moments is None else moments)


def at_moments(track: GripperTrack, looks: int, moments: int) -> GripperTrack:
    """A track of every picture as one of every `looks`-th, T of them.

    A point is where a straight line through those of half a moment before and after it (least squares) is at the moment itself:
    with five pictures it errs 0.45 times as much as one of them. Pictures that lack at the end are without a hand.
    """
    if looks == 1 and moments == len(track):
        return track
    at, reach = np.arange(moments) * looks, looks // 2
    near = at[:, None] + np.arange(-reach, reach + 1)  # (T, pictures around a moment)
    there = (near >= 0) & (near < len(track))
    near, gone = np.clip(near, 0, len(track) - 1), at >= len(track)
    weights = there & track.known[near]
    points = np.array([_on_line(track.points[near[k]], weights[k]) for k in range(moments)]).reshape(-1, 2)
    points[gone | ~track.known[near[:, reach]]] = np.nan
    size = np.where(weights & np.isfinite(track.size[near]), track.size[near], np.nan)
    size = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in size])
    seen = (there & track.seen[near]).any(1) & np.isfinite(points).all(1)
    return GripperTrack(points, np.where(gone, np.nan, track.open[near[:, reach]]), size, seen)


def _on_line(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where the line through the known ones of points (2 r + 1, 2) is in the middle; the middle one itself where they are few."""
    reach = len(points) // 2
    if known.sum() < 3:
        return points[reach]
    times, points = np.flatnonzero(known) - reach, points[known]
    slope = (times - times.mean()) @ points / ((times - times.mean()) ** 2).sum()
    return points.mean(0) - times.mean() * slope


def _check(side: str | None, most_gap: int, closed: float, open: float, looks: int) -> None:
    if side is not None and side not in SIDES:
        raise RadliteError("a side of 'left', 'right' or None", repr(side)[:40], "leave it out to take the hand that moves")
    if most_gap < 0:
        raise RadliteError("gaps of 0 frames or more", f"{most_gap}", "0 fills nothing in")
    if looks < 1:
        raise RadliteError("at least one picture a moment", f"looks={looks}", "1 looks at the moments themselves")
    if not 0 < closed <= open < np.inf:
        raise RadliteError("thresholds 0 < closed <= open", f"{closed} and {open}", f"{CLOSED} and {OPEN} fit most hands")


def _chosen(hands: Sequence[tuple[Hand, ...]], view: View, side: str | None, most_gap: int) -> Path:
    paths = hands_by_side(hands, view, most_gap)
    if not paths:
        fix = "give another clip, with the hand whole, near and in good light, or landmarks of your own with --landmarks"
        raise RadliteError("a hand in the clip", f"none in {len(hands)} pictures", fix)
    if side is not None and side not in paths:
        [other] = paths
        fix = f"take '{other}', or leave the side out; sides are the person's own, in pictures that are not mirrored"
        raise RadliteError(f"a {side} hand in the clip", f"only a {other} one, in {len(paths[other])} pictures", fix)
    return paths[side or acting_side(paths)]


def _track(path: Path, count: int, most_gap: int, thresholds: tuple[float, float], looks: int) -> GripperTrack:
    points, opening, size = np.full((count, 2), np.nan), np.full(count, np.nan), np.full(count, np.nan)
    seen, stretches = np.zeros(count, bool), runs(path, most_gap)
    for run in stretches:
        seen[run] = True
        size[run] = [path[t].size for t in run]
    ratios = [np.array([path[t].tips for t in run]) / _median(size[run], NEAR * looks) for run in stretches]
    thresholds = _thresholds(np.concatenate(ratios), *thresholds)
    for run, widths in zip(stretches, ratios, strict=True):
        states = _states(widths, *thresholds, SWITCH * looks)
        between = np.arange(run[0], run[-1] + 1)
        for axis, values in enumerate(np.array([path[t].point for t in run]).T):
            points[between, axis] = np.interp(between, run, values)
        nearest = np.abs(between[:, None] - np.array(run)).argmin(1)  # of two as near, the earlier
        opening[between] = states[nearest]
    return GripperTrack(points, opening, size, seen)


def _median(values: np.ndarray, reach: int) -> np.ndarray:
    """Median of each value and up to `reach` on each side."""
    return np.array([np.median(values[max(0, k - reach) : k + reach + 1]) for k in range(len(values))])


def _thresholds(ratios: np.ndarray, closed: float, open: float) -> tuple[float, float]:
    """Close around the middle of a clip's two levels, which are those that leave least variance within (Otsu 1979); or as given.

    A level is the median of its frames: those in which the fingers are on their way belong to neither.
    """
    values, count = np.sort(ratios), len(ratios)
    below, total = np.arange(1, count), np.cumsum(values)
    low, high = total[:-1] / below, (total[-1] - total[:-1]) / (count - below)
    between = below * (count - below) * (high - low) ** 2 / count**2
    if not len(between):
        return closed, open
    best = int(between.argmax())
    apart, within = high[best] - low[best], np.sqrt(max(0.0, values.var() - between[best]))
    tremble = np.median(np.abs(np.diff(ratios))) / _GAUSS
    if apart < max(APART, CLEAR * within, STEADY * tremble):
        return closed, open
    middle = (np.median(values[: best + 1]) + np.median(values[best + 1 :])) / 2
    return float(middle - apart / 12), float(middle + apart / 12)


def _states(ratios: np.ndarray, closed: float, open: float, switch: float = SWITCH) -> np.ndarray:
    """1 open, 0 closed for each sighting: hysteresis that looks both ways in time.

    A ratio outside of the thresholds speaks for a state, the louder the farther off their middle; one between them is silent
    (unless all are). Of all sequences of states this is the one that contradicts least, where every change counts as `switch`
    (Viterbi). So a change needs evidence that lasts, comes with its first frame, and in a silence the state stays what it was.
    """
    says = (ratios - (open + closed) / 2) / max((open - closed) / 2, 1e-6)
    silent = (ratios >= closed) & (ratios <= open)
    says = np.clip(says if silent.all() else np.where(silent, 0, says), -MOST, MOST)
    against = np.stack([np.maximum(says, 0), np.maximum(-says, 0)], axis=1)  # (T, 2): of closed, of open
    best, came = against[0], []
    for now in against[1:]:
        changed = best[::-1] + switch
        came.append(changed <= best)  # of two as good, the later change
        best = np.minimum(best, changed) + now
    states = [int(best.argmin())]
    for switched in reversed(came):
        states.append(1 - states[-1] if switched[states[-1]] else states[-1])
    return np.array(states[::-1], float)
