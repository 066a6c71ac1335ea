"""The simulator's demonstrations with the chains that annotation would have written: what does worse annotation do to a policy?

The pictures, the states and a robot's actions stay. The chains are replaced by those that the pipeline's stages make of what
detectors would have found, as exact or as poor as one likes (`Noise`): hands where the gripper is, boxes where the things are,
and nothing of what the simulator knows besides, no contact, no intent and no depth. With two calibrated cameras the chains say
what the tabletop's own say, heights above the table included; with one, what a phone's clip tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from radlite.annotate.evidence import GripperTrack, ObjectTrack
from radlite.annotate.gripper_pixels import project
from radlite.annotate.hands import gripper_track
from radlite.annotate.hindsight import (
    Motion,
    Moves,
    agreed,
    motion_in_space,
    motion_in_view,
    moves_on_the_way,
)
from radlite.annotate.motion import Axes, triangulate
from radlite.annotate.narrate import RuleNarrator
from radlite.annotate.narrator import Evidence, measured
from radlite.annotate.objects import PathConfig, object_names, object_tracks
from radlite.annotate.simulated import FRAME, Noise, simulated_found
from radlite.annotate.simulated_grip import simulated_grip
from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.card import told_by_card
from radlite.reasoning import FRAME_SIZE
from radlite.tabletop.viewpoint import HOME_VIEW, Viewpoint

SIDE_VIEW = Viewpoint(elevation=25.0, azimuth=75.0)
"""A second camera, low and from the left: it sees as heights what the home camera sees as depth."""

OFF = 6.0  # pixels between a chain's gripper and its state's, in the median, from which on another camera must have taken them


def relabelled(
    episode: Episode, noise: Noise | None = None, views: int = 2, moves: Moves = "way", looks: int = 1
) -> Episode:
    """The episode with the chains that the pipeline writes.

    Args:
        episode: of the simulator, human or robot, taken by the home camera.
        noise: how the detectors err; by default they do not.
        views: 1 or 2 cameras on the hand.
        moves: MOVE from the "way" to the end of the subtask, as the tabletop's own, or by ECoT's "window" of 0.6 s and 3 cm.
        looks: pictures a frame in which the hand is looked for, each with errors of its own; `radlite annotate` takes up to 6.

    Raises:
        RadliteError: another number of views or kind of moves, an episode without states or of another camera, or no hand in it.
    """
    evidence = simulated_evidence(episode, noise, views, moves, looks)
    named = tuple(track for track in evidence.objects if track.name in object_names(episode.instruction))
    said = RuleNarrator().narrate(replace(evidence, objects=named))  # a bystander is no goal, however near a thing is let go
    chains = [chain.replace(bboxes=seen.bboxes) for chain, seen in zip(said, measured(evidence), strict=True)]
    return replace(episode, reasoning=chains, meta={**episode.meta, "annotated": f"{views} views, moves by {moves}"})


def simulated_evidence(
    episode: Episode, noise: Noise | None = None, views: int = 2, moves: Moves = "way", looks: int = 1
) -> Evidence:
    """All that the pipeline's stages make of an episode before it is put into words; see `relabelled`."""
    if views not in (1, 2) or moves not in ("way", "window"):
        raise RadliteError("1 or 2 views, moves by 'way' or 'window'", f"{views} and {moves!r}", "choose one of each")
    check_home(episode)
    noise = noise or Noise()
    cameras = (HOME_VIEW, SIDE_VIEW)[:views]
    tracks = [gripper_track(simulated_grip(episode, noise, view, looks), FRAME, "right", looks=looks) for view in cameras]
    motion, gripper = _in_space(tracks, episode.fps) if views == 2 else _in_view(tracks[0], episode.fps)
    said = moves_on_the_way(motion) if moves == "way" else motion.moves
    whole = {"heights": True, "camera": HOME_VIEW.matrix} if views == 2 else {}
    return Evidence(episode.instruction, episode.frames, episode.fps, gripper, _objects(episode, noise), said, motion, **whole)


