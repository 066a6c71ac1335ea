"""Hands to test with: 21 landmarks around a gripper point, as wide open as told, and the detections of whole episodes."""

from __future__ import annotations

import numpy as np

from radlite.annotate.evidence import FRAME_SIZE, Hand, View
from radlite.annotate.simulated_grip import landmarks

VIEW = View(FRAME_SIZE, FRAME_SIZE)


def hand(point, opening=1.0, side="right", score=0.95, **shape):
    return Hand(landmarks(point, opening, side=side, **shape).astype(np.float32), side, score)


def shaken(found: Hand, rng, pixels):
    """The same hand with noise on every landmark, pixels of the frame."""
    noise = np.pad(rng.normal(0, pixels, (21, 2)), ((0, 0), (0, 1))) / FRAME_SIZE
    return Hand((found.landmarks + noise).astype(np.float32), found.side, found.score)
