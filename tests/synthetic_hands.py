"""Hands to test with: 21 landmarks around a gripper point, as wide open as told, and the detections of whole episodes."""

from __future__ import annotations

import numpy as np

from radlite.annotate.evidence import FRAME_SIZE, Hand, View

VIEW = View(FRAME_SIZE, FRAME_SIZE)
WIDEST = 0.084 / 0.095  # thumb to index tip, in lengths of a palm, of a hand that opens 8.4 cm

# The right hand's back, fingers up, in lengths of the palm: wrist, then thumb, index, middle, ring and little finger from the
# palm on. The tips of thumb and index stand where the opening puts them.
_RIGHT = np.array([
    (0, 0), (-.25, -.2), (-.42, -.45), (-.5, -.7), (-.5, -.9),
    (-.25, -.97), (-.32, -1.25), (-.36, -1.4), (-.4, -1.5), (0, -1), (0, -1.35), (0, -1.2), (0, -1.05),
    (.2, -.95), (.2, -1.25), (.2, -1.1), (.2, -.97), (.38, -.85), (.4, -1.05), (.4, -.95), (.38, -.85),
])  # fmt: skip


def landmarks(point, opening, size=40.0, angle=0.0, side="right", squeeze=1.0):
    """float (21, 3) of a hand whose gripper is at `point`, pixels of the frame.

    Args:
        opening: 0 to 1, thumb to index tip in parts of `WIDEST` palms.
        size: length of the palm in pixels.
        angle: of the whole hand in the picture.
        squeeze: length of the palm as it looks, where the hand points at the camera.
    """
    shape = _RIGHT * (1 if side == "right" else -1, 1)
    grip, along = np.array([-0.6 if side == "right" else 0.6, -1.2]), np.array([0.6 if side == "right" else -0.6, 0.8])
    half = opening * WIDEST / 2
    shape[4], shape[8] = grip + half * along, grip - half * along
    across = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    pixels = ((shape - grip) * (1, squeeze)) @ across.T * size + point
    return np.concatenate([VIEW.to_picture(pixels), np.zeros((21, 1))], axis=1)


def hand(point, opening=1.0, side="right", score=0.95, **shape):
    return Hand(landmarks(point, opening, side=side, **shape).astype(np.float32), side, score)


def shaken(found: Hand, rng, pixels):
    """The same hand with noise on every landmark, pixels of the frame."""
    noise = np.pad(rng.normal(0, pixels, (21, 2)), ((0, 0), (0, 1))) / FRAME_SIZE
    return Hand((found.landmarks + noise).astype(np.float32), found.side, found.score)
