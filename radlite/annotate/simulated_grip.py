"""Hands that a detector would find where the simulator's gripper is, a robot's included: what lets one annotate both alike.

`simulated_hands` has the hand that is in the picture, of human episodes. Here a hand of one shape stands around any gripper
point, as wide open as the jaws, so that all that comes after a detector is the same for both embodiments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from radlite.annotate.evidence import INDEX_TIP, LANDMARKS, THUMB_TIP, Hand
from radlite.annotate.simulated import FRAME, Noise, palm_pixels
from radlite.errors import RadliteError
from radlite.reasoning import FRAME_SIZE
from radlite.tabletop.viewpoint import HOME_VIEW, Viewpoint

if TYPE_CHECKING:
    from radlite.episode import Episode

WIDEST = 0.084 / 0.095
"""Thumb to index tip, in lengths of a palm, of a hand that opens 8.4 cm."""

# The right hand's back, fingers up, in lengths of the palm: wrist, then thumb, index, middle, ring and little finger from the
# palm on. The tips of thumb and index stand where the opening puts them.
_RIGHT = np.array([
    (0, 0), (-.25, -.2), (-.42, -.45), (-.5, -.7), (-.5, -.9),
    (-.25, -.97), (-.32, -1.25), (-.36, -1.4), (-.4, -1.5), (0, -1), (0, -1.35), (0, -1.2), (0, -1.05),
    (.2, -.95), (.2, -1.25), (.2, -1.1), (.2, -.97), (.38, -.85), (.4, -1.05), (.4, -.95), (.38, -.85),
])  # fmt: skip


def landmarks(
    point: np.ndarray,
    opening: float,
    size: float = 40.0,
    angle: float = 0.0,
    side: Literal["left", "right"] = "right",
    squeeze: float = 1.0,
) -> np.ndarray:
    """float (21, 3), as of `Hand`, of a hand whose gripper is at `point`.

    Args:
        point: (2,) pixels of the frame, midpoint of thumb tip and index tip.
        opening: 0 to 1, thumb to index tip in parts of `WIDEST` palms.
        size: length of the palm in pixels.
        angle: of the whole hand in the picture, radians.
        side: whose hand.
        squeeze: length of the palm as it looks, where the hand points at the camera.
    """
    shape = _RIGHT * (1 if side == "right" else -1, 1)
    grip, along = np.array([-0.6 if side == "right" else 0.6, -1.2]), np.array([0.6 if side == "right" else -0.6, 0.8])
    half = opening * WIDEST / 2
    shape[THUMB_TIP], shape[INDEX_TIP] = grip + half * along, grip - half * along
    across = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    pixels = ((shape - grip) * (1, squeeze)) @ across.T * size + point
    return np.concatenate([FRAME.to_picture(pixels), np.zeros((len(shape), 1))], axis=1)


def simulated_grip(
    episode: Episode, noise: Noise | None = None, view: Viewpoint = HOME_VIEW, looks: int = 1
) -> list[tuple[Hand, ...]]:
    """What a hand detector finds in each picture of a camera: a hand where the gripper is, as wide open as its jaws, or none.

    A robot knows how wide its jaws are, so `fingers` is of humans only. Every camera errs for itself, in every picture anew. The
    hand lies in the picture at an angle of its own, as large as a palm of 9 cm looks there.

    Args:
        episode: of the simulator, T frames.
        noise: how the detector errs.
        view: of the camera.
        looks: pictures from one frame to the next, (T - 1) looks + 1 in all; the simulator's gripper moves evenly between frames.

    Raises:
        RadliteError: an episode without states.
    """
    noise = noise or Noise()
    if episode.states is None:
        raise RadliteError("an episode of the simulator, with states", "one without", "collect it with `radlite collect`")
    states = np.array(episode.states, float)
    times = np.arange((len(states) - 1) * looks + 1) / looks
    states = np.stack([np.interp(times, np.arange(len(states)), column) for column in states.T], 1)
    where = "" if view == HOME_VIEW else f" seen by {view}"
    random, dropped = noise.stream(episode, "grip" + where), noise.dropped(episode, where, len(states))
    points = view.project(states[:, :3]) + noise.pixels * FRAME_SIZE * random.standard_normal((len(states), 2))
    fingers = noise.fingers if episode.embodiment == "human" else 0.0
    angle, sizes = random.uniform(-np.pi, np.pi), palm_pixels(states[:, :3], view)
    hands = [landmarks(*seen, angle=angle) for seen in zip(points, states[:, 6], sizes, strict=True)]
    for hand, size in zip(hands, sizes, strict=True):
        shake = fingers * size / FRAME_SIZE * random.standard_normal((LANDMARKS, 2))
        hand[:, :2] += shake - (shake[THUMB_TIP] + shake[INDEX_TIP]) / 2  # how far the gripper point is off, `pixels` says
    return [() if gone else (Hand(h.astype(np.float32), "right", 1.0),) for h, gone in zip(hands, dropped, strict=True)]
