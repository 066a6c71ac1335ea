"""What a narrator is given and what it gives back: evidence in, a chain of reasoning a frame out.

A narrator only puts into words. What was measured (boxes, movement primitive, the gripper's path) is copied into the chains by
`measured`, for every narrator alike, so that none of them can invent a coordinate or a move; where a stage did not know, the
field is absent and the chain shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

import numpy as np

from radlite.annotate.evidence import GripperTrack, ObjectTrack
from radlite.annotate.hindsight import Motion
from radlite.errors import RadliteError
from radlite.formats.ecot import LOOKAHEAD
from radlite.import_video import spoken
from radlite.reasoning import FRAME_SIZE, Box, Reasoning


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that is known of a clip of T frames before it is put into words.

    Attributes:
        instruction: what is done, in a person's words; see `task_text`.
        frames: uint8 (T, S, S, 3), the 256 x 256 frame (see `View`) at any size S.
        fps: frames a second.
        gripper: T frames of the gripper.
        objects: what was looked for, T frames each; () where nobody looked.
        moves: movement primitive about to be executed at each of the T frames, such as "move left, close gripper"; None where
            nobody knows.
        motion: path and subtasks of the T frames, or None.
        heights: whether the path's third axis is the height above the table (a calibrated camera or robot says so).
        camera: float (3, 4), from homogeneous metres of the path to homogeneous pixels of the frame, where it is calibrated.

    Raises:
        RadliteError: lengths that differ, frames of another shape, no frame, or words that cannot stand in a chain.
    """

    instruction: str
    frames: np.ndarray
    fps: float
    gripper: GripperTrack
    objects: tuple[ObjectTrack, ...]
    moves: tuple[str | None, ...]
    motion: Motion | None = None
    heights: bool = False
    camera: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.frames)
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or 0 in shape or self.frames.dtype != np.uint8:
            raise RadliteError("frames uint8 (T, S, S, 3), T and S at least 1", f"{shape}", "take them from one clip")
        lengths = {"gripper": len(self.gripper), "moves": len(self.moves)}
        lengths |= {track.name: len(track.boxes) for track in self.objects}
        lengths |= {"motion": len(self.motion.path)} if self.motion else {}
        for name, length in lengths.items():
            if length != shape[0]:
                raise RadliteError(f"{shape[0]} frames of {name!r}", f"{length}", "give every stage the same frames")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise RadliteError("frames per second above 0", f"{self.fps}", "RAD's data has 5")
        object.__setattr__(self, "instruction", spoken(self.instruction))
        for track in self.objects:
            Reasoning(bboxes=(Box(spoken(track.name), (0, 0, 0, 0)),)).validate()
        for move in set(self.moves) - {None}:
            Reasoning(move=move).validate()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def open(self) -> tuple[bool | None, ...]:
        """Whether the gripper is open, frame by frame; None where nobody knows."""
        return tuple(None if math.isnan(v) else bool(v > 0.5) for v in self.gripper.open)


class Narrator(Protocol):
    """Puts a clip into words; `identity` as of `HandDetector`."""

    def narrate(self, evidence: Evidence) -> list[Reasoning]:
        """A chain for each of the T frames, valid (`Reasoning.validate`); what is not known is absent.

        Raises:
            RadliteError: the clip cannot be put into words.
        """


def task_text(instruction: str) -> str:
    """TASK of an instruction: the same words with one full stop at their end, as the tabletop's have it."""
    return instruction.rstrip(". ") + "."


def measured(evidence: Evidence) -> list[Reasoning]:
    """The measured part of the T chains: bboxes, move and gripper.

    Boxes are clipped to the frame; one that lies outside of it, or that nobody knows, is left out. The gripper has this point
    and the next four, as ECoT's: fewer where the next one lies outside or nobody knows it, and the last of the clip is repeated.
    """
    points = [pixel(point) for point in evidence.gripper.points]
    paths = [_ahead(points, t) for t in range(len(points))]
    return [
        Reasoning(bboxes=_boxes(evidence.objects, t), move=move, gripper=path or None)
        for t, (move, path) in enumerate(zip(evidence.moves, paths, strict=True))
    ]


def pixel(point: np.ndarray) -> tuple[int, int] | None:
    """A point (2,) of the frame in whole pixels; None where nobody knows it, or it lies outside of the frame."""
    if not np.isfinite(point).all() or (point < 0).any() or (point > FRAME_SIZE).any():
        return None
    x, y = np.minimum(np.rint(point), FRAME_SIZE - 1).astype(int).tolist()
    return x, y


def _ahead(points: list[tuple[int, int] | None], t: int) -> tuple[tuple[int, int], ...]:
    coming = (points[min(k, len(points) - 1)] for k in range(t, t + LOOKAHEAD))
    return tuple(takewhile(lambda point: point is not None, coming))


def _boxes(tracks: tuple[ObjectTrack, ...], t: int) -> tuple[Box, ...] | None:
    boxes = []
    for track in tracks:
        if np.isfinite(track.boxes[t]).all():
            x1, y1, x2, y2 = np.clip(np.rint(track.boxes[t]), 0, FRAME_SIZE).astype(int).tolist()
            if x1 < x2 and y1 < y2:
                boxes.append(Box(track.name, (x1, y1, x2, y2)))
    return tuple(boxes) if tracks else None
