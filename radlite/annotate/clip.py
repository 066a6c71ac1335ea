"""A clip as annotation needs it: whole pictures for detectors, small squares for the dataset, both of the same moments.

Pictures are streamed at most `LONGEST` pixels wide or high, so that a minute in 4K takes no more memory than one in 360p; only
the squares stay. Rotation, pixels that are not square and uneven frame rates are put right by ffmpeg.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from radlite.annotate.evidence import View
from radlite.errors import RadliteError
from radlite.import_video import MOST_CLIP, check_numbers, picture_files
from radlite.reasoning import FRAME_SIZE
from radlite.show.video import read_images, video_pictures, video_rate

LONGEST = 960
"""Pixels of the longer side of what detectors see."""

CONTRAST = 12
"""Levels of grey, of 255, between the darkest and the brightest hundredth of a picture below which nothing can be seen in it."""


@dataclass(frozen=True, eq=False)
class Clip:
    """T moments of a video.

    Attributes:
        source: the video, or the folder of pictures.
        frames: uint8 (T, S, S, 3), the chain's frame.
        fps: moments a second.
        view: how a whole picture lies in the frame.
    """

    source: Path
    frames: np.ndarray
    fps: float
    view: View

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def blank(self) -> np.ndarray:
        """bool (T,): moments that show nothing (black, white, a lens cap), bars around the picture aside."""
        corners = self.view.to_frame([[0, 0], [1, 1]]) * len(self.frames[0]) / FRAME_SIZE
        (left, top), (right, bottom) = np.clip(corners, 0, len(self.frames[0])).round().astype(int)
        inner = self.frames[:, top : max(bottom, top + 1), left : max(right, left + 1)]
        low, high = (np.array([np.percentile(frame.mean(-1), q) for frame in inner]) for q in (1, 99))
        return high - low < CONTRAST

    def pictures(self, looks: int = 1) -> Iterator[np.ndarray]:
        """The whole pictures of the T moments, uint8 (H, W, 3), decoded anew; `looks` of them from one moment to the next."""
        return _pictures(self.source, self.fps * looks)

    def looks(self, most: int, rate: float = np.inf) -> int:
        """Pictures from one moment to the next that differ from each other: at most so many, and `rate` a second."""
        own = self.fps if self.source.is_dir() else video_rate(self.source)
        return max(1, min(most, int(min(own, rate) / self.fps + 0.01)))


def load_clip(source: str | Path, fps: float = 5.0, size: int = 256, pad: bool = True) -> Clip:
    """Reads a clip.

    Args:
        source: a video, or a folder of pictures (in the order of the numbers in their names), each of which is a moment.
        fps: moments a second: moment k is what a player shows at k / fps.
        size: side of the square frames, pixels.
        pad: keep whole pictures between bars; otherwise their middle square.

    Raises:
        RadliteError: no such file, one that cannot be read to its end, pictures of several sizes, or a clip that is too long.
    """
    source = Path(source)
    check_numbers(fps, fps, size)
    frames, shapes, most = [], set(), MOST_CLIP // (size * size * 3)
    fit = ImageOps.pad if pad else ImageOps.fit
    for picture in _pictures(source, fps):
        if len(frames) == most:
            expected = f"a clip of at most {most:,} moments"
            raise RadliteError(expected, f"{source}, which is longer", "cut it, or take fewer frames a second")
        frames.append(np.asarray(fit(Image.fromarray(picture), (size, size), Image.Resampling.LANCZOS)))
        shapes.add(picture.shape)
    if len(shapes) != 1:
        raise RadliteError(f"pictures of one size in {source}", f"{len(shapes)} sizes", "scale them to one size first")
    height, width, _ = shapes.pop()
    return Clip(source, np.stack(frames), fps, View(width, height, pad))


def _pictures(source: Path, fps: float) -> Iterator[np.ndarray]:
    if not source.is_dir():
        yield from video_pictures(source, fps, LONGEST)
        return
    for path in picture_files(source):
        [picture] = read_images([path])
        if max(picture.shape) > LONGEST:
            picture = np.asarray(ImageOps.contain(Image.fromarray(picture), (LONGEST, LONGEST)))
        yield picture