def check_home(episode: Episode) -> None:
    """Checks that the home camera took the episode.

    Raises:
        RadliteError: no states, or chains that have the gripper elsewhere than this camera sees it.
    """
    fix = "relabel what `radlite collect` makes with its own camera, not that of another environment"
    told = [t for t, chain in enumerate(episode.reasoning) if chain and chain.gripper]
    if episode.states is None or not told:
        raise RadliteError("an episode of the simulator, with states and chains", "one without", fix)
    seen = np.clip(HOME_VIEW.project(np.array(episode.states, float)[told, :3]), 0, FRAME_SIZE - 1)
    off = np.median(np.linalg.norm(seen - [episode.reasoning[t].gripper[0] for t in told], axis=1))
    if not off <= OFF:
        raise RadliteError("the gripper where the tabletop's home camera sees it", f"it {off:.0f} pixels off", fix)


def _in_space(tracks: list[GripperTrack], fps: float) -> tuple[Motion, GripperTrack]:
    """Motion of two cameras, and the track of the first, its points where the cleaned path is seen."""
    path = triangulate([track.points for track in tracks], [view.matrix for view in (HOME_VIEW, SIDE_VIEW)])
    open_ = agreed([track.open for track in tracks])
    open_[~np.isfinite(path).all(1)] = np.nan
    motion = motion_in_space(path, open_, fps)
    points = np.full((len(path), 2), np.nan)
    known = np.isfinite(motion.path).all(1)
    points[known] = project(motion.path[known], HOME_VIEW.matrix)
    return motion, replace(tracks[0], points=_even(points, FRAME_SIZE - 2), open=open_, seen=tracks[0].seen & known)


def _in_view(track: GripperTrack, fps: float) -> tuple[Motion, GripperTrack]:
    motion = motion_in_view(track, fps, Axes(elevation=HOME_VIEW.elevation))
    return motion, replace(track, points=_even(track.points, FRAME_SIZE - 2))


def _objects(episode: Episode, noise: Noise) -> tuple[ObjectTrack, ...]:
    """What the instruction names, gaps filled; and bystanders where they were found, one a frame as the tabletop tells them."""
    found = simulated_found(episode, noise)
    named = [name for name in object_names(episode.instruction) if any(f.name == name for things in found for f in things)]
    others = sorted({f.name for things in found for f in things} - set(named))
    tracks = object_tracks(found, FRAME, named) + object_tracks(found, FRAME, others, config=PathConfig(gap=0))
    return tuple(replace(track, boxes=_even(track.boxes, FRAME_SIZE)) for track in tracks)


def _even(pixels: np.ndarray, most: int) -> np.ndarray:
    """Even pixels of the frame, as the tabletop tells them."""
    return np.clip(np.rint(pixels / 2) * 2, 0, most)


def relabel(
    source: str | Path, out: str | Path, noise: Noise, views: int = 2, moves: Moves = "way", looks: int = 1
) -> DatasetInfo:
    """Writes a dataset of the simulator anew with other chains, an episode in memory at a time, whole or not at all.

    Args:
        source: a dataset of `radlite collect`.
        out: the folder to make.
        noise, views, moves, looks: as of `relabelled`.

    Raises:
        RadliteError: as of `relabelled`, with the episode's number, or a disk that refuses.
    """
    dataset = EpisodeDataset(source)
    before, license = told_by_card(dataset.path)
    errs = ", ".join(f"{name}={value}" for name, value in vars(noise).items() if value and name != "of")
    how = f"{views} views, {looks} pictures a frame, moves by {moves}, and {errs or 'no noise'}"
    origin = f"Chains by `radlite data relabel` with {how}. Before: {before}"
    return write_dataset(out, _each(dataset, noise, views, moves, looks), origin=origin, license=license)


def _each(dataset: EpisodeDataset, noise: Noise, views: int, moves: Moves, looks: int) -> Iterator[Episode]:
    for number in range(dataset.num_episodes):
        try:
            yield relabelled(dataset[number], noise, views, moves, looks)
        except RadliteError as error:
            raise RadliteError(error.expected, f"{error.found}, in episode {number}", error.fix) from error
