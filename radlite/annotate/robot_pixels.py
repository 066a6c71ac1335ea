"""GRIPPER POSITION for robot episodes from what the robot knows of itself: its states, and where its camera stands.

Bridge's robots write down where the gripper is in metres, not in pixels. A calibrated camera says the pixels (`project`); where
there is none, somebody's detections of the gripper do, of which many may be wrong (`fit_pixels`, as ECoT does). What is written
is the map of the states, never a detection itself. One of two JSON files is read:

    {"camera": [[a, b, c, d], [e, f, g, h], [i, j, k, l]], "width": 640, "height": 480}
    {"episodes": [[[312, 200], null, ...one a frame], ...one an episode], "width": 640, "height": 480}

`camera` is K [R | t], from homogeneous metres to homogeneous pixels of a picture of `width` x `height`; `null` is a frame where
nothing was found. Without `width` and `height`, pixels are those of the dataset's own pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from radlite.actions import ACTION_DIM
from radlite.annotate.gripper_pixels import PixelFit, fit_pixels, project, robot_track
from radlite.annotate.narrator import Evidence, measured
from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.card import STATE_KEY, told_by_card
from radlite.formats.lerobot import LeRobotReader
from radlite.formats.staging import read_json
from radlite.reasoning import FRAME_SIZE, Reasoning

_SHOW = "see radlite/annotate/robot_pixels.py for the form"


class RobotPixels:
    """Where the gripper of every frame of a dataset is.

    Args:
        dataset: episodes with states.
        points: of each episode float (T, 2), pixels of the 256 x 256 frame, not clipped; NaN where nobody knows.
        seen: the detections that were fitted to, alike, or None.
        fits: one for all episodes, or one an episode; () where the camera was given.
    """

    def __init__(self, dataset: EpisodeDataset, points: list[np.ndarray], seen: list[np.ndarray] | None = None,
                 fits: tuple[PixelFit, ...] = ()) -> None:  # fmt: skip
        self.dataset, self.points, self.seen, self.fits = dataset, points, seen, fits

    @property
    def inside(self) -> float:
        """Share of the frames in whose picture the gripper is; a camera that is another one's has few."""
        return float(np.mean([((p >= 0) & (p <= FRAME_SIZE - 1)).all(1).mean() for p in self.points]))

    def episodes(self) -> Iterator[Episode]:
        """The episodes with GRIPPER POSITION made anew; all else of their chains stays."""
        for number, points in enumerate(self.points):
            episode = self.dataset[number]
            track = robot_track(episode.states, points)
            square = np.zeros((len(points), 1, 1, 3), np.uint8)  # nobody looks at pictures here
            told = measured(Evidence("move", square, episode.fps, track, (), (None,) * len(points)))
            chains = [(old or Reasoning()).replace(gripper=new.gripper) for old, new in zip(episode.reasoning, told, strict=True)]
            yield replace(episode, reasoning=[None if chain == Reasoning() else chain for chain in chains])

    def detections(self, number: int) -> int:
        """How many there are of an episode."""
        return 0 if self.seen is None else int(np.isfinite(self.seen[number]).all(1).sum())

    def agrees(self, number: int) -> np.ndarray:
        """bool (T,): frames of an episode whose detection the map agrees with."""
        start, count = sum(map(len, self.points[:number])), len(self.points[number])
        return self.fits[number].inliers if len(self.fits) > 1 else self.fits[0].inliers[start : start + count]

    def write(self, out: str | Path) -> DatasetInfo:
        """A new dataset of them, an episode in memory at a time, whole or not at all."""
        before, license = told_by_card(self.dataset.path)
        how = "fitted to detections" if self.fits else "by a calibrated camera"
        origin = f"GRIPPER POSITION {how}, by `radlite data robot-pixels`. Before: {before}"
        return write_dataset(out, self.episodes(), origin=origin, license=license)


