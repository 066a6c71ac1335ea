"""The tabletop's truth as if detectors had found it, as exact or as poor as one likes.

An episode of the simulator says in its chains where things and gripper are, and in its states how wide the jaws are open. Given
out as evidence, it shows what annotation would make of perfect detectors, and, with noise, how much of their errors comes
through: into chains, and in the end into a policy. A chain lists what the task needs and one bystander a frame, so a bystander
is found in some frames only.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from radlite.annotate.evidence import Found, GripperTrack, Hand, ObjectTrack, View
from radlite.annotate.motion import PALM
from radlite.errors import RadliteError
from radlite.reasoning import FRAME_SIZE

if TYPE_CHECKING:
    from radlite.episode import Episode
    from radlite.tabletop.viewpoint import Viewpoint

FRAME = View(FRAME_SIZE, FRAME_SIZE)
"""Of the simulator's pictures: square, so fractions of them are fractions of the frame."""


@dataclass(frozen=True)
class Noise:
    """How detectors err, each thing by itself. The same noise errs alike in the same episode, differently in another.

    Attributes:
        box: standard deviation of each edge of a box, as a share of the box's width or height, or of the frame's side.
        of: which of the two.
        miss: share of frames in which a thing is not found, 0..1.
        pixels: standard deviation of the gripper's x and y, as a share of the frame's side: 0.01 is 2.56 pixels.
        drop: share of frames in which nothing at all is found, 0..1.
        seed: another seed, other errors.
        fingers: standard deviation of a hand's landmarks around its gripper point, as a share of its palm.
    """

    box: float = 0.0
    of: Literal["box", "frame"] = "box"
    miss: float = 0.0
    pixels: float = 0.0
    drop: float = 0.0
    seed: int = 0
    fingers: float = 0.0

    def __post_init__(self) -> None:
        sizes, shares = (self.box, self.pixels, self.fingers), (self.miss, self.drop)
        ok = self.of in ("box", "frame") and all(0 <= v < np.inf for v in sizes) and all(0 <= v <= 1 for v in shares)
        if not ok or self.seed < 0:
            expected = "box, pixels and fingers from 0 on, miss and drop from 0 to 1, of 'box' or 'frame', a seed from 0 on"
            raise RadliteError(expected, f"{self}", "correct it")

    def stream(self, episode: Episode, what: str) -> np.random.Generator:
        """Of each episode and kind of error its own, so that one switch leaves the others' errors as they are."""
        return np.random.default_rng([self.seed, zlib.crc32(episode.frames[0].tobytes()), zlib.crc32(what.encode())])

    def dropped(self, episode: Episode, where: str = "", pictures: int | None = None) -> np.ndarray:
        """bool (T,): frames in which nothing is found, or so many pictures; `where` names a camera that is not their own."""
        return self.stream(episode, "drop" + where).random(pictures or len(episode)) < self.drop


def simulated_found(episode: Episode, noise: Noise | None = None) -> list[tuple[Found, ...]]:
    """What an object detector finds in each of T frames, as fractions of the picture; () where the chain is absent."""
    tracks = simulated_tracks(episode, noise)
    fractions = [FRAME.to_picture(t.boxes.reshape(-1, 2, 2)).reshape(-1, 4).tolist() for t in tracks]
    return [
        tuple(Found(t.name, tuple(boxes[k])) for t, boxes in zip(tracks, fractions, strict=True) if t.seen[k])
        for k in range(len(episode))
    ]


def simulated_tracks(episode: Episode, noise: Noise | None = None) -> list[ObjectTrack]:
    """The track of everything that the chains name, in the order of first mention; nothing is filled in."""
    noise = noise or Noise()
    names = dict.fromkeys(box.name for chain in episode.reasoning if chain for box in chain.bboxes or ())
    dropped = noise.dropped(episode)
    return [_track(episode, name, noise, dropped) for name in names]


