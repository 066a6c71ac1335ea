"""A robot's GRIPPER POSITION drawn over its frames, with the detections that it was fitted to: one sees whether it fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from radlite.annotate.robot_pixels import RobotPixels
from radlite.reasoning import FRAME_SIZE, Reasoning
from radlite.show.overlay import draw_prediction
from radlite.show.video import write_mp4

SIDE = 384  # pixels of the longer side of a drawn frame
AGREES, DIFFERS = (90, 220, 120), (235, 80, 60)


def write_robot_film(pixels: RobotPixels, path: str | os.PathLike, most: int = 3) -> Path:
    """An mp4 of the first `most` episodes with the gripper's path; a green cross is a detection that agrees, a red one does not.

    Raises:
        RadliteError: a folder that cannot be written.
    """
    return write_mp4(path, _drawn(pixels, most), pixels.dataset.fps)


def _drawn(pixels: RobotPixels, most: int) -> Iterator[np.ndarray]:
    for number, episode in zip(range(most), pixels.episodes(), strict=False):
        for t, (frame, chain) in enumerate(zip(episode.frames, episode.reasoning, strict=True)):
            path = Reasoning(gripper=chain.gripper) if chain else None
            picture = Image.fromarray(draw_prediction(frame, path, size=SIDE, panel=False))
            if pixels.seen is not None and np.isfinite(pixels.seen[number][t]).all():
                x, y = pixels.seen[number][t] * picture.size / FRAME_SIZE
                draw, colour = ImageDraw.Draw(picture), AGREES if pixels.agrees(number)[t] else DIFFERS
                draw.line((x - 6, y, x + 6, y), colour, 2)
                draw.line((x, y - 6, x, y + 6), colour, 2)
            yield np.asarray(picture)
