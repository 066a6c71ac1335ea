"""From what a detector found in each picture to one track for each thing of a clip.

A detector looks at one picture at a time: it misses, doubles, and takes one thing for another. Here its answers are brought into
the chain's frame, cut at its border and joined over time (`paths`), so that a flicker elsewhere does not draw a track away, a
thing that a hand covers and sets down again is taken up where it reappears, and its neighbour of the same name, seen all the
while, is not taken for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radlite.annotate.evidence import Found, ObjectTrack, View
from radlite.annotate.nouns import checked_name, object_names
from radlite.annotate.paths import Candidates, PathConfig, best_path, overlaps
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import FRAME_SIZE

__all__ = ["object_names", "object_tracks", "PathConfig"]

MOST = 8  # candidates of one name in one picture
DOUBLE = 0.7  # intersection over union from which the lesser of two boxes is the same thing found twice


def object_tracks(
    found: Sequence[Sequence[Found]],
    view: View,
    names: Sequence[str],
    threshold: float = 0.25,
    config: PathConfig | None = None,
) -> list[ObjectTrack]:
    """One track for each name.

    Args:
        found: of T pictures, in the order of time, what a detector found. Other names than those asked for are passed over.
        view: how the pictures lie in the chain's frame.
        names: each once. Where several things have one name, the track is that of the one that is best over the clip.
        threshold: what has a lower score is not used (ECoT asks Grounding DINO for 0.3); of one name in one picture, the best
            `MOST` are looked at.
        config: how boxes are joined over time, and which gaps are filled in.

    Returns:
        In the order of `names`, boxes in pixels of the 256 x 256 frame, cut at its border; what lies wholly outside of it is
        not found. A name that was never found has NaN throughout.

    Raises:
        RadliteError: a name that cannot stand in a chain or comes twice; a box or a score that is no number, or corners in the
            wrong order.
    """
    names = [checked_name(name) for name in names]
    if len(set(names)) < len(names):
        raise RadliteError("each name once", quoted(names), "leave the second out: there is one track for each name")
    for number, things in enumerate(found):
        _check(number, things)
    return [
        ObjectTrack(name, *best_path([_in_frame(things, view, name, threshold) for things in found], config)) for name in names
    ]


def _check(number: int, things: Sequence[Found]) -> None:
    for thing in things:
        x1, y1, x2, y2 = thing.box
        if not (np.isfinite([*thing.box, thing.score]).all() and x1 <= x2 and y1 <= y2):
            found = f"{quoted(thing.box)}, score {thing.score}, for {quoted(thing.name)} in picture {number}"
            raise RadliteError("boxes x1 <= x2, y1 <= y2 of finite fractions", found, "look at the detector that gave it")


def _in_frame(things: Sequence[Found], view: View, name: str, threshold: float) -> Candidates:
    """The things of one name in the frame, best first, each once."""
    mine = sorted((t for t in things if t.name == name and t.score >= max(threshold, 1e-6)), key=lambda t: -t.score)
    corners = view.to_frame(np.reshape([t.box for t in mine], (-1, 2, 2)))
    boxes = np.clip(corners, 0, FRAME_SIZE).reshape(-1, 4)
    kept: list[int] = []
    for k in np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1)):
        if len(kept) < MOST and not (overlaps(boxes[kept], boxes[k : k + 1])[0] > DOUBLE).any():
            kept.append(int(k))
    return boxes[kept], [mine[k].score for k in kept]