def by_camera(source: str | Path, camera: str | Path) -> RobotPixels:
    """Pixels by a calibrated camera, the same for all episodes.

    Raises:
        RadliteError: a dataset without states, a file that is not in the module's form, or no gripper in any picture.
    """
    dataset, told = EpisodeDataset(source), read_json(Path(camera), "a camera")
    matrix = _numbers(told.get("camera"), (3, 4), f"camera in {camera}")
    matrix[:2] *= (FRAME_SIZE / _size(told, dataset, camera))[:, None]
    pixels = RobotPixels(dataset, [project(states, matrix) for states in _states(dataset)])
    if not pixels.inside:
        fix = "check its direction (from the robot's metres to the camera) and the size of its pictures"
        raise RadliteError("a camera that sees the gripper", f"it outside of the picture in every frame, by {camera}", fix)
    return pixels


def by_detections(
    source: str | Path, detections: str | Path, kind: Literal["linear", "projective"] = "linear", each: bool = False,
    seed: int = 0,
) -> RobotPixels:
    """Pixels by a map fitted to detections with RANSAC; see `fit_pixels` for `kind` and `seed`.

    Args:
        each: fit every episode by itself, as ECoT does: its camera may have been moved since. Otherwise one camera for all, which
            more detections find better.

    Raises:
        RadliteError: as of `by_camera`; or too few detections that agree with one camera, with the episode's number.
    """
    dataset, told = EpisodeDataset(source), read_json(Path(detections), "detections")
    states, listed = _states(dataset), told.get("episodes")
    if not isinstance(listed, list) or len(listed) != len(states):
        found = f"{len(listed)}" if isinstance(listed, list) else quoted(listed, 60)
        raise RadliteError(f"detections of {len(states)} episodes in {detections}", found, _SHOW)
    scale = FRAME_SIZE / _size(told, dataset, detections)
    seen = [_points(points, len(where), f"episode {k} of {detections}") * scale
            for k, (points, where) in enumerate(zip(listed, states, strict=True))]  # fmt: skip
    if not each:
        fit = fit_pixels(np.concatenate(states), np.concatenate(seen), kind=kind, seed=seed)
        return RobotPixels(dataset, np.split(fit.points, np.cumsum([len(s) for s in states])[:-1]), seen, (fit,))
    fits = []
    for k, (where, points) in enumerate(zip(states, seen, strict=True)):
        try:
            fits.append(fit_pixels(where, points, kind=kind, seed=seed))
        except RadliteError as error:
            raise RadliteError(error.expected, f"{error.found}, in episode {k}", error.fix) from error
    return RobotPixels(dataset, [fit.points for fit in fits], seen, tuple(fits))


def _states(dataset: EpisodeDataset) -> list[np.ndarray]:
    """Of each episode (T, 7)."""
    reader = LeRobotReader(dataset.path)  # without a look at the pictures
    if STATE_KEY not in reader.features:
        raise RadliteError(f"states in {dataset.path}", "none", "only a robot that notes where its gripper is can be mapped")
    states = reader.vectors(STATE_KEY, ACTION_DIM)
    return [states[dataset.episode_slice(k)] for k in range(len(dataset))]


def _size(told: dict[str, Any], dataset: EpisodeDataset, path: str | Path) -> np.ndarray:
    """Width and height of the pictures that pixels are of, (2,)."""
    height, width, _ = dataset.image_shape
    if ("width" in told) != ("height" in told):
        raise RadliteError(f"width and height in {path}", "one of the two", _SHOW)
    size = _numbers([told.get("width", width), told.get("height", height)], (2,), f"width and height in {path}")
    if (size < 1).any():
        raise RadliteError(f"width and height of at least 1 in {path}", f"{size.tolist()}", _SHOW)
    return size


def _points(value: Any, count: int, what: str) -> np.ndarray:
    """Detections (T, 2), NaN for null."""
    listed = value if isinstance(value, list) else [value]
    known = [point is not None for point in listed]
    points = np.full((len(listed), 2), np.nan)
    if any(known):
        points[known] = _numbers([point for point in listed if point is not None], (sum(known), 2), what)
    if len(points) != count:
        raise RadliteError(f"{count} points or null, one a frame, in {what}", f"{len(points)}", _SHOW)
    return points


def _numbers(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Somebody's finite numbers as float of that shape."""
    try:
        array = np.array(value)
    except ValueError:  # ragged
        array = np.array(None)
    if array.shape != shape or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise RadliteError(f"numbers of shape {shape} in {what}", quoted(value, 80), _SHOW)
    return array.astype(float)