def simulated_hands(episode: Episode, view: Viewpoint, noise: Noise | None = None) -> list[tuple[Hand, ...]]:
    """What a hand detector finds in each of T frames of a human episode: the right hand's landmarks, () in dropped frames.

    Args:
        episode: of the simulator, with states.
        view: its camera.
        noise: as of `Noise`; `pixels` is that of each landmark by itself, `miss` is of things only.

    Raises:
        RadliteError: a robot's episode, or one without states, which alone say where the hand is in space.
    """
    from radlite.tabletop.embodiment import hand_landmarks
    from radlite.tabletop.world import JAW_OPEN

    if episode.embodiment != "human" or episode.states is None:
        states = "no states" if episode.states is None else "states"
        raise RadliteError("a human episode with states", f"a {episode.embodiment} one with {states}", "collect one")
    noise = noise or Noise()
    states = np.array(episode.states, float)
    world = np.stack([hand_landmarks(state[:3], state[6] * JAW_OPEN) for state in states])
    depth = (world - view.eye) @ view.axes[0]
    near = (depth - depth[:, :1]) / (2 * view.half_view)  # of the wrist, in widths of the picture
    pixels = view.project(world) + noise.pixels * FRAME_SIZE * noise.stream(episode, "hand").standard_normal((*depth.shape, 2))
    found = np.concatenate([FRAME.to_picture(pixels), near[..., None]], -1).astype(np.float32)
    dropped = noise.dropped(episode)
    return [() if lost else (Hand(points, "right", 1.0),) for lost, points in zip(dropped, found, strict=True)]


def simulated_gripper(episode: Episode, noise: Noise | None = None, view: Viewpoint | None = None) -> GripperTrack:
    """The gripper's track: the first of a chain's points, and the jaws of the state.

    Args:
        episode: of the simulator; without states, nobody knows how wide the jaws are open.
        noise: as of `Noise`; `miss` is of things only.
        view: the camera. Given, `size` is what a palm of 9 cm measures at the gripper's distance; by default it is unknown.
    """
    noise = noise or Noise()
    firsts = [chain.gripper[0] if chain and chain.gripper else (np.nan, np.nan) for chain in episode.reasoning]
    points = np.array(firsts, float).reshape(-1, 2)
    points += noise.pixels * FRAME_SIZE * noise.stream(episode, "gripper").standard_normal(points.shape)
    points[noise.dropped(episode)] = np.nan
    seen = np.isfinite(points).all(1)
    states = np.full((len(points), 7), np.nan) if episode.states is None else np.array(episode.states, float)
    states[~seen] = np.nan
    return GripperTrack(np.clip(points, 0, FRAME_SIZE - 1), states[:, 6], palm_pixels(states[:, :3], view), seen)


def _track(episode: Episode, name: str, noise: Noise, dropped: np.ndarray) -> ObjectTrack:
    boxes = np.full((len(episode), 4), np.nan)
    for frame, chain in enumerate(episode.reasoning):
        for box in (chain and chain.bboxes) or ():
            if box.name == name:
                boxes[frame] = box.xyxy
    random = noise.stream(episode, "box of " + name)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2) if noise.of == "box" else float(FRAME_SIZE)
    boxes += noise.box * sides * random.standard_normal(boxes.shape)
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    boxes = np.clip(boxes, 0, FRAME_SIZE)
    boxes[dropped | (random.random(len(boxes)) < noise.miss)] = np.nan
    boxes[~(boxes[:, 2:] > boxes[:, :2]).all(1)] = np.nan
    return ObjectTrack(name, boxes, np.isfinite(boxes).all(1))


def palm_pixels(points: np.ndarray, view: Viewpoint | None) -> np.ndarray:
    """Pixels that a palm of 9 cm measures at world points (T, 3); NaN without a camera."""
    if view is None:
        return np.full(len(points), np.nan)
    return PALM * FRAME_SIZE / 2 * view.distance / view.half_view / ((points - view.eye) @ view.axes[0])
