"""What annotation finds in a clip before anything is put into words, and what a stage that finds it must offer.

Detectors look at whole pictures and answer in fractions of them, as MediaPipe does: x of the width, y of the height. From then
on there is one frame, the 256 x 256 pixels that a chain of reasoning speaks of, whatever the camera (`View`), with pixels as
wide as they are high, so that distances mean something.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from radlite.errors import RadliteError
from radlite.reasoning import FRAME_SIZE

WRIST, THUMB_TIP, INDEX_TIP, INDEX_BASE, MIDDLE_BASE, LITTLE_BASE = 0, 4, 8, 5, 9, 17
"""Landmarks of MediaPipe Hands that stand for a gripper and for the size of a palm."""

LANDMARKS = 21


@dataclass(frozen=True, eq=False)
class Hand:
    """A hand in a picture.

    Attributes:
        landmarks: float32 (21, 3): x and y as fractions of width and height (a little outside 0..1 where the hand leaves the
            picture), z relative to the wrist in units of x; MediaPipe's order.
        side: whose hand it is, "left" or "right", as the detector says.
        score: 0..1.
    """

    landmarks: np.ndarray
    side: Literal["left", "right"]
    score: float


@dataclass(frozen=True)
class Found:
    """A thing in a picture: its name, its box x1, y1, x2, y2 as fractions of width and height, a score 0..1."""

    name: str
    box: tuple[float, float, float, float]
    score: float = 1.0


class HandDetector(Protocol):
    """Finds hands.

    Attributes:
        identity: what its answers depend on besides the pictures (model, version, thresholds), in words; what it found is kept
            under this name. Without one, the name of its class.
        rate: pictures a second that it knows something of, where it looks at no picture itself; others have none.
    """

    def detect(self, pictures: Iterable[np.ndarray], fps: float) -> list[tuple[Hand, ...]]:
        """The hands of each picture, uint8 (H, W, 3) RGB, `fps` of them a second in the order of time; () where there is none."""


class ObjectDetector(Protocol):
    """Finds things by name; `identity` as of `HandDetector`."""

    def detect(self, pictures: Iterable[np.ndarray], names: Sequence[str]) -> list[tuple[Found, ...]]:
        """The things of each picture, uint8 (H, W, 3) RGB, in the order of time; none to several of each name."""


@dataclass(frozen=True)
class View:
    """How the pictures of a camera lie in the chain's 256 x 256 frame.

    Args:
        width, height: of a picture, upright, in square pixels.
        pad: the whole picture lies between bars; otherwise its middle square is kept (`radlite data import-video` alike).
    """

    width: int
    height: int
    pad: bool = True

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise RadliteError("pictures of at least one pixel", f"{self.width}x{self.height}", "check the clip")

    @property
    def scale(self) -> float:
        """Pixels of the frame for a pixel of the picture."""
        return FRAME_SIZE / (max if self.pad else min)(self.width, self.height)

    def to_frame(self, xy: np.ndarray) -> np.ndarray:
        """Fractions of the picture (..., 2) to pixels of the frame (..., 2), float; cropped points lie outside of it."""
        size = np.array([self.width, self.height])
        return (np.asarray(xy, np.float64) - 0.5) * size * self.scale + FRAME_SIZE / 2

    def to_picture(self, xy: np.ndarray) -> np.ndarray:
        """Inverse of `to_frame`."""
        size = np.array([self.width, self.height])
        return (np.asarray(xy, np.float64) - FRAME_SIZE / 2) / (size * self.scale) + 0.5


@dataclass(frozen=True, eq=False)
class GripperTrack:
    """The gripper's path through T frames: of a hand, the midpoint of thumb tip and index tip (RAD).

    Attributes:
        points: float (T, 2), pixels of the frame; NaN where nobody knows.
        open: float (T,), 1 open, 0 closed, NaN where nobody knows.
        size: float (T,), pixels from wrist to middle finger's base, or as much as the palm's breadth tells of it where that looks
            longer: grows as the hand nears the camera; NaN where not measured.
        seen: bool (T,): measured in this frame. A point that is known and not seen was filled in between two that were.
    """

    points: np.ndarray
    open: np.ndarray
    size: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    @property
    def known(self) -> np.ndarray:
        """bool (T,): frames with a point."""
        return np.isfinite(self.points).all(-1)


@dataclass(frozen=True, eq=False)
class ObjectTrack:
    """One thing through T frames.

    Attributes:
        name: one name for the whole clip, such as "blue tape".
        boxes: float (T, 4), x1, y1, x2, y2 in pixels of the frame; NaN where nobody knows.
        seen: bool (T,): found in this frame, not filled in.
    """

    name: str
    boxes: np.ndarray
    seen: np.ndarray
