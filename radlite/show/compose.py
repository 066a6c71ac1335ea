"""Two videos next to each other: the fairest picture of two policies is the same scene at the same time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from radlite.errors import RadliteError
from radlite.show.panel import bold, font
from radlite.show.text import clean
from radlite.show.video import as_frame


def side_by_side(
    frames_a: Sequence[np.ndarray], frames_b: Sequence[np.ndarray], titles: tuple[str, str] = ("", "")
) -> np.ndarray:
    """Two videos next to each other, each under its title.

    Args:
        frames_a, frames_b: sequences of uint8 (H, W, 3); lengths and heights may differ. The shorter video
            holds its last frame; the lower one is padded below.
        titles: a line of text above each.

    Returns:
        uint8 (T, H, W, 3) with T the longer length.

    Raises:
        RadliteError: an empty video, or frames of differing size within one video.
    """
    columns = [_titled(frames, title) for frames, title in zip((frames_a, frames_b), titles, strict=True)]
    length = max(len(c) for c in columns)
    height = max(c.shape[1] for c in columns)
    padded = [np.pad(c, ((0, length - len(c)), (0, 0), (0, 0), (0, 0)), mode="edge") for c in columns]
    padded = [np.pad(c, ((0, 0), (0, height - c.shape[1]), (0, 0), (0, 0))) for c in padded]
    return np.concatenate([padded[0], np.full((length, height, 4, 3), 255, np.uint8), padded[1]], axis=2)


def _titled(frames: Sequence[np.ndarray], title: str) -> np.ndarray:
    if len(frames) == 0 or len({as_frame(f).shape for f in frames}) != 1:
        raise RadliteError(
            "frames of one size", "none, or several sizes", "draw all frames of a video with the same options"
        )
    video = np.stack([np.asarray(f) for f in frames])
    width = video.shape[2]
    size = max(9, min(22, width // 24))
    bar = Image.new("RGB", (width, 2 * size), (30, 30, 34))
    text = clean(title, 200)
    while text and font(size).getlength(text) > width - size:
        text = text.removesuffix("...")[:-1].rstrip() + "..." if len(text) > 4 else ""
    bold(ImageDraw.Draw(bar), (size // 2, size * 0.4), text, size, (255, 255, 255))
    return np.concatenate(
        [np.broadcast_to(np.asarray(bar), (len(video), *np.asarray(bar).shape)), video], axis=1
    )
